"""The script that finds, checks and lays out the pictures of the README's tables."""

import sys
from pathlib import Path

import numpy as np
import pytest

from scripts import get_benchmarks
from src.dataset.pairs import find_pairs
from src.errors import UserError
from src.imaging.io import write_image
from tests.tiny import ROOT

PICTURES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Run it, with two known pictures."""
    lines = [f"{get_benchmarks.pixel_hash(each)}  Set14/HR/{n}.png" for n, each in enumerate(PICTURES[:2])]
    (tmp_path / "hashes").write_text("\n".join(["# a comment", *lines]))
    monkeypatch.setattr(get_benchmarks, "HASHES", tmp_path / "hashes")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["get_benchmarks.py", *map(str, arguments)])
        return get_benchmarks.main()

    return run


def test_it_says_where_each_set_is(script, capsys):
    assert script("--output", "somewhere") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("Set5", "BSD200", "T91", "DIV2K", "Flickr2K", "Urban100"))
    assert "eval.py --data somewhere/Set5/x4" in out


def test_pictures_are_known_by_their_pixels(script, tmp_path, capsys):
    fetched, output = tmp_path / "fetched", tmp_path / "data"
    write_image(fetched / "sub" / "other name.bmp", PICTURES[0])
    write_image(fetched / "0.png", PICTURES[2])  # of the right name
    (fetched / "broken.png").write_bytes(b"none")
    assert script("--fetched", fetched, "--output", output) == 1
    assert "Set14: 1 of 2 pictures" in (out := capsys.readouterr().out) and "first missing: Set14/HR/1.png" in out
    write_image(fetched / "1.png", PICTURES[1])
    for _ in range(2):
        assert script("--fetched", fetched, "--output", output) == 0
    assert [path.name for path in sorted((output / "Set14" / "HR").iterdir())] == ["0.png", "1.png"]
    assert len(find_pairs(output / "Set14", scale=4)) == 2


def test_a_link_to_what_was_moved_is_made_anew(script, tmp_path):
    for folder in ("a", "b"):
        for n, picture in enumerate(PICTURES[:2]):
            write_image(tmp_path / folder / f"{n}.png", picture)
        assert script("--fetched", tmp_path / folder, "--output", tmp_path / "data") == 0
        assert (tmp_path / "data/Set14/HR/0.png").resolve() == tmp_path / folder / "0.png"
        (tmp_path / folder).rename(tmp_path / f"{folder} moved")


def test_a_folder_that_is_not_there(script, tmp_path):
    with pytest.raises(UserError, match=r"--fetched must be a folder .*none\.zip is none: name another"):
        script("--fetched", tmp_path / "none.zip")


@pytest.mark.skipif(not (ROOT.parent / "shared/data/val").is_dir(), reason="needs ../shared/data/val")
def test_the_real_test_sets(monkeypatch, tmp_path, capsys):
    fetched = ROOT.parent / "shared/data/val"
    monkeypatch.setattr(sys, "argv", ["get_benchmarks.py", "--fetched", str(fetched), "--output", str(tmp_path)])
    assert get_benchmarks.main() == 1  # without the training pictures
    out = capsys.readouterr().out
    assert "Set5: 10 of 10 pictures" in out and "Set14: 14 of 14 pictures" in out and "lite: 0 of 291" in out
    assert all(Path(pair.lr).exists() for pair in find_pairs(tmp_path / "Set5/x4", scale=4))
