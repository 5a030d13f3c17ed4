"""Pictures in temporary files."""

import errno
import os
from collections import namedtuple

import numpy as np
import pytest

from src.errors import UserError
from src.imaging import spool
from src.imaging.back_projection import BackProjection
from src.imaging.spool import Spool, Stored, new_picture

RNG = np.random.default_rng(0)


def test_a_picture_that_is_spooled_is_fitted_as_in_memory():
    lr = RNG.uniform(-1, 1, (2, 3, 37, 70)).astype(np.float32)  # more than a reduced picture can be: much is clipped
    x = RNG.uniform(-1.5, 1.5, (2, 3, 148, 280)).astype(np.float32)
    spool = Spool(x.shape)
    for rows in (slice(0, 50), slice(50, 148)):
        spool.write_rows(rows, x[:, :, rows])
    np.testing.assert_array_equal(spool.rows(slice(40, 60)), x[:, :, 40:60])
    projection = BackProjection(37, 70, 4)
    projection.fit(spool, lr)
    np.testing.assert_array_equal(spool.rows(slice(0, 148)), projection.fit(x, lr))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_large_picture_is_in_a_file_without_a_name(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(spool, "LARGE", 70 * 5 * 3)
    values = RNG.integers(0, 256, (70, 5, 3)).astype(dtype)
    picture = new_picture(values.shape, dtype)
    assert isinstance(picture, np.ndarray if dtype == np.uint8 else Stored)
    for rows in (slice(60, 70), slice(0, 60)):
        picture[rows] = values[rows]
    np.testing.assert_array_equal(picture, values)
    np.testing.assert_array_equal(picture[3:9], values[3:9])
    assert picture.shape == values.shape and picture.dtype == dtype and not list(tmp_path.iterdir())


def test_a_full_disk_is_told_before_the_work(monkeypatch):
    told = r"has no room for the 2.1 GB of a picture .*: set TMPDIR to a folder"
    with monkeypatch.context() as patch, pytest.raises(UserError, match=told):
        patch.setattr("shutil.disk_usage", lambda folder: namedtuple("Usage", "free")(10**9))
        Spool((1, 3, 12000, 16000))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)  # another picture's file has taken the rest
    with pytest.raises(UserError, match=told):
        Spool((1, 3, 12000, 16000))


def test_a_disk_that_fills_up_is_one_line(monkeypatch):
    monkeypatch.setattr(spool, "LARGE", 1)
    picture = new_picture((4, 5), np.uint8)
    picture._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(UserError, match=r"^cannot keep a picture in .* \(No space left on device\): set TMPDIR to "):
        picture[0:4] = 1
