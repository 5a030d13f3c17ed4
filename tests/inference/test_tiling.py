"""The windows over a picture: what they cover, what they weigh, what they see."""

import numpy as np
import pytest

from src.errors import UserError
from src.imaging.resize import imresize
from src.inference.tiling import Grid

RNG = np.random.default_rng(0)
CASES = [(scale, multiple) for scale in (2, 4, 8) for multiple in (scale, 4, 8, 16, 32)]
TILINGS = [  # LR height, width, scale, size multiple, tile, halo
    (40, 61, 4, 16, 64, 0),
    (40, 61, 4, 16, 64, 16),
    (40, 61, 4, 16, 64, 24),
    (41, 19, 4, 8, 40, 7),
    (33, 70, 2, 4, 36, 15),
    (9, 100, 8, 8, 48, 20),
    (5, 7, 4, 16, 64, 16),
]


def ramp(height, width):
    """A picture whose pixels say where they are, (1, 2, height, width)."""
    return np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"))[None].astype(np.float32)


def assembled(grid, results):
    """The strips of a grid, one below the other."""
    rows, strips = zip(*grid.assembled(results), strict=True)
    assert [part.start for part in rows] == [0, *(part.stop for part in rows[:-1])] and rows[-1].stop == grid.size[0]
    return np.concatenate(strips, axis=2)


@pytest.mark.parametrize(("scale", "multiple"), CASES)
def test_every_size_becomes_one_that_fits(scale, multiple):
    for side in range(1, 40):
        padded = Grid(side, 7, scale, multiple).padded[0]
        assert padded % multiple == 0 and padded % scale == 0 and padded >= 2 * multiple
        assert padded == side * scale or padded >= (side + 2) * scale


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (16, 16)])
def test_one_window_is_the_padded_picture(size):
    grid = Grid(*size, 4, 32)
    (window,) = grid.windows
    hr = RNG.uniform(size=(2, 3, 4 * size[0], 4 * size[1])).astype(np.float32)
    seen, corner = grid.read(hr, window)
    assert seen.shape[2:] == grid.padded == grid.window_size and corner == (0, 0) and seen.dtype == np.float32
    expected = np.pad(hr, ((0, 0), (0, 0), *((0, p - n) for p, n in zip(grid.padded, hr.shape[2:], strict=True))),
                      mode="symmetric")  # fmt: skip
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(grid.crop(seen), hr)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 9), (7, 8)])
def test_bicubic_inside_is_what_it_would_be_without_padding(size, photo):
    lr = photo[100 : 100 + size[0], 100 : 100 + size[1]].astype(np.float64)
    grid = Grid(*size, 4, 32)
    seen, _ = grid.read(lr.transpose(2, 0, 1)[None], grid.windows[0])
    enlarged = imresize(seen[0].transpose(1, 2, 0), 4)
    np.testing.assert_allclose(enlarged[: 4 * size[0], : 4 * size[1]], imresize(lr, 4), atol=1e-9)


