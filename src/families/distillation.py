"""What diffusion families share in distillation: settings, checks, and the teacher; docs/distillation.md."""

from dataclasses import asdict, dataclass, field

import numpy as np

from ..config.schema import DistillConfig
from ..errors import UserError
from ..host.shipped import shipped
from .family import Diffusion, Objective
from .picture_losses import PictureLosses, PictureLossSettings

DETERMINISTIC = ("ddim", "dpmpp_2m")  # of the samplers


@dataclass(frozen=True)
class DistillableSettings(PictureLossSettings):
    distill: DistillConfig = field(default_factory=DistillConfig)


class Distillable(PictureLosses, Diffusion):
    """A diffusion family whose networks can learn from a teacher of the same family."""

    def check(self):
        if self.distilled:
            self._check_distillation()
        else:
            for section in ("distill", "loss", "discriminator", "perceptual"):
                self.check_unread(section, vars(getattr(self.config, section)), "distill.method is none")
        super().check()

    @property
    def distilled(self):
        return self.config.distill.method != "none"

    def _check_distillation(self):
        distill, steps = self.config.distill, self.config.eval.steps
        progressive = distill.method == "progressive"
        if not distill.teacher:
            raise UserError(f"'distill.teacher' is empty, but 'distill.method' is {distill.method}: name a checkpoint")
        if self.trains_encoder:
            raise UserError("'distill.method' needs a frozen encoder, which is the teacher's: set encoder.frozen=true")
        if self.config.data.sink:
            raise UserError("'data.sink' feeds batches that no teacher has seen: set data.sink=false")
        if self.config.loss.discriminator_first:
            raise UserError("'loss.discriminator_first' is of an SRGAN: leave it out")
        if self.config.diffusion.loss_weight != "uniform":
            raise UserError("'diffusion.loss_weight' is of training without a teacher: leave it out")
        if progressive:
            self.check_unread("distill", ("sampler", "inverse"), "distill.method is progressive")
        elif steps > 1:
            self.check_unread("distill", ("inverse",), f"x_T is not what the last of {steps} steps sees")
        if distill.truth and not self.conditional:
            raise UserError("'distill.truth' needs pictures that belong to LR: leave it out where there is none")
        if self.config.diffusion.prediction != "velocity":
            raise UserError(
                "'diffusion.prediction' must be velocity, got noise, which at x_T tells nothing of x_0; a teacher may "
                "predict noise"
            )
        if progressive and (distill.steps % steps or distill.steps <= steps):
            raise UserError(
                f"'distill.steps', the teacher's, must be a multiple of 'eval.steps', the student's, got "
                f"{distill.steps} and {steps}; set distill.steps={2 * steps}"
            )
        for name, sampler in (("eval", self.config.eval.sampler), ("distill", distill.sampler)):
            if sampler not in DETERMINISTIC:
                raise UserError(
                    f"'{name}.sampler' must be one of {', '.join(DETERMINISTIC)}, where x_T decides all, got {sampler}"
                )
        if self.config.eval.eta:
            raise UserError(f"'eval.eta' must be 0, so that x_T decides all, got {self.config.eval.eta}")
        self.check_picture_losses()

    def pretrained(self):
        if not self.distilled:
            return super().pretrained()
        path = self.config.distill.teacher
        if not shipped(path).is_file():
            raise UserError(
                f"no teacher at {path} (distill.teacher): name a checkpoint of the system {self.config.system}"
            )
        return [("", path)] * (not self.config.train.init) + self.pretrained_discriminator()

    def objectives(self, model, lr_up=False):
        if not self.distilled:
            return super().objectives(model, lr_up)
        from ..losses.distillation import DistillationLoss

        distill, level = self.config.distill, self.noise_level()
        discriminator = self.discriminator() if self.config.loss.adversarial else None
        losses = self.picture_loss(self.config.diffusion.loss, discriminator, distill.truth)
        *_, first = self.schedule().steps()
        loss = DistillationLoss(
            model, self.target(), losses, distill.inverse,
            (first.alpha_bar, np.array([level.of(first)], level.dtype)),
        )  # fmt: skip
        own = Objective(loss, self.groups(model))
        return [own] if discriminator is None else [own, self.discriminator_objective(losses)]

    def check_teacher(self, teacher, path):
        """Refuse a teacher that diffuses something else, or with other noise."""
        if type(teacher) is not type(self):
            system = teacher.config.system
            raise UserError(f"expected a {self.config.system} in distill.teacher, got the {system} {path}")
        own, theirs = (asdict(family.config.diffusion) for family in (self, teacher))
        for name in theirs.keys() - {"prediction", "loss", "loss_weight"}:
            if own[name] != theirs[name]:
                raise UserError(
                    f"the teacher {path} has diffusion.{name}={theirs[name]}, and the student {own[name]}: set "
                    f"diffusion.{name}={theirs[name]}"
                )
        if teacher.conditional != self.conditional or teacher.scale != self.scale:
            raise UserError(f"the teacher {path} makes other pictures than the configuration says: name another")
