"""Time MindSpore's 3×3 convolution on the CPU with and without ONEDNN_MAX_CPU_ISA=AVX2; prints a table.

oneDNN 3.10, in MindSpore 2.9 and 2.10, picks a reference kernel for it on machines with AVX-512. oneDNN reads the
variable once, so each setting is measured in a process of its own.

Usage: python benchmarks/onednn_isa.py [--sizes 32 64 128] [--channels 64] [--repeats 5]
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

VARIABLE = "ONEDNN_MAX_CPU_ISA"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile")


def main():
    """Measure both settings and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128], help="heights, equal to the widths")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5, help="the fastest of so many counts")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # what the processes are started with
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps([measure(size, arguments.channels, arguments.repeats) for size in arguments.sizes]))
        return
    with_avx2, without = in_own_process("AVX2"), in_own_process(None)
    print(f"processor  {processor()}")
    print(f"mindspore  {metadata.version('mindspore')}, {datetime.date.today()}")
    channels = arguments.channels
    print(f"\nconvolution 3×3, {channels} to {channels} channels, float32; milliseconds (GFLOP/s)")
    print(f"{'pixels':>9}  {VARIABLE + '=AVX2':>24}  {'variable not set':>18}  {'ratio':>6}")
    for size, fast, slow in zip(arguments.sizes, with_avx2, without, strict=True):
        operations = 2 * 9 * channels**2 * size**2 / 1e9
        cells = [f"{1000 * seconds:.2f} ({operations / seconds:.1f})" for seconds in (fast, slow)]
        print(f"{f'{size}×{size}':>9}  {cells[0]:>24}  {cells[1]:>18}  {slow / fast:>6.1f}")


def in_own_process(isa):
    """Return the seconds for each size, measured by a new process with the variable set to ``isa`` or removed."""
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    environment |= {"GLOG_v": "3"} | ({VARIABLE: isa} if isa else {})
    command = [sys.executable, __file__, *sys.argv[1:], "--measure"]
    return json.loads(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)


def measure(size, channels, repeats):
    """Return the seconds of one convolution of a (1, channels, size, size) input: the fastest of several."""
    import mindspore as ms
    import numpy as np
    from mindspore import nn

    ms.set_device("CPU")
    ms.set_context(mode=ms.GRAPH_MODE)
    convolution = nn.Conv2d(channels, channels, 3)
    picture = ms.Tensor(np.ones((1, channels, size, size), np.float32))
    convolution(picture).asnumpy()  # compiles
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        convolution(picture).asnumpy()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def processor():
    """Return the processor's name and those of :data:`FLAGS` that it has, where Linux tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    fields = {key.strip(): value.strip(" \t:") for key, value in fields.items()}
    found = " ".join(flag for flag in FLAGS if flag in fields.get("flags", "").split())
    cores = len(os.sched_getaffinity(0))
    return f"{fields.get('model name', platform.machine())}, {cores} cores, {found or 'no AVX2'}"


if __name__ == "__main__":
    main()
