#!/usr/bin/env python3
"""Upscale pictures with an exported model: this file, the model's files, NumPy and Pillow are all that is needed,
with onnxruntime for .onnx, mindspore or mindspore_lite for .mindir.

    python offline.py --model srdiff.onnx --input photo.jpg --output photo_x4.png
    python offline.py --model faces.onnx --count 4 --output faces        (a model that makes pictures from nothing)

It may be copied to another machine together with the files that export.py wrote, and imports nothing of the project.
infer.py loads models through it as well, but has its own samplers and tiles; tests hold the two together.
"""

import argparse
import hashlib
import json
import math
import os
import platform
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FORMAT, FORMAT_VERSION = "mindspore-sr", 3
RUNTIMES = {".onnx": ("onnxruntime",), ".mindir": ("mindspore", "mindspore_lite")}
SAMPLERS = ("ddim", "ddpm", "dpmpp_2m", "dpmpp_2m_sde", "sr3")
INPUTS = {"whole": ["lr"], "encode": ["lr"], "step": ["x_t", "t", "condition"], "sampler": ["lr", "noise"]}
OUTPUTS = {"whole": ["sr"], "encode": ["condition", "base"], "step": ["prediction"], "sampler": ["sr"]}
ROLES = {"whole": ["whole"], "step": ["encode", "step"], "sampler": ["sampler"]}
OF_A_PICTURE = ("lr", "condition", "encode")  # inputs and graphs that a model has not which makes pictures from nothing
TOLD = {"continuous": "float32", "discrete": "int32"}  # what t is: √ᾱ, or the number of the step
HALO = 64  # output pixels in which tiles overlap on each side
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
ADVICE = "export it anew with export.py, and keep its files together"


class ArtefactError(Exception):
    """Something about the model, its runtime or the request is wrong; the message is one line with the remedy."""


# The model's files


