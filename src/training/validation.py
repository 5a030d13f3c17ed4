"""The validation during a training run, shared between its ranks: pictures scored, or noise levels denoised."""

from dataclasses import dataclass, field

import mindspore as ms
import numpy as np
from mindspore import nn

from ..dataset.degradation import degradation_of
from ..dataset.pairs import find_pairs, load_pair, prepared_lr_up
from ..dataset.patches import VALIDATION, degraded, generator
from ..errors import UserError
from ..export.onnx_model import CurrentGraph
from ..host.device import device_memory
from ..host.ranks import World
from ..inference.files import unconditional_grid
from ..inference.upscaler import Upscaler, to_network
from ..metrics.evaluate import Denoising, Report, comparison, evaluate, picture_seed
from ..metrics.lpips import load_lpips
from ..metrics.weight_files import find_weights
from .distributed import gather_rows

LEVELS = 8  # of noise, spread evenly over the steps; each picture is looked at with all of them
_SEED = 0  # of their noise, and of degradations: runs with different seeds can be compared


def validation_of(family, model, world):
    """Return what validates a model, the network with the weights to look at: one of the classes below."""
    config, device, graphs = family.config, ms.get_context("device_target"), {}
    if device == "CPU":
        graphs = {role: CurrentGraph(role, *graph, family.conditional) for role, graph in family.graphs(model).items()}
        upscaler = family.upscaler(family.networks(graphs), family.tiling())
    else:
        upscaler = family.model_upscaler(model, device, device_memory())
    if family.conditional:
        return Validation(
            upscaler, world, validation_pairs(config, lr_up=family.takes_lr_up), seed=config.seed,
            protocol=config.eval.protocol, lpips_net=config.train.val_lpips, lr_up=family.takes_lr_up, graphs=graphs,
        )  # fmt: skip
    _check_unconditional(config.train)
    side = config.data.patch_size
    return DenoisingValidation(
        upscaler, world, validation_pairs(config, at_least=side), loss=family.loss(model), side=side,
        steps=config.diffusion.steps, continuous=family.told == "level", drawn=config.train.log_pictures,
        seed=config.seed, graphs=graphs,
    )  # fmt: skip


@dataclass(eq=False)
class Validation:
    """Upscales and scores validation pictures."""

    upscaler: Upscaler  # around the weights to look at
    world: World  # the ranks that share the work
    pairs: list  # of ``src.dataset.pairs.Pair``
    seed: int  # of the run
    protocol: str
    lpips_net: str  # "none" leaves LPIPS out
    lr_up: bool  # whether prepared LR↑ pictures are used
    graphs: dict = field(default_factory=dict)  # role → its ``CurrentGraph``, where ONNX Runtime runs them

    def __post_init__(self):
        net = self.lpips_net
        self.lpips = None if net == "none" else load_lpips(net, find_weights(net))

    def compile(self):
        """Compile the graphs that :meth:`run` runs, so that what is wrong with them shows before the training."""
        self.upscaler.resolve()
        _refresh(self.graphs)
        shortest = {} if self.upscaler.one_pass else {"steps": 1, "spacing": "uniform"}
        self.upscaler.upscale([np.zeros((8, 8, 3), np.uint8)], **shortest)

    def run(self, keep=None):
        """Return the ``Report`` of all pictures; every rank gets the same.

        ``keep`` is called with (picture's name, method, sr) for each result of this rank's own pictures.
        """
        _refresh(self.graphs)
        report = self._score(self.world.share(range(len(self.pairs))), keep)
        return report.with_rows([pair.name for pair in self.pairs], gather_rows(report.rows(), self.world))

    def shown(self, name, sr):
        """A picture's result as it is logged, uint8 RGB: LR | SR | HR."""
        pair = next(pair for pair in self.pairs if pair.name == name)
        hr, lr = load_pair(pair, self.upscaler.scale)
        return comparison(lr, sr, hr)

    def _score(self, numbers, keep):
        upscaler, scale = self.upscaler, self.upscaler.scale

        def upscale(lr, index):  # a picture's noise depends on its number among all, not on the rank
            number = numbers[index]
            given = prepared_lr_up(self.pairs[number], lr, scale) if self.lr_up else {}
            return upscaler.upscale([lr], seeds=[picture_seed(self.seed, number)], **given)[0]

        pictures = ((self.pairs[i].name, *load_pair(self.pairs[i], scale)) for i in numbers)
        return evaluate(
            {upscaler.name: upscale}, pictures, protocol=self.protocol, scale=scale, lpips=self.lpips, keep=keep
        )  # fmt: skip


