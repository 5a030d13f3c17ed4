"""Two processes under msrun on the CPU, and one alone."""

import math
import os
import pickle
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from src.host.ranks import World
from src.training.distributed import (
    broadcast,
    broadcast_numbers,
    check_same,
    gather_rows,
    join,
    leave_signals_to_first,
)
from tests.training.normalized import Step
from tests.training.ranks import DTYPES, SHAPES, value

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("ranks.py")
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Run ranks.py as two ranks; return its folder, with each rank's results and the logs."""
    msrun = shutil.which("msrun", path=str(BIN))
    if not msrun:
        pytest.skip("msrun is not installed beside Python")
    folder = tmp_path_factory.mktemp("job")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    command = [
        msrun, "--worker_num=2", "--local_worker_num=2", "--master_addr=127.0.0.1", f"--master_port={port}",
        "--join=True", f"--log_dir={folder}", str(SCRIPT), str(folder),
    ]  # fmt: skip
    environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=900)
    logs = "\n".join(log.read_text() for log in sorted(folder.glob("*.log")))
    assert process.returncode == 0, process.stderr + logs
    return folder


@pytest.fixture(scope="module")
def results(job):
    """What each rank got."""
    return [pickle.loads((job / f"rank_{rank}.pickle").read_bytes()) for rank in (0, 1)]


def assert_same_bits(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


def mean_of(*arguments):
    return (value(0, *arguments) + value(1, *arguments)) / np.asarray(2, value(0, *arguments).dtype)


def test_every_rank_knows_its_place(results):
    assert [result["world"] for result in results] == [(0, 2, True), (1, 2, False)]


def test_the_scheduler_says_nothing_and_the_ranks_their_number(job):
    logs = {log.name: re.sub(r"\d+\n", "P", log.read_text()) for log in job.glob("*.log")}
    said = {f"worker_{rank}.log": f"rank {rank} is process P" for rank in (0, 1)}
    assert logs == {"scheduler.log": ""} | said


@pytest.mark.parametrize("rank", [0, 1])
def test_mean(results, rank):
    expected = mean_of(1, ()), mean_of(2, (4, 3)), mean_of(3, 5, "float16")
    for found, mean in zip(results[rank]["means"], expected, strict=True):
        assert_same_bits(found, mean)


@pytest.mark.parametrize("rank", [0, 1])
def test_gradient_mean(results, rank):
    for run, found in enumerate(results[rank]["gradients"]):
        for k, gradient in enumerate(found):
            scaled = [value(r, k, SHAPES[k]) * np.float32(run + 1) for r in (0, 1)]
            assert_same_bits(gradient, (scaled[0] + scaled[1]) / np.float32(2))
    assert results[rank]["large gradient"].shape == SHAPES[-1]
    assert_same_bits(results[rank]["large gradient"], results[0]["large gradient"])


@pytest.mark.parametrize("rank", [0, 1])
def test_batch_normalisation_over_the_ranks_is_that_of_one_process(results, rank):
    step = Step(World(0, 1))
    loss, gradients = step(ms.Tensor(value(0, 9, (4, 3, 6, 5))))
    expected = [loss, *gradients, *(p for p in step.net.get_parameters() if not p.requires_grad)]
    for found, one in zip(results[rank]["normalization"], expected, strict=True):
        np.testing.assert_allclose(found, one.asnumpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rank", [0, 1])
def test_broadcast_copies_every_dtype_in_place(results, rank):
    for name, shape in (("small", (3, 5)), ("single", ())):
        for dtype, found in zip(DTYPES, results[rank][name], strict=True):
            assert_same_bits(found, value(0, 4, shape, dtype))
    assert_same_bits(results[rank]["large"], value(0, 4, (1100, 1000)))


@pytest.mark.parametrize("rank", [0, 1])
def test_broadcast_refuses_another_network_on_every_rank(results, rank):
    assert results[rank]["wrong network"].startswith("rank 1 has another network than rank 0: use one configuration")


@pytest.mark.parametrize("rank", [0, 1])
def test_broadcast_numbers(results, rank):
    found = results[rank]["numbers"]
    assert found[:3] == [1, 2**70, 0.1] and math.isnan(found[3])
    assert found[4:] == [-math.inf, None, float(np.float32(0.1)), -3, True]
    assert [type(number) for number in found[:3]] == [int, int, float]
    assert results[rank]["no numbers"] == []
    assert results[rank]["many numbers"] == [i / 7 for i in range(3000)]


@pytest.mark.parametrize("rank", [0, 1])
def test_gather_rows_keeps_the_order_nan_and_none(results, rank):
    for count, rows in zip((5, 4, 1, 0), results[rank]["rows"], strict=True):
        assert [row[:3] for row in rows] == [[i, i / 7, None] for i in range(count)]
        assert all(math.isnan(row[3]) for row in rows)
    assert results[rank]["array"] == np.arange(10.0).reshape(5, 2).tolist()


@pytest.mark.parametrize("rank", [0, 1])
def test_the_same_values_in_any_order_pass(results, rank):
    assert results[rank]["same"] == ["", "", ""]


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("case", "names"),
    [
        ("one value", "train.val_every"),
        ("lengths", "train.lr, folder, number of pictures"),
        ("names", "a, c"),
        ("nothing", "a"),
        ("nearly", "a, b"),
        ("text", "a"),
    ],
)
def test_what_differs_is_named_on_every_rank(results, rank, case, names):
    expected = f"the ranks differ in {names}: use the same configuration and pictures on every host"
    assert results[rank][case] == expected


def test_signals_do_not_keep_the_others_from_helping_rank_0(results):
    assert [result["signals changed"] for result in results] == [False, True]
    assert [result["mean after signals"] for result in results] == [0.5, 0.5]


def test_one_process_alone_needs_nothing(monkeypatch):
    monkeypatch.delenv("MS_ROLE", raising=False)
    world = join("CPU")
    assert world == World(0, 1) and world.is_first
    parameter = ms.Parameter(ms.Tensor(value(0, 0, (2, 3))), name="p")
    broadcast([parameter], world)
    assert_same_bits(parameter.asnumpy(), value(0, 0, (2, 3)))
    assert broadcast_numbers([1, None, 0.5], world) == [1, None, 0.5]
    assert gather_rows(np.eye(2), world) == [[1.0, 0.0], [0.0, 1.0]]
    assert check_same({"train.val_every": 100}, world) is None
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    leave_signals_to_first(world)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
