"""From a checkpoint to an exported model, and from an exported model to an upscaler."""

import dataclasses
import json
import sys
from pathlib import Path

from src import build, build_sr3
from src.config.loader import config_from_dict, config_to_dict
from src.config.schema import EvalConfig
from src.errors import UserError
from src.export.offline import ADVICE, Artefact, ArtefactError, file_hash


def artefact_upscaler(path, device=None, tile_options=None, runtime=None):
    """Return an exported model's configuration and upscaler; arguments as for :func:`src.build.load_upscaler`.

    Raises:
        UserError: a file of it is missing, damaged, or of another version or program; or there is no such runtime.
    """
    if runtime in (None, "mindspore") and _is_mindir(path) and _installed("mindspore"):
        from src.host.device import select_device

        device, runtime = select_device(device), "mindspore"
    try:
        artefact = Artefact(path, runtime, None if runtime == "mindspore" else device)
        about = artefact.description
        config = config_from_dict(artefact.config, f"the configuration of {path}")
        _check_agreement(artefact, config)
        if artefact.cut == "sampler":
            return config, _sampler_upscaler(artefact, config, tile_options, about["noise_draws"])
    except ArtefactError as error:
        raise UserError(str(error)) from error
    if artefact.fixed_size:
        tiling = _fixed_tiling(artefact, config, tile_options)
    else:
        tiling = build.build_tiling(config, tile_options, memory_of_device=runtime == "mindspore", alone=True)
    return config, build.build_upscaler(config, _networks(artefact, config), tiling=tiling)


def _fixed_tiling(artefact, config, options):
    from src.inference.tile_size import FixedTiling

    batch, *size = artefact.fixed_size
    return FixedTiling(artefact.scale, build.size_multiple(config), size, batch, options)


def _check_agreement(artefact, config):
    """The description repeats for offline.py what the configuration in it says."""
    for name, value in describe(config).items():
        if name != "cut" and artefact.description.get(name) != json.loads(json.dumps(value)):
            raise ArtefactError(f"{artefact.path} contradicts its configuration in its field {name}: {ADVICE}")
    if (artefact.cut == "whole") != config.is_regression:
        raise ArtefactError(f"{artefact.path} contradicts its configuration in its field cut: {ADVICE}")


def _is_mindir(path):
    return Path(path).suffix == ".mindir" or (Path(path).is_dir() and any(Path(path).glob("*.mindir.json")))


def _installed(package):
    import importlib.util

    return package in sys.modules or importlib.util.find_spec(package) is not None


def _networks(artefact, config):
    from src.inference.networks import DiffusionNetworks, RegressionNetworks

    if artefact.cut == "whole":
        return RegressionNetworks(_graph(artefact, "whole"))
    if config.system == "sr3":
        return build_sr3.networks_of({role: _graph(artefact, role) for role in artefact.roles})
    return DiffusionNetworks(_graph(artefact, "encode"), _graph(artefact, "step"), uses_lr_up=config.unet.add_lr_up)


def _graph(artefact, role):
    """A graph whose refusals are a user's errors."""

    def graph(*arrays):
        try:
            return artefact.graph(role)(*arrays)
        except ArtefactError as error:
            raise UserError(str(error)) from error

    return graph


def _sampler_upscaler(artefact, config, tile_options, draws):
    from src.inference.networks import as_numpy
    from src.inference.sampler_upscaler import SamplerUpscaler

    graph = _graph(artefact, "sampler")
    tiling = _fixed_tiling(artefact, config, tile_options)
    return SamplerUpscaler(
        lambda *inputs: as_numpy(graph(*inputs)[0]), tiling, name=config.name, system=config.system,
        sampling=build.own_sampling(config), batch=artefact.fixed_size[0], draws=draws,
        conditional=artefact.conditional,
    )  # fmt: skip


def with_sampling(config, sampling):
    """A configuration whose ``eval`` has these options in place of its own, checked.

    Args:
        config: a ``Config``.
        sampling: option → value, see ``src.inference.sampling.Sampling``.
    """
    if config.is_regression and set(sampling) - {"consistency"}:
        raise UserError("this model samples nothing: of the options of sampling it has --consistency alone")
    options = build.own_sampling(config).replaced(**sampling)
    options.check()
    if options.consistency and config.is_from_nothing:
        raise UserError("this model looks at no picture that its own could agree with: leave --consistency out")
    return dataclasses.replace(config, eval=dataclasses.replace(config.eval, **options._asdict()))


