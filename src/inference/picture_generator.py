"""Pictures from nothing but noise: an unconditional diffusion model."""

from src.errors import UserError
from src.inference.condition import NoCondition
from src.inference.diffusion_upscaler import DiffusionUpscaler
from src.inference.sampler_upscaler import SamplerUpscaler

_REMEDY = "call sample(None, shape=(B, 3, H, W)), or take a model that enlarges"


class FromNothing:
    """An upscaler that knows no LR picture; its scale is 1. ``sample(None, shape=(B, 3, H, W))`` draws pictures."""

    needs_pictures = False

    @property
    def usual_size(self):
        """(height, width) of pictures where none is named: ``sr3.image_size``, a training's patches as a rule."""
        return (self.config.sr3.image_size,) * 2

    def encode(self, lr=None, lr_up=None):
        """Refuse pictures; without any there is nothing to compute, and the condition is None."""
        if lr is not None or lr_up is not None:
            raise UserError(f"this model makes pictures from nothing and enlarges none: {_REMEDY}")

    def from_nothing(self, shape):
        """Return the :class:`src.inference.condition.NoCondition` for pictures of a shape (B, 3, H, W).

        Raises:
            UserError: it is no such shape.
        """
        if len(shape) != 4 or shape[1] != 3 or min(shape) < 1:
            raise UserError(f"the shape of pictures is (B, 3, H, W), not {tuple(shape)}")
        return NoCondition(self.tiling.grid(shape[0], *shape[2:]), shape)

    def draw(self, condition, *arguments, **options):
        """As of what enlarges.

        Raises:
            UserError: the condition is None, which tells no size.
        """
        if condition is None:
            raise UserError(f"this model makes pictures from nothing, but of which size? {_REMEDY}")
        return super().draw(condition, *arguments, **options)


class PictureGenerator(FromNothing, DiffusionUpscaler):
    """A :class:`DiffusionUpscaler` :class:`FromNothing`; ``predict_noise`` takes None as the condition."""

    def predict(self, x_t, t, condition=None, progress=None):
        """As in :class:`DiffusionUpscaler`; a condition of None is that of x_t's shape."""
        return super().predict(x_t, t, condition or self.from_nothing(x_t.shape), progress)


class SamplerGenerator(FromNothing, SamplerUpscaler):
    """A :class:`SamplerUpscaler` :class:`FromNothing`; its pictures have the one size of the graph."""

    @property
    def usual_size(self):
        """(height, width) of pictures: the graph's."""
        return self.tiling.grid(1, 1, 1).window_size

    def from_nothing(self, shape):
        """As in :class:`FromNothing`, of the graph's size alone: tiles would be pictures of their own."""
        condition = super().from_nothing(shape)
        height, width = self.usual_size
        if tuple(shape[2:]) != (height, width):
            raise UserError(
                f"this graph of a whole sampler makes pictures of {width} x {height}, not {shape[3]} x {shape[2]}: "
                "ask for these, or export with --graph step"
            )
        return condition

    def _grid(self, condition):
        return condition.grid

    def _pictures(self, condition):
        return []
