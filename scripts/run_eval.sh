#!/usr/bin/env bash
# Score checkpoints beside bicubic.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/run_eval.sh [--checkpoint W ...] [--data DIR | --hr DIR [--lr DIR]]
           [--device Ascend|GPU|CPU] [--protocol srdiff|classic|y|sr3] [--output DIR] [OPTION ...]

Scores one or more checkpoints beside bicubic, prints the table, writes metrics.json and metrics.csv.

    --checkpoint    models written by train.py or convert.py, or none for bicubic alone (default: the
                    two in checkpoints/)
    --data          pictures: a folder with X1 and X4, or HR and LR, or HR pictures alone
    --device        where to run (default: the first of Ascend, GPU, CPU that works)
    --protocol      how to score (default: the checkpoint's)
    --output        folder for the metrics (default: runs/eval)
    --nproc         so many processes, one for each device, share the pictures; also of several hosts with
                    --nnodes, --node-rank, --master, --bind_core, --rank_table_file, as in
                    run_distribute_train.sh

For example:
    bash scripts/run_eval.sh --data data/Set5/x4 --protocol classic --lpips none --device CPU

Everything is passed on to eval.py, whose --help lists all options. Paths are relative to the
folder that you are in. The environment is the active virtual environment if mindspore is installed
in it, else .venv in the project's folder, which is made on the first run.
HELP
}

project=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
source "$project/scripts/environment.sh"
# shellcheck source=scripts/msrun.sh
source "$project/scripts/msrun.sh"
[[ $# -gt 0 ]] || fail "name pictures with --data (see bash scripts/run_eval.sh --help)"
share_pictures "$project" eval.py "$@"
