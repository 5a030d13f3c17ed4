"""What is remembered of finished pictures, and when it no longer holds."""

import os

import pytest

from src.inference.jobs import Job
from src.inference.records import FOLDER, Records

MADE = {"model": "abc", "steps": None, "kinds": ("png",)}


@pytest.fixture
def job(tmp_path):
    """A job whose two files are written and remembered; its result's name is as long as names may be."""
    job = Job(tmp_path / "a.jpg", tmp_path / "out" / ("é" * 125 + ".png"))
    job.result.parent.mkdir()
    job.source.write_bytes(b"source")
    job.result.write_bytes(b"result")
    job.result.with_name("second.png").write_bytes(b"second")
    records = Records(MADE)
    records.begin(job)
    records.end(job, [job.result, job.result.with_name("second.png")])
    return job


def test_it_is_done(job):
    assert Records(MADE).has(job)
    assert not Records(MADE | {"steps": 1}).has(job)
    assert not Records(MADE).has(Job(job.source, job.result.with_name("second.png")))
    assert Records(MADE).unfinished([job, other := Job(job.source, job.result.with_name("other.png"))], job.source) == [
        other
    ]


def test_it_is_the_source_that_was_read(job):
    records = Records(MADE)
    records.begin(job)
    job.source.write_bytes(b"another, while the first was being enlarged")
    records.end(job, [job.result])
    assert not Records(MADE).has(job)


def change_source(job):
    job.source.write_bytes(b"another")


def touch_source(job):
    os.utime(job.source, (1, 1))


def cut_a_file(job):
    job.result.with_name("second.png").write_bytes(b"sec")


def remove_a_file(job):
    job.result.unlink()


def remove_source(job):
    job.source.unlink()


def begin(job):
    Records(MADE).begin(job)
    Records(MADE).begin(job)  # of which nothing is known


def damage(text):
    def damage(job):
        (record,) = (job.result.parent / FOLDER).iterdir()
        record.write_bytes(text)

    return damage


@pytest.mark.parametrize(
    "change",
    [change_source, touch_source, cut_a_file, remove_a_file, remove_source, begin, damage(b'{"made": '), damage(b"[]"),
     damage(b"\xff"), damage(b"{}"), damage(b'{"made": 1, "source": 2, "files": 3}')],
)  # fmt: skip
def test_it_is_not(job, change):
    change(job)
    assert not Records(MADE).has(job)
