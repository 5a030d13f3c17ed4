"""What is exported of a model: its graphs, and the description beside them."""

import dataclasses
import sys
from pathlib import Path

import mindspore as ms

from ..errors import UserError
from ..families.registry import family_of
from ..layers.graph import WideResults
from ..layers.precision import compute_in_16_bits
from .artefact import OPSET, file_hash
from .sampler_graph import Plan, Sampler, UnconditionalSampler


def with_sampling(config, options):
    """The configuration with these options of ``src.inference.sampling.Sampling``, a dict, in its ``eval``, checked."""
    family = family_of(config)
    if family.one_pass and set(options) - {"consistency"}:
        raise UserError("this model samples nothing: of the options of sampling it has --consistency alone")
    sampling = family.sampling().replaced(**options)
    if not family.one_pass:
        sampling.check()
    if sampling.consistency and not family.conditional:
        raise UserError("this model looks at no picture that its own could agree with: leave --consistency out")
    return dataclasses.replace(config, eval=dataclasses.replace(config.eval, **sampling._asdict()))


def export_model(config, model, kind="step", size=(None, None, None), precision="float32"):
    """Return a model's graphs for ``src.export.exporter.export``, and what their description says.

    Args:
        config, model: from ``src.build.load_model``; in 16 bits the model is changed.
        kind: "step", or "sampler", for which the size must be given.
        size: batch, height and width of LR, or of an unconditional model's pictures; None is free.
        precision: "float32" or "float16".

    Returns:
        role → (Cell, inputs); and the dict.
    """
    family = family_of(config)
    if precision == "float16":
        compute_in_16_bits(model, "O3", "float16")
        for parameter in model.get_parameters():
            parameter.set_dtype(ms.float16)
        model = WideResults(model)
    about = family.description()
    if family.one_pass:
        return family.graphs(model, size), about
    if kind == "step":
        return family.graphs(model, size), about | {"cut": "step"}
    plan = Plan(
        family.steps(), family.sampling(), config.diffusion.prediction, family.target(), tuple(size), family.scale,
        family.noise_level(),
    )  # fmt: skip
    batch, height, width = size
    noise = ms.Tensor(shape=[plan.draws, batch, 3, height * plan.scale, width * plan.scale], dtype=ms.float32)
    if family.conditional:
        graph = Sampler(model, plan), [ms.Tensor(shape=[batch, 3, height, width], dtype=ms.float32), noise]
    else:
        graph = UnconditionalSampler(model, plan), [noise]
    return {"sampler": graph}, about | {"cut": "sampler", "noise_draws": plan.draws}


def provenance(checkpoint, kind):
    """What a description says of where a model comes from: the checkpoint's name and hash, and versions."""
    versions = {"mindspore": ms.__version__, "python": sys.version.split()[0]}
    if kind == "onnx":
        import onnx

        versions |= {"onnx": onnx.__version__, "opset": OPSET}
    return {"checkpoint": {"name": Path(checkpoint).name, "sha256": file_hash(checkpoint)}, "versions": versions}


def fixed_size(family, size=None, batch=None):
    """(batch, height, width) of LR, or of an unconditional model's pictures, for a graph of fixed sizes.

    None takes 1 × 128 × 128, or the size that SR3 and DDPM were trained with, since their attention takes memory with
    the square of the pixels.
    """
    multiple, scale = family.size_multiple, family.scale
    usual = [side // scale for side in family.usual_size] if family.usual_size else (128, 128)
    size, batch = size or usual, 1 if batch is None else batch
    if any(side * scale % multiple or side * scale < 2 * multiple for side in size) or batch < 1:
        raise UserError(
            f"--size times {scale} must be multiples of {multiple}, at least {2 * multiple}, and --batch 1 or more, "
            f"not {size[0]} x {size[1]} and {batch}"
        )
    return (batch, *size)
