"""From a configuration to objects: the one place that knows every part."""

from functools import cache, partial
from pathlib import Path

from src import build_sr3
from src.build_demands import demands_of
from src.errors import UserError
from src.host.device import select_device
from src.inference.cascade import Cascade
from src.inference.sampling import Sampling
from src.inference.tile_size import TileOptions, Tiling, free_memory
from src.weights.checkpoint import config_of


def build_model(config):
    """Return a configuration's network: an RRDBNet (parameters ``encoder.*``), an SRDiff, an SR3 or SR3Regression."""
    if config.system == "sr3":
        return build_sr3.build_model(config)
    encoder = _build_encoder(config)
    if config.system == "rrdb":
        encoder.update_parameters_name("encoder.")
        return encoder
    from src.families.srdiff.network import ConditionalUNet, SRDiff

    unet = config.unet
    net = ConditionalUNet(
        unet.width, unet.multipliers, encoder.condition_channels, config.data.scale,
        unet.groups, unet.attention, unet.add_lr_up, unet.space_to_depth,
    )  # fmt: skip
    return SRDiff(encoder, net, config.diffusion.lr_divisor, config.diffusion.residual_of)


def _build_encoder(config):
    from src.families.rrdb.network import RRDBNet

    encoder = config.encoder
    return RRDBNet(
        encoder.features, encoder.blocks, encoder.growth, config.data.scale, encoder.upsampler,
        config.unet.condition_every,
    )  # fmt: skip


def build_schedule(config):
    """Return the noise schedule."""
    from src.diffusion.schedule import make_schedule

    diffusion = config.diffusion
    return make_schedule(
        diffusion.schedule, diffusion.steps, diffusion.cosine_offset, diffusion.beta_start, diffusion.beta_end,
        last_beta=0.999 if config.system == "srdiff" else None,
    )  # fmt: skip


def build_target(config):
    """Return what is diffused."""
    from src.diffusion.process import ImageTarget, ResidualTarget

    if config.system == "sr3":
        return ImageTarget(config.diffusion.clip)
    return ResidualTarget(config.diffusion.residual_scale, config.diffusion.clip)


def build_loss(config, model, lr_up=False, dropout=False):
    """Return the Cell that maps a batch to the loss: (hr, lr) of a regression, else (hr, lr, t, noise).

    Args:
        config, model: a ``Config`` and its network.
        lr_up, dropout: whether batches bring LR↑, of a diffusion model, and dropout's keys at their end.
    """
    if config.is_regression:
        from src.losses.pixel import RegressionLoss

        return RegressionLoss(model, config.train.pixel_loss)
    from src.losses.diffusion import DiffusionLoss

    diffusion = config.diffusion
    return DiffusionLoss(
        model, build_schedule(config), build_target(config), diffusion.prediction, diffusion.loss,
        diffusion.loss_weight, config.encoder.frozen, config.is_continuous, lr_up, dropout,
    )  # fmt: skip


def size_multiple(config):
    """HR sizes must be multiples of this for the network of a configuration."""
    if config.system == "rrdb":
        return config.data.scale
    if config.system == "sr3":
        return build_sr3.size_multiple(config)
    return config.unet.space_to_depth * 2 ** (len(config.unet.multipliers) - 1)


def build_tiling(config, options=None, products=False, memory_of_device=True, alone=False):
    """Return what cuts large pictures for the networks of a configuration on the device that mindspore runs on.

    Args:
        config: a ``Config``.
        options: ``src.inference.tile_size.TileOptions``; None for the defaults.
        products: whether the networks are those of ``src.build_dedicated``, which need other amounts of memory.
        memory_of_device: whether they run on MindSpore's device; else in the machine's memory.
        alone: whether the process does nothing but inference: its free memory is then that before the first picture,
            since the networks keep much of what a picture took for the next one.
    """
    from src.host.device import device_memory

    options = options or TileOptions()
    reach, cost = demands_of(config, products)
    budget = partial(free_memory, options.max_memory, device_memory() if memory_of_device else None)
    return Tiling(config.data.scale, size_multiple(config), reach, cost, options, cache(budget) if alone else budget)


def own_sampling(config):
    """Return the ``Sampling`` that a configuration names in its section ``eval``."""
    return Sampling(**{name: getattr(config.eval, name) for name in Sampling._fields})


def build_upscaler(config, networks, tile_options=None, tiling=None):
    """Return the upscaler of a configuration around its networks (``src.inference.networks``).

    Args:
        config: a ``Config``.
        networks, tile_options: see :func:`load_upscaler`.
        tiling: what cuts pictures; None for :func:`build_tiling`'s.
    """
    tiling = tiling or build_tiling(config, tile_options, getattr(networks, "products", False))
    common = {"name": config.name, "system": config.system, "sampling": own_sampling(config)}
    if config.is_regression:
        from src.inference.upscaler import OnePassUpscaler

        return OnePassUpscaler(networks, tiling, **common)
    from src.diffusion.noise_level import noise_level
    from src.inference.diffusion_upscaler import DiffusionUpscaler

    schedule = build_schedule(config)
    return DiffusionUpscaler(
        networks, tiling, **common, schedule=schedule, target=build_target(config),
        prediction=config.diffusion.prediction,
        noise_level=noise_level("continuous" if config.is_continuous else "discrete", schedule),
        conditional=not config.is_from_nothing,
        usual_size=(config.sr3.image_size,) * 2 if config.system == "sr3" else None,
    )  # fmt: skip


