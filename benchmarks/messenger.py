#!/usr/bin/env python3
"""Make the pairs of a benchmark of photographs: HR, and LR as a messenger leaves it, reduced and saved as JPEG.

HR is cut to multiples of 4; a camera's picture of half its size, by MATLAB's bicubic, is halved once more by the
mean of 2 × 2 pixels and saved at a quality of 60. Then: eval.py --hr DIR/HR --lr DIR/LR.
"""

import sys
from pathlib import Path

import numpy as np

sys.path[0] = str(Path(__file__).resolve().parents[1])  # Python has put this script's folder there

from src.command import parser, run  # noqa: E402

QUALITY = 60  # of JPEG


def main():
    p = parser(__doc__)
    p.add_argument("--data", required=True, metavar="DIR", help="a folder of pictures, HR")
    p.add_argument("--output", required=True, metavar="DIR", help="where HR/NAME.png and LR/NAME.jpg are written")
    args = p.parse_args()
    from PIL import Image

    from src.host.files import replacing
    from src.imaging.io import list_images, read_rgb, write_image
    from src.imaging.resize import imresize

    folder = Path(args.output)
    for path in list_images(args.data):
        hr = read_rgb(path)
        height, width = (side // 4 * 4 for side in hr.shape[:2])
        hr = hr[:height, :width]
        half = imresize(hr, 0.5).astype(np.float32)
        lr = half.reshape(height // 4, 2, width // 4, 2, 3).mean((1, 3)).round().astype(np.uint8)
        write_image(folder / "HR" / f"{path.stem}.png", hr)
        target = folder / "LR" / f"{path.stem}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target, "picture") as temporary:
            Image.fromarray(lr).save(temporary, "JPEG", quality=QUALITY)
    print(folder)


if __name__ == "__main__":
    run(main)
