"""FID and IS from the command line of eval.py, with a small network in the place of Inception."""

import csv
import importlib
import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

import src.commands.evaluate_sets
import src.metrics.inception
from src.command import run
from src.imaging.io import read_rgb, write_image
from src.metrics.picture_sets import PREPARATIONS
from tests import tiny_sr3, wandb_files
from tests.metrics.fake_inception import FakeInception

BICUBIC = "--checkpoint", "none", "--scale", 2, "--lpips", "none"


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    """Return the path of a tiny model that makes 16×16 pictures from nothing."""
    return tiny_sr3.checkpoint(tmp_path_factory.mktemp("model") / "w.ckpt", *tiny_sr3.UNCONDITIONAL)


@pytest.fixture
def inception(tmp_path, monkeypatch):
    """Put the small network in the place of Inception, whose weights are in ``weights.pth``."""
    network = FakeInception()
    monkeypatch.setattr(src.metrics.inception, "load_inception", lambda path: network)
    monkeypatch.setattr(src.commands.evaluate_sets, "FEATURES", 12)
    (tmp_path / "weights.pth").write_bytes(b"")
    return network


@pytest.fixture
def hr(tmp_path, photo):
    """Return a folder with 16×16 pictures."""
    folder = tmp_path / "my pictures"
    for number in range(3):
        write_image(folder / f"{number}.png", photo[90 * number : 90 * number + 16, 100:116])
    return folder


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capsys, caplog):
    """Run eval.py with arguments in a folder; return (exit status, stdout, the messages and stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO)
    command = importlib.import_module("src.cli.eval")

    def evaluate(*arguments):
        monkeypatch.setattr(sys, "argv", ["eval.py", *map(str, arguments)])
        caplog.clear()
        with pytest.raises(SystemExit) as end:
            run(command.main)
        out, err = capsys.readouterr()
        return end.value.code, out, caplog.text + err

    return evaluate


def metrics(folder):
    return json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))


def test_sr_pictures_against_the_hr_pictures(evaluate, hr, inception):
    status, out, err = evaluate(*BICUBIC, "--hr", hr, "--fid-weights", "weights.pth", "--output", "out")
    assert status == 0
    assert "FID of 3 pictures depends more on their number than on their quality" in err
    assert out.splitlines()[1].split()[-3:] == ["FID", "IS", "sampler"]
    assert "FID and IS of pictures prepared as pytorch-fid does; FID to the HR pictures" in out
    found = metrics("out")
    assert found["fid"] == {"as": "pytorch-fid", "reference": "the HR pictures"}
    assert found["sets"]["bicubic"]["fid"] > 0 and found["sets"]["bicubic"]["is_mean"] is None
    rows = list(csv.reader(Path("out/metrics.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[-1][0] == "" and float(rows[-1][rows[0].index("fid")]) == found["sets"]["bicubic"]["fid"]
    assert sum(inception.batches) == 6


def test_statistics_that_were_saved_stand_for_the_pictures(evaluate, hr, inception):
    given = "--hr", hr, "--fid", "torch-fidelity", "--fid-weights", "weights.pth"
    assert evaluate(*BICUBIC, *given, "--fid-save", "s.npz", "--output", "a")[0] == 0
    assert evaluate(*BICUBIC, *given, "--fid-reference", "s.npz", "--output", "b")[0] == 0
    assert evaluate(*BICUBIC, *given, "--fid-reference", hr, "--output", "c")[0] == 0
    for other in "bc":
        found = metrics(other)
        assert found["sets"]["bicubic"]["fid"] == pytest.approx(metrics("a")["sets"]["bicubic"]["fid"], rel=1e-9)
        assert found["hr_set"] is None
    assert metrics("b")["fid"] == {"as": "torch-fidelity", "reference": "s.npz"}


def test_an_unconditional_model_is_sampled(evaluate, hr, inception, unconditional, photo, tmp_path):
    given = "--checkpoint", unconditional, "--hr", hr, "--fid-weights", "weights.pth", "--device", "CPU", "--seed", 5
    status, out, err = evaluate(*given, "--samples", 11, "--save-pictures", "--output", "out")
    assert status == 0, err
    assert out.splitlines()[0] == "pictures 11, seed 5"
    assert out.splitlines()[2].startswith("sr3_tiny ") and out.splitlines()[2].endswith("ddpm, steps 2, temperature 1")
    found = metrics("out")
    assert (found["pictures"], found["data"], found["fid"]["reference"]) == (11, str(hr), str(hr))
    assert found["sets"]["sr3_tiny"]["fid"] > 0 and found["sets"]["sr3_tiny"]["is_mean"] >= 1
    saved = sorted(Path("out/pictures/sr3_tiny").iterdir())
    assert [path.name for path in saved] == [f"{number:06d}.png" for number in range(11)]
    assert evaluate(*given[2:-2], "--generated", "out/pictures/sr3_tiny", "--output", "again")[0] == 0
    assert metrics("again")["sets"]["sr3_tiny"] == found["sets"]["sr3_tiny"]
    assert metrics("again")["methods"] == {"sr3_tiny": {}}
    for number in range(3):
        write_image(tmp_path / "large" / f"{number}.png", photo[number : number + 40, :24])
    given = "--checkpoint", unconditional, "--hr", "large", *given[4:-1], 6, "--save-pictures", "--output", "other"
    status, _, err = evaluate(*given)
    assert status == 0 and "sr3_tiny makes 16×16 pictures, large/0.png has 24×40" in err
    assert metrics("other")["pictures"] == 3  # as many as there are to compare with
    for number in range(2):  # picture n has the seed + n, whatever the run
        one, same = (
            read_rgb(f"{run}/pictures/sr3_tiny/{n:06d}.png") for run, n in (("other", number), ("out", number + 1))
        )
        np.testing.assert_array_equal(one, same)


def test_wandb_gets_the_scores_some_pictures_and_no_whole_paths(evaluate, hr, inception, wandb):
    given = "--generated", hr, "--hr", hr, "--fid-weights", "weights.pth"
    assert evaluate(*given, "--output", "out", "--wandb", "offline")[0] == 0
    run = wandb_files.read(Path("out"))
    assert run["config"]["fid"] == {"as": "pytorch-fid", "reference": "/".join(hr.parts[-2:])}
    logged = run["history"][0]
    assert logged["my pictures/fid"] == metrics("out")["sets"]["my pictures"]["fid"]
    picture = read_rgb(run["files"] / logged["pictures/my pictures_1"]["path"])
    np.testing.assert_array_equal(picture, read_rgb(hr / "1.png"))


def test_the_choices_are_all_that_pictures_are_prepared_as(evaluate):
    assert f"{{{','.join(PREPARATIONS)},none}}" in evaluate("--help")[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*BICUBIC, "--hr", "{hr}", "--fid", "pytorch-fid"], "FID and IS need pt_inception-2015-12-05-6726825d.pth in"),
        (
            [*BICUBIC, "--hr", "{hr}", "--fid-weights", "nowhere"],
            "in nowhere: fetch what is missing with --fid-download",
        ),
        ([*BICUBIC, "--hr", "{hr}", "--fid", "none", "--fid-save", "s.npz"], "--fid none leaves FID out"),
        ([*BICUBIC, "--hr", "{hr}", "--fid-save", "s.txt"], "writes an .npz file, not s.txt"),
        ([*BICUBIC, "--hr", "{hr}", "--fid-save", "one/a.png/s.npz"], "cannot write to one/a.png: "),
        ([*BICUBIC, "--hr", "{hr}", "--fid-weights", "w", "--fid-reference", "no.npz"], "there is no file no.npz"),
        (
            [*BICUBIC, "--hr", "{hr}", "--fid-weights", "w", "--fid-reference", "few.npz"],
            "of 4 features, expected 2048",
        ),
        ([*BICUBIC, "--hr", "{hr}", "--fid-weights", "w", "--fid-reference", "empty"], "no pictures in empty"),
        (["--generated", "{hr}", "--hr", "{hr}", "--lr-kernel", "maxpool"], "measured here: leave --lr-kernel out"),
        (["--generated", "{hr}", "--hr", "{hr}", "--niqe"], "measured here: leave --niqe out"),
        (["--generated", "{hr}", "--hr", "{hr}", "--degrade", "0"], "measured here: leave --degrade out"),
        ([*BICUBIC, "--hr", "{hr}", "--samples", "4"], "--samples is for models that make pictures from nothing"),
        ([*BICUBIC, "--hr", "one", "--fid-weights", "w"], "FID needs at least 2 pictures, got 1"),
        (["--generated", "{hr}", "--hr", "one"], "FID needs at least 2 pictures to compare with, got 1"),
        (["--generated", "{hr}", "--hr", "{hr}", "--samples", "4"], "--samples is for models"),
        (["--generated", "{hr}", "--hr", "{hr}", "--samples", "1"], "argument --samples: expected a number from 2 up"),
        (["--generated", "empty", "--hr", "{hr}"], "no pictures in empty"),
        (["--generated", "{hr}", "--hr", "{hr}", "--fid", "none"], "FID and IS are all that is measured here"),
        (["--generated", "{hr}", "--hr", "{hr}", "--lr", "{hr}"], "FID and IS are all that is measured here"),
        (["--generated", "{hr}", "--hr", "{hr}", "--fid-reference", "few.npz"], "by one of --fid-reference, --hr and"),
        (["--checkpoint", "{model}", "--generated", "{hr}"], "--generated scores pictures that are there already"),
        (["--checkpoint", "{model}", "--fid-reference", "few.npz"], "how many pictures are to be sampled?"),
        (["--checkpoint", "{model}", "--hr", "{hr}", "--samples", "x"], "--samples: expected a number from 2 up"),
        (["--generated", "{hr}", "--hr", "{hr}", "--save-pictures"], "leave --save-pictures out, or --generated"),
        (["--generated", "{hr}", "--hr", "{hr}", "--steps", "5"], "leave --steps out, or --generated"),
        (["--generated", "{hr}", "--hr", "{hr}", "--scale", "4", "--protocol", "y"], "leave --scale, --protocol out"),
        (["--checkpoint", "{model}", "--hr", "{hr}", "--lpips-weights", "w"], "leave --lpips-weights out"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(evaluate, hr, unconditional, tmp_path, photo, arguments, message):
    (tmp_path / "empty").mkdir()
    write_image(tmp_path / "one" / "a.png", photo[:16, :16])
    np.savez(tmp_path / "few.npz", mu=np.zeros(4), sigma=np.eye(4))
    names = {"{hr}": hr, "{model}": unconditional}
    status, out, err = evaluate(*(names.get(argument, argument) for argument in arguments))
    assert status == 2
    line = err.rstrip("\n").rpartition("\n")[2].rpartition("\r")[2]
    assert line.startswith("error: ") and message in line
    assert out == "" and "Traceback" not in err
