"""What infer.py tells while it works."""

import io
import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tqdm import tqdm

from src.commands import infer
from src.commands.infer import InferenceWatch
from src.host.tracking import Tracker
from src.inference.jobs import Job


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    time = {"now": 0.0}
    monkeypatch.setattr(infer.time, "perf_counter", lambda: time["now"])
    return time


@pytest.fixture
def bars(monkeypatch):
    """The bars that are made, writing to nowhere."""
    made = []

    def bar(*arguments, **options):
        made.append(tqdm(*arguments, **options, file=io.StringIO()))
        return made[-1]

    bar.write = tqdm.write
    monkeypatch.setattr(infer, "tqdm", bar)
    return made


SR = np.zeros((4, 6, 3), np.uint8)


def jobs(tmp_path, count):
    return [Job(tmp_path / f"{number}.png", tmp_path / "out" / f"{number}.png") for number in range(count)]


def test_one_pictures_bar_counts_passes(tmp_path, bars, capsys):
    (job,) = jobs(tmp_path, 1)
    with InferenceWatch([job], Tracker()) as watch:
        watch.begin([job], 12)
        for _ in range(12):
            watch.passed()
        watch.done(job, None, SR, job.outputs(samples=2))
    (bar,) = bars
    assert (bar.total, bar.n, bar.unit) == (12, 12, "pass")
    assert capsys.readouterr().out.splitlines() == [str(path) for path in job.outputs(samples=2)]


def test_several_pictures_bar_counts_pictures(tmp_path, bars):
    some = jobs(tmp_path, 3)
    with InferenceWatch(some, Tracker()) as watch:
        for group in (some[:2], some[2:]):
            watch.begin(group, 5)
            for _ in range(5):
                watch.passed()
            assert "pass 5 of 5" in bars[0].postfix
            for job in group:
                watch.done(job, None, SR, [job.result])
    assert len(bars) == 1 and (bars[0].total, bars[0].n, bars[0].unit) == (3, 3, "picture")


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({}, "srdiff_lite_x4_fewstep"),
        ({"temperature": 0.5}, "srdiff_lite_x4_fewstep"),
        ({"steps": 8}, "srdiff_lite_x4"),
        ({"process": ["png"]}, "srdiff_lite_x4"),
        ({"steps": 1, "preset": "fast"}, "srdiff_lite_x4_fewstep"),
        ({"preset": "best"}, "srdiff_lite_x4_fewstep"),
        ({"preset": "photo"}, "rrdb_photo_gan_lite_x4"),
    ],
)
def test_the_models_of_the_project_are_named_by_purpose(given, name):
    names = ("preset", "fuse", "process", "sampler", "steps", "spacing", "eta", "temperature", "consistency", "input")
    args = SimpleNamespace(**dict.fromkeys(names) | given)
    path = Path(infer.preset(args))
    assert path.stem == name
    assert args.steps == given.get("steps", 2 if given.get("preset") == "best" else None)
    assert path.is_file()


@pytest.mark.parametrize(("name", "told"), [("a.JPG", True), ("a.png", False), ("folder", False)])
def test_of_a_jpeg_the_model_for_photographs_is_named(name, told, caplog):
    caplog.set_level(logging.INFO)
    names = ("preset", "fuse", "process", "sampler", "steps", "spacing", "eta", "temperature", "consistency")
    assert Path(infer.preset(SimpleNamespace(**dict.fromkeys(names), input=name))).stem == "srdiff_lite_x4_fewstep"
    assert ("--preset photo" in caplog.text) is told