@pytest.mark.parametrize("sharp", [True, False])
@pytest.mark.parametrize("tiling", TILINGS)
def test_windows_have_one_size_lie_on_the_grid_and_add_up_to_the_picture(tiling, sharp):
    height, width, scale, multiple, tile, halo = tiling
    grid = Grid(*tiling, sharp=sharp)
    assert all(side <= max(tile, 2 * multiple) for side in grid.window_size)
    picture = ramp(height * scale, width * scale)
    for window in grid.windows:
        for span, side, end in zip(window, grid.window_size, grid.padded, strict=True):
            assert span.start % multiple == 0 and span.stop - span.start == side and 0 <= span.start <= end - side
    result = assembled(grid, (grid.read(picture, window)[0] for window in grid.windows))
    np.testing.assert_allclose(result, picture, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("tiling", TILINGS)
def test_what_a_window_covers_is_padded_alone_as_it_is_in_the_picture(tiling):
    grid, picture = Grid(*tiling), ramp(tiling[0] * tiling[2], tiling[1] * tiling[2])
    for window in grid.windows:
        rows, columns = grid.inside(window)
        alone = grid.alone(window)
        assert alone.whole and alone.size == (rows.stop - rows.start, columns.stop - columns.start)
        seen, _ = alone.read(picture[:, :, rows, columns], alone.windows[0])
        np.testing.assert_array_equal(seen, grid.read(picture, window)[0])


@pytest.mark.parametrize("tiling", TILINGS)
def test_a_window_counts_only_where_its_halo_is_inside_or_the_picture_ends(tiling):
    halo = tiling[-1]
    grid = Grid(*tiling, sharp=True)
    for window in grid.windows:
        for span, end in zip(window, grid.padded, strict=True):
            assert (span.weight == 1).all()
            assert span.start == span.first == 0 or span.first - span.start >= halo
            assert span.stop == span.last == end or span.stop - span.last >= halo


def test_blended_windows_leave_out_half_a_halo_and_share_each_pixel_with_one_other_at_most():
    grid = Grid(64, 16, 4, 16, 96, 32, sharp=False)
    shares = np.zeros(grid.padded[0]), np.zeros(grid.padded[0], int)
    for row in {window.rows.start: window.rows for window in grid.windows}.values():
        assert row.start == 0 or row.first - row.start >= 16
        shares[0][row.first : row.last] += row.weight
        shares[1][row.first : row.last] += 1
    np.testing.assert_allclose(shares[0], 1, rtol=1e-6)
    assert shares[1].max() == 2


def test_local_filter_by_windows_is_the_filter_of_the_whole():
    """A blur of radius 9 with reflected edges stands for a network: exact from a halo of 9 on, at all edges."""
    kernel = np.hanning(21)[1:-1] / np.hanning(21).sum()

    def blur(x):
        for axis in (2, 3):
            widths = [(9, 9) if i == axis else (0, 0) for i in range(4)]
            padded = np.pad(x, widths, mode="reflect")
            x = np.apply_along_axis(np.convolve, axis, padded, kernel, mode="valid")
        return x

    picture = RNG.uniform(-1, 1, (1, 1, 100, 148))
    whole = Grid(25, 37, 4, 8)
    expected = whole.crop(blur(whole.read(picture, whole.windows[0])[0]))
    deviation = {}
    for halo, sharp in ((9, True), (8, True), (4, False)):
        grid = Grid(25, 37, 4, 8, 48, halo, sharp)
        assert len(grid.windows) > 10
        result = assembled(grid, (blur(grid.read(picture, window)[0]) for window in grid.windows))
        deviation[halo] = np.abs(result - expected).max()
    assert deviation[9] < 1e-7 < deviation[8] < deviation[4]


@pytest.mark.parametrize(
    ("size", "tile", "halo", "count", "window"),
    [((1080, 1920), 1472, 32, 24, (1136, 1344)), ((40, 40), 96, 0, 4, (80, 80)), ((30, 200), 256, 20, 4, (128, 240))],
)
def test_windows_are_as_small_as_their_number_allows(size, tile, halo, count, window):
    grid = Grid(*size, 4, 16, tile, halo, sharp=False)
    assert (len(grid.windows), grid.window_size) == (count, window)


@pytest.mark.parametrize(("height", "width"), [(13, 15), (14, 16), (1, 2), (5, 1)])
def test_reflected_edges_extend_by_no_more_than_the_network_needs(height, width):
    grid, lr = Grid(height, width, 2, 4, edges="reflect"), RNG.uniform(-1, 1, (1, 3, height, width))
    padded = tuple(max(4, side + side % 2) for side in (height, width))
    assert grid.padded == tuple(2 * side for side in padded)
    (window,) = grid.windows
    expected = np.pad(lr, ((0, 0), (0, 0), *((0, to - side) for to, side in zip(padded, (height, width), strict=True))),
                      mode="reflect")  # fmt: skip
    np.testing.assert_array_equal(grid.read(lr, window)[0], expected)


def test_a_margin_is_moved_inwards_at_the_edges():
    grid = Grid(40, 40, 4, 16, 64, 16)
    lr = ramp(40, 40)
    for window in grid.windows:
        seen, (top, left) = grid.read(lr, window, margin=7)
        assert seen.shape[2:] == (30, 30)
        inner = seen[:, :, top : top + 16, left : left + 16]
        np.testing.assert_array_equal(inner, grid.read(lr, window)[0])
    seen, corner = grid.read(lr, grid.windows[0], margin=100)
    assert seen.shape[2:] == (40, 40) and corner == (0, 0)


def test_a_tile_smaller_than_its_halos_is_refused_with_one_that_would_do():
    with pytest.raises(UserError, match="a tile of 64 pixels leaves nothing between halos of 30: .* at least 80"):
        Grid(100, 100, 4, 16, 64, 30)
    assert len(Grid(100, 100, 4, 16, 80, 30).windows) > 1
    assert Grid(10, 10, 4, 16, 64, 30).whole  # the picture is smaller than the tile
