"""What comes with the project, by its name there, from any folder."""

from pathlib import Path

from src.families.registry import read_config
from src.host.shipped import CHECKPOINTS, HOUSE, shipped

NAME = "checkpoints/rrdb_lite_x4.ckpt"


def test_a_file_of_the_users_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert shipped(NAME) == CHECKPOINTS / "rrdb_lite_x4.ckpt"
    for other in ("checkpoints/none.ckpt", "../checkpoints/rrdb_lite_x4.ckpt", "src/build.py", "configs/../README.md"):
        assert shipped(other) == Path(other)
    Path("checkpoints").mkdir()
    Path(NAME).write_text("mine", encoding="utf-8")
    assert shipped(NAME) == Path(NAME)


def test_a_configuration_by_its_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_config("rrdb_lite_x4") == read_config(HOUSE / "configs/rrdb_lite_x4.yaml")
    Path("configs").mkdir()
    Path("configs/rrdb_lite_x4.yaml").write_text("{system: rrdb, name: mine}", encoding="utf-8")
    assert read_config("rrdb_lite_x4").name == "mine"
    Path("rrdb_lite_x4").mkdir()  # a folder is no configuration
    assert read_config("rrdb_lite_x4").name == "mine"
