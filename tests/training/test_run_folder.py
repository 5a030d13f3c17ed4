"""A run's folder: its files, a second run in it, resuming over what is damaged."""

import logging

import numpy as np
import pytest

from src.errors import UserError
from src.metrics.evaluate import Denoising, Scores
from src.training.loop import Row
from src.training.run_folder import RunFolder
from src.weights.checkpoint import load_checkpoint, path_of

ARRAYS = {"a": np.zeros(3, np.float32)}
TABLES = ("curve.csv", "speed.csv", "validation.csv")


def line(step, loss=0.123456789):
    return Row(step, loss, 2e-4, 1.5, 3, 1234.5, 0.12345)


@pytest.fixture
def run(tmp_path):
    """A closed run after steps 2, 4 and 6, the last two of which are kept."""
    folder = RunFolder(tmp_path / "a run é")
    folder.start_at(0, "name: one\n")
    for step in (2, 4, 6):
        folder.add_curve(line(step))
        scores = Scores(28.0 + step % 3, 0.9, 0.5 - step % 3 / 10, 50.0)
        folder.add_validation(step, {"bicubic": Scores(28.123456, None, None, float("inf")), "one": scores})
        folder.save(ARRAYS, "{}", step, keep=2)
    folder.close()
    return folder.path


def resumed(path, step):
    folder = RunFolder(path, resume=True)
    folder.start_at(step, "name: two\n")
    folder.close()


def test_its_files(run):
    assert (run / "config.yaml").read_text() == "name: one\n"
    head = {name: (run / name).read_text().splitlines()[:2] for name in TABLES}
    assert head == {
        "curve.csv": ["step,loss,learning_rate,gradient_norm,skipped,parts", "2,0.123457,0.0002,1.5,3,"],
        "speed.csv": ["step,samples_per_second,waiting", "2,1234,0.123"],
        "validation.csv": ["step,method,psnr,ssim,lr_psnr,lpips,loss", "2,bicubic,28.1235,,inf,,"],
    }
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step_00000004.ckpt", "step_00000006.ckpt"]


def test_a_folder_that_holds_a_run_needs_resume(run):
    with pytest.raises(UserError, match="holds a run already: add --resume to go on with it, or name another --output"):
        RunFolder(run)
    assert (run / "config.yaml").read_text() == "name: one\n"


def test_a_finished_model_alone_is_a_run_as_well(tmp_path):
    (tmp_path / "model.ckpt").touch()
    with pytest.raises(UserError, match="holds a run already"):
        RunFolder(tmp_path)


def test_resuming_cuts_the_curves_off(run):
    resumed(run, 4)
    steps = {name: [text.split(",")[0] for text in (run / name).read_text().splitlines()[1:]] for name in TABLES}
    assert steps == {"curve.csv": ["2", "4"], "speed.csv": ["2", "4"], "validation.csv": ["2", "2", "4", "4"]}
    assert (run / "config.yaml").read_text() == "name: two\n"


def test_a_half_written_line_is_dropped(run):
    with open(run / "curve.csv", "a") as handle:
        handle.write("8,0.1")
    resumed(run, 8)
    assert (run / "curve.csv").read_text().splitlines()[-1].startswith("6,")


def test_a_validation_that_was_cut_off_is_written_anew(run):
    with open(run / "validation.csv", "a") as handle:
        handle.write("8,bicubic,28.1235,,inf,,\n")
    folder = RunFolder(run, resume=True)
    assert not folder.validated(8, "one")
    folder.add_validation(8, {"bicubic": Scores(1.0), "one": Scores(2.0)})
    folder.close()
    assert (run / "validation.csv").read_text().splitlines()[-2:] == ["8,bicubic,1.0000,,,,", "8,one,2.0000,,,,"]


def test_an_interrupted_checkpoint_is_the_newest_until_the_next_that_was_due(run):
    folder = RunFolder(run, resume=True)
    folder.save_interrupted(ARRAYS, "{}", 7)
    assert folder.newest().step == 7 and folder.newest("step").step == 6
    folder.save(ARRAYS, "{}", 8, keep=2)
    assert folder.newest().step == 8 and not path_of(folder.checkpoints, 7, "interrupted").exists()
    folder.close()


