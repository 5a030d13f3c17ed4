"""TensorBoard's files, read back with the messages that they consist of."""

import errno
import io
import resource
import struct

import numpy as np
import pytest
from PIL import Image

from src.host.tensorboard import EventFiles, cut, events

pytest.importorskip("tensorboardX")


def files(folder):
    return sorted(folder.iterdir())


def logged(folder):
    """Return [(step, name, value)] of all files in the order in which TensorBoard reads them."""
    found = []
    for path in files(folder):
        for event, _ in events(path):
            found += [
                (event.step, value.tag, decoded(value.image) if value.HasField("image") else value.simple_value)
                for value in event.summary.value
            ]
    return found


def decoded(image):
    picture = np.array(Image.open(io.BytesIO(image.encoded_image_string)))
    assert picture.shape == (image.height, image.width, image.colorspace)
    return picture


def write(folder, steps, first=0, name="loss"):
    log = EventFiles(folder, first)
    for step in steps:
        log.scalars(step, {name: step / 2})
    log.close()


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


def test_tensorboard_itself_reads_them(tmp_path, photo):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    write(tmp_path, range(1, 6))
    log = EventFiles(tmp_path, 3)
    log.scalars(4, {"loss": 7})
    log.pictures(4, {"val/1": photo[:7, :9]})
    log.close()
    shown = accumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in shown.Scalars("loss")] == [(1, 0.5), (2, 1), (3, 1.5), (4, 7)]
    (picture,) = shown.Images("val/1")
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(picture.encoded_image_string))), photo[:7, :9])


def test_a_resumed_run_has_each_point_once(tmp_path):
    write(tmp_path, [1, 2, 3, 4], name="a")
    write(tmp_path, [3], first=2, name="b")
    write(tmp_path, [3, 4], first=2)
    assert logged(tmp_path) == [(1, "a", 0.5), (2, "a", 1), (3, "loss", 1.5), (4, "loss", 2)]


def test_a_run_from_the_start_has_no_earlier_points(tmp_path):
    write(tmp_path, [1, 2])
    (tmp_path / "other.txt").write_text("x")
    write(tmp_path, [1])
    assert [path.name for path in files(tmp_path) if path.suffix == ".txt"] == ["other.txt"]
    (tmp_path / "other.txt").unlink()
    assert logged(tmp_path) == [(1, "loss", 0.5)]


def test_a_file_without_stale_points_is_left_alone(tmp_path):
    write(tmp_path, [1, 2])
    (path,) = files(tmp_path)
    before = path.stat()
    cut(path, 2)
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)


@pytest.mark.parametrize("damage", ["cut off", "header cut off", "zeros", "another length", "no message"])
def test_a_damaged_end_costs_only_itself(tmp_path, damage):
    write(tmp_path, [1, 2, 3])
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    last = list(events(path))[-1][1]
    start = len(whole) - len(last)
    path.write_bytes({
        "cut off": whole[:-6],
        "header cut off": whole[: start + 5],
        "zeros": whole[:start] + bytes(len(last)),
        "another length": whole[:start] + struct.pack("<Q", 2**60) + last[8:],
        "no message": whole[:start] + last[:12] + b"\xff" * (len(last) - 12),
    }[damage])  # fmt: skip
    write(tmp_path, [4], first=3)
    assert logged(tmp_path) == [(1, "loss", 0.5), (2, "loss", 1), (4, "loss", 2)]
    assert files(tmp_path)[0].read_bytes() == whole[:start]


def test_an_empty_file_and_what_a_killed_process_left_are_removed(tmp_path):
    write(tmp_path, [1])
    (path,) = files(tmp_path)
    (tmp_path / "events.out.tfevents.0").write_bytes(b"")
    (tmp_path / f".{path.stem}.123.tmp.456").write_bytes(b"half")
    write(tmp_path, [], first=1)
    assert files(tmp_path) == [path]


def test_the_name_sorts_behind_though_the_clock_was_set_back(tmp_path, monkeypatch):
    write(tmp_path, [90])
    monkeypatch.setattr("time.time_ns", lambda: 5)
    write(tmp_path, [101], first=100)
    assert [step for step, *_ in logged(tmp_path)] == [90, 101]


def test_after_a_full_disk_it_goes_on_in_a_new_file(tmp_path):
    log = EventFiles(tmp_path)
    log.scalars(1, {"loss": 0.5})
    (path,) = files(tmp_path)
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
    assert len(files(tmp_path)) == 2
    assert logged(tmp_path) == [(1, "loss", 0.5), (3, "loss", 1.5)]
    write(tmp_path, [4], first=3)
    assert logged(tmp_path) == [(1, "loss", 0.5), (3, "loss", 1.5), (4, "loss", 2)]


def test_without_a_word_there_is_no_file(tmp_path):
    EventFiles(tmp_path).close()
    assert files(tmp_path) == []