def description_path(path):
    """``X.onnx.json`` beside ``X.onnx``; of a folder, the only description in it.

    Raises:
        ArtefactError: there is none, or more than one.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(p for suffix in RUNTIMES for p in path.glob(f"*{suffix}.json"))
        if len(found) != 1:
            names = ", ".join(p.name[: -len(".json")] for p in found) or "none"
            raise ArtefactError(f"expected one exported model in the folder {path}, found {names}: name its file")
        return found[0]
    return path if path.suffix == ".json" else path.with_name(path.name + ".json")


def description_hash(description):
    """The SHA-256 of a description without its own hash, whatever the layout of its JSON."""
    rest = {key: value for key, value in description.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def file_hash(path):
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read_description(path):
    """Read and check what export.py wrote beside a model.

    Raises:
        ArtefactError: it is missing, damaged, of another version, or of another program.
    """
    beside = description_path(path)
    if not beside.is_file():
        missing = f"lacks its description {beside.name}" if Path(path).exists() else "does not exist"
        raise ArtefactError(f"{path} {missing}: {ADVICE}")
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ArtefactError(f"{beside} cannot be read as JSON: {ADVICE}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise ArtefactError(f"{beside} does not describe a model of this project: {ADVICE}")
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        raise ArtefactError(f"{beside} has format version {version}, this program reads {FORMAT_VERSION}: {ADVICE}")
    if description.get("sha256") != description_hash(description):
        raise ArtefactError(f"{beside} was changed after the export: {ADVICE}")
    return description


def input_names(role, conditional):
    """The names of the inputs of a graph, in order."""
    return [name for name in INPUTS[role] if conditional or name not in OF_A_PICTURE]


def roles_of(cut, conditional):
    """The roles of the graphs of a model."""
    return [role for role in ROLES[cut] if conditional or role not in OF_A_PICTURE]


def wrong_field(about):
    """The name of the first field of a description that is missing or cannot be so, or None."""
    sampling, graphs, process = (_dict(about.get(name)) for name in ("sampling", "graphs", "process"))
    cut, alphas, times = about.get("cut"), about.get("alphas_cumprod"), sampling.get("times")
    conditional = about.get("conditional")
    checks = {
        "cut": cut in tuple(ROLES),
        "conditional": isinstance(conditional, bool) and (conditional or cut != "whole"),
        "scale": _whole(about.get("scale")) and (conditional or about.get("scale") == 1),
        "size_multiple": _whole(about.get("size_multiple")),
        "config": isinstance(about.get("config"), dict),
        "sampling.consistency": isinstance(sampling.get("consistency"), bool)
        and (conditional or not sampling.get("consistency")),
        "image_size": conditional or _whole(about.get("image_size")),
        "noise_draws": cut != "sampler" or _whole(about.get("noise_draws")),
    }
    if cut == "step":
        total = len(alphas) if isinstance(alphas, list) else 0
        checks |= {
            "alphas_cumprod": total > 0 and all(_number(level, 0, 1) and 0 < level < 1 for level in alphas),
            "sampling.times": isinstance(times, list)
            and len(times) > 0
            and all(_whole(t, 0) and t < total for t in times),
            "sampling.steps": isinstance(times, list) and sampling.get("steps") == len(times),
            "sampling.sampler": sampling.get("sampler") in SAMPLERS,
            "sampling.eta": _number(sampling.get("eta"), 0, 1),
            "sampling.temperature": _number(sampling.get("temperature"), 0, 100),
            "process.prediction": process.get("prediction") in ("noise", "velocity"),
            "process.target": process.get("target") in ("residual", "image"),
            "process.residual_scale": process.get("target") == "image"
            or _number(process.get("residual_scale"), 1e-6, 1e6),
            "process.noise_level": process.get("noise_level") in tuple(TOLD),
            "process.clip": isinstance(process.get("clip"), bool),
        }
    for role in roles_of(cut, conditional) if checks["cut"] else ():
        checks[f"graphs.{role}"] = _is_graph(_dict(graphs.get(role)), input_names(role, conditional))
    return next((name for name, right in checks.items() if not right), None)


def _dict(value):
    return value if isinstance(value, dict) else {}


def _whole(value, least=1):
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value, least, most):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _is_graph(entry, names):
    """Whether an entry names a file beside the description, its hash, and inputs with sizes all free or all fixed."""
    file, inputs = entry.get("file"), entry.get("inputs")
    if not (isinstance(file, str) and Path(file).name == file != "" and isinstance(entry.get("sha256"), str)):
        return False
    if not isinstance(inputs, list) or [_dict(given).get("name") for given in inputs] != names:
        return False
    shape = inputs[0].get("shape")
    if not isinstance(shape, list) or len(shape) != (5 if names[0] == "noise" else 4):
        return False
    free = [shape[axis] is None for axis in (-4, -2, -1)]
    fixed = "noise" in names  # of a whole sampler
    return all(size is None or _whole(size) for size in shape) and (not any(free) or (all(free) and not fixed))


class Artefact:
    """An exported model, ready to run.

    Args:
        path: one of its files, or the folder that holds it alone.
        runtime: "onnxruntime", "mindspore" or "mindspore_lite"; None takes the first that can be imported.
        device: "Ascend", "GPU" or "CPU"; None takes the runtime's best.
        threads: on the CPU; None takes all cores that this process may use.

    Attributes:
        description: what export.py wrote, a dict.
        cut: "whole" (no diffusion), "step" or "sampler".
        conditional: whether it enlarges pictures; else it makes them from nothing.
        scale: HR size / LR size; 1 where there is no LR picture.

    Raises:
        ArtefactError: a file is missing, damaged or of another version, or there is no such runtime or device.
    """

    def __init__(self, path, runtime=None, device=None, threads=None):
        self.path = description_path(path)
        self.description = read_description(path)
        wrong = wrong_field(self.description)
        if wrong:
            raise ArtefactError(f"{self.path} is incomplete or wrong in its field {wrong}: {ADVICE}")
        self.cut, self.scale, self.config = (self.description[name] for name in ("cut", "scale", "config"))
        self.conditional = self.description["conditional"]
        graphs = self.description["graphs"]
        self._files = {role: (self.path.with_name(graphs[role]["file"]), graphs[role]["sha256"],
                              graphs[role]["inputs"][0]["shape"])
                       for role in roles_of(self.cut, self.conditional)}  # fmt: skip
        for file, expected, _ in self._files.values():
            if not file.is_file():
                raise ArtefactError(f"{file} is missing: {ADVICE}")
            if file_hash(file) != expected:
                raise ArtefactError(f"{file} is damaged or from another export: {ADVICE}")
        suffix = next(iter(self._files.values()))[0].suffix
        make = {"onnxruntime": _OnnxGraph, "mindspore": _MindSporeGraph, "mindspore_lite": _LiteGraph}[
            _choose_runtime(suffix, runtime)
        ]
        self._graphs = {
            role: make(file, (input_names(role, self.conditional), OUTPUTS[role]), device, threads)
            for role, (file, *_) in self._files.items()
        }

    def graph(self, role):
        """The graph of a role: called with NumPy arrays (or its own results), it returns a tuple of results."""
        return self._graphs[role]

    @property
    def fixed_size(self):
        """(B, h, w) of LR that the graphs take, or of the pictures from nothing; None where sizes are free."""
        batch, _, height, width = next(iter(self._files.values()))[2][-4:]  # before them in noise, the draws
        return None if height is None else (batch, height, width)

    @property
    def roles(self):
        """The roles of the graphs."""
        return tuple(self._graphs)


def _choose_runtime(suffix, wanted):
    if suffix not in RUNTIMES:
        raise ArtefactError(f"{suffix} models run elsewhere (docs/deployment.md): export with --format mindir or onnx")
    possible = RUNTIMES[suffix]
    if wanted is not None and wanted not in possible:
        raise ArtefactError(f"the runtime for {suffix} must be {' or '.join(possible)}, not '{wanted}'")
    for name in (wanted,) if wanted else possible:
        try:
            _import(name)
        except ImportError as error:
            reason = error
        else:
            return name
    raise ArtefactError(f"{suffix} needs {' or '.join((wanted,) if wanted else possible)} ({reason}): install it")


def _import(name):
    if name == "mindspore":
        if platform.machine().lower() in ("x86_64", "amd64") and "mindspore" not in sys.modules:
            # oneDNN 3.10 otherwise takes a slow reference kernel on machines with AVX-512
            os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
        os.environ.setdefault("GLOG_v", "3")
        import mindspore as module
    elif name == "mindspore_lite":
        import mindspore_lite as module
    else:
        import onnxruntime as module
    return module


def as_numpy(value):
    """A graph's result as a NumPy array."""
    return value.asnumpy() if hasattr(value, "asnumpy") else value


