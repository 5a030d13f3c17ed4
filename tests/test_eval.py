"""eval.py from its command line, with a nearest-neighbour upscaler in the place of a checkpoint's."""

import csv
import dataclasses
import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import src.build
from src.command import RRDB, SRDIFF, run
from src.config.schema import DataConfig, DegradationConfig, EvalConfig
from src.dataset.degradation import degradation_of
from src.dataset.patches import VALIDATION, generator
from src.errors import UserError
from src.families.registry import SCHEMAS, family_of
from src.imaging.io import read_rgb, write_image
from src.imaging.resize import imresize
from src.imaging.strip import side_by_side
from src.inference.sampling import Sampling
from src.inference.tile_size import Cost, Reach, Tiling
from src.inference.upscaler import Upscaler
from src.metrics.niqe import niqe
from tests import wandb_files

ROOT = Path(__file__).resolve().parents[1]

TILES = {"tiles": {"tile": "as memory allows", "halo": 0, "max_memory": None}}
PLAIN = {"spacing": "uniform", "eta": 0.0, "consistency": False}  # what a configuration leaves as it is


class Nearest(Upscaler):
    """Repeats pixels, and remembers the seeds and how it was told to sample."""

    def __init__(self, scale=2, system="srdiff", name="nearest", data=None, **settings):
        data = DataConfig(scale=scale, **(data or {}))
        self.config = SCHEMAS[system](name=name, system=system, data=data, eval=EvalConfig(**settings))
        family = family_of(self.config)
        tiling = Tiling(scale, scale, Reach(0), Cost(1))
        super().__init__(None, tiling, name=name, system=system, sampling=family.sampling())
        self.one_pass, self.calls = family.one_pass, []

    def resolve(self, defaults=None, **options):
        sampling = (defaults or self.sampling).replaced(**options)
        return Sampling(consistency=sampling.consistency or None) if self.one_pass else sampling

    def passes(self, shape, sampling):
        return 1

    def _encode(self, lr, lr_up):
        return lr

    def draw(self, condition, sampling, seed=0, progress=None, noise=None, callback=None):
        self.calls.append((seed, sampling.options()))
        for _ in range(sampling.steps or 0):
            callback()
        return condition.repeat(self.scale, 2).repeat(self.scale, 3)


@pytest.fixture
def checkpoints(monkeypatch):
    """A dict of path to upscaler, which ``load`` then knows."""
    known = {}

    def load(path, **_):
        if str(path) not in known:
            raise UserError(f"no model at {path}")
        return known[str(path)].config, known[str(path)]

    monkeypatch.setattr(src.build, "load", load)
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
    command = importlib.import_module("src.cli.eval")

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
    status, out, _ = evaluate(
        "--checkpoint", "none", "--data", shared / "data/val/Set5/x4", "--protocol", "classic", "--lpips", "none"
    )
    assert status == 0
    assert out.splitlines()[2].split()[:3] == ["bicubic", "28.42", "0.8101"]


def test_without_a_name_the_two_that_come_with_the_project_are_scored(evaluate, data, checkpoints):
    checkpoints.update({str(RRDB): Nearest(system="rrdb", name="rrdb"), str(SRDIFF): Nearest()})
    status, out, _ = evaluate("--data", data, "--lpips", "none")
    assert status == 0 and [line.split()[0] for line in out.splitlines()[2:]] == ["bicubic", "rrdb", "nearest"]


def test_a_model_is_scored_beside_bicubic(evaluate, data, checkpoints):
    checkpoints["w.ckpt"] = Nearest(protocol="y", steps=20, temperature=0.5)
    status, out, _ = evaluate("--checkpoint", "w.ckpt", "--data", data, "--seed", 5, "--output", "out")
    assert status == 0
    assert out.startswith("protocol y ")
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["bicubic", "nearest"]
    assert out.splitlines()[3].endswith("ddpm, steps 20, temperature 0.5")
    sampling = PLAIN | {"sampler": "ddpm", "steps": 20, "temperature": 0.5}
    assert checkpoints["w.ckpt"].calls == [(5, sampling), (6, sampling)]
    report = metrics("out")
    assert report["methods"] == {
        "bicubic": {},
        "nearest": {"checkpoint": "w.ckpt", "system": "srdiff", **sampling, **TILES},
    }
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
    assert checkpoints["a.ckpt"].calls[0] == (0, {})  # nothing is sampled


