#!/usr/bin/env bash
# Export a checkpoint for deployment.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/run_export.sh [--checkpoint W] [--output FILE] [--format mindir|onnx|air]
           [--graph step|sampler] [--device Ascend|GPU|CPU] [--no-check] [OPTION ...]

Exports a checkpoint to MindIR or ONNX, with free batch, height and width, or on an Ascend machine to AIR.

    --checkpoint    a model written by train.py or convert.py (default: checkpoints/srdiff_lite_x4.ckpt)
    --output        X.mindir; X.encode.mindir and X.mindir.json go beside it and belong to it
                    (default: results/NAME/NAME.mindir)
    --format        mindir (default), onnx, or air on an Ascend machine
    --graph         step (default): once per picture and once per step; sampler: all steps in one graph
    --device        where to run (default: the first of Ascend, GPU, CPU that works)
    --no-check      leave out the comparison of the export with the checkpoint

For example:
    bash scripts/run_export.sh --checkpoint runs/srdiff_lite_x4/model.ckpt \
        --format onnx --output export/srdiff.onnx --device CPU

Everything is passed on to export.py, whose --help lists all options. Paths are relative to the
folder that you are in. The environment is the active virtual environment if mindspore is installed
in it, else .venv in the project's folder, which is made on the first run.
HELP
}

case ${1:-} in
    -h | --help) usage && exit ;;
    "") echo "error: name a model with --checkpoint and a file with --output (see bash scripts/run_export.sh --help)" >&2 && exit 2 ;;
esac

project=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
source "$project/scripts/environment.sh"
run_command "$project" export.py "$@"