class _OnnxGraph:
    def __init__(self, path, names, device, threads):
        ort = _import("onnxruntime")
        providers = {"GPU": ["CUDAExecutionProvider"], "Ascend": ["CANNExecutionProvider"], "CPU": []}
        there = ort.get_available_providers()
        wanted = providers[device] if device else [p for p in sum(providers.values(), []) if p in there]
        if not set(wanted) <= set(there):
            raise ArtefactError(f"this onnxruntime has no {wanted[0]}: use --device CPU, or install its build")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or _cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[*wanted, "CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes, which are not exported
            raise ArtefactError(f"onnxruntime {ort.__version__} cannot load {path}: {ADVICE}") from error
        self._path, (self._inputs, self._outputs) = path, names

    def __call__(self, *arrays):
        feeds = {name: np.ascontiguousarray(array) for name, array in zip(self._inputs, arrays)}
        try:
            return tuple(self._session.run(self._outputs, feeds))
        except Exception as error:  # onnxruntime's own classes: no memory, another shape
            raise _cannot_run("onnxruntime", self._path, arrays, error) from error


class _MindSporeGraph:
    def __init__(self, path, names, device, threads):
        self._ms = ms = _import("mindspore")
        self._path = path
        try:
            if device:
                ms.set_device(device)
            ms.set_context(mode=ms.GRAPH_MODE)
        except (RuntimeError, ValueError) as error:
            raise ArtefactError(
                f"mindspore has no device {device} here: use --device CPU, or install its build"
            ) from error
        try:
            self._cell = ms.nn.GraphCell(ms.load(str(path)))
        except (RuntimeError, ValueError) as error:
            raise ArtefactError(f"mindspore {ms.__version__} cannot load {path}: {ADVICE}") from error

    def __call__(self, *arrays):
        tensor = self._ms.Tensor
        try:
            results = self._cell(*(x if isinstance(x, tensor) else tensor(np.ascontiguousarray(x)) for x in arrays))
        except (RuntimeError, ValueError, TypeError) as error:
            raise _cannot_run("mindspore", self._path, arrays, error) from error
        return results if isinstance(results, tuple) else (results,)


class _LiteGraph:
    """MindSpore Lite, whose Context takes all from one device; its precision_mode is the device's own."""

    def __init__(self, path, names, device, threads):
        lite, self._path, self._device = _import("mindspore_lite"), path, device or "CPU"
        try:
            context = lite.Context()
            context.target = [self._device.lower()]
            if self._device == "CPU":
                context.cpu.thread_num = threads or _cores()
            self._model = lite.Model()
            self._model.build_from_file(str(path), lite.ModelType.MINDIR, context)
        except (RuntimeError, ValueError) as error:
            raise ArtefactError(f"mindspore_lite cannot load {path} for {self._device} ({error}): {ADVICE}") from error

    def __call__(self, *arrays):
        try:
            inputs = self._model.get_inputs()
            if [list(x.shape) for x in inputs] != [list(x.shape) for x in arrays]:
                self._model.resize(inputs, [list(x.shape) for x in arrays])
                inputs = self._model.get_inputs()
            for given, array in zip(inputs, arrays):
                given.set_data_from_numpy(np.ascontiguousarray(array))
            return tuple(result.get_data_to_numpy() for result in self._model.predict(inputs))
        except RuntimeError as error:
            raise _cannot_run("mindspore_lite", self._path, arrays, error) from error


def _cannot_run(runtime, path, arrays, error):
    shapes = ", ".join(str(tuple(x.shape)) for x in arrays)
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return ArtefactError(
        f"{runtime} cannot run {path} on inputs {shapes} ({reason}): take smaller tiles, or on Ascend convert it for "
        "one size (docs/deployment.md)"
    )


def _cores():
    """How many cores this process may use; onnxruntime by itself takes all of the machine's, also in a container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or "max": no limit
        return count


# Sampling, as in src/diffusion: every step is x' = a·x_0 + b·x + c·x_0' + d·z


def step_times(total, count, recorded):
    """Falling t of ``count`` steps: the artefact's own where it has as many, else evenly from T − 1 to 0."""
    if count is None or count == len(recorded):
        return list(recorded)
    if not 1 <= count <= total:
        raise ArtefactError(f"the number of sampling steps must be from 1 to {total} for this model, not {count}")
    return [int(t) for t in np.rint(np.linspace(total - 1, 0, count))]


def step_rows(sampler, alphas, times, eta=0.0):
    """(a, b, c, d) of each step.

    DDIM (arXiv 2010.02502, eq. 12 and 16), which with η = 1 is DDPM; SR3 has its mean and the variance 1 − α
    (arXiv 2104.07636, eq. 11); DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2) continues x_0 from the step before.
    """
    if sampler not in SAMPLERS:
        raise ArtefactError(f"sampler must be one of {', '.join(SAMPLERS)}, not '{sampler}'")
    if eta and sampler != "ddim" or not 0 <= eta <= 1:
        raise ArtefactError(f"eta is an option of ddim, from 0 to 1, not {eta} of {sampler}")
    eta = {"ddim": eta, "dpmpp_2m": 0.0}.get(sampler, 1.0)
    levels = [alphas[t] for t in times] + [1.0]
    rows = []
    for k, (level, level_prev) in enumerate(zip(levels, levels[1:])):
        alpha, rest, rest_prev = level / level_prev, 1 - level, 1 - level_prev
        of_xt = math.sqrt(rest_prev * (alpha * rest_prev + (1 - eta**2) * (1 - alpha))) / rest
        of_x0 = math.sqrt(level_prev) - of_xt * math.sqrt(level)
        deviation = eta * math.sqrt(rest_prev * (1 - alpha) / rest)
        if sampler == "sr3" and rest_prev > 0:
            deviation = math.sqrt(1 - alpha)
        share = 0.0
        if sampler.startswith("dpmpp") and k > 0 and rest_prev > 0:
            before, now, after = (math.log(level / (1 - level)) for level in (levels[k - 1], level, level_prev))
            share = (after - now) / (2 * (now - before))
        rows.append((of_x0 * (1 + share), of_xt, -of_x0 * share, deviation))
    return rows


def x0_coefficients(prediction, level):
    """(a, b) of x_0 = a·x_t + b·prediction, of noise or of velocity (arXiv 2202.00512, appendix D), at ᾱ_t."""
    signal, noise = math.sqrt(level), math.sqrt(1 - level)
    return (1 / signal, -noise / signal) if prediction == "noise" else (signal, -noise)


def normal(seed, k, shape):
    """The k-th draw of a seed: NumPy's Philox, the number in the counter's top word."""
    generator = np.random.Generator(np.random.Philox(key=seed, counter=k << 192))
    return generator.standard_normal(shape, np.float32)


class Consistency:
    """The pictures whose MATLAB bicubic reduction is a given LR picture; see src/imaging/back_projection.py."""

    def __init__(self, lr, scale):
        self.lr = lr
        self.rows, self.columns = (_reduction(side, scale) for side in lr.shape[2:])
        self._inverse = [
            np.linalg.inv(d.astype(np.float64) @ d.T).astype(np.float32) for d in (self.rows, self.columns)
        ]

    def reduce(self, x):
        """(…, H, W) → (…, h, w)."""
        return self.rows @ (x @ self.columns.T)

    def project(self, x, goal):
        """The nearest x that is reduced to ``goal``."""
        return x + self._spread(self._solve(goal - self.reduce(x)))

    def fit(self, picture):
        """A finished picture that agrees within [−1, 1]: a dual ascent with momentum, channel by channel."""
        picture = np.clip(picture, -1, 1)
        for x, lr in zip(picture[0], self.lr[0]):
            multipliers = previous = best = np.zeros_like(lr)
            least, age = np.inf, 0
            for _ in range(40):
                trial = multipliers + np.float32(max(age - 1, 0) / (age + 2)) * (multipliers - previous)
                strip = np.clip(self.rows @ np.clip(x + self._spread(trial), -1, 1), -1, 1)
                missing = lr - np.clip(strip @ self.columns.T, -1, 1)
                error = np.sqrt(np.mean(np.square(missing)))
                stalled = not error < 0.99 * least
                if error < least:
                    best, least = trial, error
                if stalled or error <= 0.2 / 127.5:
                    break
                multipliers, previous = trial + self._solve(missing), multipliers
                age = age + 1 if np.vdot(missing, multipliers - previous) > 0 else 0
            x += self._spread(best)
        return np.clip(picture, -1, 1)

    def _spread(self, x):
        return self.rows.T @ (x @ self.columns)

    def _solve(self, x):
        return self._inverse[0] @ x @ self._inverse[1]


def _reduction(length, scale):
    """MATLAB's antialiased bicubic reduction of one dimension, symmetric edges, as a float32 matrix (length, HR)."""
    centre = (np.arange(length)[:, None] + 0.5) * scale - 0.5
    taps = np.floor(centre - 2 * scale).astype(int) + np.arange(4 * scale + 2)
    x = np.abs(centre - taps) / scale
    weights = np.where(x <= 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))
    matrix = np.zeros((length, length * scale))
    np.add.at(matrix, (np.arange(length)[:, None], mirrored(taps, length * scale)),
              weights / weights.sum(1, keepdims=True))  # fmt: skip
    return matrix.astype(np.float32)


