"""Samples between two samples, and another picture's content put in at a step."""

import numpy as np
import pytest

from src.build import load_upscaler
from src.command import SRDIFF
from src.diffusion.samplers import SeededNoise
from src.diffusion.schedule import Schedule, cosine_betas
from src.errors import UserError
from src.imaging.resize import imresize
from src.inference.cascade import Cascade
from src.inference.latent import Between, Fusion, Interpolation, noise_of
from src.inference.tile_size import TileOptions
from tests import tiny
from tests.inference.fake_networks import Repeating, enlarger, unconditional

SHARES = [0, 0.3, 0.5, 1]
BOX = (32, 20, 64, 48)


@pytest.fixture(scope="module")
def lite():
    """The model of the project, whole and by tiles."""
    return [load_upscaler(SRDIFF, "CPU", tile_options=options) for options in (None, TileOptions(tile=208, halo=48))]


def psnr(one, two):
    return 10 * np.log10(255**2 / np.square(one.astype(float) - two).mean())


def test_noise_between_two_seeds_is_standard_normal_and_theirs_at_the_ends():
    noise = noise_of([Between(3, 7, share) for share in SHARES])
    shape = (len(SHARES), 3, 300, 301)
    drawn = noise(2, shape)
    for own, other in ((0, 3), (3, 7)):
        np.testing.assert_array_equal(drawn[own], SeededNoise([other])(2, (1, *shape[1:]))[0])
    for one in drawn:
        assert one.dtype == np.float32 and abs(one.mean()) < 0.01 and abs(one.var() - 1) < 0.01
    np.testing.assert_allclose(drawn[2], (drawn[0] + drawn[3]) / np.sqrt(2), atol=1e-6)
    assert np.corrcoef(drawn[0].ravel(), drawn[1].ravel())[0, 1] == pytest.approx(np.cos(0.3 * np.pi / 2), abs=0.01)
    rows, columns = slice(17, 290), slice(5, 99)
    np.testing.assert_array_equal(noise.part(2, shape, rows, columns), drawn[:, :, rows, columns])


class Grainy(Repeating):
    """Leaves a part of the noise in what it sees."""

    def denoise(self, x_t, t, condition=None):
        return super().denoise(x_t, t, ((self.value if condition is None else condition) + x_t) / 2)


def grainy(upscaler):
    upscaler.networks = Grainy(upscaler.scale)
    return upscaler


@pytest.mark.parametrize("options", [
    {"sampler": "ddpm", "steps": 4}, {"sampler": "dpmpp_2m", "steps": 3, "consistency": True}
])  # fmt: skip
@pytest.mark.parametrize("system", ["srdiff", "sr3", "cascade"])
def test_the_ends_are_the_samples_of_the_two_seeds(system, options, photo, lite):
    ups = {"srdiff": lambda: lite[0], "sr3": lambda: grainy(enlarger(4))}
    ups["cascade"] = lambda: Cascade([grainy(enlarger(2)), grainy(enlarger(4))])
    up, lr = ups[system](), photo[100:120, 100:116]
    frames = list(up.interpolate(lr, 5, 2, 3, **options))
    for frame, seed in ((frames[0], 5), (frames[2], 2)):
        assert frame.tobytes() == up.upscale([lr], [seed], **options)[0].tobytes()
    assert (frames[1] != frames[0]).any() and (frames[1] != frames[2]).any()


def test_a_batch_of_frames_from_nothing():
    up = grainy(unconditional())
    frames = up.sample(None, seed=Interpolation(4, 9, 3).seeds, shape=(3, 3, 16, 16))
    for frame, seed in ((frames[0], 4), (frames[2], 9)):
        np.testing.assert_array_equal(frame, up.sample(None, seed=seed, shape=(1, 3, 16, 16))[0])
    assert np.abs(frames[1] - frames[0]).max() > 0.01


@pytest.mark.parametrize(("arguments", "message"), [
    ((3, 3), "from one seed to another: name two, not 3 twice"),
    ((0, -1), "must be from 0 to 2\\^64 - 1, not 0 and -1"),
    ((0, 1, 1), "must have from 2 to 100 frames, not 1"),
    ((0, 1, 101), "must have from 2 to 100 frames, not 101"),
])  # fmt: skip
def test_an_interpolation_that_is_none(arguments, message):
    with pytest.raises(UserError, match=message):
        Interpolation(*arguments)


@pytest.mark.parametrize("options", [{"steps": 4}, {"sampler": "dpmpp_2m_sde", "steps": 3, "consistency": False}])
def test_both_by_tiles_are_as_of_the_whole(lite, photo, options):
    lr = imresize(photo[:192, 40:360], 1 / 4)
    whole, tiled = lite
    assert whole.tiles((1, *lr.shape[:2])) is None and "tiles of" in tiled.tiles((1, *lr.shape[:2]))
    middles = [up.upscale([lr], [Between(0, 1, 0.5)], **options)[0] for up in lite]
    tiny.assert_equal_pictures(*middles)
    fused = [up.fuse(lr, photo[300:], box=(60, 50, 200, 120), **options) for up in lite]  # over the border of tiles
    tiny.assert_equal_pictures(*fused)


@pytest.fixture(scope="module")
def pictures(photo):
    """LR, content, and LR with the content in it."""
    lr, content = imresize(photo[:128, 180:340], 1 / 4), photo[200:296, 100:228]
    return lr, content, Fusion(content, lr.shape[:2], 4, BOX).composed(lr)


