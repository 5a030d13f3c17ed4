"""Table, JSON and CSV, among them scores that are absent or infinite."""

import csv
import json

import numpy as np
import pytest

from src.errors import UserError
from src.metrics.evaluate import Report, Scores
from src.metrics.picture_sets import SetScores
from src.metrics.report import as_csv, as_json, as_table, prepare_folder, write_report

ABOUT = {
    "data": "照片",
    "seed": 3,
    "methods": {"bicubic": {}, "srdiff": {"checkpoint": "w.ckpt", "sampler": "ddpm", "steps": 50, "temperature": 0.5}},
}


@pytest.fixture
def report():
    scores = {
        "bicubic": [Scores(28.0, 0.8, 0.25, 40.0, 10.0), Scores(30.0, None, None, np.inf, 0.0)],
        "srdiff": [Scores(29.0, 0.9, 0.125, 45.0, 3.0), Scores(np.inf, None, None, np.inf, 0.0)],
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
    report = Report("srdiff", 4, None, ["a"], {"bicubic": [Scores(28.0, 0.8, None, 40.0, 10.0)]})
    table = as_table(report, ABOUT).splitlines()
    assert table[1:] == ["          PSNR    SSIM  LPIPS  LR-PSNR  sampler", "bicubic  28.00  0.8000      –    40.00  –"]


def test_niqe_is_a_column_where_it_was_asked_for():
    scores = [Scores(28.0, 0.8, None, 40.0, 10.0, 4.126), Scores(28.0, 0.8, None, 40.0, 10.0)]
    report = Report("srdiff", 4, None, ["a", "b"], {"bicubic": scores}, niqe=True)
    assert as_table(report, ABOUT).splitlines()[1:] == [
        "          PSNR    SSIM  LPIPS  LR-PSNR  NIQE  sampler",
        "bicubic  28.00  0.8000      –    40.00  4.13  –",
        "no NIQE for pictures too small or too flat for it: b",
    ]


def test_many_pictures_without_a_score_are_counted():
    names = [f"p{number}" for number in range(5)]
    report = Report("y", 4, None, names, {"bicubic": [Scores(28.0, None, None, 40.0, 10.0)] * 5})
    assert as_table(report, ABOUT).splitlines()[-1] == "no SSIM for pictures too small for it: p0, p1, p2 and 2 more"


def test_json_is_valid_and_complete(report):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads(as_json(report, ABOUT), parse_constant=refuse)
    assert {key: content[key] for key in ABOUT} == ABOUT
    assert (content["protocol"], content["scale"], content["lpips_net"]) == ("classic", 4, "squeeze")
    assert content["mean"]["srdiff"] == {
        "psnr": "inf",
        "ssim": 0.9,
        "lpips": 0.125,
        "lr_psnr": "inf",
        "consistency": 1.5,
        "niqe": None,
    }
    assert [picture["name"] for picture in content["pictures"]] == report.names
    assert content["pictures"][1]["bicubic"] == {
        "psnr": 30.0,
        "ssim": None,
        "lpips": None,
        "lr_psnr": "inf",
        "consistency": 0.0,
        "niqe": None,
    }
    assert (content["sets"], content["hr_set"]) == ({}, None)
    assert content["versions"]["numpy"] == np.__version__


def test_csv_has_a_line_for_each_picture_and_method(report):
    rows = list(csv.reader(as_csv(report).splitlines()))
    assert rows == [
        ["picture", "method", "psnr", "ssim", "lpips", "lr_psnr", "consistency", "niqe"],
        ["img, 1", "bicubic", "28.0", "0.8", "0.25", "40.0", "10.0", ""],
        ["img, 1", "srdiff", "29.0", "0.9", "0.125", "45.0", "3.0", ""],
        ["小", "bicubic", "30.0", "", "", "inf", "0.0", ""],
        ["小", "srdiff", "inf", "", "", "inf", "0.0", ""],
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


@pytest.fixture
def report_with_sets(report):
    report.sets = {"bicubic": SetScores(12.345, 2.5, 0.75), "srdiff": SetScores(3.0, 4.0, 0.25)}
    report.hr_set = SetScores(None, 5.0, 0.5)
    return report


def test_the_consistency_that_sr3_prints_belongs_to_its_protocol():
    report = Report("sr3", 8, None, ["a", "b"], {"bicubic": [Scores(28.0, 0.8, None, 40.0, n) for n in (2.0, 3.3)]})
    assert as_table(report, ABOUT).splitlines()[1:] == [
        "          PSNR    SSIM  LPIPS  LR-PSNR  LR-MSE/1e-5  sampler",
        "bicubic  28.00  0.8000      –    40.00         2.65  –",
    ]


def test_fid_and_is_are_columns_with_a_note_on_how(report_with_sets):
    about = ABOUT | {"fid": {"as": "pytorch-fid", "reference": "the HR pictures"}}
    table = as_table(report_with_sets, about).splitlines()
    assert table[1].split()[-3:] == ["FID", "IS", "sampler"]
    assert table[2].split()[-3:] == ["12.35", "2.50±0.75", "–"]
    assert table[3].split()[5:7] == ["3.00", "4.00±0.25"]
    assert table[-1] == (
        "FID and IS of pictures prepared as pytorch-fid does; FID to the HR pictures, whose IS is 5.00±0.50"
    )


def test_fid_and_is_in_json(report_with_sets):
    about = ABOUT | {"fid": {"as": "pytorch-fid", "reference": "the HR pictures"}}
    content = json.loads(as_json(report_with_sets, about))
    assert content["fid"] == about["fid"]
    assert content["sets"]["bicubic"] == {"fid": 12.345, "is_mean": 2.5, "is_std": 0.75}
    assert content["hr_set"] == {"fid": None, "is_mean": 5.0, "is_std": 0.5}


def test_fid_and_is_in_csv_stand_beside_the_means_in_lines_without_a_picture(report_with_sets):
    rows = list(csv.reader(as_csv(report_with_sets).splitlines()))
    assert rows[0][-3:] == ["fid", "is_mean", "is_std"]
    assert all(len(row) == len(rows[0]) for row in rows)
    assert rows[1][-3:] == ["", "", ""]
    assert rows[-2:] == [
        ["", "bicubic", "29.0", "0.8", "0.25", "inf", "5.0", "", "12.345", "2.5", "0.75"],
        ["", "srdiff", "inf", "0.9", "0.125", "inf", "1.5", "", "3.0", "4.0", "0.25"],
    ]


SETS = Report(sets={"ddpm": SetScores(12.345, 2.5, 0.25), "图片": SetScores(3.0)})
ABOUT_SETS = {
    "data": "pictures",
    "seed": 3,
    "methods": {"ddpm": {"sampler": "ddpm", "steps": 50, "temperature": 1.0}, "图片": {}},
    "pictures": 9,
    "fid": {"as": "torch-fidelity", "reference": "pictures"},
}


def test_table_of_sets_whose_pictures_have_no_scores():
    assert as_table(SETS, ABOUT_SETS).splitlines() == [
        "pictures 9, seed 3",
        "        FID         IS  sampler",
        "ddpm  12.35  2.50±0.25  ddpm, steps 50, temperature 1",
        "图片     3.00          –  –",
        "FID and IS of pictures prepared as torch-fidelity does; FID to pictures",
        "no IS for fewer than 10 pictures",
    ]


def test_files_of_sets(tmp_path):
    write_report(SETS, ABOUT_SETS, tmp_path)
    content = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert as_json(SETS, ABOUT_SETS) == (tmp_path / "metrics.json").read_text(encoding="utf-8")
    assert {key: content[key] for key in ABOUT_SETS} == ABOUT_SETS
    assert content["sets"]["图片"] == {"fid": 3.0, "is_mean": None, "is_std": None}
    rows = list(csv.reader((tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()))
    assert rows == [["method", "fid", "is_mean", "is_std"], ["ddpm", "12.345", "2.5", "0.25"], ["图片", "3.0", "", ""]]
    assert as_csv(SETS).count("\n") == 3
