#!/usr/bin/env bash
# Export a checkpoint for deployment.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/run_export.sh [--checkpoint W] [--output FILE] [--format mindir|onnx|air]
           [--graph step|sampler] [--precision float32|float16] [--device Ascend|GPU|CPU] [--no-check]
           [OPTION ...]

Exports a checkpoint to MindIR or ONNX, with free batch, height and width, or on an Ascend machine to AIR.

    --checkpoint    a model written by train.py or convert.py (default: checkpoints/srdiff_lite_x4.ckpt)
    --output        X.mindir, X.onnx or X.air; X.encode.*, X.*.json and offline.pyz go beside it
                    (default: results/NAME/NAME.mindir)
    --format        mindir, onnx, or air on an Ascend machine (default: as --output ends, or mindir)
    --graph         step (default): once per picture and once per step; sampler: all steps in one graph
    --precision     of weights and arithmetic: float32 (default) or float16
    --device        where to run (default: the first of Ascend, GPU, CPU that works)
    --no-check      leave out the comparison of the export with the checkpoint

For example:
    bash scripts/run_export.sh --checkpoint runs/srdiff_lite_x4/model.ckpt \
        --output export/srdiff.onnx --device CPU

Everything is passed on to export.py, whose --help lists all options. Paths are relative to the
folder that you are in. The environment is the active virtual environment if mindspore is installed
in it, else .venv in the project's folder, which is made on the first run.
HELP
}

case ${1:-} in
    -h | --help) usage && exit ;;
esac

project=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
source "$project/scripts/environment.sh"
run_command "$project" export.py "$@"