def test_flags_come_before_the_checkpoints_settings(evaluate, data, checkpoints):
    checkpoints["w.ckpt"] = Nearest(protocol="y")
    flags = ["--protocol", "sr3", "--sampler", "ddim", "--steps", 3, "--temperature", 0, "--spacing", "logsnr"]
    flags += ["--eta", 0.5, "--consistency"]
    status, out, _ = evaluate("--checkpoint", "w.ckpt", "--data", data, *flags)
    assert status == 0
    assert out.startswith("protocol sr3 ")
    sampling = {"sampler": "ddim", "steps": 3, "temperature": 0, "spacing": "logsnr", "eta": 0.5, "consistency": True}
    assert checkpoints["w.ckpt"].calls[0][1] == sampling
    assert out.splitlines()[3].endswith("ddim, eta 0.5, steps 3, logsnr, temperature 0, consistent")


def test_overrides_may_follow_the_checkpoint(evaluate, data, checkpoints):
    checkpoints["w.ckpt"] = Nearest()
    status, _, _ = evaluate("--checkpoint", "w.ckpt", "eval.steps=7", f"data.val={data}")
    assert status == 0
    assert checkpoints["w.ckpt"].calls[0][1]["steps"] == 7
    assert metrics("runs/eval")["data"] == str(data)


def test_the_test_pictures_are_scored_and_without_them_those_for_validation(evaluate, data, checkpoints, tmp_path):
    write_image(tmp_path / "test" / "unseen.png", read_rgb(data / "HR" / "img_1.png"))
    folders = {"val": str(data), "test": str(tmp_path / "test")}
    checkpoints.update({"new.ckpt": Nearest(data=folders), "old.ckpt": Nearest(data={"val": str(data)})})
    for arguments, scored in (
        (["new.ckpt"], folders["test"]),
        (["new.ckpt", "data.test="], folders["val"]),
        (["old.ckpt"], folders["val"]),
        (["old.ckpt", f"data.test={folders['test']}"], folders["test"]),
        (["new.ckpt", "--data", folders["val"]], folders["val"]),
    ):
        assert evaluate("--checkpoint", *arguments, "--output", "out", "--lpips", "none")[0] == 0
        assert metrics("out")["data"] == scored
        assert len(metrics("out")["pictures"]) == (1 if scored == folders["test"] else 2)


def test_of_a_preprocessed_root_the_test_pictures_are_scored(evaluate, data, checkpoints, tmp_path):
    for split, numbers in (("val", (0, 1)), ("test", (0,))):
        for part, folder in (("X1", "HR"), ("X2", "LR")):
            for number in numbers:
                picture = read_rgb(data / folder / f"img_{number}.png")
                write_image(tmp_path / "root" / split / part / f"image_{number}.png", picture)
    checkpoints["w.ckpt"] = Nearest(data={"val": str(tmp_path / "root")})
    assert evaluate("--data", tmp_path / "root", "--scale", 2, "--output", "out", "--lpips", "none")[0] == 0
    assert len(metrics("out")["pictures"]) == 1
    assert evaluate("--checkpoint", "w.ckpt", "--output", "out", "--lpips", "none")[0] == 0
    assert len(metrics("out")["pictures"]) == 2  # what validation looked at


def test_pictures_that_a_model_was_validated_on_are_told(evaluate, data, checkpoints, tmp_path, caplog):
    caplog.set_level("INFO")
    absent = str(tmp_path / "absent")
    checkpoints.update(
        {
            "a.ckpt": Nearest(name="a", data={"val": str(data)}),
            "b.ckpt": Nearest(name="b", data={"val": str(data), "val_pictures": 1}),
            "c.ckpt": Nearest(name="c", data={"val": absent}),
        }
    )
    told = "of the 2 pictures, a was validated on 2, b was validated on 1: to test on others"
    for pictures in (["--data", data], ["--hr", data / "HR"]):
        evaluate("--checkpoint", "a.ckpt", "b.ckpt", "c.ckpt", *pictures, "--lpips", "none")
        assert [message.startswith(told) for message in caplog.messages if "validated" in message] == [True]
        caplog.clear()
    write_image(tmp_path / "test" / "img_0.png", read_rgb(data / "HR" / "img_0.png"))
    evaluate("--checkpoint", "a.ckpt", "c.ckpt", "--data", tmp_path / "test", "--lpips", "none")
    assert not [message for message in caplog.messages if "validated" in message]


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


