"""A picture in a temporary file."""

from collections import namedtuple

import numpy as np
import pytest

from src.errors import UserError
from src.imaging.back_projection import BackProjection
from src.imaging.spool import Spool

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


def test_a_full_disk_is_told_before_the_work(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: namedtuple("Usage", "free")(10**9))
    with pytest.raises(UserError, match=r"has no room for the 2.1 GB of a picture .*: set TMPDIR to a folder"):
        Spool((1, 3, 12000, 16000))
