"""The teacher of a distillation: what it makes in several steps, a student learns to make in fewer.

"regression" starts from x_T, and the teacher goes all the way (SinSR, arXiv 2311.14760, section 4.2); a student of
several steps learns each of them where its own steps before have led it (backward distillation, arXiv
2405.05224). "progressive" starts from HR with noise at one of the student's steps, and the teacher goes to the
student's next (arXiv 2202.00512, algorithm 2).
"""

from collections.abc import Callable
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import nn

from ..diffusion.process import q_sample, x0_coefficients
from ..diffusion.samplers import SAMPLERS, implicit, weighted_sum
from ..errors import UserError
from ..export.onnx_model import CurrentGraph
from ..families.registry import config_of, family_of
from ..inference.networks import as_numpy
from ..layers.graph import Graph
from ..weights.checkpoint import load_checkpoint, load_into

PREFIX = "teacher."


def teacher_of(family, student):
    """The :class:`Teacher` of a ``Distillable``'s model, None where it has none."""
    if not family.distilled:
        return None
    distill, options, steps = family.config.distill, family.config.eval, family.steps()
    checkpoint = load_checkpoint(distill.teacher)
    teacher = family_of(config_of(checkpoint))
    family.check_teacher(teacher, checkpoint.path)
    own = family.schedule().steps(distill.steps, options.spacing, family.told == "level")
    parts = [own] * len(steps)
    if progressive := distill.method == "progressive":
        stride = len(own) // len(steps)
        parts = [own[stride * k : stride * (k + 1)] for k in range(len(steps))]
        if [part[0].t for part in parts] != [step.t for step in steps]:
            raise UserError(
                f"{len(own)} steps of eval.spacing={options.spacing} do not hold the student's {len(steps)}: set "
                f"eval.spacing=trailing, and distill.steps to a number that divides {len(family.schedule())}"
            )
    model = teacher.model()
    load_into(model, checkpoint.model_arrays(), checkpoint.path)
    model.update_parameters_name(PREFIX)  # of two with one name in a graph, MindSpore would rename one
    clip = family.target().clip
    return Teacher(
        model, Walk(_compiled(teacher, model), teacher.config.diffusion.prediction, teacher.noise_level(),
                    distill.sampler, clip),
        student, Walk(Graph(*family.graphs(student)["step"]), family.config.diffusion.prediction,
                      family.noise_level(), options.sampler, clip),
        family.target(), steps, parts, progressive, family.conditional,
    )  # fmt: skip


def _compiled(family, model):
    """The graph of a step, which ONNX Runtime runs on the CPU."""
    graph = family.graphs(model)["step"]
    if ms.get_context("device_target") != "CPU":
        return Graph(*graph)
    step = CurrentGraph("step", *graph, family.conditional)
    step.refresh()
    return step


class Walk(NamedTuple):
    """The steps of a network: its graph of one, what it predicts, what it is told, its sampler, whether x_0 is clipped.

    ``level`` is as in ``src.diffusion.noise_level``, ``sampler`` a name of :data:`src.diffusion.samplers.SAMPLERS`.
    """

    graph: Callable
    prediction: str
    level: object
    sampler: str
    clip: bool

    def __call__(self, x_t, steps, condition):
        """From x_t (B, 3, H, W) down the steps; condition is a list of one array, or of none."""

        def denoise(x, step):
            told = np.full(len(x), self.level.of(step), self.level.dtype)
            of_xt, of_prediction = x0_coefficients(self.prediction, step.alpha_bar)
            prediction = as_numpy(self.graph(x, told, *condition)[0])
            x_0 = weighted_sum([(of_xt, x), (of_prediction, prediction)])
            return x_0.clip(-1.0, 1.0) if self.clip else x_0

        return SAMPLERS[self.sampler](denoise, x_t.shape, steps, lambda k, shape: x_t)


class Teacher:
    """From a batch of training to one for ``DistillationLoss``: x_t, and the x_0 that the teacher makes of it.

    Args:
        model, walk: the teacher's network and its :class:`Walk`.
        student, student_walk: the same of the network that learns, whose encoder is the teacher's and has one pass for
            both.
        target: what is diffused, of both.
        steps, parts: the student's, and for each of them those that the teacher takes.
        progressive: start from HR with noise; otherwise from x_T.
        conditional: whether the networks look at a picture.
    """

    def __init__(self, model, walk, student, student_walk, target, steps, parts, progressive, conditional):
        self.model, self.walk, self.student, self.student_walk = model, walk, student, student_walk
        self.target, self.steps, self.parts = target, steps, parts
        self.progressive, self.conditional = progressive, conditional
        self.encode = Condition(student, model)
        self._checked = False

    def __call__(self, number, hr, lr, t, noise, *lr_up):
        """The batch of training step ``number``, in which one of the student's steps has its turn.

        HR (B, 3, H, W), LR, noise (B·D, 3, H, W) and LR↑ are tensors as of ``DiffusionLoss``; t is not looked at.
        Returns the arguments of ``DistillationLoss.construct``.
        """
        if not self._checked:
            self._check_encoder()
        features, base, *conditions = self.encode(lr, *lr_up)
        noise, draws, turn = noise.asnumpy(), len(noise) // len(hr), number % len(self.steps)
        own, taught = ([each.asnumpy().repeat(draws, 0)] * self.conditional for each in conditions)
        step = self.steps[turn]
        signal, noise_rate = step.alpha_bar**0.5, (1 - step.alpha_bar) ** 0.5
        if self.progressive:
            x_0 = self.target.to_x0(hr.asnumpy(), base.asnumpy())
            x_t = q_sample(x_0.repeat(draws, 0), noise, np.float32(signal), np.float32(noise_rate))
            end = self.walk(x_t, self.parts[turn], taught)
            row = implicit(step)  # the student's own step by DDIM is to end there, too
            x_0 = (end - np.float32(row.of_xt) * x_t) * np.float32(1 / row.of_x0)
        else:
            x_t = self.student_walk(noise, self.steps[:turn], own)
            x_0 = self.walk(noise, self.parts[turn], taught)
        told = np.full(len(x_t), self.student_walk.level.of(step), self.student_walk.level.dtype)
        rates = np.array([signal, noise_rate], np.float32)
        return hr, features, base, *map(ms.Tensor, (x_t, told, rates, x_0))

    def _check_encoder(self):
        """Refuse a student whose encoder is another one: the teacher would be handed what it does not know."""
        own = {parameter.name.removeprefix(PREFIX): parameter for parameter in self.model.get_parameters()}
        for parameter in self.student.get_parameters():
            shared = parameter.name.startswith("encoder.")
            if shared and not np.array_equal(own[parameter.name].asnumpy(), parameter.asnumpy()):
                raise UserError(
                    "the student's encoder is not the teacher's, which both need to share: leave out train.init, or "
                    "name as distill.teacher the model that it was trained with"
                )
        self._checked = True


class Condition(nn.Cell):
    """The features and the base picture of LR by the student's frozen encoder, and both networks' condition of them."""

    def __init__(self, student, teacher):
        super().__init__(auto_prefix=False)
        self.student, self.teacher = student, teacher

    def construct(self, *lr):
        features, base = self.student.features_and_base(*lr)
        features, base = features.astype(ms.float32), base.astype(ms.float32)  # the teacher's precision
        own = self.student.project(features, base).astype(ms.float32)
        return features, base, own, self.teacher.project(features, base)