def test_hr_alone_by_maxpool_is_the_test_of_the_seed(evaluate, data, checkpoints):
    """Each picture's PSNR and SSIM on LR by max-pooling, their means, and the CSV."""
    checkpoints["w.ckpt"] = Nearest(system="rrdb")
    arguments = ["--checkpoint", "w.ckpt", "--hr", data / "HR", "--output", "out", "--lpips", "none"]
    status, out, _ = evaluate(*arguments, "--lr-kernel", "maxpool", "--save-pictures")
    assert status == 0 and out.startswith(
        "protocol srdiff (RGB, no crop, uniform SSIM), x2, LR by maxpool, pictures 2,"
    )
    expected = []
    for name in ("img_0", "img_1"):
        hr = read_rgb(data / "HR" / f"{name}.png")
        blocks = [hr[row::2, column::2] for row in (0, 1) for column in (0, 1)]
        sr = np.maximum.reduce(blocks).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(read_rgb(f"out/pictures/nearest/{name}.png"), sr)
        expected.append(-10 * np.log10(np.mean(np.square((hr - sr.astype(float)) / 255))))
    rows = [
        row for row in csv.DictReader(Path("out/metrics.csv").read_text().splitlines()) if row["method"] == "nearest"
    ]
    assert [float(row["psnr"]) for row in rows] == pytest.approx(expected)
    report = metrics("out")
    assert report["lr_kernel"] == "maxpool" and report["mean"]["nearest"]["psnr"] == pytest.approx(np.mean(expected))
    assert report["mean"]["nearest"]["ssim"] == pytest.approx(np.mean([float(row["ssim"]) for row in rows]))


def test_pictures_are_degraded_by_the_settings_of_the_first_model_or_the_file(evaluate, data, checkpoints, caplog):
    """LR that is there is not looked at; each seed has its degradations; a file's settings are for all models."""
    caplog.set_level("INFO")
    checkpoints["clean.ckpt"], photo = Nearest(system="rrdb", name="clean"), Nearest(system="rrdb", name="photo")
    photo.config = dataclasses.replace(photo.config, degradation=DegradationConfig(kind="real", jpeg_range2=(60, 70)))
    checkpoints["photo.ckpt"] = photo
    Path("real.yaml").write_text("system: rrdb\ndegradation: {kind: real, jpeg_range2: [60, 70]}\n")
    common = ["--data", data, "--lpips", "none", "--save-pictures", "--degrade"]
    own = ["--checkpoint", "photo.ckpt", "clean.ckpt", "--output", "own"]
    of_file = ["--checkpoint", "clean.ckpt", "--config", "real.yaml", "--output", "file"]
    status, out, _ = evaluate(*own, *common, 7)
    assert status == 0 and "x2, LR degraded by seed 7, pictures 2" in out
    assert "LR" not in caplog.messages[0].partition("left aside")[0]
    assert evaluate(*of_file, *common, 7)[0] == 0
    degradation = degradation_of(photo.config.degradation)
    for number in range(2):
        hr, sr = read_rgb(data / f"HR/img_{number}.png"), read_rgb(f"own/pictures/photo/img_{number}.png")
        lr = degradation(hr, 2, generator(7, VALIDATION, number))
        np.testing.assert_array_equal(sr, lr.repeat(2, 0).repeat(2, 1))
        for other in ("own/pictures/clean", "file/pictures/clean"):
            np.testing.assert_array_equal(sr, read_rgb(f"{other}/img_{number}.png"))
    report = metrics("own")
    assert report["degradation"]["seed"] == 7 and report["degradation"]["jpeg_range2"] == [60, 70]
    assert report["lr_kernel"] is None and report["lr_folders"] == []
    assert evaluate(*own, *common, 8)[0] == 0 and metrics("own")["mean"] != report["mean"]
    for arguments, message in (
        (
            ["--checkpoint", "clean.ckpt", *common, 0],
            "error: --degrade 0 asks for settings whose degradation.kind is not",
        ),
        (
            [*own, "--hr", data / "HR", "--lr", data / "LR", "--degrade", 0],
            "error: --degrade 0 makes LR of HR: leave --lr",
        ),
        ([*own, *common, 0, "--lr-kernel", "bicubic"], "error: --degrade 0 makes LR of HR: leave --lr-kernel bicubic"),
        ([*own, *common, -1], "error: argument --degrade: expected a number from 0 to 2^63 - 1, got -1"),
    ):
        status, _, err = evaluate(*arguments)
        assert status == 2 and last_line(err).startswith(message)


