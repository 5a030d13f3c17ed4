"""What TensorBoard and W&B get, read back from the files; and that neither can end a run."""

import os
import signal
import socket
import sys
import threading
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from src.errors import UserError
from src.host.tracking import open_tracker
from tests import wandb_files
from tests.event_files import logged


@pytest.fixture
def server(monkeypatch):
    """A server that W&B is told to use; it accepts connections, says nothing, and counts them."""
    listening = socket.create_server(("127.0.0.1", 0))
    accepted = []

    def accept():
        try:
            while True:
                accepted.append(listening.accept())
        except OSError:
            return

    thread = threading.Thread(target=accept)
    thread.start()
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{listening.getsockname()[1]}")
    yield accepted
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()
    for connection, _ in accepted:
        connection.close()


def core(pid):
    """Return the processes of W&B that a process has started."""
    return [child for child in psutil.Process(pid).children() if "wandb-core" in child.name()]


def test_off_and_off_writes_nothing(tmp_path):
    with open_tracker(tmp_path / "run", tensorboard=False) as tracker:
        assert not tracker
        tracker.scalars(1, {"a": 1})
        tracker.pictures(1, {"a": np.zeros((2, 2, 3), np.uint8)})
        tracker.table(1, "t", ["a"], [[1]])
        tracker.file(tmp_path / "missing")
    tracker.close()
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_alone_does_not_need_wandb(tmp_path, monkeypatch, photo):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with open_tracker(tmp_path / "run") as tracker:
        assert tracker
        tracker.scalars(5, {"train/loss": np.float32(0.5), "val/ssim": None})
        tracker.scalars(5, {"val/lpips": None})
        tracker.pictures(5, {"val/1": photo[:3, :4]})
        tracker.saved(5)
        tracker.scalars(6, {"train/loss": 0.25})
        tracker.file(tmp_path / "missing")
        tracker.table(5, "t", ["a"], [[1]])
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["tensorboard"]
    loss, picture, later = logged(tmp_path / "run" / "tensorboard")
    assert (loss, later) == ((5, "train/loss", 0.5), (6, "train/loss", 0.25))
    assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 2  # before the checkpoint and behind it
    np.testing.assert_array_equal(picture[2], photo[:3, :4])


def test_wandb_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="needs the package wandb: pip install wandb"):
        open_tracker(tmp_path / "run", wandb="offline")
    with pytest.raises(UserError, match="must be one of off, offline, online, not 'on'"):
        open_tracker(tmp_path / "run", wandb="on")
    assert not (tmp_path / "run").exists()


def test_an_offline_run_holds_what_was_logged(tmp_path, wandb, photo):
    (tmp_path / "model.ckpt").write_bytes(b"weights")
    folder = tmp_path / "a run é"
    config = {"name": "tiny", "train": {"lr": 1e-4, "steps": [1, 2]}, "none": None}
    dark = np.arange(27, dtype=np.uint8).reshape(3, 3, 3) % 2
    with open_tracker(folder, tensorboard=False, wandb="offline", name="n", config=config, job="eval") as tracker:
        tracker.scalars(10, {"train/loss": 0.25, "val/psnr": None})
        tracker.scalars(20, {"train/loss": 0.125})
        tracker.scalars(20, {"val/psnr": float("inf")})
        tracker.pictures(20, {"val/1 é": photo[:7, :9], "dark": dark})
        tracker.table(20, "scores", ["picture", "psnr"], [["é", 1.5], ["b", None], ["c", float("inf")]])
        tracker.file(tmp_path / "model.ckpt", metadata={"step": 20})
    run = wandb_files.read(folder)
    assert (run["run"].display_name, run["run"].project, run["run"].job_type) == ("n", "mindspore-sr", "eval")
    assert {name: run["config"][name] for name in config} == config
    first, second = run["history"][10], run["history"][20]
    assert (first["train/loss"], "val/psnr" in first) == (0.25, False)
    assert (second["train/loss"], second["val/psnr"]) == (0.125, "Infinity") or second["val/psnr"] == float("inf")
    for name, picture in (("val/1 é", photo[:7, :9]), ("dark", dark)):
        np.testing.assert_array_equal(np.array(Image.open(run["files"] / second[name]["path"])), picture)
    assert ("model", ["model.ckpt"]) in run["artifacts"]
    assert run["exit"] == 0
    copies = [path.read_bytes() for path in (folder / "wandb" / "artifacts").rglob("*") if path.is_file()]
    assert b"weights" in copies
    assert list((tmp_path / "home").rglob("*")) == []


def test_offline_means_no_connection_and_nothing_about_the_machine(tmp_path, wandb, server, capfd):
    with open_tracker(tmp_path / "run", wandb="offline", config={"a": 1}) as tracker:
        tracker.scalars(1, {"a": 1})
    assert server == []
    assert capfd.readouterr() == ("", "")
    (path,) = wandb_files.run_files(tmp_path / "run")
    run = wandb_files.read(tmp_path / "run")
    assert (run["run"].host, run["run"].git.remote_url, run["run"].git.commit) == ("", "", "")
    content = path.read_bytes()
    for secret in (socket.gethostname(), os.getcwd(), str(tmp_path), sys.executable):
        if len(secret) > 3:  # of two letters any file holds some
            assert secret.encode() not in content
    assert list(run["files"].iterdir()) == []


