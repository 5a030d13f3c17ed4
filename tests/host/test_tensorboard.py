"""TensorBoard's files, read back with the messages that they consist of."""

import errno
import resource

import numpy as np
import pytest

from src.host.tensorboard import EventFiles
from tests.event_files import logged

pytest.importorskip("tensorboardX")


def first_steps(folder):
    return [int(path.name.split(".")[3]) for path in sorted(folder.iterdir())]


def write(folder, steps, behind=0, save_every=5, value=1):
    """Log as a run does: the loss, a checkpoint, its validation."""
    log = EventFiles(folder, behind)
    for step in steps:
        log.scalars(step, {"loss": step * value})
        if step % save_every == 0:
            log.saved(step)
            log.scalars(step, {"val": step})
    log.close()


def losses(folder):
    return {step: value for step, name, value in logged(folder) if name == "loss"}


def as_an_older_version(folder):
    """Make of a run's only file the one that older versions wrote: its name tells the step that it begins behind."""
    (path,) = folder.iterdir()
    path.rename(folder / f"events.out.tfevents.0000000000.{path.suffix[1:]}")


def test_scalars_and_pictures_come_back(tmp_path, photo):
    log = EventFiles(tmp_path / "a b é")
    log.scalars(3, {"train/loss": 0.25, "ü": float("nan")})
    log.pictures(3, {"val/1": photo[:7, :9], "val/2": np.ones((1, 1, 3), np.uint8)})
    loss, other, first, second = logged(tmp_path / "a b é")  # there before the end
    log.close()
    assert loss == (3, "train/loss", 0.25) and other[:2] == (3, "ü") and np.isnan(other[2])
    assert (first[:2], second[:2]) == ((3, "val/1"), (3, "val/2"))
    np.testing.assert_array_equal(first[2], photo[:7, :9])
    np.testing.assert_array_equal(second[2], np.ones((1, 1, 3)))


@pytest.mark.parametrize("resumed_at", [5, 10, 14])  # 14: where it was interrupted
def test_a_resumed_run_has_each_point_once(tmp_path, resumed_at):
    write(tmp_path, range(1, 15))
    assert first_steps(tmp_path) == [1, 6, 11]
    write(tmp_path, range(resumed_at + 1, 17), behind=resumed_at, value=100)
    found = logged(tmp_path)
    assert len({(step, name) for step, name, _ in found}) == len(found) == 16 + 3
    assert losses(tmp_path) == {step: step * (1 if step <= resumed_at else 100) for step in range(1, 17)}
    assert [step for step, name, _ in found if name == "val"] == [5, 10, 15]


def test_a_run_can_go_back_behind_where_it_was_resumed(tmp_path):
    write(tmp_path, range(1, 8))
    write(tmp_path, range(8, 10), behind=7)
    write(tmp_path, [6], behind=5, value=2)
    assert losses(tmp_path) == {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 12}


def test_a_validation_that_is_made_up_for_stays(tmp_path):
    log = EventFiles(tmp_path, 5)
    log.scalars(5, {"val": 5})
    log.scalars(6, {"loss": 6})
    log.close()
    write(tmp_path, [6], behind=5)
    assert logged(tmp_path) == [(5, "val", 5), (6, "loss", 6)]


def test_a_run_from_the_start_has_no_earlier_points(tmp_path):
    write(tmp_path, [1, 2])
    as_an_older_version(tmp_path)
    (tmp_path / "other.txt").write_text("x")
    write(tmp_path, [1])
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".txt"] == ["other.txt"]
    (tmp_path / "other.txt").unlink()
    assert logged(tmp_path) == [(1, "loss", 1)]


def test_files_of_other_programs_stay_in_a_resumed_run(tmp_path):
    (tmp_path / "events.out.tfevents.1700000000.host").touch()
    write(tmp_path, [6], behind=5)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("older", [False, True])
def test_tensorboard_itself_shows_each_step_once(tmp_path, photo, older):
    """Also of the single file of an older version, whose later points only TensorBoard's own rule hides."""
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.plugin_event_accumulator"
    ).EventAccumulator  # what the page shows where the faster loader is not installed
    write(tmp_path, range(1, 9), save_every=100 if older else 5)
    if older:
        as_an_older_version(tmp_path)
    log = EventFiles(tmp_path, 5)
    log.scalars(6, {"loss": 60})
    log.pictures(6, {"val/1": photo[:7, :9]})
    log.close()
    shown = accumulator(str(tmp_path)).Reload()
    assert [event.step for event in shown.Tensors("loss")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in shown.Tensors("val/1")] == [6]


def test_a_damaged_end_costs_only_itself(tmp_path):
    write(tmp_path, [1, 2, 3])
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-6])
    write(tmp_path, [4], behind=3)
    assert losses(tmp_path) == {1: 1, 2: 2, 4: 4}


def test_the_name_sorts_behind_though_the_clock_was_set_back(tmp_path, monkeypatch):
    write(tmp_path, [90])
    monkeypatch.setattr("time.time_ns", lambda: 5)
    write(tmp_path, [101], behind=100)
    assert [step for step, *_ in logged(tmp_path)] == [90, 90, 101]


def test_after_a_full_disk_it_goes_on_in_a_new_file(tmp_path):
    log = EventFiles(tmp_path)
    log.scalars(1, {"loss": 0.5})
    (path,) = tmp_path.iterdir()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, limit[1]))
    try:
        with pytest.raises(OSError) as caught:
            log.scalars(2, {"loss": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert caught.value.errno == errno.EFBIG
    log.scalars(3, {"loss": 1.5})
    log.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert logged(tmp_path) == [(1, "loss", 0.5), (3, "loss", 1.5)]


def test_without_a_word_there_is_no_file(tmp_path):
    EventFiles(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
