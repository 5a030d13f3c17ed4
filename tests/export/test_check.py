"""The comparison of an export with its checkpoint, and export.py's answer to it."""

import numpy as np
import pytest

from src.build import load_upscaler
from src.export.check import Deviation, check_pictures, deviations, random_pictures, table
from src.families.registry import family_of
from src.inference.sampling import Sampling
from tests import tiny


def test_stages_of_a_diffusion_model(tiny_checkpoints):
    up = load_upscaler(tiny_checkpoints["srdiff"], "CPU", runtime="mindspore")
    found = list(deviations(up, up, random_pictures([(8, 8)])))
    assert [entry.stage for entry in found] == [
        "condition",
        "base picture",
        "step t=0",
        "step t=2",
        "step t=3",
        "picture",
    ]
    assert {entry.largest for entry in found} == {0.0} and {entry.picture for entry in found} == {"random, 8 x 8"}


def test_other_weights_are_found_in_each_stage(tiny_checkpoints, tmp_path):
    """A network with other weights; its LR↑, which has none, stays the same."""
    import mindspore as ms

    from src.build import load_model

    config, model = load_model(tiny_checkpoints["srdiff"])
    for parameter in model.get_parameters():
        parameter.set_data(parameter + ms.Tensor(0.01, ms.float32))
    other = tiny.around(config, family_of(config).model_networks(model))
    found = deviations(
        other, load_upscaler(tiny_checkpoints["srdiff"], "CPU", runtime="mindspore"), random_pictures([(8, 8)])
    )
    assert all((entry.largest > 1e-3) == (entry.stage != "base picture") for entry in found)


class Fixed:
    """An upscaler whose samples are known."""

    conditional = True

    def __init__(self, sample):
        self._sample = sample

    def resolve(self):
        return Sampling()

    def encode(self, lr):
        return lr

    def draw(self, condition, sampling, seed):
        return self._sample


@pytest.mark.parametrize(
    ("one", "two", "largest"),
    [
        (np.full((1, 3, 4, 4), 0.5), np.full((1, 3, 4, 4), 0.25), 0.25),
        (np.full((1, 3, 4, 4), 10.5), np.full((1, 3, 4, 4), 10.0), 0.05),
        (np.full((1, 3, 4, 4), np.nan), np.full((1, 3, 4, 4), 0.25), np.inf),
        (np.full((1, 3, 4, 4), 0.5), np.full((1, 3, 8, 8), 0.5), np.inf),
    ],
)
def test_the_largest_deviation(one, two, largest):
    (found,) = deviations(Fixed(one), Fixed(two), random_pictures([(1, 1)]))
    assert found.stage == "picture" and found.largest == pytest.approx(largest)


def test_the_table_names_the_worst_picture_of_each_stage():
    found = [Deviation("a", "x", 1e-6), Deviation("a", "y", 2e-6), Deviation("b", "x", 3e-7)]
    assert table(found).splitlines()[1:] == [
        "a                        2.0e-06  y",
        "b                        3.0e-07  x",
    ]


@pytest.mark.parametrize("size", [None, (1, 40, 48), (1, 128, 128), (2, 160, 600)])
def test_pictures_to_check_on(size):
    pictures = check_pictures(size)
    assert pictures[-1][0] == "photograph" and 0.3 < np.std(pictures[-1][1]) < 1
    assert all(lr.dtype == np.float32 and np.abs(lr).max() <= 1 for _, lr in pictures)
    assert len({lr.shape for _, lr in pictures}) == (1 if size else len(pictures))
