"""Time a 3×3 convolution in training on the CPU, as MindSpore's operator and as one matrix product; prints a table.

The product takes three row-shifted slices as 3·C channels; its 3·O results are shifted by a column each and added.
oneDNN's limit is read once, so that each instruction set is a process of its own; without it the operator is a hundred
times slower on a processor with AVX-512 (``onednn_isa.py``) and left out.

Usage: python benchmarks/convolution_forms.py [--batch 16] [--channels 64] [--size 24] [--repeats 7]
"""

import argparse
import datetime
import os
import subprocess
import sys
import time

import numpy as np
from onednn_isa import processor

LAYERS = 6


def main():
    """Measure both forms with each instruction set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--size", type=int, default=24, help="pixels, the side")
    parser.add_argument("--repeats", type=int, default=7, help="measured calls of each, in turns")
    parser.add_argument("--isa", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.isa:
        measure(args)
        return
    print(f"processor  {processor()}")
    print(f"date       {datetime.date.today()}")
    print(
        f"layers     {LAYERS}, batch {args.batch}, {args.channels} channels, {args.size}²; fastest of {args.repeats}\n"
    )
    print(f"{'oneDNN limited to':<20}{'form':<14}{'forward, ms':>12}{'and gradient, ms':>18}")
    for isa in ("AVX2", "AVX512_CORE"):
        environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa, "GLOG_v": "3"}
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--isa", isa], env=environment, check=True)


def measure(args):
    """Print the rows of one instruction set."""
    import mindspore as ms
    from mindspore import nn, ops

    ms.set_device("CPU")

    class ByProduct(nn.Cell):
        """A 3×3 convolution with zero padding and bias."""

        def __init__(self, channels):
            super().__init__()
            values = np.random.default_rng(0).normal(0, 0.05, (channels, channels, 3, 3)).astype(np.float32)
            self.weight = ms.Parameter(ms.Tensor(values))
            self.bias = ms.Parameter(ms.Tensor(np.zeros(channels, np.float32)))

        def construct(self, x):
            b, c, h, w = x.shape
            row, column = ops.zeros((b, c, 1, w), ms.float32), ops.zeros((b, c, h, 1), ms.float32)
            padded = ops.concat((row, x, row), 2)
            rows = ops.concat((padded[:, :, :h], x, padded[:, :, 2:]), 1).reshape(b, 3 * c, h * w)
            weight = self.weight.transpose(3, 0, 2, 1).reshape(3 * c, 3 * c)
            y = ops.BatchMatMul()(ops.broadcast_to(weight, (b, 3 * c, 3 * c)), rows).reshape(b, 3, c, h, w)
            left, right = ops.concat((column, y[:, 0, :, :, :-1]), 3), ops.concat((y[:, 2, :, :, 1:], column), 3)
            return left + y[:, 1] + right + self.bias.reshape(1, c, 1, 1)

    class Gradient(nn.Cell):
        def __init__(self, net):
            super().__init__()
            self.net, self.weights = net, ms.ParameterTuple(net.trainable_params())
            self.gradient = ops.GradOperation(get_by_list=True)

        def construct(self, x):
            return self.gradient(self.net, self.weights)(x)[0]

    def operator(channels):
        return nn.Conv2d(channels, channels, 3, pad_mode="pad", padding=1, has_bias=True)

    x = ms.Tensor(
        np.random.default_rng(1).standard_normal((args.batch, args.channels, args.size, args.size), np.float32)
    )
    makers = {"operator": operator, "product": ByProduct} if args.isa == "AVX2" else {"product": ByProduct}
    forms = {}
    for name, make in makers.items():
        net = nn.SequentialCell([make(args.channels) for _ in range(LAYERS)])
        forms[name] = net, Gradient(net)
    nets = [net for net, _ in forms.values()]
    for parameters in zip(*(net.get_parameters() for net in nets), strict=True):
        parameters[-1].set_data(parameters[0].value())
    assert np.allclose(nets[0](x).asnumpy(), nets[-1](x).asnumpy(), atol=1e-4), "the two forms differ"
    seconds = {(name, part): [] for name in forms for part in (0, 1)}
    for _ in range(1 + args.repeats):
        for name, part in seconds:
            begun = time.perf_counter()
            forms[name][part](x).asnumpy()
            seconds[name, part].append(time.perf_counter() - begun)
    for name in forms:
        forward, both = (1000 * min(seconds[name, part][1:]) for part in (0, 1))
        print(f"{args.isa:<20}{name:<14}{forward:>12.1f}{both:>18.1f}", flush=True)


if __name__ == "__main__":
    main()
