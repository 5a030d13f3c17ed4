"""From a configuration to the objects of SR3 and DDPM: what ``src.build`` asks for the system sr3."""


def build_model(config):
    """Return a configuration's ``SR3`` or ``SR3Regression``, parameters ``unet.*``."""
    from src.families.sr3.network import SR3, SR3Regression, SR3UNet
    from src.layers.bicubic import BicubicUpscale

    sr3 = config.sr3
    unet = SR3UNet(
        sr3.width, sr3.multipliers, sr3.blocks, sr3.attention, sr3.image_size, sr3.groups, sr3.dropout,
        sr3.noise_level, sr3.affine, sr3.conditional and not config.is_regression, sr3.space_to_depth,
    )  # fmt: skip
    if config.is_regression:
        return SR3Regression(unet, BicubicUpscale(config.data.scale))
    return SR3(unet, BicubicUpscale(config.data.scale) if sr3.conditional else None)


def takes_lr_up(config):
    """Whether the condition of a configuration of any system is LR↑, so that a prepared one is used as given."""
    return config.system == "sr3" and config.sr3.conditional and not config.is_regression


def drops(config):
    """Whether the network of a configuration of any system drops values while it is trained."""
    return config.system == "sr3" and config.sr3.dropout > 0


def size_multiple(config):
    """HR sizes must be multiples of this."""
    return config.sr3.space_to_depth * 2 ** (len(config.sr3.multipliers) - 1)


def networks_of(graphs):
    """Wrap the graphs of :func:`export_graphs`, callable by role."""
    from src.inference.networks import EnlargedNetworks

    return EnlargedNetworks(graphs.get("encode"), graphs["step"])


def export_graphs(config, model, size):
    """Return role → (Cell, inputs), as ``src.build.export_graphs``; an unconditional model has no graph to encode."""
    import mindspore as ms

    from src.layers.graph import Encode, Step

    def pictures(factor):
        return ms.Tensor(shape=[size[0], 3, *(side and side * factor for side in size[1:])], dtype=ms.float32)

    told = ms.float32 if config.is_continuous else ms.int32
    lr, enlarged, t = pictures(1), pictures(config.data.scale), ms.Tensor(shape=[size[0]], dtype=told)
    if not config.sr3.conditional:
        return {"step": (Step(model), [enlarged, t])}
    return {"encode": (Encode(model), [lr]), "step": (Step(model), [enlarged, t, enlarged])}