def test_handlers_are_left_alone_and_its_process_ends(tmp_path, wandb):
    def handlers():
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)], sys.exit, sys.excepthook

    before = handlers()
    tracker = open_tracker(tmp_path / "run", wandb="offline")
    assert handlers() == before
    assert len(core(os.getpid())) == 1
    tracker.close()
    assert handlers() == before
    assert core(os.getpid()) == []


def test_an_interrupted_run_is_closed_and_marked(tmp_path, wandb):
    with pytest.raises(KeyboardInterrupt), open_tracker(tmp_path / "run", wandb="offline") as tracker:
        tracker.scalars(1, {"a": 1})
        raise KeyboardInterrupt
    run = wandb_files.read(tmp_path / "run")
    assert (run["exit"], run["history"][1]["a"]) == (1, 1)
    assert logged(tmp_path / "run" / "tensorboard") == [(1, "a", 1)]


def test_resuming_goes_on_with_the_same_run(tmp_path, wandb):
    ids = []
    for step in (0, 2, 0):
        with open_tracker(tmp_path / "run", wandb="offline", step=step) as tracker:
            tracker.scalars(step + 1, {"a": step})
            tracker.scalars(step + 2, {"a": step})
        run = wandb_files.read(tmp_path / "run")
        assert list(run["history"]) == [step + 1, step + 2] and run["run"].resume
        ids.append(run["run"].run_id)
        time.sleep(1)  # W&B names the folder after the second
    assert ids[0] == ids[1] != ids[2]
    assert (tmp_path / "run" / "wandb_id.txt").read_text() == ids[2] + "\n"
    assert logged(tmp_path / "run" / "tensorboard") == [(1, "a", 0), (2, "a", 0)]


def test_online_without_an_account_is_one_line(tmp_path, wandb, capfd, monkeypatch):
    with pytest.raises(UserError, match="W&B has no account here: run `wandb login`, set WANDB_API_KEY, or"):
        open_tracker(tmp_path / "run", wandb="online")
    monkeypatch.setenv("WANDB_API_KEY", "too short")
    with pytest.raises(UserError, match="W&B refuses the account: WANDB_API_KEY invalid"):
        open_tracker(tmp_path / "run", wandb="online")
    assert capfd.readouterr() == ("", "")


def test_online_without_a_network_becomes_offline(tmp_path, wandb, capfd, caplog, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("src.host.wandb_run.INIT_SECONDS", 1)
    with open_tracker(tmp_path / "run", tensorboard=False, wandb="online") as tracker:
        tracker.scalars(1, {"a": 1})
    assert wandb_files.read(tmp_path / "run")["history"][1]["a"] == 1
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1 and warnings[0].startswith("W&B cannot be reached, so this run is logged offline: ")
    assert capfd.readouterr() == ("", "")


def test_a_setting_that_wandb_does_not_know_is_told_with_the_version(tmp_path, wandb, monkeypatch):
    real = wandb.Settings
    monkeypatch.setattr(wandb, "Settings", lambda **settings: real(of_another_version=1, **settings))
    with pytest.raises(UserError, match=f"wandb {wandb.__version__} does not fit: pip install 'wandb>="):
        open_tracker(tmp_path / "run", wandb="offline")


@pytest.mark.parametrize("mode", ["off", "offline"])
def test_a_folder_that_cannot_be_written_is_one_warning_each(tmp_path, request, caplog, mode):
    if mode != "off":
        request.getfixturevalue("wandb")
    (tmp_path / "file").write_text("")
    with open_tracker(tmp_path / "file", wandb=mode) as tracker:
        for step in range(3):
            tracker.scalars(step, {"a": 1})
    logs = [message.split(" fails, and the run goes on without: ")[0] for message in caplog.messages]
    assert logs == ["TensorBoard"] + ["W&B"] * (mode != "off")
    assert all("\n" not in message for message in caplog.messages)


def test_a_full_disk_is_one_warning_and_the_run_goes_on(tmp_path, caplog, monkeypatch):
    tensorboard = pytest.importorskip("tensorboardX")
    tracker = open_tracker(tmp_path / "run")
    tracker.scalars(1, {"a": 1})
    write = tensorboard.RecordWriter.write

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensorboard.RecordWriter, "write", full)
    tracker.scalars(2, {"a": 2})
    tracker.pictures(2, {"b": np.zeros((2, 2, 3), np.uint8)})
    monkeypatch.setattr(tensorboard.RecordWriter, "write", write)
    tracker.scalars(3, {"a": 3})
    tracker.close()
    assert caplog.messages == ["TensorBoard fails, and the run goes on without: [Errno 28] No space left on device"]
    assert logged(tmp_path / "run" / "tensorboard") == [(1, "a", 1), (3, "a", 3)]


def test_the_end_of_wandbs_process_is_one_warning(tmp_path, wandb, caplog, capfd):
    tracker = open_tracker(tmp_path / "run", wandb="offline")
    (process,) = core(os.getpid())
    process.kill()
    process.wait()
    for step in range(3):
        tracker.scalars(step, {"a": step})
        tracker.file(tmp_path / "missing")
    tracker.close()
    warnings = [message for message in caplog.messages if "fails" in message]
    assert len(warnings) == 1 and warnings[0].startswith("W&B fails, and the run goes on without: ")
    assert len(logged(tmp_path / "run" / "tensorboard")) == 3
    assert capfd.readouterr() == ("", "")
