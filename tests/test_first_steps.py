"""docs/first_steps.ipynb: without outputs, and it runs from top to bottom."""

import json
import os
import subprocess
import sys

import pytest

from tests.tiny import ROOT

PAGE = ROOT / "docs" / "first_steps.ipynb"
RUN = """
import json, sys
space = {"__name__": "__main__"}
for number, source in enumerate(json.loads(sys.stdin.read()), 1):
    exec(compile(source, f"code cell {number}", "exec"), space)
assert space["sr"].shape == space["hr"].shape == space["second"].shape == (160, 200, 3)
assert len(space["steps"]) == 8 and space["difference"] > 1 and space["again"] < 1
assert space["result"].returncode == 0 and (space["folder"] / "run" / "model.ckpt").is_file()
"""


def cells(kind):
    return [
        "".join(cell["source"]) for cell in json.loads(PAGE.read_text("utf-8"))["cells"] if cell["cell_type"] == kind
    ]


def test_it_keeps_no_outputs():
    page = json.loads(PAGE.read_text("utf-8"))
    assert page["nbformat"] == 4
    for cell in page["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None


@pytest.mark.slow
def test_it_runs(tmp_path):
    pytest.importorskip("skimage")
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(cells("code")), cwd=PAGE.parent, env=environment, text=True,
        capture_output=True, timeout=600,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr + process.stdout
    assert "two samples differ by" in process.stdout and "finished: " in process.stdout