def export_model(config, model, cut="step", size=(None, None, None), precision="float32"):
    """Return a model's graphs for ``src.export.exporter.export``, and what their description says.

    Args:
        config, model: from :func:`src.build.load_model`; in 16 bits the model is changed.
        cut: "step", or "sampler", for which the size must be given.
        size: batch, height and width of LR, or of an unconditional model's pictures; None is free.
        precision: "float32" or "float16".

    Returns:
        role → (Cell, inputs); and the dict.
    """
    if precision == "float16":
        model = _in_16_bits(model)
    about = describe(config)
    if config.is_regression:
        return build.export_graphs(config, model, size), about
    if cut == "step":
        return build.export_graphs(config, model, size), about | {"cut": "step"}
    import mindspore as ms

    from src.export.sampler_graph import Sampler, UnconditionalSampler

    plan = _plan(config, size)
    batch, height, width = size
    noise = ms.Tensor(shape=[plan.draws, batch, 3, height * plan.scale, width * plan.scale], dtype=ms.float32)
    if config.is_from_nothing:
        graph = UnconditionalSampler(model, plan), [noise]
    else:
        graph = Sampler(model, plan), [ms.Tensor(shape=[batch, 3, height, width], dtype=ms.float32), noise]
    return {"sampler": graph}, about | {"cut": "sampler", "noise_draws": plan.draws}


def _plan(config, size):
    from src.diffusion.noise_level import noise_level
    from src.export.sampler_graph import Plan

    return Plan(
        _steps(config), build.own_sampling(config), config.diffusion.prediction, build.build_target(config),
        tuple(size), config.data.scale, noise_level(_told(config), build.build_schedule(config)),
    )  # fmt: skip


def _told(config):
    return "continuous" if config.is_continuous else "discrete"


def describe(config):
    """What a description says of a configuration: all that ``src/export/offline.py`` needs, and the whole of it."""
    about = {
        "cut": "whole",
        "conditional": not config.is_from_nothing,
        "scale": config.data.scale,
        "size_multiple": build.size_multiple(config),
        "value_range": [-1, 1],
        "colour": "RGB",
        "sampling": {"consistency": config.eval.consistency},
        "config": config_to_dict(config),
    }
    if config.is_regression:
        return about
    schedule, target, options = build.build_schedule(config), build.build_target(config), config.eval
    names = [field.name for field in dataclasses.fields(EvalConfig) if field.name != "protocol"]
    alphas, times = tables(schedule, _steps(config))
    if config.system == "sr3":
        about |= {"image_size": config.sr3.image_size}
        diffused = {"target": "image"}
    else:
        diffused = {"target": "residual", "residual_scale": target.scale}
    return about | {
        "sampling": {name: getattr(options, name) for name in names} | {"times": times},
        "alphas_cumprod": alphas,
        "process": {
            **diffused,
            "prediction": config.diffusion.prediction,
            "noise_level": _told(config),
            "clip": target.clip,
        },
    }


def _steps(config):
    options = config.eval
    return build.build_schedule(config).steps(options.steps, options.spacing, config.is_continuous)


def tables(schedule, steps):
    """Return ᾱ and, for each step, where in it its level stands.

    They are the trained ᾱ and the trained t, but for a schedule with levels of its own: then these, least noisy first.
    """
    times = [step.t for step in steps]
    if all(step.alpha_bar == schedule.alpha_bar(step.t) for step in steps):
        return schedule.alphas_cumprod.tolist(), times
    return [step.alpha_bar for step in reversed(steps)], [*reversed(range(len(steps)))]


def provenance(checkpoint, kind):
    """What a description says of where a model comes from: the checkpoint's name and hash, and versions."""
    import mindspore as ms

    versions = {"mindspore": ms.__version__, "python": sys.version.split()[0]}
    if kind == "onnx":
        import onnx

        from src.export.onnx_model import OPSET

        versions |= {"onnx": onnx.__version__, "opset": OPSET}
    return {"checkpoint": {"name": Path(checkpoint).name, "sha256": file_hash(checkpoint)}, "versions": versions}


def _in_16_bits(model):
    import mindspore as ms

    from src.layers.graph import WideResults
    from src.layers.precision import compute_in_16_bits

    compute_in_16_bits(model, "O3", "float16")
    for parameter in model.get_parameters():
        parameter.set_dtype(ms.float16)
    return WideResults(model)


def fixed_size(config, size=None, batch=None):
    """(batch, height, width) of LR, or of an unconditional model's pictures, for a graph of fixed sizes, checked.

    Args:
        config: a ``Config``.
        size: (height, width); None takes 128 × 128, or what SR3 and DDPM were trained with, since their attention takes
            memory with the square of the pixels.
        batch: None takes 1.

    Raises:
        UserError: the network cannot take the size.
    """
    multiple, scale = build.size_multiple(config), config.data.scale
    size = size or (config.sr3.image_size // scale if config.system == "sr3" else 128,) * 2
    batch = 1 if batch is None else batch
    if any(side * scale % multiple or side * scale < 2 * multiple for side in size) or batch < 1:
        raise UserError(
            f"--size times {scale} must be multiples of {multiple}, at least {2 * multiple}, and --batch 1 or more, "
            f"not {size[0]} x {size[1]} and {batch}"
        )
    return (batch, *size)