def test_the_kernel_is_named_and_has_no_effect_where_lr_is_given(evaluate, data):
    for folders, kernel in ((["--hr", data / "HR"], "bicubic"), (["--data", data], None)):
        assert evaluate(*folders, "--scale", 2, "--output", "out", "--lpips", "none")[0] == 0
        assert metrics("out")["lr_kernel"] == kernel
    for kernel in ("bicubic", "maxpool"):
        for folders in (["--data", data], ["--hr", data / "HR", "--lr", data / "LR"]):
            status, _, err = evaluate(*folders, "--scale", 2, "--lr-kernel", kernel)
            assert status == 2 and last_line(err).startswith(
                f"error: the kernel {kernel} cannot make LR pictures, they are there, in {data / 'LR'}: leave it"
            )


def test_where_lr_came_from_is_told_and_written(evaluate, data, caplog):
    caplog.set_level("INFO")
    (data / "LR_bicubic").mkdir()
    (data / "LR").rename(data / "LR_bicubic/X2")
    write_image(data / "LR_unknown" / "img_0.png", read_rgb(data / "HR/img_0.png")[::2, ::2])
    low, other = str(data / "LR_bicubic/X2"), str(data / "LR_unknown")
    for arguments, told, written in (
        (
            ["--data", data],
            f"LR in {low}, paired by folder and name; left aside: {other} (1)",
            [None, None, [low], [other]],
        ),
        (["--hr", data / "HR", "--lr", low], f"LR in {low}, paired by name", [None, None, [low], []]),
        (
            ["--hr", data / "HR"],
            f"LR is made by bicubic; left aside: {low} (2), {other} (1)",
            ["bicubic", "symmetric", [], [low, other]],
        ),
        (
            ["--hr", data / "HR", "--lr-kernel", "maxpool"],
            "LR is made by maxpool; left",
            ["maxpool", None, [], [low, other]],
        ),
    ):
        caplog.clear()
        assert evaluate(*arguments, "--scale", 2, "--lpips", "none", "--output", "out")[0] == 0
        assert f"2 HR pictures in {data / 'HR'}; {told}" in caplog.messages[0]
        names = ("lr_kernel", "lr_edges", "lr_folders", "left_aside")
        assert [metrics("out")[name] for name in names] == written


def test_inverted_lr_is_another_score(evaluate, data):
    def psnr():
        assert evaluate("--data", data, "--scale", 2, "--lpips", "none", "--output", "out")[0] == 0
        return metrics("out")["mean"]["bicubic"]["psnr"]

    (data / "LR").rename(data / "LR_x2")
    right = psnr()
    for path in (data / "LR_x2").iterdir():
        write_image(path, 255 - read_rgb(path))
    assert right > 20 > 15 > psnr()


def test_pictures_of_two_sizes_are_not_scored(evaluate, data):
    for path in (data / "LR").iterdir():
        path.rename(data / f"HR/{path.stem}_from_my_phone.png")
    (data / "HR").rename(data / "pictures")
    status, out, err = evaluate("--data", data, "--scale", 2)
    assert status == 2 and out == ""
    assert "2 times apart, such as img_0.png (48×40) and img_0_from_my_phone.png (24×20)" in last_line(err)
    assert "--hr DIR --lr DIR" in last_line(err)


@pytest.mark.parametrize(("name", "psnr"), [("gtlq", 28.22), ("edsr", 28.22), ("edsr_neg", 13.02), ("gtlq_neg", 13.02)])
def test_sets_as_people_have_them(evaluate, shared, name, psnr):
    options = ["--checkpoint", "none", "--scale", 4, "--protocol", "classic", "--lpips", "none", "--output", "out"]
    assert evaluate("--data", shared / "field/sets" / name, *options)[0] == 0
    report = metrics("out")
    assert len(report["pictures"]) == 3 and report["mean"]["bicubic"]["psnr"] == pytest.approx(psnr, abs=0.005)


