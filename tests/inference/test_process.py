"""The steps of a sampler as pictures."""

import numpy as np
import pytest

from src.imaging.resize import imresize
from src.inference.process import LONGEST, Process
from src.inference.upscaler import to_pixels
from tests import tiny
from tests.inference.fake_networks import Repeating, enlarger

LR = np.random.default_rng(0).uniform(-1, 1, (2, 3, 5, 9)).astype(np.float32)


@pytest.mark.parametrize(
    ("count", "kept"), [(1, [4]), (2, [1, 4]), (3, [1, 3, 4]), (4, [1, 2, 3, 4]), (9, [1, 2, 3, 4])]
)
def test_so_many_steps_are_kept_and_the_last_one_always(count, kept):
    process = Process(count)
    enlarger(4).sample(LR, steps=4, process=process)
    assert [frame.label for frame in process.frames(0)] == [f"{k}/4" for k in kept]


def test_frames_are_x_and_the_picture_that_was_seen(tmp_path):
    steps, process = [], Process(9)
    result = enlarger(4).sample(
        LR, steps=3, process=process, callback=lambda k, step, x, x_0: steps.append((x.copy(), x_0.copy()))
    )
    for number in (0, 1):
        for frame, (x, x_0) in zip(process.frames(number), steps, strict=True):
            np.testing.assert_array_equal(frame.upper, to_pixels(x)[number])
            np.testing.assert_array_equal(frame.lower, to_pixels(x_0)[number])
        np.testing.assert_array_equal(process.frames(number)[-1].lower, to_pixels(result)[number])


def test_of_a_residual_the_picture_is_shown():
    class Gray(Repeating):
        """Sees a residual of 0.5 in everything; told the step."""

        def denoise(self, x_t, t, condition):
            level = up.schedule.signal_rate[t].astype(np.float32).reshape(-1, 1, 1, 1)
            return (x_t - level * 0.5) / np.sqrt(1 - level**2)

    noise = ("diffusion.prediction=noise", "diffusion.loss_weight=uniform")
    up = tiny.around(tiny.config("srdiff", None, *noise), Gray())
    process = Process(2)
    up.sample(LR / 4, process=process)
    expected = to_pixels((LR / 4).repeat(4, 2).repeat(4, 3) + 0.5 / 2)[0].astype(int)
    assert np.abs(process.frames(0)[-1].lower - expected).max() <= 1


def test_frames_have_the_size_of_a_result_of_another_scale():
    process = Process(1)
    enlarger(4).sample(LR, steps=2, process=process)
    own, smaller, larger = (process.frames(1, size)[0] for size in (None, (15, 27), (10 * LONGEST, LONGEST)))
    np.testing.assert_array_equal(smaller.lower, imresize(own.lower, size=(15, 27)))
    np.testing.assert_array_equal(smaller.upper, imresize(own.upper, size=(15, 27)))
    assert larger.upper.shape == (LONGEST, 51, 3)


def test_large_pictures_are_reduced():
    process = Process(1)
    process.begin(1, lambda x_0: x_0)
    process(0, None, np.zeros((1, 3, 1, 2 * LONGEST), np.float32), np.zeros((1, 3, 1, 2 * LONGEST), np.float32))
    assert process.frames(0)[0].upper.shape == process.frames(0)[0].lower.shape == (1, LONGEST, 3)
