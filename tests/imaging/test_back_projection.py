"""Back-projection: D is imresize, the projection is the pseudo-inverse's, finished pictures agree with their LR."""

import numpy as np
import pytest

from src.errors import UserError
from src.imaging import back_projection
from src.imaging.back_projection import BackProjection
from src.imaging.resize import imresize
from src.metrics.scores import lr_psnr, psnr

# LR height and width, scale: pictures smaller than the kernel, and some of several strips
SIZES = ((1, 1, 4), (1, 5, 8), (2, 3, 2), (3, 2, 3), (3, 1, 4), (4, 4, 1), (32, 33, 3), (70, 41, 4), (37, 100, 2))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def matrix(length, scale):
    """The reduction of one dimension, float64 (length, scale·length), from imresize itself."""
    return imresize(np.eye(scale * length), size=(length, scale * length))


def to_network(image):
    """uint8 (H, W, 3) → float32 (1, 3, H, W) in [−1, 1]."""
    return np.ascontiguousarray(image.transpose(2, 0, 1)[np.newaxis]).astype(np.float32) / 127.5 - 1


def to_levels(picture):
    """float32 (1, 3, H, W) → uint8 (H, W, 3)."""
    return np.clip(np.rint((picture[0].transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)


def pair(name, scale):
    """Return (HR, LR) of one of scikit-image's pictures, both uint8 RGB."""
    image = getattr(pytest.importorskip("skimage.data"), name)()
    image = np.uint8(255) * image if image.dtype == bool else image
    image = image if image.ndim == 3 else np.repeat(image[..., np.newaxis], 3, axis=2)
    height, width = (min(n, 400) // scale * scale for n in image.shape[:2])
    return image[:height, :width], imresize(image[:height, :width], size=(height // scale, width // scale))


def disturbed(lr, scale, kind):
    """Return a bicubic enlargement that does not agree with ``lr``: float32 (1, 3, H, W) beyond [−1, 1]."""
    picture = to_network(imresize(lr, scale))
    if kind == "noise":
        picture += 0.1 * normal(*picture.shape)
    elif kind == "colour shift":
        picture += np.float32([0.1, -0.05, 0.05])[:, np.newaxis, np.newaxis]
    return picture


def fitted(picture, lr, scale):
    """Fit and round; check that it is done in place and stays in range."""
    result = BackProjection(*lr.shape[:2], scale).fit(picture, to_network(lr))
    assert result is picture and np.abs(result).max() <= 1
    return to_levels(result)


@pytest.mark.parametrize(("height", "width", "scale"), SIZES)
def test_reduce_is_imresize_of_floats(height, width, scale):
    x = np.clip(normal(2, 3, height * scale, width * scale), -1, 1)
    result = BackProjection(height, width, scale).reduce(x)
    assert result.dtype == np.float32
    for plane in np.ndindex(2, 3):
        expected = imresize(x[plane].astype(np.float64), size=(height, width))
        np.testing.assert_allclose(result[plane], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", (2, 3, 4, 8))
def test_every_size_is_well_conditioned(scale):
    for length in range(1, 41):
        one = matrix(length, scale)
        assert np.linalg.cond(one @ one.T) < 2.2, length


@pytest.mark.parametrize(("height", "width", "scale"), SIZES)
def test_project_reaches_the_goal_in_place_and_stays_there(height, width, scale):
    back = BackProjection(height, width, scale)
    x, goal = normal(2, 3, height * scale, width * scale), normal(2, 3, height, width, seed=1)
    result = back.project(x, goal)
    assert result is x
    rounding = 16 * np.spacing(np.abs(goal).max())  # which sums come first is the processor's choice
    np.testing.assert_allclose(back.reduce(x), goal, rtol=0, atol=rounding)
    once = x.copy()
    np.testing.assert_allclose(back.project(x, goal), once, rtol=0, atol=rounding)


@pytest.mark.parametrize(("height", "width", "scale"), ((1, 1, 4), (2, 3, 2), (4, 3, 4), (6, 5, 3), (2, 2, 8)))
def test_project_changes_as_little_as_possible(height, width, scale):
    x, goal = normal(1, 1, height * scale, width * scale), normal(1, 1, height, width, seed=1)
    both = np.kron(matrix(height, scale), matrix(width, scale))
    expected = x.ravel() + np.linalg.pinv(both) @ (goal.ravel() - both @ x.ravel().astype(np.float64))
    result = BackProjection(height, width, scale).project(x, goal)
    np.testing.assert_allclose(result.ravel(), expected, rtol=0, atol=4e-6)


def test_a_constant_goal_makes_constants_constant():
    for height, width, scale in SIZES:
        x = np.full((1, 1, height * scale, width * scale), -0.75, np.float32)
        BackProjection(height, width, scale).project(x, np.full((1, 1, height, width), 0.5, np.float32))
        np.testing.assert_allclose(x, 0.5, rtol=0, atol=2e-6)


def test_strips_do_not_show(monkeypatch):
    x, goal = normal(1, 2, 120, 90) / 2, normal(1, 2, 40, 30, seed=1) / 4
    back = BackProjection(40, 30, 3)
    reduced, projected, fit = back.reduce(x), back.project(x.copy(), goal), back.fit(x.copy(), goal)
    for strip in (1, 7, 1000):
        monkeypatch.setattr(back_projection, "_STRIP", strip)
        other = BackProjection(40, 30, 3)
        np.testing.assert_allclose(other.reduce(x), reduced, rtol=0, atol=1e-6)
        np.testing.assert_allclose(other.project(x.copy(), goal), projected, rtol=0, atol=4e-6)
        np.testing.assert_allclose(other.fit(x.copy(), goal), fit, rtol=0, atol=2e-5)


def test_pictures_and_channels_are_independent():
    back = BackProjection(33, 20, 4)
    x, goal = normal(2, 3, 132, 80), np.clip(normal(2, 3, 33, 20, seed=1), -1, 1)
    projected, fit = back.project(x.copy(), goal), back.fit(x.copy(), goal)
    for b, c in np.ndindex(2, 3):
        one, its_goal = x[b : b + 1, c : c + 1], goal[b : b + 1, c : c + 1]
        np.testing.assert_array_equal(back.project(one.copy(), its_goal)[0, 0], projected[b, c])
        np.testing.assert_array_equal(back.fit(one.copy(), its_goal)[0, 0], fit[b, c])


def test_any_memory_layout():
    back = BackProjection(10, 12, 4)
    whole = normal(1, 50, 60, 3) / 2
    view = whole.transpose(0, 3, 1, 2)[:, :, 5:45, 6:54]
    goal = (normal(1, 10, 12, 3, seed=1) / 4).transpose(0, 3, 1, 2)
    contiguous, around = np.ascontiguousarray(view), whole.copy()
    around[:, 5:45, 6:54] = 0
    for change in (back.project, back.fit):
        change(contiguous, np.ascontiguousarray(goal))
        assert change(view, goal) is view
        np.testing.assert_allclose(view, contiguous, rtol=0, atol=1e-5)
    whole[:, 5:45, 6:54] = 0
    np.testing.assert_array_equal(whole, around)


@pytest.mark.parametrize(
    ("name", "scale", "kind"),
    (("astronaut", 2, "noise"), ("chelsea", 3, "bicubic"), ("coffee", 4, "colour shift"), ("rocket", 8, "noise")),
)
def test_fitted_photographs_agree_with_their_lr(name, scale, kind):
    hr, lr = pair(name, scale)
    before = disturbed(lr, scale, kind)
    after = fitted(before.copy(), lr, scale)
    assert lr_psnr(to_levels(before), lr) < 50
    assert lr_psnr(after, lr) >= 55
    assert psnr(after, hr) > psnr(to_levels(before), hr)  # the original agrees as well, and nearer to it is better
    shift = imresize(after, size=lr.shape[:2]).mean(axis=(0, 1)) - lr.mean(axis=(0, 1))
    assert np.abs(shift).max() < 0.05  # levels


@pytest.mark.parametrize(
    ("name", "scale", "kind"), (("page", 2, "noise"), ("text", 4, "bicubic"), ("horse", 4, "colour shift"))
)
def test_fitted_text_and_shapes_agree_with_their_lr(name, scale, kind):
    _, lr = pair(name, scale)
    assert lr_psnr(fitted(disturbed(lr, scale, kind), lr, scale), lr) >= 55


@pytest.mark.parametrize(
    ("scale", "kind"), ((2, "noise"), (3, "colour shift"), (4, "bicubic"), (4, "noise"), (8, "bicubic"))
)
def test_fitted_black_and_white_agrees_with_its_lr(scale, kind):
    """Reduced checks ring beyond black and white, where 8-bit pictures are clipped: the hardest of LR pictures."""
    checks = np.indices((24 * scale, 32 * scale)).sum(axis=0, keepdims=True) // (3 * scale) % 2
    hr = (255 * checks).astype(np.uint8).repeat(3, axis=0).transpose(1, 2, 0)
    lr = imresize(hr, size=(24, 32))
    assert lr_psnr(fitted(disturbed(lr, scale, kind), lr, scale), lr) >= 50


def test_fit_of_sixteen_bits_agrees_to_their_levels(photo):
    levels = np.random.default_rng(0).integers(0, 257, (100, 120, 3))
    lr = imresize(
        (photo[:400, :480].astype(int) * 256 + np.tile(levels, (4, 4, 1))).clip(0, 65535).astype(np.uint16), 1 / 4
    )
    goal = np.ascontiguousarray(lr.transpose(2, 0, 1)[np.newaxis]).astype(np.float32) / 32767.5 - 1
    picture = BackProjection(100, 120, 4).fit(disturbed((lr >> 8).astype(np.uint8), 4, "noise"), goal)
    rounded = np.rint((picture[0].transpose(1, 2, 0) + 1) * 32767.5).astype(np.uint16)
    missing = imresize(rounded, 1 / 4).astype(float) - lr
    assert np.sqrt(np.square(missing).mean()) < 2  # of 65536 levels


@pytest.mark.parametrize(("height", "width", "scale"), SIZES)
def test_fit_of_any_size(height, width, scale):
    lr = np.random.default_rng(0).integers(80, 176, (height, width, 3), dtype=np.uint8)
    assert lr_psnr(fitted(disturbed(lr, scale, "noise"), lr, scale), lr) >= 55


@pytest.mark.parametrize("level", (0, 1, 128, 254, 255))
def test_fit_of_a_constant_picture_is_exact(level):
    lr = np.full((5, 9, 3), level, np.uint8)
    for kind in ("bicubic", "colour shift"):
        assert lr_psnr(fitted(disturbed(lr, 4, kind), lr, 4), lr) == np.inf


def test_fit_leaves_what_agrees(photo):
    lr = imresize(photo, 1 / 4)
    assert psnr(fitted(to_network(photo), lr, 4), photo) > 50


def test_fit_leaves_what_agrees_once_8_bits_have_clipped_it():
    """Sharp edges ring beyond black and white in either dimension, which a reduction in 8 bits does not show."""
    checks = (np.indices((96, 128)).sum(axis=0) // 12 % 2).astype(np.float32) * 2 - 1
    rows = np.clip(imresize(checks, size=(24, 128)), -1, 1)
    lr = imresize(rows, size=(24, 32))
    assert np.abs(imresize(checks, size=(24, 128))).max() > 1.05 and np.abs(lr).max() > 1.05
    picture = checks[np.newaxis, np.newaxis].copy()
    BackProjection(24, 32, 4).fit(picture, np.clip(lr, -1, 1)[np.newaxis, np.newaxis])
    np.testing.assert_array_equal(picture[0, 0], checks)


def test_fit_finds_the_nearest_picture_in_range():
    """A picture that agrees and is in range is no nearer than the result: the angle at the result is not acute."""
    agreeing = np.clip(normal(1, 1, 64, 48, seed=1) / 2, -1, 1)
    back = BackProjection(16, 12, 4)
    lr = back.reduce(agreeing)
    start = np.clip(normal(1, 1, 64, 48), -1, 1)
    result = back.fit(start.copy(), lr)
    assert np.vdot(start - result, agreeing - result) < 1e-2 * np.vdot(start - result, start - result)
    assert np.linalg.norm(start - result) < np.linalg.norm(start - agreeing)


def test_fit_comes_close_where_no_picture_agrees():
    """Black and white pixels in turns: no picture in [-1, 1] is reduced to them, whatever its pixels."""
    lr = (255 * (np.indices((24, 24, 3))[:2].sum(axis=0) % 2)).astype(np.uint8)
    best = fitted(to_network(lr.repeat(4, axis=0).repeat(4, axis=1)), lr, 4)
    result = fitted(disturbed(lr, 4, "noise"), lr, 4)
    assert lr_psnr(imresize(lr, 4), lr) + 2 < lr_psnr(result, lr) < 12
    assert lr_psnr(result, lr) > lr_psnr(best, lr) - 0.1


def test_fit_ends_on_what_is_no_picture():
    picture = np.full((1, 1, 8, 8), np.nan, np.float32)
    result = BackProjection(2, 2, 4).fit(picture, np.zeros((1, 1, 2, 2), np.float32))
    assert np.isnan(result).all()


@pytest.mark.parametrize("shape", ((1, 3, 7, 12), (1, 3, 8, 8), (3, 8, 12), (8, 12), (1, 1, 3, 8, 12)))
def test_pictures_of_another_size_are_refused(shape):
    back, x, goal = BackProjection(2, 3, 4), np.zeros(shape, np.float32), np.zeros((1, 3, 2, 3), np.float32)
    for call in (lambda: back.reduce(x), lambda: back.project(x, goal), lambda: back.fit(x, goal)):
        with pytest.raises(UserError, match=r"must be float32 \(B, C, 8, 12\), not float32 \("):
            call()


@pytest.mark.parametrize("shape", ((1, 3, 2, 2), (1, 1, 2, 3), (3, 2, 3), (2, 3)))
def test_goals_of_another_size_are_refused(shape):
    back, x, goal = BackProjection(2, 3, 4), normal(1, 3, 8, 12), np.zeros(shape, np.float32)
    unchanged = x.copy()
    for change in (back.project, back.fit):
        with pytest.raises(UserError, match=r"must be float32 \(1, 3, 2, 3\), not float32 \("):
            change(x, goal)
    np.testing.assert_array_equal(x, unchanged)


def test_other_dtypes_are_refused():
    back, x, goal = BackProjection(2, 3, 4), normal(1, 3, 8, 12), np.zeros((1, 3, 2, 3))
    for call in (lambda: back.reduce(x.astype(np.float64)), lambda: back.project(x, goal), lambda: back.fit(x, goal)):
        with pytest.raises(UserError, match="must be float32 .*, not float64"):
            call()
