"""The tile that a budget allows."""

import math

import pytest

from src.errors import UserError
from src.inference import tile_size
from src.inference.tile_size import GIB, Cost, Memory, Reach, TileOptions, Tiling, free_memory

REACH, COST = Reach(300, 80), Cost(denoise=512, encode=2000, features=16, pictures=4)


def tiling(budget=math.inf, host=None, reach=REACH, cost=COST, used=0, **options):
    return Tiling(4, 16, reach, cost, TileOptions(**options), lambda: Memory(budget, host, used))


def test_a_picture_that_fits_is_not_cut():
    assert tiling().grid(1, 1080, 1920).whole
    assert tiling(GIB).grid(1, 100, 100).whole


@pytest.mark.parametrize("budget", [1, 2, 3, 8])
def test_the_windows_fit_the_budget_and_use_it(budget):
    cut = tiling(budget * GIB, host=math.inf)
    grid = cut.grid(1, 1080, 1920)
    assert not grid.whole
    assert budget / 2 * GIB < cut.memory(grid, 1) <= budget * GIB


def test_a_larger_budget_never_gives_smaller_windows():
    areas = [math.prod(tiling(n * GIB / 8, math.inf).grid(1, 500, 900).window_size) for n in range(2, 20)]
    assert areas == sorted(areas) and areas[0] < areas[-1]


def test_what_does_not_fit_gets_small_windows_and_a_warning(caplog):
    for _ in range(2):
        cut = tiling(0.4 * GIB, used=GIB)
        for _ in range(2):
            assert max(cut.grid(1, 1080, 1920).window_size) == 384
    told = "this picture needs 1.7 GB or so, more than the 1.4 GB that may be used: going on with the smallest tiles"
    assert [record.getMessage() for record in caplog.records] == [told] * 2  # once for each model


def test_wide_halos_need_wide_tiles():
    assert max(tiling(GIB, halo=200).grid(1, 1080, 1920).window_size) == 800


def test_batches_shrink_to_what_fits():
    assert tiling(2 * GIB).batch(8, 50, 50) == 8
    assert 1 < tiling(2 * GIB).batch(8, 200, 200) < 8
    assert tiling(GIB).batch(8, 1080, 1920) == 1


def test_a_result_that_does_not_fit_is_refused_before_any_pass():
    told = "the result of 192 million pixels and its input need 1.6 GB, more than the 1.0 GB that are left for it: cut"
    with pytest.raises(UserError, match=told):
        tiling(GIB).grid(1, 3000, 4000)
    assert not tiling(2 * GIB).grid(1, 3000, 4000).whole


def test_a_large_result_that_is_written_by_rows_takes_none_of_the_memory():
    """What is left is LR in float32."""
    assert not tiling(GIB, writing=0).grid(1, 3000, 4000).whole
    told = "192 million pixels and its input need 0.1 GB, more than the 0.1 GB that are left for it: cut the picture"
    with pytest.raises(UserError, match=told):
        tiling(0.1 * GIB, writing=0).grid(1, 3000, 4000)
    by_rows, in_memory = tiling(writing=0, beside=2, tile=512), tiling(tile=512)
    grid = by_rows.grid(1, 3000, 4000)
    assert in_memory.memory(grid, 1) - by_rows.memory(grid, 1) == 8 * 192_000_000
    small = by_rows.grid(1, 240, 240)
    assert by_rows.memory(small, 1) == tiling(tile=512, beside=2).memory(small, 1)


@pytest.mark.parametrize("budget", [0.5, 1.3])
def test_a_jpeg_that_does_not_fit_is_refused_with_the_format_that_does(budget):
    """One that alone is too much, and one that is too much beside the smallest tiles."""
    told = r"0 GB that are left for it: write a .png or .tif \(--format png\), by rows, or raise --max-memory"
    with pytest.raises(UserError, match=told.replace("0 GB", f"{budget} GB")):
        tiling(budget * GIB, writing=4).grid(1, 3000, 4000)
    assert not tiling(2 * GIB, writing=4).grid(1, 3000, 4000).whole
    assert not tiling(budget * GIB, writing=0).grid(1, 3000, 4000).whole


def test_the_overlap_costs_little_of_a_large_picture_in_little_memory():
    grid = tiling(1.5 * GIB).grid(1, 1024, 1536)
    assert len(grid.windows) < 40 and grid.work < 1.3


