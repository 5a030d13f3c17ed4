"""eval.py from its command line, with a nearest-neighbour upscaler in the place of a checkpoint's."""

import csv
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import src.build
from src.command import run
from src.config.schema import Config, DataConfig, EvalConfig
from src.errors import UserError
from src.imaging.io import read_rgb, write_image
from src.imaging.resize import imresize

ROOT = Path(__file__).resolve().parents[1]


class Nearest:
    """An upscaler that repeats pixels, and remembers how it was asked."""

    def __init__(self, scale=2, system="srdiff", name="nearest", **settings):
        self.scale = scale
        self.config = Config(name=name, system=system, data=DataConfig(scale=scale), eval=EvalConfig(**settings))
        self.calls = []

    def upscale(self, pictures, seeds=None, callback=None, **options):
        self.calls.append((seeds, options))
        if callback:
            for k in range(options["steps"]):
                callback(k, None, None, None)
        return [picture.repeat(self.scale, 0).repeat(self.scale, 1) for picture in pictures]


@pytest.fixture
def checkpoints(monkeypatch):
    """A dict of path to upscaler, which load_upscaler then knows."""
    known = {}

    def load_upscaler(path, device=None, graph=True):
        if str(path) not in known:
            raise UserError(f"no model at {path}")
        return known[str(path)]

    monkeypatch.setattr(src.build, "load_upscaler", load_upscaler)
    return known


@pytest.fixture
def data(tmp_path, photo):
    """A folder with HR and LR pictures for scale 2."""
    folder = tmp_path / "my pictures"
    for number, (y, x) in enumerate([(0, 0), (100, 200)]):
        hr = photo[y : y + 40, x : x + 48]
        write_image(folder / "HR" / f"img_{number}.png", hr)
        write_image(folder / "LR" / f"img_{number}.png", imresize(hr, 1 / 2))
    return folder


