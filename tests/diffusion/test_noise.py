"""The seeded noise of a batch."""

import numpy as np
import pytest

from src.diffusion.samplers import SeededNoise
from src.errors import UserError


def test_noise_belongs_to_the_picture_not_to_the_batch():
    together, alone = SeededNoise([7, 8]), SeededNoise([8])
    assert np.array_equal(together(3, (2, 3, 4, 4))[1], alone(3, (1, 3, 4, 4))[0])
    assert not np.array_equal(together(3, (2, 3, 4, 4)), together(4, (2, 3, 4, 4)))


def test_it_is_standard_normal():
    draw = SeededNoise([0])(0, (1, 3, 128, 128))
    assert draw.dtype == np.float32
    assert draw.mean() == pytest.approx(0, abs=0.02)
    assert draw.std() == pytest.approx(1, abs=0.02)


def test_it_stays_the_same_from_version_to_version():
    """Samples that users published with a seed must come out again."""
    first = [-0.26580974, 0.34952223, -0.16579008, 1.4539332]
    second = [-1.2355186, 1.5408639, 0.5721279, -0.024918808]
    assert np.array_equal(SeededNoise([7, 2**64])(3, (2, 4)), np.array([first, second], np.float32))


def test_every_picture_is_a_draw_of_its_own_generator():
    shape = (3, 3, 5, 7)
    for k in (0, 1, 100):
        for seed, picture in zip([4, 9, 4], SeededNoise([4, 9, 4])(k, shape), strict=True):
            generator = np.random.Generator(np.random.Philox(key=seed, counter=k << 192))
            assert np.array_equal(picture, generator.standard_normal(shape[1:], np.float32))


def test_each_draw_is_a_new_array():
    noise = SeededNoise([1])
    first = noise(0, (1, 4))
    first[:] = 0
    assert noise(0, (1, 4)).all()


@pytest.mark.parametrize("seed", [-1, 2**128])
def test_seeds_out_of_range_are_refused(seed):
    with pytest.raises(UserError, match=rf"a seed must be from 0 to 2\^128 - 1, not {seed}"):
        SeededNoise([0, seed])


def test_another_number_of_pictures_is_refused():
    with pytest.raises(UserError, match="each picture of a batch needs a seed: 3 pictures, 2 seeds"):
        SeededNoise([1, 2])(0, (3, 3, 4, 4))
