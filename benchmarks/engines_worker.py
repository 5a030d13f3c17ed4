"""The processes that ``engines.py`` measures: each upscales one picture whenever it is told to.

Usage: python engines_worker.py {checkpoint,mindspore,torch,EXPORT} FOLDER MODEL BATCH SIZE THREADS SAMPLING
Commands and answers are those of ``train_step_worker.py``. The picture is FOLDER/lr.npy, uint8; each
process writes its first result to FOLDER. SAMPLING is JSON.
"""

import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from train_step_worker import ROOT, serve  # noqa: E402

sys.path.insert(0, str(ROOT))


def main():
    """Load the model, then do as told until stdin ends."""
    kind, folder, model, _, _, threads, sampling = sys.argv[1:]
    label, picture = kind.replace(" ", "_"), np.load(Path(folder, "lr.npy"))
    options = json.loads(sampling)
    result = Path(folder, f"{label}.npy")

    def build():
        upscaler = torch_upscaler(model, int(threads)) if kind == "torch" else loaded(kind, model)

        def upscale():
            (sr,) = upscaler.upscale([picture], seeds=[0], **options)
            if not result.exists():
                np.save(result, sr)
            return {}

        return upscale

    serve(build, int(threads))


def loaded(kind, model):
    """This project's upscaler."""
    from src.host.device import prepare

    prepare()
    from src.build import load_upscaler

    return load_upscaler(model, "CPU", runtime="mindspore" if kind == "mindspore" else None)


def torch_upscaler(path, threads):
    """The same upscaler around PyTorch's networks, eager, with the checkpoint's weights."""
    from src.host.device import prepare

    prepare()
    import torch

    from src.build import load_model
    from src.families.registry import family_of

    torch.set_num_threads(threads)
    config, model = load_model(path)
    weights = {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}
    return family_of(config).upscaler(TorchNetworks(config, weights), family_of(config).tiling())


class TorchNetworks:
    """PyTorch's networks in the place of ``src.inference.networks``."""

    def __init__(self, config, weights):
        from torch_sr3 import SR3UNet
        from torch_srdiff import Encoder, SRDiff, load

        self._scale = config.data.scale
        self._is_sr3 = hasattr(config, "sr3")
        if self._is_sr3:
            self._net = SR3UNet(config.sr3)
            load(self._net, {name.removeprefix("unet."): array for name, array in weights.items()})
        elif not hasattr(config, "unet"):
            encoder = config.encoder
            growth = encoder.growth or encoder.features // 2
            self._net = Encoder(encoder.features, encoder.blocks, growth, scale=self._scale)
            load(self._net, {name.removeprefix("encoder."): array for name, array in weights.items()})
        else:
            self._net = SRDiff(config)
            load(self._net, weights)

    def regress(self, lr):
        """See ``RegressionNetworks``."""
        import torch

        with torch.inference_mode():
            lr, lr_up = self._tensors(lr)
            return self._net.picture(self._net.outputs(lr), lr_up).numpy()

    def encode(self, lr, lr_up=None):
        """See ``DiffusionNetworks``; LR↑ is always the network's own here."""
        import torch

        with torch.inference_mode():
            tensors = self._tensors(lr)
            if self._is_sr3:
                condition = base = tensors[1].clamp(-1, 1)
            else:
                condition, base = self._net.encode_with_base(*tensors)
            return condition, base.numpy()

    def denoise(self, x_t, t, condition):
        """See ``DiffusionNetworks``."""
        import torch

        with torch.inference_mode():
            return self._net(torch.from_numpy(x_t), torch.from_numpy(t), condition).numpy()

    def _tensors(self, lr):
        """LR, and LR↑ by this project's MATLAB bicubic, which PyTorch has not."""
        import torch

        from src.imaging.resize import imresize

        enlarged = [imresize(picture.transpose(1, 2, 0), self._scale).transpose(2, 0, 1) for picture in lr]
        return torch.from_numpy(lr), torch.from_numpy(np.stack(enlarged).astype(np.float32))


if __name__ == "__main__":
    main()
