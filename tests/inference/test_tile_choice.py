"""The tile that a budget allows."""

import math

import pytest

from src.errors import UserError
from src.inference import memory
from src.inference.tile_choice import GIB, Cost, Reach, TileOptions, Tiling

REACH, COST = Reach(300, 80), Cost(denoise=512, encode=2000, features=16, pictures=4)


def tiling(budget=math.inf, on_host=True, reach=REACH, cost=COST, **options):
    return Tiling(4, 16, reach, cost, TileOptions(**options), budget, on_host=on_host)


def test_a_picture_that_fits_is_not_cut():
    assert tiling().grid(1, 1080, 1920).whole
    assert tiling(GIB).grid(1, 100, 100).whole


@pytest.mark.parametrize("budget", [1, 2, 3, 8])
def test_the_windows_fit_the_budget_and_use_it(budget):
    cut = tiling(budget * GIB, on_host=False)
    grid = cut.grid(1, 1080, 1920)
    assert not grid.whole
    assert budget / 2 * GIB < cut.memory(grid, 1) <= budget * GIB


def test_a_larger_budget_never_gives_smaller_windows():
    areas = [math.prod(tiling(n * GIB / 8, False).grid(1, 500, 900).window_size) for n in range(2, 20)]
    assert areas == sorted(areas) and areas[0] < areas[-1]


def test_what_does_not_fit_gets_small_windows_and_a_warning(caplog):
    grid = tiling(GIB).grid(1, 1080, 1920)
    assert max(grid.window_size) == 256
    assert "GB or so, 1.0 GB are allowed" in caplog.text


def test_batches_shrink_to_what_fits():
    assert tiling(2 * GIB).batch(8, 50, 50) == 8
    assert 1 < tiling(2 * GIB).batch(8, 200, 200) < 8
    assert tiling(GIB).batch(8, 1080, 1920) == 1


def test_features_get_what_is_left():
    cut = tiling(8 * GIB, on_host=False, tile=512)
    grid = cut.grid(1, 1080, 1920)
    assert cut.features_budget(grid, 1) == 8 * GIB - cut.memory(grid, 1)
    assert tiling(1, tile=512).features_budget(grid, 1) == 0


def test_words_tell_tiles_and_memory():
    cut = Tiling(4, 16, REACH, COST, TileOptions(tile=512), 4 * GIB, used=GIB)
    words = cut.describe(cut.grid(1, 1080, 1920), 1)
    # 1 GB used, 1.48 of four HR pictures, 0.25 of workspace, 0.13 of a window, 0.66 of features with their overlaps
    assert words == "170 tiles of 512 x 512 pixels, about 3.5 GB"


def test_halo_and_margin():
    assert (tiling().halo, tiling().margin, tiling().exact) == (32, 16, False)
    exact = tiling(halo="exact")
    assert (exact.halo, exact.margin, exact.exact) == (300, 80, True)
    assert tiling(halo="24").halo == 24 and tiling(halo=300).exact
    small = tiling(reach=Reach(10, 0))
    assert small.exact and small.margin == 2  # all that bicubic looks at


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_memory": 0}, "--max-memory must be a number of GB above 0, not 0"),
        ({"max_memory": math.nan}, "above 0, not nan"),
        ({"tile": -8}, "--tile must be a number of pixels, 0 for whole pictures, not -8"),
        ({"halo": "-1"}, "--halo must be a number of pixels or 'exact', not '-1'"),
        ({"halo": "all"}, "not 'all'"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        TileOptions(**options)


def test_a_containers_limit_counts(tmp_path):
    free = memory.host_budget(control_groups=tmp_path)
    assert free > 0
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert memory.host_budget(control_groups=tmp_path) == pytest.approx(free, rel=0.2)
    (tmp_path / "memory.max").write_text("11000000\n")
    assert memory.host_budget(control_groups=tmp_path) == 7_000_000
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("2000000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("3000000\n")
    assert memory.host_budget(control_groups=tmp_path) == 0


def test_a_limit_counts_what_the_process_holds_already():
    assert memory.host_budget(100 * GIB) < 100 * GIB
    assert memory.host_budget(1000) < 0
    assert memory.device_budget(10_000, 4_000) == 4_000 and memory.device_budget(10_000) == 7_000
