"""Pictures side by side and in a grid; a process as a strip and as an animation."""

import os

import numpy as np
import pytest
from PIL import Image

from src.errors import UserError
from src.imaging.strip import SEPARATOR, Frame, at_most, film_strip, make_grid, repeated, side_by_side, write_animation


def test_lr_sr_hr(photo):
    lr, sr, hr = photo[:4, :5], photo[20:28, :10], photo[40:48, 30:40]
    picture = side_by_side(lr, sr, hr)
    assert picture.dtype == np.uint8 and picture.shape == (8, 3 * 10 + 2 * SEPARATOR, 3)
    enlarged, first, middle, second, last = np.split(
        picture, [10, 10 + SEPARATOR, 20 + SEPARATOR, 20 + 2 * SEPARATOR], 1
    )
    np.testing.assert_array_equal(enlarged, lr.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(middle, sr)
    np.testing.assert_array_equal(last, hr)
    assert (first == 255).all() and (second == 255).all()


def test_any_number_of_pictures_of_any_scale(photo):
    assert side_by_side(photo[:1, :1]).shape == (1, 1, 3)
    assert side_by_side(photo[:1, :1], photo[:8, :8]).shape == (8, 16 + SEPARATOR, 3)
    assert side_by_side(photo[:6, :7], photo[:6, :7], photo[:6, :7], photo[:6, :7]).shape == (6, 28 + 3 * SEPARATOR, 3)


def test_pixels_are_repeated_to_any_size(photo):
    lr = photo[100:104, 200:205]
    np.testing.assert_array_equal(repeated(lr, (12, 15)), lr.repeat(3, 0).repeat(3, 1))
    np.testing.assert_array_equal(repeated(lr, (6, 5))[:, 0], lr[[0, 1, 1, 2, 3, 3], 0])  # the nearest centres
    np.testing.assert_array_equal(repeated(lr, (1, 1)), lr[2:3, 2:3])


@pytest.mark.parametrize("sizes", [[(8, 9)], [(9, 9)], [(8, 10), (12, 15)], [(2, 2)]])
def test_sizes_that_do_not_fit(photo, sizes):
    with pytest.raises(UserError, match="side by side must have one size, a whole multiple of LR's, not \\(4, 5, 3\\)"):
        side_by_side(photo[:4, :5], *(photo[:height, :width] for height, width in sizes))


@pytest.mark.parametrize(("size", "longest", "expected"), [
    ((40, 30), 40, (40, 30)), ((40, 30), 20, (20, 15)), ((30, 40), 10, (8, 10)), ((500, 1), 10, (10, 1)),
])  # fmt: skip
def test_a_huge_picture_is_reduced(photo, size, longest, expected):
    picture = photo[: size[0], : size[1]]
    reduced = at_most(picture, longest)
    assert reduced.shape == (*expected, 3) and reduced.dtype == np.uint8
    if size == expected:
        assert reduced is picture


def frames(photo, count=3, height=40, width=60):
    parts = [photo[20 * k : 20 * k + height, 100 : 100 + width] for k in range(2 * count)]
    return [Frame(f"{k + 1}/{count}", parts[2 * k], parts[2 * k + 1]) for k in range(count)]


def test_a_strip_has_a_column_for_each_frame_under_its_label(photo):
    given = frames(photo)
    strip = film_strip(given)
    top = strip.shape[0] - 80 - SEPARATOR
    assert strip.shape[1] == 3 * 60 + 2 * SEPARATOR and 10 <= top <= 20
    for number, frame in enumerate(given):
        left = number * (60 + SEPARATOR)
        column = strip[:, left : left + 60]
        np.testing.assert_array_equal(column[top : top + 40], frame.upper)
        np.testing.assert_array_equal(column[top + 40 + SEPARATOR :], frame.lower)
        assert column[:top].min() < 100  # something is written there
    labels = [strip[:top, 62 * number : 62 * number + 60] for number in range(3)]
    assert (labels[0] != labels[1]).any()


def test_a_frame_may_be_one_picture(photo):
    strip = film_strip([Frame("0.5", photo[:40, :60]), Frame("1", photo[40:80, :60])])
    np.testing.assert_array_equal(strip[-40:, 60 + SEPARATOR :], photo[40:80, :60])
    assert strip.shape[0] < 40 + 20


def test_labels_make_small_pictures_wider(photo):
    strip = film_strip([Frame("1999/2000", photo[:1, :1], photo[:1, :1])])
    assert strip.shape[1] > 40 and (strip[-1, 1:] == 255).all()
    np.testing.assert_array_equal(strip[-1, 0], photo[0, 0])


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_an_animation_shows_all_frames_and_the_last_one_longer(tmp_path, photo, suffix):
    path = tmp_path / f"a b{suffix}"
    given = frames(photo)
    write_animation(path, given)
    times = []
    with Image.open(path) as image:
        assert image.n_frames == 3
        for number, frame in enumerate(given):
            image.seek(number)
            found = np.asarray(image.convert("RGB"))[-40:]
            assert found.shape[1] == 120 + SEPARATOR
            both = (found[:, :60], found[:, -60:])
            for part, expected in zip(both, (frame.upper, frame.lower), strict=True):
                assert np.abs(part.astype(float) - expected).mean() < 12  # 256 colours, or a lossy frame
            times.append(image.info["duration"])
    assert times == [200, 200, 2000] and os.listdir(tmp_path) == [path.name]


def test_what_cannot_be_written(tmp_path, photo, monkeypatch):
    with pytest.raises(UserError, match="an animation's suffix must be .gif or .webp, not '.png'"):
        write_animation(tmp_path / "x.png", frames(photo))
    (tmp_path / "x.gif").write_bytes(b"before")

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match="no space left on the disk for the animation"):
        write_animation(tmp_path / "x.gif", frames(photo))
    assert (tmp_path / "x.gif").read_bytes() == b"before" and os.listdir(tmp_path) == ["x.gif"]


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (5, 2, 3), (9, 3, 3), (10, 3, 4)])
def test_a_grid_is_about_square(photo, count, rows, columns):
    pictures = [photo[10 * k : 10 * k + 4, :6] for k in range(count)]
    grid = make_grid(pictures)
    assert grid.shape == (rows * 4 + (rows - 1) * SEPARATOR, columns * 6 + (columns - 1) * SEPARATOR, 3)
    places = [grid[6 * row : 6 * row + 4, 8 * c : 8 * c + 6] for row in range(rows) for c in range(columns)]
    for place, picture in zip(places, pictures, strict=False):
        np.testing.assert_array_equal(place, picture)
    assert all((place == 255).all() for place in places[count:])
