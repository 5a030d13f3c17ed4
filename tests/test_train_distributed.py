"""Two processes train as one would with their common batch; a lost one ends the job, which any number may resume."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from src.config.loader import config_to_dict
from src.host.device import select_device
from src.imaging.io import write_image
from src.training.loop import Progress
from src.training.trainer import training_of
from src.weights.checkpoint import load_checkpoint
from tests import tiny, tiny_sr3, tiny_srgan
from tests.msrun_job import is_alive

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tiny_pictures, photo):
    """Three validation pictures, so that two ranks have unequal shares."""
    for number in range(2):
        write_image(tiny_pictures / "val" / f"{number}.png", photo[40 * number : 40 * number + 24, 100:132])
    yield tiny_pictures
    for number in range(2):
        (tiny_pictures / "val" / f"{number}.png").unlink()


def as_two_ranks(program, *arguments, folder):
    """Run a program as two ranks on a free port, with the variables that msrun sets; return the exit statuses."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    shared = {"MS_WORKER_NUM": "2", "MS_SCHED_HOST": "127.0.0.1", "MS_SCHED_PORT": str(port)}
    ranks = ({"MS_ROLE": "MS_WORKER", "MS_NODE_ID": rank, "RANK_ID": rank, "DEVICE_ID": rank} for rank in "01")
    parts = [{"MS_ROLE": "MS_SCHED"}, *ranks]
    processes = []
    for number, part in enumerate(parts):
        with open(folder / f"{number}.log", "wb") as log:
            command = [sys.executable, str(program), *map(str, arguments)]
            options = {"env": os.environ | shared | part, "cwd": folder, "stdout": log, "stderr": log}
            processes.append(subprocess.Popen(command, **options))
    try:
        return [process.wait(timeout=900) for process in processes]
    finally:
        for process in processes:
            process.kill()


ACCUMULATED = ("train.accumulate=2", "train.clip_norm=0.01", "sr3.dropout=0.3")
CASES = {
    "plain": (),
    "accumulated": (*ACCUMULATED, *tiny_sr3.TRAINED_UNCONDITIONAL, *tiny_sr3.ONE_LEVEL),
    "adversarial": (),
}


def case(pictures, encoder, name, batch_size):
    settings = ["train.steps=5", "data.val_pictures=0", *CASES[name], f"train.batch_size={batch_size}"]
    if name == "adversarial":
        return tiny_srgan.adversarial("dense", "srresnet", pictures, *settings)
    if name == "accumulated":
        data = f"data.train={pictures / 'train'}", f"data.val={pictures / 'val'}"
        return tiny_sr3.config(*data, *settings)
    return tiny.config("srdiff", pictures, f"encoder.checkpoint={encoder}", "encoder.frozen=false", *settings)


@pytest.fixture(scope="module")
def ranks(pictures, tiny_checkpoints, tmp_path_factory):
    """For each case what the two ranks have at the end: name → array."""
    folder = tmp_path_factory.mktemp("ranks")
    for name in CASES:
        settings = config_to_dict(case(pictures, tiny_checkpoints["rrdb"], name, batch_size=2))
        (folder / f"{name}.json").write_text(json.dumps(settings))
    files = [f"{name}.json" for name in CASES]
    statuses = as_two_ranks(Path(__file__).with_name("train_rank.py"), *files, folder=folder)
    assert statuses == [0, 0, 0], [path.read_text() for path in folder.glob("*.log")]
    return {name: [dict(np.load(folder / f"{name}.{rank}.npz")) for rank in range(2)] for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_equal_one_with_twice_the_batch(ranks, pictures, tiny_checkpoints, name):
    first, second = ranks[name]
    assert first.keys() == second.keys()
    for key in first:
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)

    select_device("CPU")
    one = training_of(case(pictures, tiny_checkpoints["rrdb"], name, batch_size=4))
    losses = [one.step(batches)[0].asnumpy() for batches in one.batches(Progress())]
    np.testing.assert_allclose(first["losses"], losses, rtol=0, atol=1e-5)
    for key, parameter in one.state().items():
        np.testing.assert_allclose(first[key], parameter.asnumpy(), rtol=0, atol=1e-5, err_msg=key)
    report = one.validate()
    assert first["names"].tolist() == report.names == ["0", "1", "eye"]
    np.testing.assert_allclose(first["rows"], report.rows(), rtol=0, atol=1e-2)  # dB, of pictures rounded to 8 bits


