"""Time ONNX Runtime's settings on the CPU with the export of srdiff_lite_x4, 128² → 512²; prints a table.

Each setting is a process of its own; they come in turns, twice. ``src/export/artefact.py`` has those that are kept. The
last lines are ONNX Runtime's own profile of a step: milliseconds of each kind of operator.

Usage: python benchmarks/onnxruntime_settings.py [--threads N]
"""

import argparse
import collections
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from onednn_isa import processor
from train_step import ROOT, available_cores
from train_step_worker import peak_memory

EXPORT = ROOT / "checkpoints" / "exports" / "srdiff_lite_x4.onnx"
SETTINGS = (
    "as it comes", "no spinning", "no memory patterns", "one arena", "no arena", "basic", "extended", "saved graph",
    "no prepacking", "kept",
)  # fmt: skip
CALLS = 6


def main():
    """Measure every setting, then profile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=available_cores(), help="cores for each")
    parser.add_argument("--setting", choices=(*SETTINGS, "profile"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    if args.setting:
        measure(args.setting, args.threads)
        return
    print(f"processor  {processor()}, {args.threads} used\ndate       {datetime.date.today()}\n")
    print(f"{'':<20}{'load, ms':>10}{'encode, ms':>12}{'step, ms':>10}{'peak, MiB':>11}")
    for setting in (*SETTINGS, *SETTINGS, "profile"):
        command = [sys.executable, __file__, "--threads", str(args.threads), "--setting", setting]
        subprocess.run(command, check=True)


def measure(setting, threads):
    """Print the row of one setting, the fastest of some calls; or the profile."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [EXPORT.with_suffix(".encode.onnx"), EXPORT]
        if setting == "saved graph":
            paths = [optimised(path, Path(folder)) for path in paths]
        begun = time.perf_counter()
        sessions = [session(path, setting, threads, Path(folder)) for path in paths]
        load = time.perf_counter() - begun
        random = np.random.default_rng(0)
        lr = {"lr": random.uniform(-1, 1, (1, 3, 128, 128)).astype(np.float32)}
        x_t = {"x_t": random.standard_normal((1, 3, 512, 512), np.float32), "t": np.array([5], np.int32)}
        encoding, stepping = [], []
        for _ in range(CALLS):
            begun = time.perf_counter()
            condition = sessions[0].run(["condition"], lr)[0]
            encoded = time.perf_counter()
            sessions[1].run(None, x_t | {"condition": condition})
            encoding.append(encoded - begun)
            stepping.append(time.perf_counter() - encoded)
        if setting == "profile":
            print_profile(sessions[1].end_profiling())
            return
    times = "".join(f"{1000 * seconds:>{width}.0f}" for seconds, width in
                    ((load, 10), (min(encoding), 12), (min(stepping), 10)))  # fmt: skip
    print(f"{setting:<20}{times}{peak_memory() / 2**20:>11.0f}", flush=True)


def optimised(path, folder):
    """Write the graph as ONNX Runtime has optimised it; return its path."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(folder / path.name), 4
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return folder / path.name


def session(path, setting, threads, folder):
    """Return the session of one file."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 4
    if setting in ("no spinning", "kept", "profile"):
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if setting in ("no memory patterns", "kept", "profile"):
        options.enable_mem_pattern = False
    if setting in ("one arena", "kept", "profile"):
        arena = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR
        ort.create_and_register_allocator(ort.OrtMemoryInfo("Cpu", arena, 0, ort.OrtMemType.DEFAULT), None)
        options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_cpu_mem_arena = setting != "no arena"
    if setting == "no prepacking":
        options.add_session_config_entry("session.disable_prepacking", "1")
    if setting in ("basic", "extended"):
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{setting.upper()}")
    if setting == "saved graph":
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling, options.profile_file_prefix = setting == "profile", str(folder / path.stem)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def print_profile(path):
    """Print the milliseconds of a step by kind of operator, all that take half a millisecond."""
    times = collections.Counter()
    for event in json.loads(Path(path).read_text()):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            times[event["args"]["op_name"]] += event["dur"] / 1000 / CALLS
    print(f"\n{'operators':<20}{'ms a step':>10}\n{'all':<20}{sum(times.values()):>10.1f}")
    for kind, milliseconds in times.most_common():
        if milliseconds >= 0.5:
            print(f"{kind:<20}{milliseconds:>10.1f}")


if __name__ == "__main__":
    main()