def test_going_back_leaves_no_later_checkpoint(run):
    folder = RunFolder(run, resume=True)
    folder.save_interrupted(ARRAYS, "{}", 7)
    assert folder.before(folder.newest("step")).step == 4
    folder.discard_after(4)
    assert folder.newest().step == 4 and folder.before(folder.newest()) is None
    folder.close()


def test_the_best_model_is_the_best_of_what_is_left(run):
    folder = RunFolder(run, resume=True)
    for step in (3, 5, 6, 7):
        folder.save_best({"a": np.full(1, step, np.float32)}, "{}", step)
    folder.save(ARRAYS, "{}", 8, keep=3)  # 4, 6 and 8 are kept: what was best at 4 may be needed again
    best = [3, 5, 6, 7]
    for start, left in ((6, [3, 5, 6]), (4, [3]), (2, [])):
        assert sorted(path.name for path in folder.checkpoints.glob("best_*")) == [f"best_{k:08d}.ckpt" for k in best]
        folder.start_at(start, "name: one\n")
        best = left
        assert (run / "best.ckpt").exists() == bool(left)
        assert not left or load_checkpoint(run / "best.ckpt").step == left[-1]
    folder.close()


def test_best_models_that_no_way_back_leads_to_are_deleted(run):
    folder = RunFolder(run, resume=True)
    for step in (3, 5, 7):
        folder.save_best(ARRAYS, "{}", step)
    folder.save(ARRAYS, "{}", 8, keep=2)  # 6 and 8
    assert sorted(path.name for path in folder.checkpoints.glob("best_*")) == [
        "best_00000005.ckpt", "best_00000007.ckpt",
    ]  # fmt: skip
    folder.close()


def test_a_table_that_is_gone_is_pointed_out(run, caplog):
    folder = RunFolder(run, resume=True)
    (run / "speed.csv").unlink()
    folder.save(ARRAYS, "{}", 8, keep=2)
    assert "speed.csv is gone" in caplog.text
    folder.close()


def test_a_table_from_before_a_column_existed_is_kept(run):
    (run / "curve.csv").write_text("step,loss,learning_rate,gradient_norm,samples_per_second\n2,0.5,0.1,1,9\n")
    resumed(run, 4)
    assert (run / "curve.csv").read_text() == "step,loss,learning_rate,gradient_norm,skipped,parts\n2,0.5,0.1,1,,\n"


def test_what_the_tables_say(run):
    folder = RunFolder(run, resume=True)
    assert folder.losses() == [0.123457] * 3
    assert [folder.validated(step, "one") for step in (2, 3, 6)] == [True, False, True]
    assert not folder.validated(2, "another")
    asked = [("psnr", 31), ("psnr", 30), ("lpips", 0.2), ("lpips", 0.3), ("ssim", None), ("loss", 9.0)]
    assert [folder.improves("one", *what) for what in asked] == [True, False, True, False, False, True]
    assert folder.improves("bicubic", "ssim", 0.1) and folder.improves(
        "another", "psnr", 1.0
    )  # the first of their kind
    folder.close()


def test_a_loss_is_a_score_too(run):
    folder = RunFolder(run, resume=True)
    folder.add_validation(8, {"one": Denoising(0.012345678)})
    assert folder.rows("validation.csv")[-1] == {
        "step": "8", "method": "one", "psnr": "", "ssim": "", "lr_psnr": "", "lpips": "", "loss": "0.0123457",
    }  # fmt: skip
    assert [folder.improves("one", "loss", loss) for loss in (0.0123, 0.0124)] == [True, False]
    folder.add_validation(4, {"broken": Denoising(float("nan"))})
    assert [folder.improves("broken", "loss", loss) for loss in (float("nan"), 0.5)] == [False, True]
    folder.close()


