"""A process's part in a job, as msrun's variables tell it."""

import pytest

from src.errors import UserError
from src.host.ranks import World, is_scheduler, launched, launched_size, launched_world


@pytest.mark.parametrize(("role", "expected"), [("MS_WORKER", True), ("MS_SCHED", True), ("MS_PSERVER", False)])
def test_the_environment_says_whether_msrun_started_it(monkeypatch, role, expected):
    monkeypatch.setenv("MS_ROLE", role)
    assert launched() is expected and is_scheduler() is (role == "MS_SCHED")


def test_one_process_alone(monkeypatch):
    monkeypatch.delenv("MS_ROLE", raising=False)
    monkeypatch.setenv("RANK_ID", "1")  # of something else
    assert launched_world() == World(0, 1) and launched_world().is_first and launched_size() == 1


def test_a_rank_is_told_its_number(monkeypatch):
    for name, value in (("MS_ROLE", "MS_WORKER"), ("MS_WORKER_NUM", "3"), ("RANK_ID", "2")):
        monkeypatch.setenv(name, value)
    assert launched_world() == World(2, 3) and not launched_world().is_first and launched_size() == 3
    monkeypatch.delenv("RANK_ID")
    with pytest.raises(UserError, match="give it --node_rank"):
        launched_world()


def test_shares_are_every_item_once():
    items = list(range(7))
    shares = [World(rank, 3).share(items) for rank in range(3)]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]
