"""A model's networks for a process that runs no convolution on the CPU: inference alone, or training."""

import mindspore as ms

from src.build import networks_of, size_multiple
from src.host.compile_cache import compile_graphs
from src.host.device import release_isa
from src.layers import products
from src.layers.products import ChannelLastNetworks, ChannelLastRegression
from src.weights.checkpoint import config_json

MAX_ROWS = 1 << 17  # pixels of a batch at the first level; with 64 channels nine neighbours of each are 300 MB


def channel_last_networks_of(config, model):
    """Like :func:`networks_of` on the CPU, faster and in less memory; the weights are copied.

    Returns None for a model that ``src.layers.products`` lacks something of.
    """
    if config.system == "sr3":
        return None
    picture, table = ms.Tensor(shape=[1, 3, None, None], dtype=ms.float32), ms.Tensor(shape=[None], dtype=ms.int32)
    scale = config.data.scale
    if config.system == "rrdb":
        if not products.supports_encoder(model):
            return None
        net = products.ChannelLastRRDB(model, scale)
        net.set_inputs(picture, table, table)
        return ChannelLastRegression(net, lambda height, width: products.encode_tables(height, width, 1))
    if not _supported(model):
        return None
    fold, levels = config.unet.space_to_depth, len(config.unet.multipliers)

    def encode_tables(height, width):
        return products.encode_tables(height, width, scale // fold, config.unet.add_lr_up)

    def denoise_tables(height, width):
        return products.denoise_tables(height // fold, width // fold, levels)

    encode = products.ChannelLastEncode(model, scale)
    denoise = products.ChannelLastUNet(model.unet)
    condition, t = ms.Tensor(shape=[None, config.unet.width], dtype=ms.float32), ms.Tensor(shape=[1], dtype=ms.int32)
    smallest = size_multiple(config) * scale  # for the number of tables only
    encode.set_inputs(picture, *[table for _ in encode_tables(smallest, smallest)])
    denoise.set_inputs(picture, t, condition, *[table for _ in denoise_tables(smallest, smallest)])
    return ChannelLastNetworks(encode, denoise, encode_tables, denoise_tables, config.unet.add_lr_up)


def _supported(model):
    own_picture = not model.of_encoder or products.supports_encoder(model.encoder)
    return products.supports_unet(model.unet) and own_picture


def dedicated_networks(config, model):
    """Return the networks for a process that runs nothing else on the CPU, compiled; see ``load_upscaler``."""
    networks = channel_last_networks_of(config, model)
    if networks:
        release_isa()
    else:
        networks = networks_of(config, model)
    compile_graphs(networks.cells(), config_json(config))
    return networks


def trained_form(config, model):
    """The network of a configuration as products, for batches of its size, which trains the model's own parameters.

    Returns None where ``src.layers.products`` lacks something of the model, or where training is to run
    convolutions: on other devices than the CPU, in validations with LPIPS, and with batches of so many pixels that the
    gathered rows would fill the memory.
    """
    data, train = config.data, config.train
    if config.system == "sr3":
        return None
    if ms.get_context("device_target") != "CPU" or train.val_lpips != "none":
        return None
    size = (train.batch_size, data.patch_size // data.scale, data.patch_size // data.scale)
    fold = data.scale if config.system == "rrdb" else config.unet.space_to_depth
    if train.batch_size * train.draws * (data.patch_size // fold) ** 2 > MAX_ROWS:
        return None
    if config.system == "rrdb":
        return products.TrainedRRDB(model, size, data.scale) if products.supports_encoder(model) else None
    return products.TrainedSRDiff(model, size, data.scale, train.draws) if products.supports_training(model) else None


class Refreshed:
    """:func:`channel_last_networks_of` of a model whose weights change: called, they are copied anew."""

    def __init__(self, config, model):
        self._config, self._model = config, model
        self._networks = channel_last_networks_of(config, model)

    def __call__(self):
        from src.weights.checkpoint import put

        newest = channel_last_networks_of(self._config, self._model)
        for cell, other in zip(self._networks.cells(), newest.cells(), strict=True):
            for parameter, value in zip(cell.get_parameters(), other.get_parameters(), strict=True):
                put(parameter, value.asnumpy())
        return self._networks
