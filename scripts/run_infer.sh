#!/usr/bin/env bash
# Upscale a picture or a folder of pictures.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/run_infer.sh [--preset P | --checkpoint W | --model M.mindir|M.onnx] --input FILE|DIR
           [--output FILE|DIR] [--device Ascend|GPU|CPU] [--compare] [OPTION ...]

Upscales a picture or a folder of pictures of any size and kind.

    --preset        a model of checkpoints: fast (the default), best (the default with --steps and the
                    like) or photo
    --checkpoint    a model written by train.py or convert.py, in its place
    --model         a model written by export.py, or its folder
    --input         a picture, or a folder of pictures
    --count         instead of --input, with a model that makes pictures from nothing: how many
    --output        a file, or a folder that keeps the names (default: results)
    --device        where to run (default: the first of Ascend, GPU, CPU that works)
    --compare       also write NAME_compare.png: LR | bicubic | SR
    --nproc         so many processes, one for each device, share the pictures; also of several hosts with
                    --nnodes, --node-rank, --master, --bind_core, --rank_table_file, as in
                    run_distribute_train.sh

For example:
    bash scripts/run_infer.sh --input photo.jpg --output photo_x4.png --steps 5 --seed 1 --device CPU

Everything is passed on to infer.py, whose --help lists all options. Paths are relative to the
folder that you are in. The environment is the active virtual environment if mindspore is installed
in it, else .venv in the project's folder, which is made on the first run.
HELP
}

project=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
source "$project/scripts/environment.sh"
# shellcheck source=scripts/msrun.sh
source "$project/scripts/msrun.sh"
[[ $# -gt 0 ]] || fail "name pictures with --input (see bash scripts/run_infer.sh --help)"
share_pictures "$project" infer.py "$@"
