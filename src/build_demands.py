"""From a configuration to how far its networks see and what memory they need."""


def demands_of(config, products=False):
    """Return the ``Reach`` and ``Cost`` of a configuration's networks, see ``src.inference.tile_size``.

    Args:
        config: a ``Config``.
        products: whether the networks are those of ``src.build_dedicated``.
    """
    from src.inference import demands

    if config.system == "sr3":
        sr3 = config.sr3
        first = sr3.image_size // sr3.space_to_depth
        attends = [first >> level in sr3.attention for level in range(len(sr3.multipliers))]
        return demands.sr3(sr3.width, sr3.multipliers, sr3.blocks, attends, sr3.space_to_depth)
    encoder, scale = config.encoder, config.data.scale
    sizes = (encoder.features, encoder.blocks, encoder.growth or encoder.features // 2, scale)
    if config.system == "rrdb":
        return demands.rrdb(*sizes, encoder.upsampler, products)
    unet, upsampler = config.unet, encoder.upsampler if config.diffusion.residual_of == "encoder" else None
    return demands.srdiff(*sizes, unet.width, len(unet.multipliers), unet.space_to_depth,
                          local=not (unet.attention or unet.groups), products=products, every=unet.condition_every,
                          upsampler=upsampler)  # fmt: skip
