"""train.py killed with −9, several times, at moments of chance and while it writes a checkpoint."""

import random
import signal
import time

import numpy as np
import pytest

from src.weights.checkpoint import load_checkpoint
from tests import tiny, tiny_srgan

pytestmark = pytest.mark.slow

STEPS = 90
# a network whose checkpoint takes a while to write, and log lines that do not end where checkpoints are saved
COMMON = (
    f"train.steps={STEPS}", "train.save_every=3", "train.log_every=2", "train.val_every=6", "train.ema_decay=0.99",
    "train.warmup_steps=5", "train.tensorboard=false",
)  # fmt: skip
SETTINGS = {
    "rrdb": lambda pictures: tiny.settings("rrdb", pictures, *COMMON, "encoder.features=64", "encoder.growth=64"),
    "srgan": lambda pictures: tiny_srgan.adversarial_settings(
        "dense", "srresnet", pictures, *COMMON, "discriminator.features=32", "discriminator.hidden=1024"
    ),
}
PARTS = {"rrdb": {"encoder"}, "srgan": {"generator", "discriminator"}}


def command(system, pictures, run, *more):
    return ["train.py", *SETTINGS[system](pictures), "--output", run, "--device", "CPU", *more]


def temporary_files(run):
    return list((run / "checkpoints").glob(".*.tmp*")) if (run / "checkpoints").exists() else []


def lines_of(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


def kill_at_a_moment_of_chance(process, run, moment):
    """Kill a process some time after it has logged a few more lines than there were."""
    enough = lines_of(run / "curve.csv") + 1
    while process.poll() is None and lines_of(run / "curve.csv") <= enough:
        time.sleep(0.01)
    time.sleep(moment.uniform(0, 0.1))
    process.kill()


def kill_while_it_writes_a_checkpoint(process, run, moment):
    """Stop a process again and again until it has a half-written file, then kill it."""
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        if temporary_files(run):
            break
        process.send_signal(signal.SIGCONT)
        time.sleep(0.002)
    process.kill()


@pytest.mark.parametrize("system", SETTINGS)
def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(system, tiny_pictures, tmp_path):
    uninterrupted = tmp_path / "uninterrupted"
    status, _, lines = tiny.run(*command(system, tiny_pictures, uninterrupted), cwd=tmp_path)
    assert status == 0, lines
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # pytest shows it if the test fails
    moment, run, during_a_write = random.Random(seed), tmp_path / "run", 0
    chance, write = kill_at_a_moment_of_chance, kill_while_it_writes_a_checkpoint
    for kill in (write, chance, chance, write, chance):
        process = tiny.start(*command(system, tiny_pictures, run, "--resume"), cwd=tmp_path)
        kill(process, run, moment)
        status, _, lines = tiny.finish(process)
        assert status == -9, lines
        during_a_write += bool(temporary_files(run))
    assert during_a_write >= 2
    status, _, lines = tiny.run(*command(system, tiny_pictures, run, "--resume"), cwd=tmp_path)
    assert status == 0, lines
    assert temporary_files(run) == []
    for name in ("curve.csv", "validation.csv"):
        assert (run / name).read_bytes() == (uninterrupted / name).read_bytes()
    for name in ("model.ckpt", "best.ckpt", f"checkpoints/step_{STEPS:08d}.ckpt"):
        one, two = load_checkpoint(uninterrupted / name), load_checkpoint(run / name)
        assert one.step == two.step and one.arrays.keys() == two.arrays.keys()
        for key in one.arrays:
            np.testing.assert_array_equal(one.arrays[key], two.arrays[key], err_msg=key)
    kinds = {key.split(".")[0] for key in two.arrays}
    assert kinds == {*PARTS[system], "ema", "optimizer", "run"}
