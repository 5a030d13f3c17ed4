"""One rank of a short training, run as a program by test_train_distributed.py; writes its parameters to files."""

import json
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from src.command import run
from src.host.device import select_device


def main(*config_files):
    """Train as each configuration says, then write all of the state, and the validation's scores, beside its file."""
    device = select_device("CPU")
    from src.training.distributed import join

    world = join(device)
    for file in map(Path, config_files):
        train(file, world)


def train(file, world):
    import numpy as np

    from src.config.loader import config_from_dict
    from src.families.registry import SCHEMAS
    from src.training.loop import Progress
    from src.training.trainer import training_of

    training = training_of(config_from_dict(json.loads(file.read_text()), SCHEMAS), world)
    losses = [training.step(batches)[0].asnumpy() for batches in training.batches(Progress())]
    report = training.validate()
    arrays = {name: parameter.asnumpy() for name, parameter in training.state().items()}
    np.savez(file.with_suffix(f".{world.rank}.npz"), losses=losses, rows=report.rows(), names=report.names, **arrays)


if __name__ == "__main__":
    run(partial(main, *sys.argv[1:]))