def test_niqe_is_measured_on_request(evaluate, data, photo):
    write_image(data / "HR" / "wide.png", photo[:96, :192])
    write_image(data / "LR" / "wide.png", imresize(photo[:96, :192], 1 / 2))
    status, out, _ = evaluate("--data", data, "--scale", 2, "--lpips", "none", "--niqe")
    assert status == 0
    _, titles, row, *notes = out.splitlines()
    report = metrics("runs/eval")
    score = niqe(imresize(imresize(photo[:96, :192], 1 / 2), 2))
    assert [picture["bicubic"]["niqe"] for picture in report["pictures"]] == [None, None, score]
    assert (titles.split()[4], row.split()[5]) == ("NIQE", f"{score:.2f}")
    assert notes == ["no NIQE for pictures too small or too flat for it: img_0, img_1"]
    assert notes == report["notes"]
    rows = list(csv.DictReader(Path("runs/eval/metrics.csv").read_text().splitlines()))
    assert [row["niqe"] for row in rows] == ["", "", str(score)]


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
    options = ["--checkpoint", "none", "--lpips", "squeeze", "--lpips-weights", weights, "--device", "CPU"]
    status, out, _ = evaluate("--data", folder, *options)
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


def test_wandb_gets_the_means_the_scores_and_pictures(evaluate, data, checkpoints, wandb):
    checkpoints["runs/net/w.ckpt"] = Nearest(protocol="y", steps=20, temperature=0.5)
    arguments = ["--checkpoint", "runs/net/w.ckpt", "--data", data, "--seed", 5, "--output", "out", "--lpips", "none"]
    status, out, _ = evaluate(*arguments, "--wandb", "offline", "--wandb-project", "my project")
    assert status == 0 and out.startswith("protocol y ")
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "metrics.csv",
        "metrics.json",
        "wandb",
        "wandb_id.txt",
    ]
    run = wandb_files.read(Path("out"))
    assert (run["run"].project, run["run"].display_name, run["run"].job_type) == ("my project", "eval nearest", "eval")
    sampling = PLAIN | {"sampler": "ddpm", "steps": 20, "temperature": 0.5}
    about = {"protocol": "y", "scale": 2, "seed": 5, "data": "/".join(data.parts[-2:])}
    about["methods"] = {"bicubic": {}, "nearest": {"checkpoint": "net/w.ckpt", "system": "srdiff", **sampling, **TILES}}
    assert {name: run["config"][name] for name in about} == about
    assert run["exit"] == 0
    logged = run["history"][0]
    report = metrics("out")
    for method, means in report["mean"].items():
        for metric in ("psnr", "ssim", "lr_psnr"):
            assert logged[f"{method}/{metric}"] == means[metric]
        assert f"{method}/lpips" not in logged
    table = json.loads((run["files"] / logged["scores"]["path"]).read_text())
    assert table["columns"] == ["picture", "method", "psnr", "ssim", "lpips", "lr_psnr", "consistency", "niqe"]
    assert table["data"] == [
        [picture["name"], method, *picture[method].values()]
        for picture in report["pictures"]
        for method in report["mean"]
    ]
    for name in ("img_0", "img_1"):
        lr, hr = read_rgb(data / "LR" / f"{name}.png"), read_rgb(data / "HR" / f"{name}.png")
        picture = read_rgb(run["files"] / logged[f"pictures/{name}"]["path"])
        np.testing.assert_array_equal(picture, side_by_side(lr, imresize(lr, 2), lr.repeat(2, 0).repeat(2, 1), hr))


def test_wandb_gets_few_pictures_and_hears_of_a_failure(evaluate, data, checkpoints, wandb, monkeypatch):
    monkeypatch.setattr("src.commands.evaluate.LOGGED_PICTURES", 1)
    assert evaluate("--data", data, "--scale", 2, "--lpips", "none", "--wandb", "offline")[0] == 0
    logged = wandb_files.read(Path("runs/eval"))["history"][0]
    assert [name for name in logged if name.startswith("pictures/")] == ["pictures/img_0"]
    monkeypatch.setattr(Nearest, "draw", lambda self, condition, *_, **__: condition)
    checkpoints["w.ckpt"] = Nearest()
    status, _, err = evaluate("--checkpoint", "w.ckpt", "--data", data, "--output", "out", "--wandb", "offline")
    assert status == 2 and "nearest made" in last_line(err)
    assert wandb_files.read(Path("out"))["exit"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--data", "empty"], "no pictures in empty"),
        ([], "data/df2k/val does not exist"),
        (["data.test=data/mine/test"], "data/mine/test does not exist: name others with --data, or make these with"),
        (["--lr", "{data}"], "name the pictures by one of"),
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
    arguments = [*arguments, *([] if "--checkpoint" in arguments else ["--checkpoint", "none"])]
    status, out, err = evaluate(*(argument.replace("{data}", str(data)) for argument in arguments))
    assert status == 2
    assert last_line(err).startswith("error: ")
    assert message in last_line(err)
    assert "Traceback" not in err
    assert out == ""
