"""Table, JSON and CSV, among them scores that are absent or infinite."""

import csv
import json

import numpy as np
import pytest

from src.errors import UserError
from src.metrics.evaluate import Report, Scores
from src.metrics.report import as_csv, as_json, as_table, prepare_folder, write_report

ABOUT = {
    "data": "照片",
    "seed": 3,
    "methods": {"bicubic": {}, "srdiff": {"checkpoint": "w.ckpt", "sampler": "ddpm", "steps": 50, "temperature": 0.5}},
}


@pytest.fixture
def report():
    scores = {
        "bicubic": [Scores(28.0, 0.8, 0.25, 40.0), Scores(30.0, None, None, np.inf)],
        "srdiff": [Scores(29.0, 0.9, 0.125, 45.0), Scores(np.inf, None, None, np.inf)],
    }
    return Report("classic", 4, "squeeze", ["img, 1", "小"], scores)


def test_table(report):
    assert as_table(report, ABOUT).splitlines() == [
        "protocol classic (luma, edges cropped by the scale, Gaussian SSIM), x4, pictures 2, seed 3",
        "          PSNR    SSIM  LPIPS(squeeze)  LR-PSNR  sampler",
        "bicubic  29.00  0.8000          0.2500      inf  –",
        "srdiff     inf  0.9000          0.1250      inf  ddpm, steps 50, temperature 0.5",
        "no SSIM for pictures too small for it: 小",
        "no LPIPS for pictures too small for it: 小",
    ]


def test_lpips_that_was_not_measured_is_shown_as_absent_without_a_note():
    report = Report("srdiff", 4, None, ["a"], {"bicubic": [Scores(28.0, 0.8, None, 40.0)]})
    table = as_table(report, ABOUT).splitlines()
    assert table[1:] == ["          PSNR    SSIM  LPIPS  LR-PSNR  sampler", "bicubic  28.00  0.8000      –    40.00  –"]


def test_many_pictures_without_a_score_are_counted():
    names = [f"p{number}" for number in range(5)]
    report = Report("y", 4, None, names, {"bicubic": [Scores(28.0, None, None, 40.0)] * 5})
    assert as_table(report, ABOUT).splitlines()[-1] == "no SSIM for pictures too small for it: p0, p1, p2 and 2 more"


def test_json_is_valid_and_complete(report):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads(as_json(report, ABOUT), parse_constant=refuse)
    assert {key: content[key] for key in ABOUT} == ABOUT
    assert (content["protocol"], content["scale"], content["lpips_net"]) == ("classic", 4, "squeeze")
    assert content["mean"]["srdiff"] == {"psnr": "inf", "ssim": 0.9, "lpips": 0.125, "lr_psnr": "inf"}
    assert [picture["name"] for picture in content["pictures"]] == report.names
    assert content["pictures"][1]["bicubic"] == {"psnr": 30.0, "ssim": None, "lpips": None, "lr_psnr": "inf"}
    assert content["versions"]["numpy"] == np.__version__


def test_csv_has_a_line_for_each_picture_and_method(report):
    rows = list(csv.reader(as_csv(report).splitlines()))
    assert rows == [
        ["picture", "method", "psnr", "ssim", "lpips", "lr_psnr"],
        ["img, 1", "bicubic", "28.0", "0.8", "0.25", "40.0"],
        ["img, 1", "srdiff", "29.0", "0.9", "0.125", "45.0"],
        ["小", "bicubic", "30.0", "", "", "inf"],
        ["小", "srdiff", "inf", "", "", "inf"],
    ]


def test_files_are_written_into_a_new_folder(report, tmp_path):
    folder = prepare_folder(tmp_path / "a b" / "输出")
    write_report(report, ABOUT, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.csv", "metrics.json"]
    assert (folder / "metrics.json").read_text(encoding="utf-8") == as_json(report, ABOUT)
    assert (folder / "metrics.csv").read_text(encoding="utf-8") == as_csv(report)


def test_a_folder_that_cannot_be_made_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "inner"):
        with pytest.raises(UserError, match="cannot write to .*file.*--output"):
            prepare_folder(folder)
