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

case ${1:-} in
    -h | --help) usage && exit ;;
    "") echo "error: name a configuration with --config (see bash scripts/run_distribute_train.sh --help)" >&2 && exit 2 ;;
esac

project=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
source "$project/scripts/environment.sh"
run_command "$project" scripts/distribute.py "$@"
