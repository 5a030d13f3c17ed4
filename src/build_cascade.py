"""Several checkpoints or exported models in a row, as one upscaler."""

from src import build
from src.inference.cascade import Cascade
from src.inference.tile_choice import Tiling


def load_cascade(paths, device=None, graph=True, ema=True, tile_options=None, runtime=None):
    """Return the :class:`src.inference.cascade.Cascade` of several models; arguments as of ``build.load_upscaler``.

    All of them are in memory at once, and each cuts its pictures for what the memory then has left. Checkpoints run
    convolutions: the products of ``dedicated`` would slow the other models down.

    Raises:
        UserError: a model cannot be loaded, or does not fit its place.
    """
    stages = [
        build.load_upscaler(path, device, graph, ema, tile_options, runtime=runtime if _is_export(path) else None)
        for path in paths
    ]
    cascade = Cascade(stages)
    for stage, path in zip(stages, paths, strict=True):
        if isinstance(stage.tiling, Tiling) and not _is_export(path):
            stage.tiling = build.build_tiling(stage.config, tile_options)  # the others' weights take memory too
    return cascade


def _is_export(path):
    return not str(path).endswith(".ckpt")
