#!/usr/bin/env bash
# Train one stage on one device.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/run_standalone_train.sh --config YAML [--device Ascend|GPU|CPU] [--output RUN]
           [--resume] [--dry-run] [key=value ...]

Trains one stage on one device: first an encoder (configs/rrdb_*.yaml), then SRDiff on it
(configs/srdiff_*.yaml).

    --config     the experiment
    --device     where to run (default: the first of Ascend, GPU, CPU that works)
    --output     the run's folder (default: runs/NAME)
    --resume     go on from the newest checkpoint in the run's folder
    --dry-run    print parameters, memory and the time of a step, then stop
    key=value    change settings, such as train.batch_size=16 data.train=DIR

For example:
    bash scripts/run_standalone_train.sh --config configs/rrdb_lite_x4.yaml --device CPU \
        data.train=data/mine/train data.val=data/mine/val

Everything is passed on to train.py, whose --help lists all options. Paths are relative to the
folder that you are in. The environment is the active virtual environment if mindspore is installed
in it, else .venv in the project's folder, which is made on the first run.
HELP
}

case ${1:-} in
    -h | --help) usage && exit ;;
    "") echo "error: name a configuration with --config (see bash scripts/run_standalone_train.sh --help)" >&2 && exit 2 ;;
esac

project=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
source "$project/scripts/environment.sh"
run_command "$project" train.py "$@"
