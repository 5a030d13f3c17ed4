#!/usr/bin/env bash
# An upscaled photograph in seconds; then from photographs to a trained SRDiff and a MindIR, in minutes on a CPU.
set -euo pipefail

usage() {
    cat <<'HELP'
Usage: bash scripts/quickstart.sh [-h] [--clean] [--device Ascend|GPU|CPU]

Upscales a photograph with the model that comes with the project: seconds. Then it shows how such a
model is made: takes the photographs that come with scikit-image, cuts training patches, trains a
small RRDB and a small SRDiff for x4, scores both beside bicubic, upscales a photograph that neither
has seen, and exports the model to MindIR and runs that. Each command is shown before it runs.

    --clean     remove data/quickstart and runs/quickstart first; without it a run that was
                interrupted goes on, and one that was finished only evaluates and exports again
    --device    where to run (default: CPU)

The environment is the active virtual environment if mindspore is installed in it, else .venv in
the project's folder, which is made on the first run (Python 3.10 to 3.12; PYTHON=/path/to/python
chooses one). After that it takes about five minutes on two CPU cores and writes only to
data/quickstart and runs/quickstart. So short a training shows how everything works, not how good
the results can be.
HELP
}

clean=false
device=CPU
while (($#)); do
    case $1 in
        -h | --help) usage && exit ;;
        --clean) clean=true ;;
        --device)
            device=${2:-}
            shift
            ;;
        --device=*) device=${1#*=} ;;
        *) echo "error: unknown argument '$1' (see bash scripts/quickstart.sh --help)" >&2 && exit 2 ;;
    esac
    shift || break
done
shopt -s nocasematch
case $device in
    Ascend | GPU | CPU) ;;
    *) echo "error: --device must be Ascend, GPU or CPU, not '$device'" >&2 && exit 2 ;;
esac
shopt -u nocasematch

CDPATH="" cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/environment.sh
source scripts/environment.sh
prepare_environment requirements.txt

data=data/quickstart
runs=runs/quickstart
started=$SECONDS

say() { printf '\n=== %s\n' "$*"; }

# Shows a command of this project as one would type it, then runs it.
run() {
    printf '$ python%s\n' "$(printf ' %q' "$@")" >&2
    "$python" "$@"
}

if $clean; then
    say "--clean: starting anew"
    rm -rf "$data" "$runs"
elif [[ -e $runs ]]; then
    say "Going on with what is in $runs; --clean starts anew"
fi

say "1/7 A photograph four times as large, with the model that comes with the project"
run scripts/quickstart_pictures.py --output "$data/pictures"
run infer.py --input "$data/pictures/val_chelsea.png" --output "$runs/first.png" --compare --device "$device"
say "$runs/first.png after $((SECONDS - started)) s; now to how such a model is trained, on nine of the photographs"

say "2/7 Training patches, and the held-out photographs (val) with a quarter of their size as LR"
run src/dataset/div2k_preprocess.py --root "$data/pictures" --dataset folder --output "$data/patches" \
    --patch-size 192 --stride 96 --val-count 2

settings=("data.train=$data/patches/train" "data.val=$data/patches/val" train.val_every=0 train.save_every=100)

say "3/7 Stage 1: the RRDB encoder, on its own a super-resolution model"
run train.py --config configs/rrdb_lite_x4.yaml --output "$runs/rrdb" --resume --device "$device" \
    "${settings[@]}" train.steps=300 train.lr=5e-4

say "4/7 Stage 2: SRDiff, the diffusion model that the encoder guides"
run train.py --config configs/srdiff_lite_x4.yaml --output "$runs/srdiff" --resume --device "$device" \
    "${settings[@]}" "encoder.checkpoint=$runs/rrdb/model.ckpt" train.steps=150 eval.steps=3 eval.temperature=0.4

say "5/7 Both beside bicubic on the held-out photographs"
run eval.py --checkpoint "$runs/rrdb/model.ckpt" "$runs/srdiff/model.ckpt" --data "$data/patches/val" \
    --lpips none --output "$runs/eval" --device "$device" | tee "$runs/table.txt"

say "6/7 A held-out photograph, four times as large"
picture=$data/patches/val/X4/image_0001.png
run infer.py --checkpoint "$runs/srdiff/model.ckpt" --input "$picture" --output "$runs/upscaled" --compare \
    --device "$device"

say "7/7 The same with the model exported to ONNX, which runs without MindSpore and without this project"
run export.py --checkpoint "$runs/srdiff/model.ckpt" --output "$runs/export/srdiff.onnx" --device "$device"
run "$runs/export/offline.pyz" --model "$runs/export/srdiff.onnx" --input "$picture" --output "$runs/upscaled_onnx"

say "Finished in $(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s"
cat "$runs/table.txt"
cat <<END

After so short a training SRDiff's samples are drawn in three steps, at a temperature of 0.4 and in agreement with the
input (docs/sampling.md). LR | bicubic | SRDiff:
$PWD/$runs/upscaled/image_0001_compare.png
The same with the model that comes with the project, trained for longer on more pictures:
$PWD/$runs/first_compare.png

To train the same model at its full length, with two processes, on the same patches (an hour or more on two cores):
bash scripts/run_distribute_train.sh --device CPU --nproc 2 --config configs/srdiff_lite_x4.yaml
END
