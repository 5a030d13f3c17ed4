"""The teacher of a distillation: what it makes in several steps, a student learns to make in one, from the same x_t.

"regression" starts from x_T, and the teacher goes all the way (SinSR, arXiv 2311.14760, section 4.2). "progressive"
starts from HR with noise at one of the student's steps, and the teacher goes to the student's next (arXiv 2202.00512,
algorithm 2).
"""

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
    distill, spacing, steps = family.config.distill, family.config.eval.spacing, family.steps()
    checkpoint = load_checkpoint(distill.teacher)
    teacher = family_of(config_of(checkpoint))
    family.check_teacher(teacher, checkpoint.path)
    own = family.schedule().steps(distill.steps, spacing, family.told == "level")
    stride = len(own) // len(steps)
    if [step.t for step in own[::stride]] != [step.t for step in steps]:
        raise UserError(
            f"{len(own)} steps of eval.spacing={spacing} do not hold the student's {len(steps)}: set "
            f"eval.spacing=trailing, and distill.steps to a number that divides {len(family.schedule())}"
        )
    model = teacher.model()
    load_into(model, checkpoint.model_arrays(), checkpoint.path)
    model.update_parameters_name(PREFIX)  # of two with one name in a graph, MindSpore would rename one
    walks = [(step, own[stride * k : stride * (k + 1)]) for k, step in enumerate(steps)]
    return Teacher(
        model, _compiled(teacher, model), teacher.config.diffusion.prediction, teacher.noise_level(), student,
        family.noise_level(), family.target(), walks, distill.sampler,
        progressive=distill.method == "progressive", conditional=family.conditional,
    )  # fmt: skip


def _compiled(family, model):
    """The graph of a step, which ONNX Runtime runs on the CPU."""
    graph = family.graphs(model)["step"]
    if ms.get_context("device_target") != "CPU":
        return Graph(*graph)
    step = CurrentGraph("step", *graph, family.conditional)
    step.refresh()
    return step


class Teacher:
    """From a batch of training to one for ``DistillationLoss``: x_t, and the x_0 that the teacher makes of it.

    Args:
        model, step, prediction, level: the teacher's network, its graph of a step, what it predicts, and what it is
            told, see ``src.diffusion.noise_level``.
        student, student_level: the network that learns, whose encoder is the teacher's and has one pass for both; what
            it is told.
        target: what is diffused, of both.
        walks: a list of (``src.diffusion.schedule.Step`` of the student, the teacher's steps in its place).
        sampler: the teacher's, of :data:`src.diffusion.samplers.SAMPLERS`.
        progressive: start from HR with noise; otherwise from x_T.
        conditional: whether the networks look at a picture.
    """

    def __init__(
        self, model, step, prediction, level, student, student_level, target, walks, sampler, progressive, conditional,
    ):  # fmt: skip
        self.model, self.step, self.prediction, self.level = model, step, prediction, level
        self.student, self.student_level, self.target, self.walks = student, student_level, target, walks
        self.sampler, self.progressive, self.conditional = SAMPLERS[sampler], progressive, conditional
        self.encode = Condition(student, model)
        self._checked = False

    def __call__(self, number, hr, lr, t, noise, *lr_up):
        """The batch of training step ``number``, in which one of the student's steps has its turn.

        HR (B, 3, H, W), LR, noise (B·D, 3, H, W) and LR↑ are tensors as of ``DiffusionLoss``; t is not looked at.
        Returns the arguments of ``DistillationLoss.construct``.
        """
        if not self._checked:
            self._check_encoder()
        features, base, condition = self.encode(lr, *lr_up)
        x_t, draws = noise.asnumpy(), len(noise) // len(hr)
        step, walk = self.walks[number % len(self.walks)]
        signal, noise_rate = step.alpha_bar**0.5, (1 - step.alpha_bar) ** 0.5
        if self.progressive:
            x_0 = self.target.to_x0(hr.asnumpy(), base.asnumpy())
            x_t = q_sample(x_0.repeat(draws, 0), x_t, np.float32(signal), np.float32(noise_rate))
        end = self._walk(x_t, walk, condition.asnumpy().repeat(draws, 0))
        row = implicit(step)  # the student's own step by DDIM is to end there, too
        x_0 = (end - np.float32(row.of_xt) * x_t) * np.float32(1 / row.of_x0)
        told = np.full(len(x_t), self.student_level.of(step), self.student_level.dtype)
        rates = np.array([signal, noise_rate], np.float32)
        return hr, features, base, *map(ms.Tensor, (x_t, told, rates, x_0))

    def _walk(self, x_t, walk, condition):
        def denoise(x, step):
            told = np.full(len(x), self.level.of(step), self.level.dtype)
            of_xt, of_prediction = x0_coefficients(self.prediction, step.alpha_bar)
            prediction = as_numpy(self.step(x, told, *[condition] * self.conditional)[0])
            x_0 = weighted_sum([(of_xt, x), (of_prediction, prediction)])
            return x_0.clip(-1.0, 1.0) if self.target.clip else x_0

        return self.sampler(denoise, x_t.shape, walk, lambda k, shape: x_t)

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
    """The features and the base picture of LR by the student's frozen encoder, and the teacher's condition of them."""

    def __init__(self, student, teacher):
        super().__init__(auto_prefix=False)
        self.student, self.teacher = student, teacher

    def construct(self, *lr):
        features, base = self.student.features_and_base(*lr)
        features, base = features.astype(ms.float32), base.astype(ms.float32)  # the teacher's precision
        return features, base, self.teacher.project(features, base)
