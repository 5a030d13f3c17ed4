"""Every command under the locales C, POSIX, GBK and Latin-1, in folders whose names are not ASCII."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from src.imaging.io import write_image
from src.weights.checkpoint import load_checkpoint
from tests import tiny

LOCALES = {  # name: its source and character map for localedef, how its users' files are named
    "C": (None, "中文 é", "utf-8"),
    "POSIX": (None, "中文 é", "utf-8"),
    "zh_CN.GBK": (("zh_CN", "GBK"), "中文 é", "gbk"),
    "en_US.ISO-8859-1": (("en_US", "ISO-8859-1"), "é ü", "latin-1"),
}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names of files are bytes on Linux"),
]


@pytest.fixture(params=LOCALES)
def run(request, tmp_path, tiny_pictures, tiny_checkpoints):
    """Return ``run(script, *words)``, in a folder with HR and LR pictures and checkpoints, and the folder's path."""
    (source, name, encoding), environment = LOCALES[request.param], os.environ | {"LANG": request.param}
    for variable in [name for name in environment if name.startswith(("LC_", "PYTHONUTF8", "PYTHONIOENCODING"))]:
        del environment[variable]
    if source:
        build = ["localedef", "-i", source[0], "-f", source[1], tmp_path / "locales" / request.param]
        (tmp_path / "locales").mkdir()
        if not shutil.which("localedef") or subprocess.run(build, capture_output=True).returncode > 1:  # 1: warnings
            pytest.skip(f"localedef cannot build {request.param} here: the package locales has its source")
        environment["LOCPATH"] = str(tmp_path / "locales")
    folder = tmp_path / os.fsdecode(name.encode(encoding))
    shutil.copytree(tiny_pictures, folder)
    for system, path in tiny_checkpoints.items():
        shutil.copy(path, folder / f"{system}.ckpt")

    def run(script, *words):
        words = [word.replace("DIR", name).encode(encoding) if isinstance(word, str) else word for word in words]
        command = [sys.executable, tiny.ROOT / script, *words]
        found = subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment)
        text = (found.stdout + found.stderr).decode(encoding)  # the terminal's
        assert found.returncode == 0 and "Traceback" not in text, text
        return text

    return run, folder, environment


def test_every_command(run):
    run, folder, environment = run
    environment["MS_COMPILER_CACHE_ENABLE"] = "1"  # mindspore then reads the source of what it compiles
    environment["MS_COMPILER_CACHE_PATH"] = str(folder.parent / "graphs")
    device = "--device", "CPU"
    infer = "--input", "DIR/val", *device
    run("infer.py", "--checkpoint", "DIR/srdiff.ckpt", "--runtime", "mindspore", *infer, "--output", "DIR/a")
    del environment["MS_COMPILER_CACHE_ENABLE"]
    run("infer.py", "--checkpoint", "DIR/srdiff.ckpt", *infer, "--output", "DIR/b")
    assert sorted(os.listdir(folder / "a")) == sorted(os.listdir(folder / "b")) == [".mindspore-sr", "eye.png"]
    settings = tiny.settings("rrdb", None, "data.train=DIR/train", "data.val=DIR/val")
    run("train.py", *settings, "--output", "DIR/run", *device)
    scored = "--checkpoint", "DIR/run/model.ckpt", "--hr", "DIR/val", "--lpips", "none"
    run("eval.py", *scored, "--output", "DIR/c", *device)
    for kind in ("mindir", "onnx"):
        run("export.py", "--checkpoint", "DIR/rrdb.ckpt", "--format", kind, "--output", f"DIR/x/m.{kind}", *device)
        run("infer.py", "--model", f"DIR/x/m.{kind}", *infer, "--output", f"DIR/{kind}")
    text = run("convert.py", "--blend", "DIR/rrdb.ckpt", "DIR/rrdb.ckpt", "--alpha", "0.5", "--output", "DIR/w.ckpt")
    assert "written" in text and load_checkpoint(folder / "w.ckpt").step == 0
    words = "--root", "DIR/train", "--dataset", "folder", "--output", "DIR/made", "--patch-size", "32", "--stride", "16"
    text = run("src/dataset/div2k_preprocess.py", *words, "--workers", "2")
    assert "skipped: 0 broken" in text


def test_names_that_the_locale_cannot_decode(tmp_path, photo):
    """As those of GBK under UTF-8: they are in the reports, and are found again."""
    name = os.fsdecode("图".encode("gbk"))
    (tmp_path / name).mkdir()
    for number in range(2):
        write_image(tmp_path / name / f"{name}{number}.png", photo[64 * number :, :64][:64])
    words = ["--checkpoint", "none", "--scale", 4, "--data", name, "--lpips", "none", "--output", "scores"]
    status, _, lines = tiny.run("eval.py", *words, cwd=tmp_path)
    assert status == 0, lines
    assert name in json.loads((tmp_path / "scores/metrics.json").read_text())["data"]
    words = ["--root", name, "--dataset", "folder", "--output", "made", "--patch-size", 32, "--stride", 16]
    for _ in range(2):
        status, out, lines = tiny.run("src/dataset/div2k_preprocess.py", *words, "--workers", 1, cwd=tmp_path)
        assert status == 0 and "train: 9 pictures from 1 source pictures" in out, (out, lines)
    sources = json.loads((tmp_path / "made/manifest.json").read_text())["splits"]["train"]["sources"]
    assert [source["name"] for source in sources] == [f"{name}0.png"]
