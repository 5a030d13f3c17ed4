"""Time one training step on the CPU, of this project and of the same network and loss in PyTorch; prints two tables.

MindSpore and PyTorch run in a process each and take their steps in turns, on the same cores, from the same weights and
batch, so that a busy machine slows both. The second table shares MindSpore's time out among kinds of operators, as its
profiler counts it. Without PyTorch, and for what ``torch_srdiff.py`` does not have (stage 1, an encoder
that trains along, attention, the encoder's picture or features of other blocks), there is only MindSpore's row.

Usage: python benchmarks/train_step.py [--config configs/srdiff_df2k_x4.yaml] [--batch 4] [--patch 160] [--repeats 5]
           [--threads N] [key=value ...]
"""

import argparse
import contextlib
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata, util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from onednn_isa import processor  # noqa: E402  (only importable now)

from src.families.registry import read_config  # noqa: E402

KINDS = {  # kind of operation: how its operators' names begin
    "convolution, forward": ("Conv2D",),
    "convolution, gradient of its input": ("Conv2DBackpropInput",),
    "convolution, gradient of its weights": ("Conv2DBackpropFilter",),
    "bias and its gradient": ("BiasAdd",),
    "padding": ("MirrorPad", "Pad"),
    "activation": ("Mish", "Softplus", "Tanh", "Exp", "SiLU", "Sigmoid", "LeakyReLU", "ReLU", "Select", "Maximum"),
    "reduction": ("Reduce", "L2Loss"),
    "optimiser": ("Adam", "FusedAdam", "Assign"),
    "concatenation, slices, layout": ("Concat", "Split", "Slice", "Strided", "Transpose", "Broadcast", "Tile"),
    "matrix product": ("MatMul", "BatchMatMul"),
    "elementwise arithmetic": ("Add", "Mul", "Sub", "Div", "RealDiv", "Square", "Neg", "Abs", "Sign", "Minimum"),
}


class Worker:
    """One of the measured processes, a context manager.

    Args:
        framework: "mindspore" or "torch".
        folder: where the processes exchange weights and batch.
        arguments: with config, batch, patch, threads and overrides.
        script: the process's program, beside this file.
        options: more words for its command line, before the overrides.
    """

    def __init__(self, framework, folder, arguments, script="train_step_worker.py", options=()):
        command = [
            sys.executable, str(ROOT / "benchmarks" / script), framework, folder, arguments.config,
            str(arguments.batch), str(arguments.patch), str(arguments.threads), *options, *arguments.overrides,
        ]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
        self.framework = framework
        self.results = []
        self.process = subprocess.Popen(
            command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def ask(self, command):
        """Send a command; return its answer."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the {self.framework} process ended: see above, or take a smaller --batch if memory ran out")
        return json.loads(line)


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=str(ROOT / "configs" / "srdiff_df2k_x4.yaml"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--patch", type=int, default=160, help="HR pixels, the side of a patch")
    parser.add_argument("--repeats", type=int, default=5, help="measured steps of each, after one that compiles")
    parser.add_argument("--threads", type=int, default=available_cores(), help="cores for each")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that replace the configuration's")
    arguments = parser.parse_args()
    config = read_config(arguments.config, arguments.overrides)
    reason = why_no_torch(config)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        frameworks = ["mindspore"] if reason else ["mindspore", "torch"]
        workers = [running.enter_context(Worker(framework, folder, arguments)) for framework in frameworks]
        for _ in range(1 + arguments.repeats):
            for worker in workers:
                worker.results.append(worker.ask("step"))
        print_times(config, arguments, workers, reason)
        print_kinds(workers[0].ask("profile 3"))


def available_cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def why_no_torch(config):
    """Say why there is no PyTorch row, or None where there is one."""
    if util.find_spec("torch") is None:
        return "PyTorch is not installed"
    if not hasattr(config, "unet"):
        return "torch_srdiff.py has no such network"
    unet, diffusion, train = config.unet, config.diffusion, config.train
    options = diffusion.residual_of, diffusion.loss_weight, unet.condition_every, train.draws
    paper = options == ("bicubic", "uniform", 3, 1)
    if not config.encoder.frozen or unet.attention or unet.add_lr_up or not paper:
        return "torch_srdiff.py has no such network"
    return None


def print_times(config, arguments, workers, reason):
    """Print the first table: times, memory, and the first step's loss and gradient, which must be the same."""
    print(f"processor  {processor()}, {arguments.threads} used")
    print(f"date       {datetime.date.today()}")
    print(
        f"network    {config.name}, batch {arguments.batch} x {arguments.patch}², {arguments.repeats} steps in turns\n"
    )
    print(f"{'':<18}{'ms/step, fastest':>18}{'median':>10}{'peak memory, MiB':>19}{'loss':>12}{'gradient norm':>16}")
    figures = []
    for worker in workers:
        milliseconds = [1000 * result["seconds"] for result in worker.results[1:]]
        first, last = worker.results[0], worker.results[-1]
        found = [min(milliseconds), statistics.median(milliseconds), last["peak"] / 2**20, first["loss"], first["norm"]]
        figures.append(found)
        name = f"{worker.framework} {metadata.version(worker.framework).partition('+')[0]}"
        print(f"{name:<18}{found[0]:>18,.0f}{found[1]:>10,.0f}{found[2]:>19,.0f}{found[3]:>12.6f}{found[4]:>16.8f}")
    if reason:
        print(f"{'torch':<18}no row: {reason}")
    else:
        print_ratio("mindspore/torch", *figures)


def print_ratio(name, ours, theirs):
    """Print how one row compares with another."""
    ratios = [a / b for a, b in zip(ours[:3], theirs[:3], strict=True)]
    apart = [abs(a - b) for a, b in zip(ours[3:], theirs[3:], strict=True)]
    print(f"{name:<18}{ratios[0]:>18.2f}{ratios[1]:>10.2f}{ratios[2]:>19.2f}", end="")
    print(f"{apart[0]:>12.0e}{apart[1]:>16.0e}  (difference, first step)")


def print_kinds(operators):
    """Print the second table from {operator's full name: milliseconds per step}."""
    times = {}
    for name, milliseconds in operators.items():
        kind = kind_of(name)
        times[kind] = times.get(kind, 0) + milliseconds
    total = sum(times.values())
    print(f"\n{'operators':<40}{'ms/step':>10}{'share':>9}")
    for kind, milliseconds in sorted(times.items(), key=lambda item: -item[1]):
        print(f"{kind:<40}{milliseconds:>10.1f}{100 * milliseconds / total:>8.1f}%")
    print(f"{'all':<40}{total:>10.1f}")


def kind_of(name):
    """Return the kind of an operator from its full name, such as ``Gradients/Default/Grad_Conv2D/Mul-op3``."""
    operator = name.rpartition("/")[2].partition("-")[0]
    # forward, a transposed convolution is the operator that is elsewhere a gradient
    forward_transposed = operator == "Conv2DBackpropInput" and not name.startswith("Gradients")
    if operator.startswith("Conv2D") and (forward_transposed or "Grad_Conv2DTranspose" in name):
        return "transposed convolution and gradients"
    fitting = [(prefix, kind) for kind, prefixes in KINDS.items() for prefix in prefixes if operator.startswith(prefix)]
    return max(fitting, key=lambda pair: len(pair[0]))[1] if fitting else "other"


if __name__ == "__main__":
    main()
