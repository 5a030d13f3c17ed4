"""From an exported model to an upscaler, from its description alone."""

import numpy as np

from ..diffusion.noise_level import noise_level
from ..diffusion.process import ImageTarget, ResidualTarget
from ..diffusion.schedule import Schedule, has_own_betas
from ..errors import UserError
from ..inference.diffusion_upscaler import DiffusionUpscaler
from ..inference.networks import DiffusionNetworks, EnlargedNetworks, RegressionNetworks, as_numpy
from ..inference.sampler_upscaler import SamplerUpscaler
from ..inference.sampling import Sampling
from ..inference.tile_size import MARGIN, Cost, FixedTiling, Reach, TileOptions, Tiling, memory_budget
from ..inference.upscaler import OnePassUpscaler


def upscaler_of(artefact, tile_options=None, device_memory=None):
    """Return the ``src.inference.upscaler.Upscaler`` of a ``src.export.artefact.Artefact``.

    ``device_memory`` is that of the device that the graphs run on, in bytes; None where they run in the machine's.
    """
    about, sampling = artefact.description, artefact.description["sampling"]
    common = {
        "name": about["config"]["name"],
        "system": about["config"]["system"],
        "sampling": Sampling(**{name: sampling.get(name) for name in Sampling._fields}),
    }
    tiling, graph = _tiling(artefact, tile_options or TileOptions(), device_memory), _checked(artefact)
    if artefact.cut == "sampler":
        return SamplerUpscaler(
            lambda *inputs: graph(*inputs)[0], tiling, **common, batch=artefact.fixed_size[0],
            draws=about["noise_draws"], conditional=artefact.conditional,
        )  # fmt: skip
    if artefact.cut == "whole":
        upscaler = OnePassUpscaler(RegressionNetworks(graph), tiling, **common)
    else:
        upscaler = _diffusion_upscaler(artefact, graph, tiling, common)
    upscaler.any_size = artefact.any_size
    return upscaler


def _checked(artefact):
    """The graph whose result is, or becomes, the picture; it is NumPy, and refused where it is no number."""

    def graph(*inputs):
        result = as_numpy(artefact.graphs[artefact.cut](*inputs)[0])
        if not np.isfinite(result).all():
            raise UserError(
                f"{artefact.name} gave numbers that are none (NaN, infinity): its weights are none, or it has to be "
                "exported in float32"
            )
        return (result,)

    return graph


def _diffusion_upscaler(artefact, step, tiling, common):
    about, process = artefact.description, artefact.description["process"]
    sampling, levels = common["sampling"], about.get("trained_alphas_cumprod", about["alphas_cumprod"])
    if len(levels) == sampling.steps and "trained_alphas_cumprod" not in about and has_own_betas(sampling.spacing):
        common["sampling"] = sampling._replace(spacing="uniform")  # an export of before: the levels of its own β alone
    schedule = Schedule.of_levels(levels)
    if process["target"] == "residual":
        target = ResidualTarget(process["residual_scale"], process["clip"])
    else:
        target = ImageTarget(process["clip"])
    lr_up = about.get("lr_up", "apart")
    kind = EnlargedNetworks if lr_up == "condition" else DiffusionNetworks
    side = about.get("image_size")
    return DiffusionUpscaler(
        kind(artefact.graphs.get("encode"), step, uses_lr_up=lr_up == "part"), tiling, **common, schedule=schedule,
        target=target, prediction=process["prediction"], noise_level=noise_level(process["noise_level"], schedule),
        conditional=artefact.conditional, usual_size=side and (side, side),
    )  # fmt: skip


def _tiling(artefact, options, device_memory):
    about, scale, multiple = artefact.description, artefact.scale, artefact.description["size_multiple"]
    edges = about.get("edges", "symmetric")  # exports of before do not say
    if artefact.fixed_size:
        batch, *size = artefact.fixed_size
        if options.tile is not None or options.max_memory is not None:
            raise UserError(
                f"this graph takes LR pictures of {size[1]} x {size[0]} only: leave --tile and --max-memory out"
            )
        return FixedTiling(scale, multiple, size, batch, options.halo, edges)
    if options.fixed:
        return FixedTiling.of(scale, multiple, options, edges)
    if "reach" in about and "cost" in about:
        reach, cost = Reach(**about["reach"]), Cost(**about["cost"])
    elif options.tile is None:
        raise UserError(
            f"{artefact.path} does not say how far its networks see and what memory they need: export it anew with "
            "export.py, or name pixels with --tile and --halo"
        )
    else:
        reach, cost = Reach(1 << 16, MARGIN), Cost(0)
    budget = memory_budget(options, device_memory, alone=True)
    return Tiling(scale, multiple, reach, cost, options, budget, edges)
