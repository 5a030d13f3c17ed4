"""The processes that ``denoise_step.py`` measures: each calls its network once whenever it is told to.

Usage: python denoise_step_worker.py {mindspore,torch} FOLDER CONFIG BATCH SIZE THREADS {denoise,encode}
           {dedicated,ordinary} [key=value ...]
Commands and answers are those of ``train_step_worker.py``. Both processes get and give NumPy arrays, as a sampler does.
"""

import sys
from pathlib import Path

import numpy as np
from train_step_worker import ROOT, random_batch, serve

sys.path.insert(0, str(ROOT))


from src.families.registry import family_of, read_config
from src.host.device import release_isa, select_device


def main():
    """Build the network, then do as told until stdin ends."""
    framework, folder, path, batch, size, threads, part, form, *overrides = sys.argv[1:]

    def build():
        config = read_config(path, overrides)
        if framework == "mindspore":
            return mindspore_call(config, Path(folder), int(batch), int(size), part, form)
        return torch_call(config, Path(folder), int(threads), part)

    serve(build, int(threads))


def mindspore_call(config, folder, batch, size, part, form):
    """Return a function that calls ``encode`` or ``denoise`` as the upscaler does; writes weights, inputs and outputs.

    The form is infer.py's, "dedicated" to inference (``src.layers.products``), or the "ordinary" convolutions.
    The inputs are random, and ``denoise`` gets a random condition of the encoder's size.
    """
    select_device("CPU")
    import mindspore as ms

    ms.set_seed(config.seed)
    model = family_of(config).model()
    random = np.random.default_rng(1)
    weights = {p.name: random_like(p, random) for p in model.get_parameters()}
    for parameter in model.get_parameters():
        parameter.set_data(ms.Tensor(weights[parameter.name]))
    arrays = random_batch(config, batch, size)
    inner = size // config.unet.space_to_depth
    arrays["condition"] = random.standard_normal((batch, config.unet.width, inner, inner), np.float32)
    np.savez(folder / "weights.npz", **weights)
    np.savez(folder / "batch.npz", **arrays)
    channels_last = None if form == "ordinary" else family_of(config).product_networks(model)
    if channels_last:
        release_isa()
        rows = arrays["condition"].reshape(batch, config.unet.width, -1).transpose(0, 2, 1)
        condition = [ms.Tensor(np.ascontiguousarray(one)) for one in rows]
    else:
        condition = ms.Tensor(arrays["condition"])  # it stays on the device from step to step
    networks = channels_last or family_of(config).model_networks(model)
    if part == "denoise":
        return telling(lambda: networks.denoise(arrays["noise"], arrays["t"], condition), folder / "mindspore.npy")

    def encode():
        found = networks.encode(arrays["lr"])[0]
        if channels_last:
            return np.stack([one.asnumpy().T for one in found]).reshape(arrays["condition"].shape)
        return found.asnumpy()

    return telling(encode, folder / "mindspore.npy")


def random_like(parameter, random):
    """Random weights, and zeros where a network would start with them too: an output of 0 could not be compared."""
    fan_in = np.prod(parameter.shape[1:]) if len(parameter.shape) > 1 else 1e4
    return (random.standard_normal(parameter.shape) / fan_in**0.5).astype(np.float32)


def torch_call(config, folder, threads, part):
    """The same call in PyTorch, with the weights and the inputs in ``folder``."""
    import torch
    from torch_srdiff import SRDiff

    torch.set_num_threads(threads)
    model = SRDiff(config)
    with np.load(folder / "weights.npz") as weights, np.load(folder / "batch.npz") as batch:
        model.load(dict(weights))
        arrays = dict(batch)
    condition = torch.tensor(arrays["condition"])

    @torch.inference_mode()
    def call():
        if part == "encode":
            return model.encode(torch.from_numpy(arrays["lr"])).numpy()
        return model(torch.from_numpy(arrays["noise"]), torch.from_numpy(arrays["t"]), condition).numpy()

    return telling(call, folder / "torch.npy")


def telling(call, path):
    """Return a function that calls ``call`` and tells nothing, and the first time writes its result to ``path``."""

    def step():
        result = call()
        if not path.exists():
            np.save(path, result)
        return {}

    return step


if __name__ == "__main__":
    main()
