"""One run of Weights & Biases: silent, without handlers, and given nothing but what is logged."""

import contextlib
import logging
import os
import secrets
import sys

from ..errors import UserError, one_line
from .files import write_text

FINISH_SECONDS = 20  # the longest wait for uploads at the end; `wandb sync` brings the rest
INIT_SECONDS = 30


class WandbRun:
    """A log of :class:`src.host.tracking.Tracker`, after :func:`check_wandb`; without a network it is offline."""

    name = "W&B"

    def __init__(self, folder, mode, project, name, config, step, job):
        import wandb

        self.wandb, self.folder = wandb, folder
        (folder / "wandb").mkdir(parents=True, exist_ok=True)  # else wandb takes a temporary folder
        options = {"project": project, "name": name, "config": config, "job_type": job, "id": _run_id(folder, step)}
        try:
            self.run = self._begin(mode, options)
        except Exception as error:
            if mode == "offline":
                raise
            logging.warning("W&B cannot be reached, so this run is logged offline: %s", one_line(error))
            self.run = self._begin("offline", options)
        logging.info("W&B: %s", self.run.url if not self.run.offline else f"offline, in {folder / 'wandb'}")

    def _begin(self, mode, options):
        settings = _settings(self.wandb, mode)
        try:
            with _hooks_kept():
                return self.wandb.init(mode=mode, dir=str(self.folder), resume="allow", settings=settings, **options)
        except BaseException:
            with contextlib.suppress(Exception):
                self.wandb.teardown(1)
            raise

    def scalars(self, step, values):
        self.run.log(values, step=step)

    def pictures(self, step, pictures):
        from PIL import Image

        opened = {name: Image.fromarray(picture) for name, picture in pictures.items()}  # wandb may stretch an array
        self.run.log({name: self.wandb.Image(image, file_type="png") for name, image in opened.items()}, step=step)

    def table(self, step, name, columns, rows):
        self.run.log({name: self.wandb.Table(columns=columns, data=rows, allow_mixed_types=True)}, step=step)

    def file(self, path, kind, metadata):
        artifact = self.wandb.Artifact(f"{kind}-{self.run.id}", type=kind, metadata=metadata)
        artifact.add_file(str(path), skip_cache=True)
        self.run.log_artifact(artifact)

    def close(self, failed=False):
        """Wait for the uploads, at most :data:`FINISH_SECONDS`, and end W&B's process."""
        try:
            self.run.finish(exit_code=int(failed))
        except TimeoutError as error:
            text = f"not everything was uploaded; `wandb sync` in {self.folder} uploads the rest"
            raise TimeoutError(text) from error
        finally:
            with contextlib.suppress(Exception):
                self.wandb.teardown(int(failed))


def check_wandb(folder, mode):
    """Set wandb up in silence, its files in ``folder``; it is a UserError if it is missing or needs an account."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # its own telemetry, which goes over the network
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR"):  # copies of artifacts, and logs: else in the home folder
        os.environ.setdefault(variable, str(folder.absolute() / "wandb"))
    try:
        import wandb
    except ImportError as error:
        raise UserError(f"W&B ({mode}) needs the package wandb: pip install wandb") from error
    try:
        with _hooks_kept():
            wandb.setup(settings=_settings(wandb, mode))
    except (TypeError, ValueError) as error:  # ValueError: pydantic's, of a setting that it does not know
        remedy = "pip install 'wandb>=0.31,<0.32'"
        raise UserError(f"wandb {wandb.__version__} does not fit: {remedy} ({one_line(error)})") from error
    try:
        if mode == "online" and not wandb.login(prompt=False, verify=False):
            raise UserError("W&B has no account here: run `wandb login`, set WANDB_API_KEY, or choose offline")
    except wandb.errors.Error as error:
        raise UserError(f"W&B refuses the account: {one_line(error)}; run `wandb login`") from error


@contextlib.contextmanager
def _hooks_kept():
    """Take back wandb's own ``sys.exit`` and ``sys.excepthook``: they learn the exit status, which close() tells."""
    hooks = sys.exit, sys.excepthook
    try:
        yield
    finally:
        sys.exit, sys.excepthook = hooks


def _settings(wandb, mode):
    return wandb.Settings(
        mode=mode, silent=True, console="off", symlink=False, init_timeout=INIT_SECONDS,
        finish_timeout=FINISH_SECONDS, finish_timeout_raises=True,
        host="", disable_git=True, disable_code=True, save_code=False, disable_job_creation=True,
        x_disable_meta=True, x_disable_machine_info=True, x_disable_stats=True, x_save_requirements=False,
    )  # fmt: skip


def _run_id(folder, step):
    """The id of the run to go on with, or a new one, which the folder keeps."""
    path = folder / "wandb_id.txt"
    if step > 0 and path.exists():
        return path.read_text(encoding="utf-8").strip()
    name = secrets.token_hex(4)
    write_text(path, name + "\n", "id of the W&B run")
    return name