def test_the_content_is_in_lr_as_matlab_reduces_it(photo, pictures):
    lr, content, composed = pictures
    left, top, width, height = BOX
    inside = imresize(imresize(content, size=(height, width)), 1 / 4)
    np.testing.assert_allclose(composed[9:13, 12:20].astype(int), inside[4:8, 4:12], atol=2)
    away = np.ones(lr.shape[:2], bool)
    away[top // 4 - 2 : (top + height) // 4 + 2, left // 4 - 2 : (left + width) // 4 + 3] = False
    np.testing.assert_array_equal(composed[away], lr[away])
    deep = Fusion(content, lr.shape[:2], 4, BOX).composed(lr.astype(np.uint16) * 257)
    np.testing.assert_allclose(deep / 257, composed, atol=0.51)


def test_a_late_step_leaves_the_content_and_the_first_draws_it_anew(lite, pictures):
    up, (lr, content, composed) = lite[0], pictures
    left, top, width, height = BOX
    middle = slice(top + 8, top + height - 8), slice(left + 8, left + width - 8)
    pasted = imresize(content, size=(height, width))[8:-8, 8:-8]
    options = {"spacing": "uniform", "seed": 2}
    late, half, first = (up.fuse(lr, content, BOX, from_step=t, **options) for t in (1, 50, 100))
    (plain,) = up.upscale([composed], [2], spacing="uniform")
    assert psnr(late[middle], pasted) > 40 > psnr(half[middle], pasted) > psnr(first[middle], pasted)
    assert psnr(first, plain) > 45 > psnr(half, plain) > psnr(late, plain)


def test_outside_the_box_the_picture_is_the_sample_of_the_seed(lite, pictures, photo):
    lr = imresize(photo[:128, 40:360], 1 / 4) // 2 + 64  # nothing is clipped
    (plain,) = lite[0].upscale([lr], [4])
    fused = lite[0].fuse(lr, pictures[1], box=(0, 0, 60, 60), seed=4)
    assert (fused[:60, :60] != plain[:60, :60]).any() and np.abs(fused.astype(int) - plain)[:, 200:].max() <= 1
    reduced, expected = (imresize(each, 1 / 4)[:, 20:].astype(int) for each in (fused, plain))
    assert np.abs(reduced - lr[:, 20:]).max() <= np.abs(expected - lr[:, 20:]).max() <= 1


def test_a_mask_is_a_place_too(lite, pictures):
    lr, content, _ = pictures
    mask = np.zeros((128, 160), np.uint8)
    mask[20:68, 32:96] = np.rint(Fusion(content, lr.shape[:2], 4, BOX).weight * 255)
    by_mask, by_box = lite[0].fuse(lr, content, mask=mask), lite[0].fuse(lr, content, BOX)
    assert psnr(by_mask, by_box) > 50
    small = Fusion(content, lr.shape[:2], 4, (3, 3, 1, 1))
    assert small.weight == 1 and small.content.shape == (1, 3, 1, 1)


def test_the_step_is_the_nearest_of_those_that_are_taken():
    steps = Schedule(cosine_betas(100)).steps(8, "trailing")
    assert [step.t + 1 for step in steps] == [100, 88, 75, 62, 50, 38, 25, 12]
    for from_step, index in ((None, 4), (100, 0), (99, 0), (80, 2), (38, 5), (1, 7)):
        assert Fusion(np.zeros((4, 4, 3), np.uint8), (4, 4), 4, (0, 0, 4, 4), None, from_step).first(steps) == index


def mask(height, width, value):
    return np.full((height, width), value, np.uint8)


@pytest.mark.parametrize(("place", "message"), [
    ({}, "by a box or by a mask: one of both"),
    ({"box": (0, 0, 4, 4), "mask": mask(80, 64, 255)}, "by a box or by a mask: one of both"),
    ({"box": (0, 0, 4, 0)}, "the box 0,0,4,0 is empty"),
    ({"box": (-1, 0, 4, 4)}, "the box -1,0,4,4 leaves the enlarged picture"),
    ({"box": (60, 0, 5, 4)}, "x \\+ width must be at most 64, y \\+ height at most 80"),
    ({"box": (0, 77, 4, 4)}, "leaves the enlarged picture"),
    ({"mask": mask(20, 16, 255)}, "the mask has 16 x 20 pixels, the enlarged picture 64 x 80"),
    ({"mask": mask(80, 64, 0)}, "the mask is black everywhere"),
])  # fmt: skip
def test_a_place_that_is_none(place, message, photo):
    with pytest.raises(UserError, match=message):
        Fusion(photo, (20, 16), 4, **place)


def test_who_cannot_fuse(photo, lite):
    lr = photo[:20, :16]
    for up in (Cascade([enlarger(2), enlarger(2)]), unconditional(), tiny.upscaler(tiny.config("rrdb"))):
        with pytest.raises(UserError, match="is not: take SRDiff or SR3 alone"):
            up.fuse(lr, photo, box=(0, 0, 4, 4))
    for step in (0, 101):
        with pytest.raises(UserError, match=f"from step 1 to 100 of this model, not {step}"):
            lite[0].fuse(lr, photo, box=(0, 0, 4, 4), from_step=step)
    fused = enlarger(4).fuse(lr, photo, box=(8, 8, 30, 30))  # of the SR3 family
    assert fused.shape == (80, 64, 3)
