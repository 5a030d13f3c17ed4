"""Pictures from nothing but noise: an unconditional diffusion model."""

from src.errors import UserError
from src.inference.condition import NoCondition
from src.inference.diffusion_upscaler import DiffusionUpscaler

_REMEDY = "call sample(None, shape=(B, 3, H, W)), or take a model that enlarges"


class PictureGenerator(DiffusionUpscaler):
    """A :class:`DiffusionUpscaler` that knows no LR picture; its scale is 1.

    ``sample(None, shape=(B, 3, H, W))`` draws pictures; ``predict_noise`` takes None as the condition.
    """

    needs_pictures = False

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

    def predict(self, x_t, t, condition=None, progress=None):
        """As in :class:`DiffusionUpscaler`; a condition of None is that of x_t's shape."""
        return super().predict(x_t, t, condition or self.from_nothing(x_t.shape), progress)

    def draw(self, condition, *arguments, **options):
        """As in :class:`DiffusionUpscaler`.

        Raises:
            UserError: the condition is None, which tells no size.
        """
        if condition is None:
            raise UserError(f"this model makes pictures from nothing, but of which size? {_REMEDY}")
        return super().draw(condition, *arguments, **options)