@pytest.fixture
def evaluate(tmp_path, monkeypatch, capsys):
    """Run eval.py with arguments in an empty folder; return (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINDSPORE_SR_CACHE", str(tmp_path / "cache"))
    spec = importlib.util.spec_from_file_location("eval_command", ROOT / "eval.py")
    command = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(command)

    def evaluate(*arguments):
        monkeypatch.setattr(sys, "argv", ["eval.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            run(command.main)
        return end.value.code, *capsys.readouterr()

    return evaluate


def metrics(folder):
    return json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))


def last_line(text):
    """The last line; what a progress bar left before a carriage return does not count."""
    return text.rstrip("\n").rpartition("\n")[2].rpartition("\r")[2]


def test_help_does_not_import_mindspore():
    code = (
        "import runpy, sys; sys.argv = ['eval.py', '--help']\n"
        "try: runpy.run_path('eval.py', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'mindspore', 'scipy', 'skimage'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for flag in ("--checkpoint", "--protocol", "--lpips-weights", "--save-pictures", "key=value"):
        assert flag in done.stdout


def test_bicubic_alone_needs_no_checkpoint(evaluate, data):
    status, out, err = evaluate("--data", data, "--scale", 2, "--lpips", "none")
    assert status == 0
    header, _, row = out.splitlines()
    assert header == "protocol srdiff (RGB, no crop, uniform SSIM), x2, pictures 2, seed 0"
    assert row.startswith("bicubic ")
    report = metrics("runs/eval")
    assert [picture["name"] for picture in report["pictures"]] == ["img_0", "img_1"]
    assert (report["data"], report["lpips_net"]) == (str(data), None)
    assert "evaluating: 100%" in err


def test_bicubic_on_set5(evaluate, shared):
    status, out, _ = evaluate("--data", shared / "data/val/Set5/x4", "--protocol", "classic", "--lpips", "none")
    assert status == 0
    assert out.splitlines()[2].split()[:3] == ["bicubic", "28.42", "0.8101"]


def test_a_model_is_scored_beside_bicubic(evaluate, data, checkpoints):
    checkpoints["w.ckpt"] = Nearest(protocol="y", steps=20, temperature=0.5)
    status, out, _ = evaluate("--checkpoint", "w.ckpt", "--data", data, "--seed", 5, "--output", "out")
    assert status == 0
    assert out.startswith("protocol y ")
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["bicubic", "nearest"]
    assert out.splitlines()[3].endswith("ddpm, steps 20, temperature 0.5")
    sampling = {"sampler": "ddpm", "steps": 20, "temperature": 0.5}
    assert checkpoints["w.ckpt"].calls == [([5], sampling), ([6], sampling)]
    report = metrics("out")
    assert report["methods"] == {"bicubic": {}, "nearest": {"checkpoint": "w.ckpt", "system": "srdiff", **sampling}}
    assert report["seed"] == 5
    rows = list(csv.DictReader(Path("out/metrics.csv").read_text().splitlines()))
    assert [(row["picture"], row["method"]) for row in rows] == [
        *[("img_0", "bicubic"), ("img_0", "nearest"), ("img_1", "bicubic"), ("img_1", "nearest")]
    ]
    assert report["mean"]["nearest"]["psnr"] == pytest.approx(np.mean([float(row["psnr"]) for row in rows[1::2]]))


def test_several_models_in_one_table(evaluate, data, checkpoints):
    checkpoints.update({"a.ckpt": Nearest(system="rrdb"), "b.ckpt": Nearest()})
    assert evaluate("--checkpoint", "a.ckpt", "b.ckpt", "--data", data)[0] == 0
    assert list(metrics("runs/eval")["mean"]) == ["bicubic", "nearest", "nearest-2"]
    assert checkpoints["a.ckpt"].calls[0] == ([0], {})  # nothing is sampled


def test_flags_come_before_the_checkpoints_settings(evaluate, data, checkpoints):
    checkpoints["w.ckpt"] = Nearest(protocol="y")
    flags = ["--protocol", "sr3", "--sampler", "ddpm", "--steps", 3, "--temperature", 0]
    status, out, _ = evaluate("--checkpoint", "w.ckpt", "--data", data, *flags)
    assert status == 0
    assert out.startswith("protocol sr3 ")
    assert checkpoints["w.ckpt"].calls[0][1] == {"sampler": "ddpm", "steps": 3, "temperature": 0}


def test_overrides_may_follow_the_checkpoint(evaluate, data, checkpoints):
    checkpoints["w.ckpt"] = Nearest()
    status, _, _ = evaluate("--checkpoint", "w.ckpt", "eval.steps=7", f"data.val={data}")
    assert status == 0
    assert checkpoints["w.ckpt"].calls[0][1]["steps"] == 7
    assert metrics("runs/eval")["data"] == str(data)


def test_pictures_are_saved_on_demand(evaluate, data, checkpoints):
    checkpoints["w.ckpt"] = Nearest()
    evaluate("--checkpoint", "w.ckpt", "--data", data, "--output", "out", "--save-pictures")
    lr = read_rgb(data / "LR" / "img_1.png")
    np.testing.assert_array_equal(read_rgb("out/pictures/nearest/img_1.png"), lr.repeat(2, 0).repeat(2, 1))
    np.testing.assert_array_equal(read_rgb("out/pictures/bicubic/img_1.png"), imresize(lr, 2))


def test_separate_folders_and_lr_made_from_hr(evaluate, data):
    for folders in (["--hr", data / "HR", "--lr", data / "LR"], ["--hr", data / "HR"]):
        assert evaluate(*folders, "--scale", 2, "--output", "out")[0] == 0
        assert metrics("out")["data"] == str(data / "HR")


def test_lpips_without_weights_is_absent_with_the_remedy(evaluate, data, caplog):
    status, out, _ = evaluate("--data", data, "--scale", 2)
    assert status == 0
    assert out.splitlines()[2].split()[3] == "–"
    assert metrics("runs/eval")["mean"]["bicubic"]["lpips"] is None
    remedies = [message for message in caplog.messages if "--lpips-download" in message]
    assert len(remedies) == 1
    assert "alexnet-owt-7be5be79.pth" in remedies[0]
    assert "\n" not in remedies[0]


def test_lpips_weights_that_were_named_must_be_there(evaluate, data, tmp_path):
    status, _, err = evaluate("--data", data, "--scale", 2, "--lpips-weights", tmp_path / "empty")
    assert status == 2
    assert last_line(err).startswith("error: LPIPS (alex) needs alexnet-owt")


def test_a_damaged_lpips_file_is_named(evaluate, data, tmp_path):
    (tmp_path / "w.pth").write_bytes(b"PK\x03\x04 and no more")
    status, _, err = evaluate("--data", data, "--scale", 2, "--lpips-weights", tmp_path / "w.pth")
    assert status == 2
    assert "w.pth" in last_line(err)


def test_lpips_of_set5(evaluate, shared):
    weights = shared / "weights" / "lpips"
    folder = shared / "data/val/Set5/x4"
    status, out, _ = evaluate("--data", folder, "--lpips", "squeeze", "--lpips-weights", weights, "--device", "CPU")
    assert status == 0
    assert "LPIPS(squeeze)" in out
    assert metrics("runs/eval")["lpips_net"] == "squeeze"
    assert metrics("runs/eval")["mean"]["bicubic"]["lpips"] == pytest.approx(0.2860, abs=1e-4)


def test_a_broken_picture_is_told_before_the_first_is_upscaled(evaluate, data, checkpoints):
    checkpoints["w.ckpt"] = Nearest()
    (data / "HR" / "img_1.png").write_bytes((data / "HR" / "img_1.png").read_bytes()[:20])
    status, _, err = evaluate("--checkpoint", "w.ckpt", "--data", data)
    assert status == 2
    assert "img_1.png" in last_line(err)
    assert checkpoints["w.ckpt"].calls == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--data", "empty"], "no pictures in empty"),
        ([], "data/df2k/val does not exist"),
        (["--data", "{data}", "--hr", "{data}"], "name the pictures by one of"),
        (["--data", "{data}", "--scale", "4"], "should be 12×10"),
        (["--data", "{data}", "--checkpoint", "nowhere.ckpt"], "no model at nowhere.ckpt"),
        (["--data", "{data}", "--checkpoint", "w.ckpt", "--sampler", "euler"], "'eval.sampler' must be one of"),
        (["--data", "{data}", "--checkpoint", "w.ckpt", "--steps", "0"], "'eval.steps'"),
        (["--data", "{data}", "--checkpoint", "w.ckpt", "--steps", "101"], "at most 'diffusion.steps' (100), got 101"),
        (["--data", "{data}", "--checkpoint", "w.ckpt", "--temperature", "nan"], "'eval.temperature'"),
        (["--data", "{data}", "data.value=1"], "'data.value=1' has no effect on an evaluation"),
        (["--data", "{data}", "nonsense"], "'nonsense' has no effect"),
        (["--data", "{data}", "--seed", "-1"], "argument --seed: expected a number from 0"),
        (["--data", "{data}", "--output", "file/inner"], "cannot write to file/inner"),
    ],
)
def test_a_mistake_is_one_line_and_exit_status_2(evaluate, data, checkpoints, tmp_path, arguments, message):
    checkpoints["w.ckpt"] = Nearest()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    status, out, err = evaluate(*(argument.replace("{data}", str(data)) for argument in arguments))
    assert status == 2
    assert last_line(err).startswith("error: ")
    assert message in last_line(err)
    assert "Traceback" not in err
    assert out == ""