def networks_of(config, model):
    """Wrap a model's graphs; batch, height and width are free, so that each compiles once."""
    from src.inference.networks import DiffusionNetworks, RegressionNetworks
    from src.layers.graph import Graph, Project

    graphs = {}
    for role, (cell, inputs) in export_graphs(config, model).items():
        cell.set_inputs(*inputs)
        graphs[role] = Graph(cell)
    if config.is_regression:
        return RegressionNetworks(graphs["whole"])
    if config.system == "sr3":
        return build_sr3.networks_of(graphs)
    project, lr = Project(model), inputs[0]
    project.set_inputs(lr, lr)  # LR and LR↑ alike are (B, 3, free, free)
    return DiffusionNetworks(graphs["encode"], graphs["step"], Graph(project), uses_lr_up=config.unet.add_lr_up)


def export_graphs(config, model, size=(None, None, None)):
    """Return the graphs that an upscaler runs: role → (Cell, inputs), of SRDiff one per picture and one per step.

    Args:
        config, model: from :func:`load_model`.
        size: batch, height and width of the LR picture; None is free.
    """
    if config.system == "sr3" and not config.is_regression:
        return build_sr3.export_graphs(config, model, size)
    import mindspore as ms

    from src.layers.graph import Encode, Step, Whole

    batch, height, width = size
    lr = ms.Tensor(shape=[batch, 3, height, width], dtype=ms.float32)
    if config.is_regression:
        return {"whole": (Whole(model), [lr])}

    def at_hr(channels, divisor=1):
        sides = [side and side * config.data.scale // divisor for side in (height, width)]
        return ms.Tensor(shape=[batch, channels, *sides], dtype=ms.float32)

    t = ms.Tensor(shape=[batch], dtype=ms.int32)
    step_inputs = [at_hr(3), t, at_hr(config.unet.width, config.unet.space_to_depth)]
    return {"encode": (Encode(model), [lr]), "step": (Step(model), step_inputs)}


def load_model(path, ema=True):
    """Read a checkpoint; return its configuration and its network with the weights loaded.

    Args:
        path: the file.
        ema: of a training run's checkpoint, which holds both, take the moving average of the weights, else the
            weights themselves. A finished model has only the average.
    """
    from src.weights.checkpoint import load_checkpoint, load_into

    checkpoint = load_checkpoint(path)
    config = config_of(checkpoint)
    model = build_model(config)
    load_into(model, checkpoint.model_arrays(ema), path)
    return config, model


def load_upscaler(path, device=None, graph=True, ema=True, tile_options=None, dedicated=False, runtime=None):
    """Return an upscaler from a checkpoint (``.ckpt``) or an exported model (``.mindir``, ``.onnx``, or its folder).

    Args:
        path: the file; a list of several makes a cascade of them (``src.inference.cascade.Cascade``).
        device: "Ascend", "GPU", "CPU", or None for the first that works.
        graph: graph mode, else PyNative mode.
        ema: see :func:`load_model`.
        tile_options: ``src.inference.tile_size.TileOptions``; None for the defaults.
        dedicated: this process runs nothing but this upscaler. On the CPU a checkpoint's networks then run as products
            (:mod:`src.layers.products`) with all that the processor has, which would make any convolution in this
            process a hundred times slower, and their graphs come from the user's cache (:mod:`src.host.compile_cache`).
        runtime: what runs an exported model, see ``src.export.offline.Artefact``.

    Returns:
        ``src.inference.upscaler.Upscaler``.

    Raises:
        UserError: the file is missing, damaged or of another kind, or the device is not there.
    """
    if isinstance(path, (list, tuple)):
        if len(path) > 1:
            return _load_cascade(path, device, graph, ema, tile_options, runtime)
        (path,) = path
    return load(path, device, graph, ema, tile_options, dedicated, runtime)[1]


def load(path, device=None, graph=True, ema=True, tile_options=None, dedicated=False, runtime=None):
    """Return the configuration of one checkpoint or exported model, and its upscaler; see :func:`load_upscaler`."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"no model at {path}: name a .ckpt from train.py or convert.py, or an export of export.py")
    if (path.is_dir() and path.suffix != ".ckpt") or path.suffix in (".mindir", ".onnx"):
        from src.export.model import artefact_upscaler

        return artefact_upscaler(path, device, tile_options, runtime)
    if path.suffix != ".ckpt":
        raise UserError(
            f"{path} is neither a .ckpt nor a .mindir or .onnx file; PyTorch checkpoints are read by convert.py"
        )
    device = select_device(device, graph)
    config, model = load_model(path, ema)
    if dedicated and graph and device == "CPU":
        from src.build_dedicated import dedicated_networks as networks_of_model
    else:
        networks_of_model = networks_of
    networks = networks_of_model(config, model)
    tiling = build_tiling(config, tile_options, getattr(networks, "products", False), alone=True)
    return config, build_upscaler(config, networks, tiling=tiling)


def _load_cascade(paths, device, graph, ema, tile_options, runtime):
    """All models are in memory at once; the first picture is cut for what the memory then has left.

    Checkpoints run convolutions: the products of ``dedicated`` would slow the other models down.
    """
    return Cascade([
        load(path, device, graph, ema, tile_options, runtime=None if str(path).endswith(".ckpt") else runtime)[1]
        for path in paths
    ])  # fmt: skip