def test_what_a_killed_process_left_is_removed(run):
    for name in (".step_00000008.4711.tmp.ckpt", ".step_00000008.4711.tmp.tmp", ".hidden", "notes.tmp"):
        (run / "checkpoints" / name).write_bytes(b"half")
    (run / ".model.4711.tmp.ckpt").write_bytes(b"half")
    RunFolder(run, resume=True).close()
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == [
        ".hidden", "notes.tmp", "step_00000004.ckpt", "step_00000006.ckpt",
    ]  # fmt: skip
    assert not (run / ".model.4711.tmp.ckpt").exists()


def test_asking_to_resume_changes_nothing_yet(run):
    RunFolder(run, resume=True).close()
    assert (run / "config.yaml").read_text() == "name: one\n"


def test_the_newest_whole_checkpoint_is_found(run, caplog):
    folder = RunFolder(run, resume=True)
    assert folder.newest().step == 6
    for damage in (lambda content: content[:-9], lambda content: content[:99] + b"x" + content[100:]):
        path = path_of(folder.checkpoints, 6)
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        caplog.clear()
        assert folder.newest().step == 4
        assert "step_00000006.ckpt is not a whole MindSpore checkpoint" in caplog.text
        assert caplog.text.strip().endswith(f"going on from {path_of(folder.checkpoints, 4)} instead")
        path.write_bytes(whole)
    folder.close()


def test_after_passing_over_a_damaged_one_the_new_ones_are_kept(run):
    path_of(run / "checkpoints", 6).write_bytes(b"")
    folder = RunFolder(run, resume=True)
    folder.save(ARRAYS, "{}", 5, keep=1)
    assert folder.newest().step == 5
    folder.close()


def test_without_a_whole_checkpoint_nothing_is_begun_anew(run):
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"")
    folder = RunFolder(run, resume=True)
    with pytest.raises(UserError, match="no checkpoint in .* is whole: delete .* to begin anew"):
        folder.newest()
    folder.close()
    assert len((run / "curve.csv").read_text().splitlines()) == 4


def test_resuming_in_a_new_folder_starts_at_the_beginning(tmp_path):
    folder = RunFolder(tmp_path / "new", resume=True)
    assert folder.newest() is None
    folder.close()


def test_a_second_run_in_the_folder_is_refused(tmp_path):
    folder = RunFolder(tmp_path)
    for resume in (False, True):
        with pytest.raises(UserError, match="another run is writing to"):
            RunFolder(tmp_path, resume)
    folder.close()
    RunFolder(tmp_path).close()


def test_messages_go_to_the_log_until_it_is_closed(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    before = list(logging.getLogger().handlers)
    folder = RunFolder(tmp_path)
    logging.info("hello – é")
    folder.close()
    logging.info("too late")
    assert logging.getLogger().handlers == before
    log = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert log.endswith("hello – é\n") and "late" not in log


def test_the_result_is_a_checkpoint(run):
    folder = RunFolder(run, resume=True)
    assert folder.save_result(ARRAYS, '{"name": "x"}', 6) == run / "model.ckpt"
    folder.close()
    assert load_checkpoint(run / "model.ckpt").config_json == '{"name": "x"}'


def test_the_folder_is_a_file_or_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--output .* is a file: name a folder"):
        RunFolder(tmp_path / "file")
    with pytest.raises(UserError, match="cannot write to .*file/run: Not a directory"):
        RunFolder(tmp_path / "file" / "run")
    (tmp_path / "run" / "train.log").mkdir(parents=True)
    with pytest.raises(UserError, match="cannot write .*train.log: Is a directory"):
        RunFolder(tmp_path / "run")
    (tmp_path / "run" / "train.log").rmdir()
    RunFolder(tmp_path / "run").close()  # the lock was released


def test_a_curve_on_a_full_disk(tmp_path, capfd):
    folder = RunFolder(tmp_path)
    (tmp_path / "curve.csv").symlink_to("/dev/full")
    with pytest.raises(
        UserError, match="cannot write .*curve.csv: No space left on device; free some space and --resume"
    ):
        folder.add_curve(line(1))
    folder.close()


def test_a_log_on_a_full_disk_says_nothing(tmp_path, capfd):
    (tmp_path / "train.log").symlink_to("/dev/full")
    folder = RunFolder(tmp_path)
    logging.getLogger().warning("hello")
    folder.close()
    assert "Logging error" not in capfd.readouterr().err
