"""The validation during a training run, shared between its ranks: pictures scored, or levels of noise denoised."""

from dataclasses import dataclass

import mindspore as ms
import numpy as np

from src.dataset.pairs import find_pairs, load_pair, prepared_lr_up
from src.dataset.patches import VALIDATION, generator
from src.errors import UserError
from src.host.device import device_memory
from src.imaging.strip import make_grid, side_by_side
from src.inference.files import unconditional_samples
from src.inference.upscaler import to_network
from src.metrics.evaluate import BASELINE, Report, evaluate, picture_seed
from src.metrics.lpips import load_lpips
from src.metrics.weight_files import find_weights
from src.training.distributed import gather_rows
from src.weights.checkpoint import put

LEVELS = 8  # of noise, spread evenly over the steps; each picture is looked at with all of them
_SEED = 0  # of their noise: the losses of runs with different seeds can be compared


def validation_of(family, model, world, dedicated):
    """Return what validates a configuration's model: :class:`Validation`, or :class:`DenoisingValidation`.

    Args:
        family: a ``Family``.
        model: the network, with the weights to look at.
        world: the ranks that share the work, a ``src.training.distributed.World``.
        dedicated: the process runs no convolution, see ``src.training.trainer.training_of``.

    Raises:
        UserError: there are no pictures, one cannot be read, or they do not fit; LPIPS has no weights; or the
            configuration asks for scores that an unconditional model's validation does not have.
    """
    config = family.config
    if not family.conditional:
        _check_unconditional(config.train)
        networks = family.model_networks(model)
        return DenoisingValidation(
            family.upscaler(networks, family.tiling(device_memory=device_memory())), family.loss(model), world,
            validation_pairs(config, at_least=config.data.patch_size), side=config.data.patch_size,
            steps=config.diffusion.steps, continuous=family.told == "level", drawn=config.train.log_pictures,
            seed=config.seed,
        )  # fmt: skip
    networks = Refreshed(family, model) if dedicated else family.model_networks(model)
    return Validation(
        family.upscaler(networks, family.tiling(products=dedicated, device_memory=device_memory())), world,
        validation_pairs(config, lr_up=family.takes_lr_up), seed=config.seed, protocol=config.eval.protocol,
        lpips_net=config.train.val_lpips, lr_up=family.takes_lr_up,
    )  # fmt: skip


class Refreshed:
    """The networks of a model as products; :meth:`refresh` copies its weights anew, which training has changed."""

    def __init__(self, family, model):
        self._family, self._model = family, model
        self._networks = family.product_networks(model)

    def __getattr__(self, name):
        return getattr(self._networks, name)

    def refresh(self):
        """Copy the model's present weights."""
        newest = self._family.product_networks(self._model)
        for cell, other in zip(self._networks.cells(), newest.cells(), strict=True):
            for parameter, value in zip(cell.get_parameters(), other.get_parameters(), strict=True):
                put(parameter, value.asnumpy())


class Validation:
    """Upscales and scores validation pictures.

    Args:
        upscaler: around the weights to look at.
        world: the ranks that share the work.
        pairs: list of ``src.dataset.pairs.Pair``.
        seed: of the run.
        protocol, lpips_net: how to score; "none" leaves LPIPS out.
        lr_up: whether prepared LR↑ pictures are used.
    """

    def __init__(self, upscaler, world, pairs, *, seed, protocol, lpips_net="none", lr_up=False):
        self.upscaler, self.world, self.pairs = upscaler, world, pairs
        self.seed, self.protocol, self.lpips_net, self.lr_up = seed, protocol, lpips_net, lr_up
        self.lpips = None if lpips_net == "none" else load_lpips(lpips_net, find_weights(lpips_net))

    def compile(self):
        """Compile the graphs that :meth:`run` runs, so that what is wrong with them shows before the training.

        Raises:
            UserError: the model cannot be sampled as its configuration says.
        """
        self.upscaler.resolve()
        steps = {} if self.upscaler.one_pass else {"steps": 1, "spacing": "uniform"}
        self.upscaler.upscale([np.zeros((8, 8, 3), np.uint8)], **steps)

    def run(self, keep=None):
        """Return the ``Report`` of all pictures; every rank gets the same.

        Args:
            keep: called with (picture's name, method, sr) for each result of this rank's own pictures.
        """
        if isinstance(self.upscaler.networks, Refreshed):
            self.upscaler.networks.refresh()
        name, scale = self.upscaler.name, self.upscaler.scale
        empty = Report(self.protocol, scale, self.lpips_net, scores={BASELINE: [], name: []})
        own = range(self.world.rank, len(self.pairs), self.world.size)
        report = self._score(own, keep) if own else empty
        return report.with_rows([pair.name for pair in self.pairs], gather_rows(report.rows(), self.world))

    def shown(self, name, sr):
        """Return a picture's result as it is logged, uint8 RGB: LR | SR | HR."""
        pair = next(pair for pair in self.pairs if pair.name == name)
        hr, lr = load_pair(pair, self.upscaler.scale)
        return side_by_side(lr, sr, hr)

    def _score(self, numbers, keep):
        upscaler = self.upscaler

        def upscale(lr, index):  # a picture's noise depends on its number among all, not on the rank
            number = numbers[index]
            given = prepared_lr_up(self.pairs[number], lr, upscaler.scale) if self.lr_up else {}
            return upscaler.upscale([lr], seeds=[picture_seed(self.seed, number)], **given)[0]

        pictures = ((self.pairs[i].name, *load_pair(self.pairs[i], upscaler.scale)) for i in numbers)
        return evaluate(
            {upscaler.name: upscale}, pictures, protocol=self.protocol, scale=upscaler.scale, lpips=self.lpips,
            keep=keep,
        )  # fmt: skip