def start_script(*arguments, cwd):
    """Start run_distribute_train.sh as a terminal does, in a process group of its own; return its Popen."""
    return subprocess.Popen(
        ["bash", str(tiny.ROOT / "scripts/run_distribute_train.sh"), *map(str, arguments)], cwd=cwd, encoding="utf-8",
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip


def pids_of_ranks(run):
    """Return rank → process number, from the logs."""
    logs = (run / "logs").glob("worker_*.log")
    found = [re.search(r"^rank (\d+) is process (\d+)$", log.read_text(), re.MULTILINE) for log in logs]
    return {int(match[1]): int(match[2]) for match in found}


def steps_done(run):
    curve = run / "curve.csv"
    return len(curve.read_text().splitlines()) - 1 if curve.exists() else 0


def command(pictures, run, batch, *more):
    settings = "train.steps=40", "train.save_every=5", f"train.batch_size={batch}", "train.tensorboard=false"
    return [*tiny.settings("rrdb", pictures, *settings), "--output", run, "--device", "CPU", *more]


def wait_for(process, condition):
    end = time.monotonic() + 800
    while process.poll() is None and time.monotonic() < end and not condition():
        time.sleep(0.02)


def test_a_lost_rank_ends_the_job_and_another_number_resumes_it(pictures, tmp_path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    status, _, lines = tiny.run("train.py", *command(pictures, whole, 4), cwd=tmp_path)
    assert status == 0, lines

    process = tiny.start("train.py", *command(pictures, run, 4), cwd=tmp_path)  # one, then stopped
    wait_for(process, lambda: steps_done(run) >= 3)
    process.send_signal(signal.SIGTERM)
    status, _, lines = tiny.finish(process)
    assert status == 143, lines
    before = steps_done(run)

    arguments = command(pictures, run, 2, "--nproc", 2, "--resume")
    process = start_script(*arguments, cwd=tmp_path)  # two, and one is lost
    wait_for(process, lambda: steps_done(run) >= before + 8)
    pids = pids_of_ranks(run)
    os.kill(pids[1], signal.SIGKILL)
    status, out, lines = tiny.finish(process)
    assert (status, out) == (137, ""), lines
    assert lines[-1].startswith("error: rank 1 was killed by signal 9 (SIGKILL)") and "--resume" in lines[-1]
    assert f"rank 1 is process {pids[1]}" in lines  # the end of its log
    assert before + 8 <= steps_done(run) < 40 and not any(map(is_alive, pids.values()))

    before = steps_done(run)
    process = start_script(*arguments, cwd=tmp_path)  # two, and Ctrl-C
    wait_for(process, lambda: steps_done(run) >= before + 3)
    pids = pids_of_ranks(run)
    os.killpg(process.pid, signal.SIGINT)
    status, out, lines = tiny.finish(process)
    assert (status, out, lines[-1]) == (130, "", "interrupted"), lines
    assert not any(map(is_alive, pids.values()))
    assert (run / "checkpoints" / f"interrupted_{steps_done(run):08d}.ckpt").exists()

    status, out, lines = tiny.finish(start_script(*arguments, cwd=tmp_path))  # two to the end
    assert (status, out) == (0, ""), lines
    assert sum("bicubic: PSNR" in line for line in lines) == 1  # one rank speaks
    assert (run / "curve.csv").read_text().splitlines()[0] == (whole / "curve.csv").read_text().splitlines()[0]
    table, expected = (np.genfromtxt(folder / "curve.csv", delimiter=",", skip_header=1) for folder in (run, whole))
    np.testing.assert_allclose(table, expected, rtol=2e-3, atol=1e-5)
    one, two = (load_checkpoint(folder / "checkpoints" / "step_00000040.ckpt").arrays for folder in (whole, run))
    assert one.keys() == two.keys() and one["run.counts"].tolist() == two["run.counts"].tolist() == [160, 0, 40, 0]
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-4, err_msg=name)
