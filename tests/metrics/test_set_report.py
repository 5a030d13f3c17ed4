"""Table, JSON and CSV of FID and IS where pictures have no scores of their own."""

import csv
import json

from src.metrics.fid import SetScores
from src.metrics.report import sets_as_csv as as_csv
from src.metrics.report import sets_as_json as as_json
from src.metrics.report import sets_as_table as as_table
from src.metrics.report import write_sets_report as write_report

SETS = {"ddpm": SetScores(12.345, 2.5, 0.25), "图片": SetScores(3.0)}
ABOUT = {
    "data": "pictures",
    "seed": 3,
    "methods": {"ddpm": {"sampler": "ddpm", "steps": 50, "temperature": 1.0}, "图片": {}},
    "pictures": 9,
    "fid": {"as": "torch-fidelity", "reference": "pictures"},
}


def test_table():
    assert as_table(SETS, ABOUT).splitlines() == [
        "pictures 9, seed 3",
        "        FID         IS  sampler",
        "ddpm  12.35  2.50±0.25  ddpm, steps 50, temperature 1",
        "图片     3.00          –  –",
        "FID and IS of pictures prepared as torch-fidelity does; FID to pictures",
        "no IS for fewer than 10 pictures",
    ]


def test_files(tmp_path):
    write_report(SETS, ABOUT, tmp_path)
    content = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert as_json(SETS, ABOUT) == (tmp_path / "metrics.json").read_text(encoding="utf-8")
    assert {key: content[key] for key in ABOUT} == ABOUT
    assert content["sets"]["图片"] == {"fid": 3.0, "is_mean": None, "is_std": None}
    rows = list(csv.reader((tmp_path / "metrics.csv").read_text(encoding="utf-8").splitlines()))
    assert rows == [["method", "fid", "is_mean", "is_std"], ["ddpm", "12.345", "2.5", "0.25"], ["图片", "3.0", "", ""]]
    assert as_csv(SETS).count("\n") == 3
