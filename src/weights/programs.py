"""Which PyTorch program wrote a checkpoint: every kind that can be converted."""

from src.families.sr3.convert import from_sr3, is_sr3
from src.families.srdiff.convert import from_srdiff


def convert(obj, given=None):
    """Convert a checkpoint of any known program.

    Args:
        obj: from :func:`~src.weights.torch_file.read_torch`.
        given: nested dict of settings that somebody names; those that no tensor tells are taken from it.

    Returns:
        :class:`~src.weights.conversion.Conversion`.

    Raises:
        UserError: it is of none, or a tensor is missing, unknown, of another shape or not finite.
    """
    given = given or {}
    if is_sr3(obj):
        return from_sr3(obj, given)
    return from_srdiff(obj, groups=given.get("unet", {}).get("groups", 0))
