#!/usr/bin/env python3
"""pytorch-fid's and torch-fidelity's numbers for small sets of pictures, with Inception's weights by formula.

Prints them beside this project's; ``--write`` stores them for tests/metrics/test_inception.py. It needs what the tests
do not: pip install torch torchvision pytorch-fid torch-fidelity.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from src.host.device import prepare  # noqa: E402
from src.host.files import write_text  # noqa: E402
from src.imaging.io import read_rgb, write_image  # noqa: E402
from tests.metrics import inception_formula as formula  # noqa: E402

GOLDEN = ROOT / "tests" / "metrics" / "inception_golden.json"
SAMPLED = slice(None, None, 128)  # of the 2048 features, those that are stored


def references(folder):
    """Return the numbers of the two programs for the sets of pictures in ``folder/one`` and ``folder/other``."""
    import torch
    from pytorch_fid.fid_score import calculate_fid_given_paths, calculate_frechet_distance
    from torch_fidelity import calculate_metrics
    from torch_fidelity.metric_isc import isc_features_to_metric

    weights = folder / "hub" / "checkpoints" / "pt_inception-2015-12-05-6726825d.pth"
    one, other = str(folder / "one"), str(folder / "other")
    save_weights(weights)
    os.environ["TORCH_HOME"] = str(folder)  # pytorch-fid takes the file from there
    fidelity = calculate_metrics(
        input1=one, input2=other, fid=True, isc=True, isc_splits=2, cuda=False, cache=False, verbose=False,
        batch_size=1, feature_extractor_weights_path=str(weights),
    )  # fmt: skip
    scores = isc_features_to_metric(torch.from_numpy(formula.formula_logits()), splits=10)
    gaussians = [
        (x.mean(0), np.cov(x, rowvar=False)) for x in (formula.formula_features(1, 40), formula.formula_features(2, 60))
    ]
    return {
        "features": features_of(folder / "one"),
        "fid": {
            "pytorch-fid": float(calculate_fid_given_paths([one, other], 1, "cpu", 2048, 0)),
            "torch-fidelity": fidelity["frechet_inception_distance"],
        },
        "is": [fidelity["inception_score_mean"], fidelity["inception_score_std"]],
        "is_of_logits": [scores["inception_score_mean"], scores["inception_score_std"]],
        "frechet_distance": float(calculate_frechet_distance(*gaussians[0], *gaussians[1])),
    }


def save_weights(path):
    """Write the weights by formula as a PyTorch file with all the names of pytorch-fid's."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    shapes = {}

    class Shapes(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_):
            shapes.update({name: tuple(tensor.shape) for name, tensor in self.state_dict().items()})

    path.parent.mkdir(parents=True)
    torch.save({}, path)
    Shapes("names", ["2048"], feature_extractor_weights_path=str(path))
    counters = {name: torch.tensor(0) for name in shapes if name.endswith("num_batches_tracked")}
    weights = formula.formula_weights({name: shape for name, shape in shapes.items() if name not in counters})
    torch.save({name: torch.from_numpy(value) for name, value in weights.items()} | counters, path)


def features_of(folder):
    """Return some of pytorch-fid's features of each picture."""
    from pytorch_fid.fid_score import get_activations
    from pytorch_fid.inception import InceptionV3

    files = sorted(folder.glob("*.png"))
    return [
        get_activations([file], InceptionV3(), 1, 2048, "cpu", 0)[0, SAMPLED].astype(np.float32).tolist()
        for file in files
    ]


def write_pictures(folder):
    """Write the two sets of pictures."""
    from skimage.data import astronaut

    for name, pictures in zip(("one", "other"), formula.pictures(astronaut()), strict=True):
        for number, picture in enumerate(pictures):
            write_image(folder / name / f"{number}.png", picture)


def ours(folder):
    """Return this project's numbers for the same files, by the same names."""
    from src.metrics.fid import InceptionScore, Moments, frechet_distance
    from src.metrics.inception import load_inception
    from src.metrics.picture_sets import PREPARATIONS
    from src.metrics.weight_files import find_weights

    inception = load_inception(*find_weights("inception", folder / "hub" / "checkpoints"))

    def gaussian(vectors):
        moments = Moments()
        moments.add(vectors)
        return moments.gaussian()

    def score(logits, splits):
        score = InceptionScore(len(logits), splits)
        score.add(logits)
        return score.result()

    seen = {
        form: [
            inception(np.stack([prepare(read_rgb(path)) for path in sorted((folder / name).glob("*.png"))]))
            for name in ("one", "other")
        ]
        for form, prepare in PREPARATIONS.items()
    }
    return {
        "features": seen["pytorch-fid"][0][0][:, SAMPLED],
        "fid": {form: frechet_distance(*(gaussian(features) for features, _ in sets)) for form, sets in seen.items()},
        "is": score(seen["torch-fidelity"][0][1], 2),
        "is_of_logits": score(formula.formula_logits(), 10),
        "frechet_distance": frechet_distance(
            gaussian(formula.formula_features(1, 40)), gaussian(formula.formula_features(2, 60))
        ),
    }


def table(theirs, own):
    """Return both programs' numbers beside this project's, as lines of Markdown."""
    rows = [
        *((f"FID, {form}", f"{theirs['fid'][form]:.5f}", f"{own['fid'][form]:.5f}") for form in own["fid"]),
        ("IS in two parts, torch-fidelity", *("{:.7f} ± {:.7f}".format(*found["is"]) for found in (theirs, own))),
        ("IS in ten parts, torch-fidelity", *("{:.7f} ± {:.7f}".format(*x["is_of_logits"]) for x in (theirs, own))),
        ("Fréchet distance, pytorch-fid", *(f"{found['frechet_distance']:.10f}" for found in (theirs, own))),
    ]
    difference = np.abs(np.subtract(theirs["features"], own["features"])).max()
    lines = ["| | theirs | ours |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return [*lines, f"pytorch-fid's features differ by {difference:.1e} at most"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"store the programs' numbers in {GOLDEN.name}")
    args = parser.parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name))
        theirs = references(Path(name))
        print(*table(theirs, ours(Path(name))), sep="\n")
    if args.write:
        write_text(GOLDEN, json.dumps(theirs, indent=1) + "\n")


if __name__ == "__main__":
    main()
