#!/usr/bin/env bash
# Upscale pictures on an Ascend device with an exported MindIR and MindSpore Lite.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/run_infer_310.sh --model X.mindir --input FILE|DIR [--output FILE|DIR]
           [--convert HxW [--precision-mode MODE]] [OPTION ...]

Upscales a picture or a folder of pictures on an Ascend 310, 310P or 910. It needs python3 with NumPy,
Pillow and mindspore_lite, but not MindSpore. It has not been run on a device: docs/deployment.md.

    --model             an X.mindir of export.py, with X.encode.mindir and X.mindir.json
    --input             a picture, or a folder of pictures
    --output            a file, or a folder that keeps the names (default: results)
    --convert           first compile the graphs for LR pictures, or tiles, of this size, such as 128x128,
                        with converter_lite, into the folder X_HxW_MODE beside the model; a second call
                        takes what is there
    --precision-mode    of the conversion: enforce_fp16 (default), preferred_optimal, preferred_fp32,
                        enforce_fp32 or enforce_origin

For example:
    bash scripts/run_infer_310.sh --model srdiff.mindir --convert 128x128 --input photos --output results

Everything else is passed on to src/export/runner.py, whose options "python offline.pyz --help" lists
(export.py writes that file beside a model). Paths are relative to the folder that you are in. PYTHON
names another python3. Exit status: 0, 2 for a mistake or a missing tool, something else for the rest.
HELP
}

fail() {
    echo "error: $*" >&2
    exit 2
}

model="" size="" mode="" rest=()
[[ $# -gt 0 ]] || fail "name a model with --model and pictures with --input (see bash scripts/run_infer_310.sh --help)"
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) usage && exit ;;
        --model=* | --convert=* | --precision-mode=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" && continue ;;
        --model | --convert | --precision-mode)
            [[ -n "${2:-}" ]] || fail "$1 needs a value (see bash scripts/run_infer_310.sh --help)"
            case $1 in
                --model) model=$2 ;;
                --convert) size=$2 ;;
                *) mode=$2 ;;
            esac
            shift 2
            ;;
        *) rest+=("$1") && shift ;;
    esac
done
[[ -n "$model" ]] || fail "name a model with --model (see bash scripts/run_infer_310.sh --help)"
[[ -z "$mode" || -n "$size" ]] || fail "--precision-mode is of the conversion: add --convert HxW, or leave it out"

project=$(CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
command -v "$python" >/dev/null || fail "$python is not there: install Python 3.10 or newer, or name it with PYTHON"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is $("$python" --version), Python 3.10 or newer is needed: install it, or name it with PYTHON"
for module in numpy PIL mindspore_lite; do
    "$python" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)' "$module" ||
        fail "$python has no $module: install numpy, pillow, and the wheel of MindSpore Lite for Ascend" \
            "(https://www.mindspore.cn/lite/docs/en/master/use/downloads.html)"
done

if [[ -n "$size" ]]; then
    model=$("$python" "$project/scripts/convert_artefact.py" --model "$model" --size "$size" \
        ${mode:+--precision-mode "$mode"}) || exit
fi
export PYTHONPATH=$project${PYTHONPATH:+:$PYTHONPATH}
exec "$python" -m src.export.runner --runtime mindspore_lite --device Ascend --model "$model" ${rest[@]+"${rest[@]}"}
