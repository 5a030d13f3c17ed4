"""The validation during a training run, shared between its ranks."""

import numpy as np

from src import build_sr3
from src.build import build_upscaler
from src.dataset.pairs import find_pairs, load_lr_up, load_pair
from src.errors import UserError
from src.imaging.strip import strip
from src.inference.sampling import effective_options
from src.metrics.evaluate import BASELINE, Report, evaluate, picture_seed
from src.metrics.lpips_weights import find_weights, load_lpips


class Validation:
    """Upscales and scores the validation pictures of a configuration.

    Args:
        config: a checked ``Config``.
        networks: called before each run, returns ``src.inference.networks`` around the weights to look at.
        world: the ranks that share the work, a ``src.training.distributed.World``.

    Raises:
        UserError: there are no pictures, one cannot be read, HR and LR do not fit, or LPIPS has no weights.
    """

    def __init__(self, config, networks, world):
        self.config, self.world = config, world
        self.pairs = find_validation_pairs(config)
        self._networks = networks
        self.lpips = _lpips(config.train.val_lpips)

    def compile(self):
        """Compile the graphs that :meth:`run` runs, so that what is wrong with them shows before the training.

        Raises:
            UserError: the model cannot be sampled as its configuration says.
        """
        self._upscaler().check(**effective_options(self.config))
        steps = {} if self.config.is_regression else {"steps": 1, "spacing": "uniform"}
        self._upscaler().upscale([np.zeros((8, 8, 3), np.uint8)], **steps)

    def run(self, keep=None):
        """Return the ``Report`` of all pictures; every rank gets the same.

        Args:
            keep: called with (picture's name, method, sr) for each result of this rank's own pictures.
        """
        from src.training.distributed import gather_rows

        config, world = self.config, self.world
        empty = Report(
            config.eval.protocol, config.data.scale, config.train.val_lpips, scores={BASELINE: [], config.name: []}
        )
        own = range(world.rank, len(self.pairs), world.size)
        report = self._score(own, keep) if own else empty
        rows = gather_rows(report.rows(), world)
        return report.with_rows([pair.name for pair in self.pairs], rows)

    def shown(self, name, sr):
        """Return a picture's result as it is logged, uint8 RGB: LR | SR | HR."""
        pair = next(pair for pair in self.pairs if pair.name == name)
        hr, lr = load_pair(pair, self.config.data.scale)
        return strip(lr, sr, hr)

    def _upscaler(self):
        """Made anew for each use: how pictures are cut depends on the memory that is free now."""
        return build_upscaler(self.config, self._networks())

    def _score(self, numbers, keep):
        config, upscaler = self.config, self._upscaler()
        settings = config.eval
        sampling = effective_options(config)

        def upscale(lr, index):  # a picture's noise depends on its number among all, not on the rank
            number = numbers[index]
            given = prepared_lr_up(config, self.pairs[number], lr)
            return upscaler.upscale([lr], seeds=[picture_seed(config.seed, number)], **given, **sampling)[0]

        pictures = ((self.pairs[i].name, *load_pair(self.pairs[i], config.data.scale)) for i in numbers)
        return evaluate(
            {config.name: upscale}, pictures,
            protocol=settings.protocol, scale=config.data.scale, lpips=self.lpips, keep=keep,
        )  # fmt: skip


def find_validation_pairs(config, at_least=1):
    """Return the pairs to validate on; each is read once, since a broken one would end the training half-way.

    Args:
        config: a ``Config``.
        at_least: pixels that the sides of HR must have.

    Raises:
        UserError: there are none, one cannot be read or is too small, or HR and LR do not fit.
    """
    pairs = find_pairs(data=config.data.val, scale=config.data.scale)[: config.data.val_pictures or None]
    for pair in pairs:
        hr, lr = load_pair(pair, config.data.scale)
        prepared_lr_up(config, pair, lr)
        height, width = hr.shape[:2]
        if min(height, width) < at_least:
            raise UserError(
                f"{pair.hr} is {width}×{height}, smaller than data.patch_size {at_least}: remove it, or lower "
                "data.patch_size"
            )
    return pairs


def prepared_lr_up(config, pair, lr):
    """Return {"lr_up": [uint8 (H, W, 3)]} for ``Upscaler.upscale`` where LR↑ is prepared and the model takes it, or {}.

    Args:
        config: a ``Config`` of any system.
        pair: a ``src.dataset.pairs.Pair``.
        lr: its LR picture, uint8 (h, w, 3).
    """
    if pair.lr_up is None or not build_sr3.takes_lr_up(config):
        return {}
    return {"lr_up": [load_lr_up(pair, [n * config.data.scale for n in lr.shape[:2]])]}


def _lpips(net):
    if net == "none":
        return None
    from src.weights.torch_file import read_torch

    return load_lpips(net, find_weights(net), read_torch)