def test_what_memory_is_made_of():
    """A window: the pass or the encoding, whichever is more, features, its pictures; a strip; LR and the result."""
    grid, workspace = tiling(tile=512).grid(1, 240, 240), GIB // 4
    height, width = grid.window_size
    pixels = height * width
    whole = 960 * 960 * (8 + 12 / 16)
    own = pixels * 16 + 12 * (4 * pixels + 2 * height * 960) + whole
    assert tiling(tile=512).memory(grid, 1) == pixels * 512 + own + workspace
    assert tiling(tile=512).memory(grid, 3) == 3 * (pixels * 512 + own) + workspace
    assert tiling(tile=512, beside=2).memory(grid, 1) == pixels * 512 + own + 2 * 12 * 960 * 960 + workspace
    dear, margin = tiling(tile=512, cost=COST._replace(encode=100_000)), 2 * 16
    encode = 100_000 * (height // 4 + margin) * (width // 4 + margin)
    assert dear.memory(grid, 2) == 2 * (encode + own) + workspace


def test_a_device_holds_the_windows_and_the_machine_the_pictures():
    cut = tiling(80 * GIB, host=2 * GIB, tile=512)
    grid = cut.grid(1, 1080, 1920)
    assert cut.memory(grid, 1) < GIB
    assert tiling(80 * GIB, host=2 * GIB).grid(1, 540, 960).whole
    assert not tiling(80 * GIB, host=GIB).grid(1, 1080, 1920).whole
    assert tiling(80 * GIB, host=GIB).batch(8, 1080, 960) == 1 < tiling(80 * GIB, host=8 * GIB).batch(8, 1080, 960)
    assert cut.describe(grid, 1).endswith("about 0.4 GB")


def test_a_batch_that_does_not_fit_whole_is_cut():
    budget = 2 * GIB
    assert tiling(budget).grid(1, 200, 200).whole and not tiling(budget).grid(8, 200, 200).whole


def test_settings_for_reports():
    assert tiling(halo=300).settings() == {"tile": "as memory allows", "halo": 300, "max_memory": None}
    assert tiling(tile=512, max_memory=4).settings() == {"tile": 512, "halo": 48, "max_memory": 4}


def test_words_tell_tiles_and_memory():
    cut = tiling(4 * GIB, used=GIB, tile=512)
    words = cut.describe(cut.grid(1, 1080, 1920), 1)
    # 1 GB used, 0.27 of LR and the result, 0.25 of workspace, 0.13 of a window, 0.09 of strips
    assert words == "209 tiles of 496 x 480 pixels, 1.5 times the work of the whole, about 1.7 GB"


def test_halo_and_margin():
    assert (tiling().halo, tiling().margin) == (48, 16)
    assert tiling(halo=24).halo == 24
    small = tiling(reach=Reach(10, 0))
    assert small.halo == 10 and small.margin == 2  # all that bicubic looks at


@pytest.mark.parametrize(("halo", "local", "blended"), [(48, True, False), (24, True, True), (48, False, True)])
def test_windows_are_blended_where_they_may_differ(halo, local, blended):
    grid = tiling(tile=512, halo=halo, reach=REACH._replace(local=local)).grid(1, 100, 300)
    assert any((window.columns.weight < 1).any() for window in grid.windows) == blended


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_memory": 0}, "--max-memory must be a number of GB above 0, not 0"),
        ({"max_memory": math.nan}, "above 0, not nan"),
        ({"tile": -8}, "--tile must be a number of pixels, 0 for whole pictures, not -8"),
        ({"halo": -1}, "--halo must be a number of pixels, not -1"),
        ({"halo": 10**9}, "--halo must be a number of pixels"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(UserError, match=message):
        TileOptions(**options)


def test_a_tile_too_small_for_its_halo_is_refused_before_any_picture():
    with pytest.raises(UserError, match="a tile of 65 pixels leaves nothing between halos of 48: .* at least 112"):
        tiling(tile=65)


def test_files_that_were_read_do_not_count_as_used(tmp_path):
    (tmp_path / "memory.max").write_text("11000000\n")
    (tmp_path / "memory.current").write_text("10000000\n")
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 9000000\nfile 9900000\n")
    assert tile_size.host_budget(control_groups=tmp_path) == 7_000_000


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    free = tile_size.host_budget(control_groups=tmp_path)
    assert free > 0
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert tile_size.host_budget(control_groups=tmp_path) == pytest.approx(free, rel=0.2)
    (tmp_path / "memory.max").write_text("11000000\n")
    assert tile_size.host_budget(control_groups=tmp_path) == 7_000_000
    for name, value in (("MS_ROLE", "MS_WORKER"), ("MS_WORKER_NUM", "2")):
        monkeypatch.setenv(name, value)  # two ranks share it
    assert tile_size.host_budget(control_groups=tmp_path) == 3_500_000
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("2000000\n")
    (tmp_path / "memory" / "memory.usage_in_bytes").write_text("3000000\n")
    assert tile_size.host_budget(control_groups=tmp_path) == 0


def test_a_limit_counts_what_the_process_holds_already():
    assert tile_size.host_budget(100 * GIB) < 100 * GIB
    assert tile_size.host_budget(1000) < 0
    device = free_memory(device=10_000)
    assert device.networks == 7_000 and device.machine > 0 and free_memory(4, device=10_000).networks == 4 * GIB
    machine = free_memory()
    assert machine.machine is None and machine.used > 0


def test_memory_is_asked_when_pictures_are_cut():
    free = [GIB, 8 * GIB]
    cut = Tiling(4, 16, REACH, COST, budget=lambda: Memory(free.pop()))
    assert len(free) == 2
    assert cut.grid(1, 540, 960).whole and not cut.grid(1, 540, 960).whole