@dataclass(frozen=True)
class Denoising:
    """A score: ``loss``, that of training, over all levels."""

    loss: float


class DenoisingReport:
    """The loss of each validation picture; as ``src.metrics.evaluate.Report``, of one method."""

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
    """Measures how well held-out pictures are denoised, and draws a few pictures: of an unconditional model.

    The loss is that of training, without dropout, at fixed levels of noise and with fixed noise: it changes with the
    weights alone. It is that of the middle of each picture.

    Args:
        upscaler: around the weights to look at.
        loss: the loss Cell around them.
        world: the ranks that share the work.
        pairs: list of ``src.dataset.pairs.Pair``, at scale 1.
        side: pixels of the middle, and of the pictures that are drawn.
        steps: T.
        continuous: times are real numbers.
        drawn: how many pictures are drawn.
        seed: of the first of them.
    """

    def __init__(self, upscaler, loss, world, pairs, *, side, steps, continuous, drawn, seed):
        self.upscaler, self.world, self.pairs = upscaler, world, pairs
        self._loss, self._side, self._drawn, self._seed = loss, side, drawn, seed
        times = (np.arange(LEVELS) + 0.5) * (steps / LEVELS)
        self._times = times.astype(np.float32 if continuous else np.int32)

    def compile(self):
        """As :meth:`Validation.compile`."""
        self.upscaler.resolve()
        self._denoise(np.zeros((self._side, self._side, 3), np.uint8), 0)
        if self._drawn:
            self._pictures(1, steps=1, spacing="uniform")

    def run(self, keep=None):
        """Return the :class:`DenoisingReport` of all pictures; every rank gets the same.

        Args:
            keep: called with ("samples", method, a grid of pictures that are drawn, uint8); None draws none.
        """
        own = range(self.world.rank, len(self.pairs), self.world.size)
        rows = [[self._denoise(load_pair(self.pairs[number], 1)[0], number)] for number in own]
        losses = [loss for (loss,) in gather_rows(rows, self.world)]
        if keep and self._drawn:
            keep("samples", self.upscaler.name, make_grid(self._pictures(self._drawn)))
        return DenoisingReport(self.upscaler.name, [pair.name for pair in self.pairs], losses)

    def shown(self, name, pictures):
        """Return what :meth:`run` drew as it is logged, uint8 RGB."""
        return pictures

    def _denoise(self, picture, number):
        """The loss of one picture, uint8 (H, W, 3); its noise is a function of its number."""
        side = self._side
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        hr = to_network([picture[top : top + side, left : left + side]])
        noise = generator(_SEED, VALIDATION, number).standard_normal((LEVELS, 3, side, side), np.float32)
        return float(self._loss(*(ms.Tensor(array) for array in (hr, hr, self._times, noise))).asnumpy())

    def _pictures(self, count, **options):
        sampling = self.upscaler.resolve(**options)
        return list(unconditional_samples(self.upscaler, count, (self._side, self._side), sampling, self._seed))


def validation_pairs(config, at_least=1, lr_up=False):
    """Return the pairs to validate on; each is read once, since a broken one would end the training half-way.

    Args:
        config: a ``Config``.
        at_least: pixels that the sides of HR must have.
        lr_up: whether prepared LR↑ pictures are used.

    Raises:
        UserError: there are none, one cannot be read or is too small, or HR and LR do not fit.
    """
    pairs = find_pairs(data=config.data.val, scale=config.data.scale)[: config.data.val_pictures or None]
    for pair in pairs:
        hr, lr = load_pair(pair, config.data.scale)
        if lr_up:
            prepared_lr_up(pair, lr, config.data.scale)
        height, width = hr.shape[:2]
        if min(height, width) < at_least:
            raise UserError(
                f"{pair.hr} is {width}×{height}, smaller than data.patch_size {at_least}: remove it, or lower "
                "data.patch_size"
            )
    return pairs


def _check_unconditional(train):
    for name, value, wanted in (("best_metric", train.best_metric, "loss"), ("val_lpips", train.val_lpips, "none")):
        if value != wanted:
            raise UserError(
                f"'train.{name}' must be {wanted} where 'sr3.conditional' is false, and validation measures how well "
                f"pictures are denoised, got {value}; set train.{name}={wanted}"
            )