# Tiles


def mirrored(indices, length):
    """Indices inside 0 … length − 1, those outside mirrored with the edge pixel repeated."""
    indices = np.mod(indices, 2 * length)
    return np.where(indices < length, indices, 2 * length - 1 - indices)


def padded(length, scale, multiple):
    """The HR length that ``length`` LR pixels are padded to: a multiple, with two LR pixels of mirror image or none."""
    unit = math.lcm(scale, multiple)
    goal = max(length * scale, 2 * multiple, 2 * scale)
    goal += -goal % unit
    while 0 < goal - length * scale < 2 * scale:
        goal += unit
    return goal


def spans(length, side, halo, unit):
    """Cover ``length`` with windows of one side: list of (start, first, last), the last two what is kept of each."""
    if side >= length:
        return [(0, 0, length)]
    step = (side - 2 * halo) // unit * unit
    count = 1 + math.ceil((length - side) / step)
    starts = [i * (length - side) // unit // (count - 1) * unit for i in range(count)]
    cuts = [(start + left + side) // 2 for left, start in zip(starts, starts[1:])]
    return list(zip(starts, [0, *cuts], [*cuts, length]))


class Windows:
    """The tiles of a picture.

    Args:
        height, width: of LR.
        scale, multiple: HR sizes are multiples of the second.
        tile: the side of a tile in HR pixels; 0 takes the picture whole.
        fixed: (height, width) in HR pixels that each tile must have; None leaves them free.
    """

    def __init__(self, height, width, scale, multiple, tile=0, fixed=None):
        self.size = (height * scale, width * scale)
        unit = math.lcm(scale, multiple)
        total = [padded(n, scale, multiple) for n in (height, width)]
        if fixed:
            total = [max(n, side) for n, side in zip(total, fixed)]
        sides = fixed or [min(max(tile // unit, 2) * unit, n) if tile else n for n in total]
        halo = min(HALO, min(sides) // 4)
        self._sides = sides
        self.spans = [
            (y, x) for y in spans(total[0], sides[0], halo, unit) for x in spans(total[1], sides[1], halo, unit)
        ]

    def cut(self, array, span):
        """The window of an array (…, H, W), or of one of the LR size, mirrored where it reaches beyond the edge."""
        for axis in (-2, -1):
            factor = self.size[axis] // array.shape[axis]
            start, side = span[axis][0] // factor, self._sides[axis] // factor
            array = np.take(array, mirrored(np.arange(start, start + side), array.shape[axis]), axis)
        return array

    def put(self, result, values, span):
        """Write what is kept of a window's values into the HR picture."""
        (top, y0, y1), (left, x0, x1) = span
        y1, x1 = min(y1, self.size[0]), min(x1, self.size[1])
        if y0 < y1 and x0 < x1:
            result[..., y0:y1, x0:x1] = values[..., y0 - top : y1 - top, x0 - left : x1 - left]


# Pictures


def upscale(artefact, rgb, seed=0, tile=None, **options):
    """Upscale one picture.

    Args:
        artefact: an :class:`Artefact`.
        rgb: uint8 (h, w, 3).
        seed: of the noise.
        tile: the side of a tile in output pixels; 0 never cuts, None takes 1024.
        options: sampler, steps, eta, temperature, consistency; None takes the artefact's own.

    Returns:
        uint8 (scale·h, scale·w, 3).
    """
    if not artefact.conditional:
        raise ArtefactError("this model makes pictures from nothing and enlarges none: leave --input out")
    lr = np.ascontiguousarray(rgb.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1)
    run = {"whole": _upscale_whole, "step": _upscale_steps, "sampler": _upscale_sampler}[artefact.cut]
    return _levels(artefact, run(artefact, lr, seed, _tile(artefact, tile), _settings(artefact, options)))


def generate(artefact, size=None, seed=0, tile=None, **options):
    """Make one picture from nothing but noise.

    Args:
        artefact: an :class:`Artefact` that enlarges none.
        size: (height, width); None takes that of the graphs, or of the pictures that the model was trained with.
        seed, tile, options: as in :func:`upscale`, without consistency.

    Returns:
        uint8 (height, width, 3).
    """
    if artefact.conditional:
        raise ArtefactError("this model enlarges pictures: name one with --input, and leave --count and --size out")
    fixed = artefact.fixed_size and artefact.fixed_size[1:]
    size = tuple(size or fixed or (artefact.description["image_size"],) * 2)
    settings, tile = _settings(artefact, options), _tile(artefact, tile)
    if settings["consistency"]:
        raise ArtefactError("consistency is with the input, which this model has not: leave --consistency out")
    if artefact.cut == "sampler":
        if size != fixed:
            raise ArtefactError(f"this graph makes pictures of {fixed[1]} x {fixed[0]} only: leave --size out")
        return _levels(artefact, _run_sampler(artefact, (), _noise(artefact, seed, (1, 3, *size))))
    windows = _windows(artefact, size, tile)
    return _levels(artefact, _sample(artefact, windows, [()] * len(windows.spans), seed, settings))


def _settings(artefact, options):
    """The options of sampling that were given, checked, over the artefact's own."""
    given = {name: value for name, value in options.items() if value is not None}
    if given and artefact.cut == "sampler":
        raise ArtefactError(f"{', '.join(given)}: fixed in this graph of a whole sampler; export with --graph step")
    if set(given) - {"consistency"} and artefact.cut == "whole":
        raise ArtefactError(f"this model samples nothing: leave {', '.join(given)} out")
    settings = {**artefact.description["sampling"], **given}
    if settings.get("sampler") != "ddim" and "eta" not in given:
        settings["eta"] = 0.0
    return settings


def _tile(artefact, tile):
    if tile is not None and artefact.fixed_size:
        raise ArtefactError("these graphs take one size only: leave --tile out")
    return 1024 if tile is None else tile


def _levels(artefact, result):
    """(1, 3, H, W) in about [−1, 1] → uint8 (H, W, 3)."""
    if not np.isfinite(result).all():
        raise ArtefactError(f"{artefact.path} gave numbers that are none (NaN, infinity): export it in float32")
    return np.clip(np.rint((result[0].transpose(1, 2, 0) + 1) * 127.5), 0, 255).astype(np.uint8)


def _windows(artefact, size, tile):
    fixed = artefact.fixed_size and [side * artefact.scale for side in artefact.fixed_size[1:]]
    return Windows(*size, artefact.scale, artefact.description["size_multiple"], tile, fixed)


def _check_scale(artefact, lr, result):
    if tuple(result.shape[2:]) != tuple(n * artefact.scale for n in lr.shape[2:]):
        raise ArtefactError(f"{artefact.path} says x{artefact.scale}, but its graph enlarges otherwise: {ADVICE}")


def _upscale_whole(artefact, lr, seed, tile, settings):
    windows = _windows(artefact, lr.shape[2:], tile)
    result = np.zeros((1, 3, *windows.size), np.float32)
    for span in windows.spans:
        part = windows.cut(lr, span)
        values = as_numpy(artefact.graph("whole")(part)[0])
        _check_scale(artefact, part, values)
        windows.put(result, values, span)
    return Consistency(lr, artefact.scale).fit(result) if settings["consistency"] else result


def _upscale_sampler(artefact, lr, seed, tile, settings):
    _, height, width = artefact.fixed_size
    windows = _windows(artefact, lr.shape[2:], tile)
    result = np.zeros((1, 3, *windows.size), np.float32)
    noise = _noise(artefact, seed, result.shape)
    for span in windows.spans:
        windows.put(result, _run_sampler(artefact, (windows.cut(lr, span),), windows.cut(noise, span)), span)
    alone = len(windows.spans) == 1 and windows.size == (height * artefact.scale, width * artefact.scale)
    return result if alone or not settings["consistency"] else Consistency(lr, artefact.scale).fit(result)


def _noise(artefact, seed, shape):
    """All draws that the graph of a whole sampler takes, (draws, *shape)."""
    return np.stack([normal(seed, k, shape) for k in range(artefact.description["noise_draws"])])


def _run_sampler(artefact, pictures, noise):
    """The graph of a whole sampler for one picture, or for none; its batch is filled with the same."""
    batch = artefact.fixed_size[0]
    given = [*(picture.repeat(batch, 0) for picture in pictures), noise.repeat(batch, 1)]
    return as_numpy(artefact.graph("sampler")(*given)[0])[:1]


def _upscale_steps(artefact, lr, seed, tile, settings):
    windows = _windows(artefact, lr.shape[2:], tile)
    base, conditions = np.zeros((1, 3, *windows.size), np.float32), []
    for span in windows.spans:
        part = windows.cut(lr, span)
        condition, own = artefact.graph("encode")(part)
        _check_scale(artefact, part, as_numpy(own))
        windows.put(base, as_numpy(own), span)
        conditions.append((condition,))
    process, gain = artefact.description["process"], 1.0
    if process["target"] == "residual":  # x_0 = gain·(HR − base); else it is HR
        gain = process["residual_scale"]
    else:
        base[:] = 0
    if not settings["consistency"]:
        return _sample(artefact, windows, conditions, seed, settings) / np.float32(gain) + base
    agree = Consistency(lr, artefact.scale)
    goal = np.float32(gain) * (lr - agree.reduce(base))
    x_0 = _sample(artefact, windows, conditions, seed, settings, lambda x: agree.project(x, goal))
    return agree.fit(x_0 / np.float32(gain) + base)


def _sample(artefact, windows, conditions, seed, settings, project=None):
    """Draw x_0, (1, 3, H, W).

    Args:
        artefact: an :class:`Artefact` of steps.
        windows: a :class:`Windows`.
        conditions: for each window a tuple: the step's condition, or nothing.
        seed, settings: of sampling.
        project: what is done to x_0 after each step, or None.
    """
    about = artefact.description
    alphas, process = about["alphas_cumprod"], about["process"]
    count = settings["steps"] if settings["steps"] != len(settings["times"]) else None
    times = step_times(len(alphas), count, settings["times"])
    rows = step_rows(settings["sampler"], alphas, times, settings["eta"])
    temperature, shape = settings["temperature"], (1, 3, *windows.size)
    x, x_0 = np.float32(temperature) * normal(seed, 0, shape), None
    for k, (t, (a, b, c, d)) in enumerate(zip(times, rows)):
        before, x_0 = x_0, np.empty_like(x)
        of_xt, of_found = x0_coefficients(process["prediction"], alphas[t])
        told = np.array([math.sqrt(alphas[t]) if process["noise_level"] == "continuous" else t],
                        TOLD[process["noise_level"]])  # fmt: skip
        for span, condition in zip(windows.spans, conditions):
            part = windows.cut(x, span)
            found = as_numpy(artefact.graph("step")(part, told, *condition)[0])
            windows.put(x_0, np.float32(of_xt) * part + np.float32(of_found) * found, span)
        if process["clip"]:
            x_0 = np.clip(x_0, -1, 1)
        if project:
            x_0 = project(x_0)
        x = np.float32(a) * x_0 + np.float32(b) * x
        if c:
            x += np.float32(c) * before
        if d * temperature > 0:
            x += np.float32(d * temperature) * normal(seed, k + 1, x.shape)
    return np.clip(x, -1, 1) if process["clip"] else x


def read_picture(path):
    """Return a picture's uint8 RGB (h, w, 3), its alpha (h, w) or None, and whether it is gray."""
    try:
        with Image.open(path) as image:
            image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I;16") or image.mode == "I":
                image = Image.fromarray(np.rint(np.asarray(image, np.float64) / 257).astype(np.uint8))
            transparent = "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info
            alpha = np.asarray(image.convert("RGBA"))[..., 3] if transparent else None
            gray = image.mode in ("1", "L", "LA")
            return np.asarray(image.convert("RGB")), alpha, gray
    except Exception as error:  # Pillow answers damaged files with nearly every exception there is
        raise ArtefactError(f"cannot read {path} as a picture ({error}): replace or remove the file") from error


def write_picture(path, sr, alpha=None, gray=False):
    """Write a picture whole or not at all; alpha is enlarged by Pillow's bicubic."""
    image = Image.fromarray(sr).convert("L") if gray else Image.fromarray(sr)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha).resize(image.size, Image.BICUBIC))
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(temporary)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        raise ArtefactError(f"cannot write {path} ({error}): name another --output") from error
    finally:
        if temporary.exists():
            temporary.unlink()


def jobs(source, output):
    """List of (picture, result)."""
    source, output = Path(source), Path(output)
    if not source.exists():
        raise ArtefactError(f"no picture or folder {source}: check --input")
    if source.is_file():
        return [(source, output if output.suffix else output / f"{source.stem}.png")]
    found = sorted(p for p in source.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise ArtefactError(f"no pictures in the folder {source}: expected {', '.join(SUFFIXES)}")
    stems = [p.stem.lower() for p in found]
    return [(p, output / f"{p.stem if stems.count(p.stem.lower()) == 1 else p.name}.png") for p in found]


def arguments():
    """Return the parsed command line."""
    p = argparse.ArgumentParser(description="Upscale pictures with a model that export.py wrote.")
    p.add_argument("--model", required=True, help="X.onnx or X.mindir, with its files beside it; or their folder")
    p.add_argument("--input", help="a picture or a folder of pictures")
    p.add_argument("--output", default="results", help="a file, or a folder that keeps the names")
    nothing = p.add_argument_group("models that make pictures from nothing", "no --input; --output is a folder")
    nothing.add_argument("--count", type=int, metavar="N", help="how many pictures (default: 1); the n-th, from 0, has "
                         "the seed SEED + n, and the name SEED + n.png")  # fmt: skip
    nothing.add_argument("--size", type=int, metavar="S", help="their side; by default as the model was trained")
    p.add_argument("--sampler", choices=SAMPLERS, help="by default, like the options below, the model's own")
    p.add_argument("--steps", type=int)
    p.add_argument("--eta", type=float, help="of ddim, from 0 to 1")
    p.add_argument("--temperature", type=float, help="scales all noise, from 0 to 100")
    p.add_argument("--consistency", action=argparse.BooleanOptionalAction, help="the result, reduced, is the input")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--tile", type=int, help="side of a tile in output pixels, by default 1024; 0 never cuts")
    p.add_argument("--runtime", choices=sum(RUNTIMES.values(), ()), help="by default the first that is installed")
    p.add_argument("--device", choices=("Ascend", "GPU", "CPU"), help="by default the runtime's best")
    p.add_argument("--threads", type=int, help="on the CPU; by default all cores that the process may use")
    return p.parse_args()


def main():
    """Upscale, or make pictures, as the command line says."""
    args = arguments()
    if args.temperature is not None and not 0 <= args.temperature <= 100:
        raise ArtefactError(f"the temperature must be a number from 0 to 100, not {args.temperature}")
    threads_fit = args.threads is None or 1 <= args.threads <= 1024
    if not 0 <= args.seed < 2**64 or (args.tile or 0) < 0 or not threads_fit:
        raise ArtefactError("--seed must be from 0 to 2^64 - 1, --tile 0 or more, --threads from 1 to 1024")
    options = {name: getattr(args, name) for name in ("sampler", "steps", "eta", "temperature", "consistency")}
    run = _make_pictures if args.input is None else _upscale_pictures
    run(args, options)


def _make_pictures(args, options):
    count = 1 if args.count is None else args.count
    if count < 1 or args.seed + count > 2**64 or (args.size is not None and not 1 <= args.size <= 1 << 16):
        raise ArtefactError("--count must be 1 or more, with --seed up to 2^64 together, --size from 1 to 65536")
    artefact, output = Artefact(args.model, args.runtime, args.device, args.threads), Path(args.output)
    if not artefact.conditional and (output.is_file() or output.suffix.lower() in SUFFIXES):
        raise ArtefactError(f"--output must be a folder where pictures are made from nothing, not {output}")
    for seed in range(args.seed, args.seed + count):
        result = output / f"{seed}.png"
        write_picture(result, generate(artefact, args.size and (args.size,) * 2, seed, args.tile, **options))
        print(result, flush=True)


def _upscale_pictures(args, options):
    if args.count is not None or args.size is not None:
        raise ArtefactError("--count and --size are for models that make pictures from nothing: leave --input out")
    work = jobs(args.input, args.output)
    artefact = Artefact(args.model, args.runtime, args.device, args.threads)
    broken = []
    for source, result in work:
        try:
            rgb, alpha, gray = read_picture(source)
        except ArtefactError as error:
            broken.append(error)
            continue
        write_picture(result, upscale(artefact, rgb, args.seed, args.tile, **options), alpha, gray)
        print(result)
    if broken:
        raise ArtefactError(str(broken[0]) if len(work) == 1 else f"{len(broken)} of {len(work)} failed: {broken[0]}")


def as_command(run):
    """Run a command and exit: 0, 2 with one line for an :class:`ArtefactError`, 130 after Ctrl-C."""
    try:
        sys.exit(run() or 0)
    except ArtefactError as problem:
        print("error: " + " ".join(str(problem).split()), file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    as_command(main)
