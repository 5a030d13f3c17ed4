"""A model's networks for a process that runs nothing but inference on the CPU."""

import mindspore as ms

from src.build import config_json, networks_of, size_multiple
from src.compile_cache import compile_graphs
from src.inference.channel_last_networks import ChannelLastNetworks
from src.models import channel_last_encode, channel_last_unet, pixel_tables
from src.runtime import release_isa


def channel_last_networks_of(config, model):
    """Like :func:`networks_of` for SRDiff on the CPU, faster and in less memory; the weights are copied.

    Returns None for a model that ``src.models.channel_last`` lacks something of.
    """
    if config.system != "srdiff" or not _supported(model):
        return None
    scale, fold, levels = config.data.scale, config.unet.space_to_depth, len(config.unet.multipliers)

    def encode_tables(height, width):
        return pixel_tables.encode_tables(height, width, scale // fold, config.unet.add_lr_up)

    def denoise_tables(height, width):
        return pixel_tables.denoise_tables(height // fold, width // fold, levels)

    encode = channel_last_encode.ChannelLastEncode(model, scale)
    denoise = channel_last_unet.ChannelLastUNet(model.unet)
    picture, table = ms.Tensor(shape=[1, 3, None, None], dtype=ms.float32), ms.Tensor(shape=[None], dtype=ms.int32)
    condition, t = ms.Tensor(shape=[None, config.unet.width], dtype=ms.float32), ms.Tensor(shape=[1], dtype=ms.int32)
    smallest = size_multiple(config) * scale  # for the number of tables only
    encode.set_inputs(picture, *[table for _ in encode_tables(smallest, smallest)])
    denoise.set_inputs(picture, t, condition, *[table for _ in denoise_tables(smallest, smallest)])
    return ChannelLastNetworks(encode, denoise, encode_tables, denoise_tables, config.unet.add_lr_up)


def _supported(model):
    return channel_last_unet.supports(model.unet) and channel_last_encode.supports(model)


def dedicated_networks(config, model):
    """Return the networks for a process that runs nothing else on the CPU, compiled; see ``load_upscaler``."""
    networks = channel_last_networks_of(config, model)
    if networks:
        release_isa()
    else:
        networks = networks_of(config, model)
    compile_graphs(networks.cells(), config_json(config))
    return networks
