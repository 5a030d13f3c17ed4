#!/usr/bin/env bash
# Train one stage on several devices.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/run_distribute_train.sh --config YAML --nproc N [--device Ascend|GPU|CPU]
           [--output RUN] [--resume] [--nnodes M --node-rank R --master HOST[:PORT]] [key=value ...]

Trains one stage, as run_standalone_train.sh does, on N devices of this host, or on N devices of each
of M hosts. Every device takes batches of train.batch_size pictures of its own.

    --config       the experiment
    --nproc        processes on this host, one for each device
    --device       where to run (default: the first of Ascend, GPU, CPU that works)
    --output       the run's folder (default: runs/NAME); rank 0 alone writes to it, and reports here,
                   the other processes write to RUN/logs
    --resume       go on from the newest checkpoint in the run's folder; N and M may have changed
    --nnodes       hosts (default: 1); start the same command on each, with its own --node-rank
    --node-rank    this host's number, from 0
    --master       the name or address of host 0, and a port that is free there (default: 8118)
    --bind_core, --rank_table_file
                   of msrun: True, or a JSON text that says which cores a process takes; a file
    key=value      change settings, such as train.batch_size=16 data.train=DIR

For example, on one host, and on the second of two:
    bash scripts/run_distribute_train.sh --device CPU --nproc 2 --config configs/srdiff_lite_x4.yaml
    bash scripts/run_distribute_train.sh --device Ascend --nproc 8 --config configs/srdiff_df2k_x4.yaml \
        --nnodes 2 --node-rank 1 --master 10.0.0.1

Ctrl-C and SIGTERM let rank 0 save a checkpoint. A process that fails ends the job. Exit status: 0, 2
for a mistake in the command or the data, something else for the rest. docs/distributed.md says more.
Paths are relative to the folder that you are in. The environment is the active virtual environment
if mindspore is installed in it, else .venv in the project's folder, which is made on the first run.
HELP
}

project=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
source "$project/scripts/environment.sh"
# shellcheck source=scripts/msrun.sh
source "$project/scripts/msrun.sh"
[[ $# -gt 0 ]] || fail "name a configuration with --config (see bash scripts/run_distribute_train.sh --help)"

# Prints the run's folder, after a look at it and at the arguments of train.py, so that what is wrong is said once.
find_run() {
    "$python" - "$project" "$node_rank" ${rest[@]+"${rest[@]}"} <<'PYTHON'
import sys
from pathlib import Path

sys.path.insert(0, sys.argv.pop(1))
node_rank = int(sys.argv.pop(1))
sys.argv[0] = "run_distribute_train.sh"
from src.host.signals import end_at_once

end_at_once()
from src.cli.train import arguments
from src.command import run
from src.errors import UserError
from src.families.registry import read_config
from src.host.files import locked


def main():
    args = arguments()
    config = read_config(args.config, args.overrides)
    if args.dry_run:
        raise UserError("--dry-run looks at one device: run train.py with it")
    run = Path(args.output or f"runs/{config.name}")
    if node_rank == 0 and run.is_dir():
        with locked(run):  # the logs of a run under way are left alone
            pass
    print(run)


run(main)
PYTHON
}

take_options "$@"
prepare_environment_of "$project"
[[ -n "$nproc" ]] || fail "name the number of processes on this host with --nproc"
folder=$(find_run)
run_ranks "$folder/logs" "$folder" "$project/train.py" "${rest[@]}" >&2
