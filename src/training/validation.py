"""The validation during a training run, shared between its ranks."""

from dataclasses import dataclass

import numpy as np

from src import build_sr3
from src.build import build_loss, build_upscaler, networks_of
from src.dataset.batches import VALIDATION, generator
from src.dataset.pairs import find_pairs, load_lr_up, load_pair
from src.errors import UserError
from src.imaging.strip import mosaic, strip
from src.inference.files import unconditional_samples
from src.inference.upscaler import to_network
from src.metrics.evaluate import BASELINE, Report, evaluate, picture_seed
from src.metrics.weight_files import find_weights, load_lpips


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
        self._upscaler().resolve()
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

        def upscale(lr, index):  # a picture's noise depends on its number among all, not on the rank
            number = numbers[index]
            given = prepared_lr_up(config, self.pairs[number], lr)
            return upscaler.upscale([lr], seeds=[picture_seed(config.seed, number)], **given)[0]

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


LEVELS = 8  # of noise, spread evenly over the steps; each picture is looked at with all of them
_SEED = 0  # of their noise: the losses of runs with different seeds can be compared


@dataclass(frozen=True)
class Denoising:
    """A score: ``loss``, that of training, over all levels."""

    loss: float


class DenoisingReport:
    """The loss of each validation picture; as ``src.metrics.evaluate.Report``, of one method.

    Args:
        method: its name.
        names: of the pictures.
        losses: one number for each.
    """

    def __init__(self, method, names, losses):
        self.names = list(names)
        self.scores = {method: [Denoising(float(loss)) for loss in losses]}

    def mean(self, method):
        """Return the mean as :class:`Denoising`."""
        return Denoising(float(np.mean([score.loss for score in self.scores[method]])))

    def rows(self):
        """Return the losses as float64 (pictures, 1)."""
        (scores,) = self.scores.values()
        return np.array([score.loss for score in scores]).reshape(-1, 1)


class DenoisingValidation:
    """Measures how well held-out pictures are denoised, and draws a few pictures from nothing.

    The loss is that of training, without dropout, at fixed levels of noise and with fixed noise: it changes with the
    weights alone. It is that of the middle of each picture, a square of ``data.patch_size``.

    Args:
        config: a checked ``Config``.
        model: the network, with the weights to look at.
        world: the ranks that share the work, a ``src.training.distributed.World``.

    Raises:
        UserError: there are no pictures, one cannot be read or is smaller than a patch, or the configuration asks for
            scores that such pictures do not have.
    """

    def __init__(self, config, model, world):
        _check(config)
        self.config, self.world = config, world
        self.pairs = find_validation_pairs(config, at_least=config.data.patch_size)
        self._loss = build_loss(config, model)
        self._networks = networks_of(config, model)

    def compile(self):
        """Compile the graphs that :meth:`run` runs, so that what is wrong with them shows before the training.

        Raises:
            UserError: the model cannot be sampled as its configuration says.
        """
        self._upscaler().resolve()
        side = self.config.data.patch_size
        self._denoise(np.zeros((side, side, 3), np.uint8), 0)
        if self._draws():
            self._pictures(1, steps=1, spacing="uniform")

    def run(self, keep=None):
        """Return the :class:`DenoisingReport` of all pictures; every rank gets the same.

        Args:
            keep: called with ("samples", method, a mosaic of pictures drawn from nothing, uint8); None draws none.
        """
        from src.training.distributed import gather_rows

        config, world = self.config, self.world
        own = range(world.rank, len(self.pairs), world.size)
        rows = [[self._denoise(load_pair(self.pairs[number], config.data.scale)[0], number)] for number in own]
        losses = [loss for (loss,) in gather_rows(rows, world)]
        if keep and self._draws():
            keep("samples", config.name, mosaic(self._pictures(config.train.log_pictures)))
        return DenoisingReport(config.name, [pair.name for pair in self.pairs], losses)

    def shown(self, name, pictures):
        """Return what :meth:`run` drew as it is logged, uint8 RGB."""
        return pictures

    def _draws(self):
        return self.config.train.log_pictures > 0

    def _denoise(self, picture, number):
        """The loss of one picture, uint8 (H, W, 3); its noise is a function of its number."""
        import mindspore as ms

        side, steps = self.config.data.patch_size, self.config.diffusion.steps
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        hr = to_network([picture[top : top + side, left : left + side]])
        times = (np.arange(LEVELS) + 0.5) * (steps / LEVELS)
        times = times.astype(np.float32 if self.config.is_continuous else np.int32)
        noise = generator(_SEED, VALIDATION, number).standard_normal((LEVELS, 3, side, side), np.float32)
        return float(self._loss(*(ms.Tensor(array) for array in (hr, hr, times, noise))).asnumpy())

    def _upscaler(self):
        """Made anew for each use: how many pictures are drawn together depends on the memory that is free now."""
        return build_upscaler(self.config, self._networks)

    def _pictures(self, count, **options):
        upscaler, sides = self._upscaler(), (self.config.data.patch_size,) * 2
        return list(unconditional_samples(upscaler, count, sides, upscaler.resolve(**options), self.config.seed))


def _check(config):
    reason = "where 'sr3.conditional' is false, and validation measures how well pictures are denoised"
    if config.train.best_metric != "loss":
        raise UserError(
            f"'train.best_metric' must be loss {reason}, got {config.train.best_metric}; set train.best_metric=loss"
        )
    if config.train.val_lpips != "none":
        raise UserError(
            f"'train.val_lpips' must be none {reason}, got {config.train.val_lpips}; set train.val_lpips=none"
        )
