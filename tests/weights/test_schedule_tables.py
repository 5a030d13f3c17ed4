"""Telling the schedule from its tables."""

import logging

import numpy as np
import pytest

from src.diffusion.schedule import cosine_betas, linear_betas, make_schedule
from src.errors import UserError
from src.weights.schedule_tables import SR3, TABLES, schedule_settings
from tests.weights.checkpoints import schedule_tables


@pytest.mark.parametrize("steps", [3, 20, 100, 1000])
@pytest.mark.parametrize("offset", [0.0, 0.001, 0.008, 0.02])
def test_cosine(steps, offset):
    settings = schedule_settings(schedule_tables(cosine_betas(steps, offset)))
    assert settings == {"steps": steps, "schedule": "cosine", "cosine_offset": offset}


@pytest.mark.parametrize("steps", [3, 20, 100, 1000])
@pytest.mark.parametrize("ends", [(1e-4, 0.02), (1e-4, 0.05), (1e-6, 0.3)])
def test_linear(steps, ends):
    settings = schedule_settings(schedule_tables(linear_betas(steps, *ends, last=0.999)))
    assert settings == {"steps": steps, "schedule": "linear", "beta_start": ends[0], "beta_end": ends[1]}


@pytest.mark.parametrize("ends", [(1e-6, 1e-2), (1e-4, 0.2)])
def test_linear_to_its_end(ends):
    tables = schedule_tables(linear_betas(2000 if ends[1] < 0.1 else 20, *ends))
    settings = schedule_settings(tables, SR3, last_beta=None)
    assert settings == {"steps": len(tables["betas"]), "schedule": "linear", "beta_start": ends[0], "beta_end": ends[1]}
    with pytest.raises(UserError, match="linear one that ends in 0.999"):
        schedule_settings(tables)


def test_the_settings_make_the_golden_tables_again(shared):
    golden = np.load(shared / "golden/srdiff_x4/golden.npz")
    tables = {name.removeprefix("sched_"): golden[name] for name in golden.files if name.startswith("sched_")}
    settings = schedule_settings(tables)
    assert settings == {"steps": 100, "schedule": "cosine", "cosine_offset": 0.008}
    made = make_schedule(settings["schedule"], settings["steps"], settings["cosine_offset"])
    np.testing.assert_allclose(tables["alphas_cumprod"], made.alphas_cumprod, rtol=1e-6)


def test_without_tables_the_default_is_logged(caplog):
    with caplog.at_level(logging.INFO):
        assert schedule_settings({}) == {"steps": 100, "schedule": "cosine", "cosine_offset": 0.008}
        assert schedule_settings({}, SR3, last_beta=None) == SR3
    assert "no table 'betas': taking its program's default, 100 steps of the cosine schedule" in caplog.text
    assert "2000 steps of the linear schedule" in caplog.text


@pytest.mark.parametrize("name", sorted(TABLES))
def test_each_table_is_checked(name):
    tables = schedule_tables()
    tables[name] = tables[name].copy()
    tables[name][7] *= 1.001
    with pytest.raises(UserError, match="betas" if name == "betas" else f"'{name}'"):
        schedule_settings(tables)


@pytest.mark.parametrize(
    "betas",
    [
        np.linspace(1e-4, 0.02, 50),  # linear without the last 0.999: not for residuals
        np.linspace(0.01, 0.14, 50) ** 2,
        np.full(50, 0.02),
        np.array([0.1, 0.999]),
        np.zeros((5, 5)),
        np.full(50, np.nan),
        np.full(50, -1.0),
        np.full(50, 2.0),
    ],
    ids=["linear", "quadratic", "constant", "short", "2-D", "nan", "negative", "above 1"],
)
def test_other_schedules_are_refused(betas):
    with pytest.raises(UserError, match="'betas'"):
        schedule_settings({"betas": betas.astype(np.float32)})