@dataclass(eq=False)
class DenoisingValidation:
    """Measures how well held-out pictures are denoised, and draws a few pictures: of an unconditional model.

    The loss is that of training, without dropout, at fixed levels of noise and with fixed noise: it changes with the
    weights alone. It is that of the middle of each picture.
    """

    upscaler: Upscaler  # around the weights to look at
    world: World  # the ranks that share the work
    pairs: list  # of ``src.dataset.pairs.Pair``, at scale 1
    loss: nn.Cell  # around the weights to look at
    side: int  # pixels of the middle, and of the pictures that are drawn
    steps: int  # T
    continuous: bool  # times are real numbers
    drawn: int  # how many pictures are drawn
    seed: int  # of the first of them
    graphs: dict = field(default_factory=dict)  # as of :class:`Validation`

    def __post_init__(self):
        times = (np.arange(LEVELS) + 0.5) * (self.steps / LEVELS)
        self._times = times.astype(np.float32 if self.continuous else np.int32)

    def compile(self):
        """As :meth:`Validation.compile`."""
        self.upscaler.resolve()
        self._denoise(np.zeros((self.side, self.side, 3), np.uint8), 0)
        if self.drawn:
            self._pictures(1, steps=1, spacing="uniform")

    def run(self, keep=None):
        """Return the ``Report`` of all pictures, of ``Denoising`` scores; every rank gets the same.

        ``keep`` is called with ("samples", method, a grid of pictures that are drawn, uint8); None draws none.
        """
        own = self.world.share(range(len(self.pairs)))
        rows = [[self._denoise(load_pair(self.pairs[number], 1)[0], number)] for number in own]
        scores, name = [Denoising(*row) for row in gather_rows(rows, self.world)], self.upscaler.name
        if keep and self.drawn:
            keep("samples", name, self._pictures(self.drawn))
        return Report(names=[pair.name for pair in self.pairs], scores={name: scores}, kind=Denoising)

    def shown(self, name, pictures):
        """What :meth:`run` drew as it is logged, uint8 RGB."""
        return pictures

    def _denoise(self, picture, number):
        """The loss of one picture, uint8 (H, W, 3); its noise is a function of its number."""
        side = self.side
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        hr = to_network([picture[top : top + side, left : left + side]])
        noise = generator(_SEED, VALIDATION, number).standard_normal((LEVELS, 3, side, side), np.float32)
        return float(self.loss(*(ms.Tensor(array) for array in (hr, hr, self._times, noise))).asnumpy())

    def _pictures(self, count, **options):
        _refresh(self.graphs)
        sampling = self.upscaler.resolve(**options)
        return unconditional_grid(self.upscaler, count, (self.side, self.side), sampling, self.seed)


def _refresh(graphs):
    for graph in graphs.values():
        graph.refresh()


def validation_pairs(config, at_least=1, lr_up=False):
    """The pairs to validate on, sides ``at_least`` so long; each is read: a broken one would end the run half-way."""
    kernel = None if config.data.lr_kernel == "bicubic" else config.data.lr_kernel
    degradation = degradation_of(config.degradation)
    pairs = find_pairs(data=config.data.val, scale=1 if degradation else config.data.scale, lr_kernel=kernel)
    pairs = pairs[: config.data.val_pictures or None]
    pairs = degraded(pairs, degradation, _SEED) if degradation else pairs
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
