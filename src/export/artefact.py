"""An exported model: its files, the description beside them, and the runtimes that its graphs run in.

``X.onnx`` is the graph that runs once per step of a sampler, the whole network of a model that makes its picture in one
pass, or a whole sampler. Beside it stand ``X.onnx.json`` and, with the step of a model that looks at pictures,
``X.encode.onnx``; likewise with ``.mindir``. No runtime is imported before a model needs it.
"""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ..diffusion.process import PREDICTIONS
from ..diffusion.samplers import SAMPLERS
from ..errors import UserError, first_line
from ..host.device import prepare
from ..host.ranks import device_id
from ..inference.tile_size import Cost, Reach

FORMAT, FORMAT_VERSION = "mindspore-sr", 3
OPSET = 15  # of ONNX exports; every Ascend ATC from CANN 7 on reads it
RUNTIMES = {".onnx": ("onnxruntime",), ".mindir": ("mindspore", "mindspore_lite")}
INPUTS = {"whole": ["lr"], "encode": ["lr"], "step": ["x_t", "t", "condition"], "sampler": ["lr", "noise"]}
OUTPUTS = {"whole": ["sr"], "encode": ["condition", "base"], "step": ["prediction"], "sampler": ["sr"]}
ROLES = {"whole": ["whole"], "step": ["encode", "step"], "sampler": ["sampler"]}
_CONDITIONAL = ("lr", "condition", "encode")  # inputs and graphs that an unconditional model has not
ADVICE = "export it anew with export.py, and keep its files together"


def input_names(role, conditional):
    """The names of the inputs of a graph, in order."""
    return [name for name in INPUTS[role] if conditional or name not in _CONDITIONAL]


def roles_of(cut, conditional):
    """The roles of the graphs of a model, cut into "whole", "step" or "sampler"."""
    return [role for role in ROLES[cut] if conditional or role not in _CONDITIONAL]


def describe_inputs(role, inputs, conditional):
    """What a description says of a graph's inputs, MindSpore tensors: name, shape with None for free, dtype."""
    return [
        {
            "name": name,
            "shape": [None if size in (None, -1) else size for size in tensor.shape],
            "dtype": str(tensor.dtype).rpartition(".")[2].lower(),
        }
        for name, tensor in zip(input_names(role, conditional), inputs, strict=True)
    ]


def description_path(path):
    """``X.onnx.json`` beside ``X.onnx``; of a folder, the only description in it."""
    path = Path(path)
    if path.is_dir():
        found = sorted(p for suffix in RUNTIMES for p in path.glob(f"*{suffix}.json"))
        if len(found) != 1:
            names = ", ".join(p.name[: -len(".json")] for p in found) or "none"
            raise UserError(f"expected one exported model in the folder {path}, found {names}: name its file")
        return found[0]
    return path if path.suffix == ".json" else path.with_name(path.name + ".json")


def description_hash(description):
    """The SHA-256 of a description without its own hash, whatever the layout of its JSON."""
    rest = {key: value for key, value in description.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def file_hash(path):
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def model_hash(path):
    """The SHA-256 of a checkpoint, or of all that an export is; of what cannot be loaded its path: loading says why."""
    path = Path(path)
    with contextlib.suppress(OSError, UserError):
        return file_hash(path) if path.suffix == ".ckpt" else read_description(path)["sha256"]
    return str(path)


def read_description(path):
    """Read what export.py wrote beside a model, a dict."""
    beside = description_path(path)
    if not beside.is_file():
        missing = f"lacks its description {beside.name}" if Path(path).exists() else "does not exist"
        raise UserError(f"{path} {missing}: {ADVICE}")
    try:
        description = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{beside} cannot be read as JSON: {ADVICE}") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise UserError(f"{beside} does not describe a model of this project: {ADVICE}")
    version = description.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(f"{beside} has format version {version}, this program reads {FORMAT_VERSION}: {ADVICE}")
    if description.get("sha256") != description_hash(description):
        raise UserError(f"{beside} was changed after the export: {ADVICE}")
    return description


def wrong_field(about):
    """The name of the first field of a description that is missing or cannot be so, or None."""
    sampling, graphs, config = (_dict(about.get(name)) for name in ("sampling", "graphs", "config"))
    cut, conditional = about.get("cut"), about.get("conditional")
    checks = {
        "cut": cut in tuple(ROLES),
        "conditional": isinstance(conditional, bool) and (conditional or cut != "whole"),
        "scale": _whole(about.get("scale")) and (conditional or about.get("scale") == 1),
        "size_multiple": _whole(about.get("size_multiple")),
        "edges": about.get("edges", "symmetric") in ("symmetric", "reflect"),
        "config": all(isinstance(config.get(name), str) for name in ("name", "system")),
        "sampling.consistency": isinstance(sampling.get("consistency"), bool)
        and (conditional or not sampling.get("consistency")),
        "image_size": conditional or _whole(about.get("image_size")),
        "noise_draws": cut != "sampler" or _whole(about.get("noise_draws")),
        "reach": "reach" not in about or _is_record(about["reach"], Reach),  # exports of before say less
        "cost": "cost" not in about or _is_record(about["cost"], Cost),
    }
    if cut in ("step", "sampler"):
        checks |= _checks_of_sampling(sampling)
    if cut == "step":
        checks |= _checks_of_steps(about, sampling)
    for role in roles_of(cut, conditional) if checks["cut"] else ():
        checks[f"graphs.{role}"] = _is_graph(_dict(graphs.get(role)), input_names(role, conditional))
    return next((name for name, right in checks.items() if not right), None)


def _checks_of_sampling(sampling):
    return {
        "sampling.sampler": sampling.get("sampler") in tuple(SAMPLERS),
        "sampling.steps": _whole(sampling.get("steps")),
        "sampling.spacing": isinstance(sampling.get("spacing"), str),
        "sampling.eta": _number(sampling.get("eta"), 0, 1),
        "sampling.temperature": _number(sampling.get("temperature"), 0, 100),
    }


def _checks_of_steps(about, sampling):
    process, times, levels = _dict(about.get("process")), sampling.get("times"), about.get("alphas_cumprod")
    total = len(levels) if _are_levels(levels) else 0
    return {
        "alphas_cumprod": total > 0,
        "trained_alphas_cumprod": _are_levels(about.get("trained_alphas_cumprod", levels)),
        "sampling.times": isinstance(times, list) and all(_whole(t, 0) and t < total for t in times),
        "sampling.steps": isinstance(times, list) and sampling.get("steps") == len(times) > 0,
        "process.prediction": process.get("prediction") in PREDICTIONS,
        "process.target": process.get("target") in ("residual", "image"),
        "process.residual_scale": process.get("target") == "image" or _number(process.get("residual_scale"), 1e-6, 1e6),
        "process.noise_level": process.get("noise_level") in ("continuous", "discrete"),
        "process.clip": isinstance(process.get("clip"), bool),
        "lr_up": about.get("lr_up", "apart") in ("condition", "part", "apart"),
    }


def _dict(value):
    return value if isinstance(value, dict) else {}


def _whole(value, least=1):
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _number(value, least, most):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= most


def _are_levels(value):
    return isinstance(value, list) and value and all(_number(level, 0, 1) and 0 < level < 1 for level in value)


def _is_record(value, kind):
    """Whether a value holds the fields of a NamedTuple, numbers or booleans."""
    return _dict(value).keys() == set(kind._fields) and all(
        isinstance(field, bool) or _number(field, 0, 1e12) for field in value.values()
    )


def _is_graph(entry, names):
    """Whether an entry names a file beside the description, its hash, and inputs with sizes all free or all fixed."""
    file, inputs = entry.get("file"), entry.get("inputs")
    if not (isinstance(file, str) and Path(file).name == file != "" and isinstance(entry.get("sha256"), str)):
        return False
    if not isinstance(inputs, list) or [_dict(item).get("name") for item in inputs] != names:
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
        name: what errors call it; None takes the description's path.
    """

    def __init__(self, path, runtime=None, device=None, threads=None, name=None):
        self.path = description_path(path)
        self.name = name or self.path
        self.description = read_description(path)
        wrong = wrong_field(self.description)
        if wrong:
            raise UserError(f"{self.path} is incomplete or wrong in its field {wrong}: {ADVICE}")
        self.cut, self.scale = self.description["cut"], self.description["scale"]
        self.conditional = self.description["conditional"]
        entries = {role: self.description["graphs"][role] for role in roles_of(self.cut, self.conditional)}
        files = {role: self.path.with_name(entry["file"]) for role, entry in entries.items()}
        for role, file in files.items():
            if not file.is_file():
                raise UserError(f"{file} is missing: {ADVICE}")
            if file_hash(file) != entries[role]["sha256"]:
                raise UserError(f"{file} is damaged or from another export: {ADVICE}")
        first = next(iter(files))
        batch, _, height, width = entries[first]["inputs"][0]["shape"][-4:]  # before them in noise, the draws
        # (B, h, w) of LR that the graphs take, or of an unconditional model's pictures; None: sizes are free
        self.fixed_size = None if height is None else (batch, height, width)
        self.any_size = files[first].suffix == ".onnx" and not self.fixed_size  # without compiling for it
        kind = _GRAPHS[_choose_runtime(files[first].suffix, runtime)]
        # role → graph, called with NumPy arrays (or its own results), which returns a tuple of results
        self.graphs = {
            role: kind(file, input_names(role, self.conditional), OUTPUTS[role], device, threads, name or file)
            for role, file in files.items()
        }


def _choose_runtime(suffix, wanted):
    if suffix not in RUNTIMES:
        raise UserError(f"{suffix} models run elsewhere (docs/deployment.md): export with --format mindir or onnx")
    possible = RUNTIMES[suffix]
    if wanted is not None and wanted not in possible:
        raise UserError(f"the runtime for {suffix} must be {' or '.join(possible)}, not '{wanted}'")
    for name in (wanted,) if wanted else possible:
        try:
            _import(name)
            return name
        except ImportError as error:
            reason = error
    raise UserError(f"{suffix} needs {' or '.join((wanted,) if wanted else possible)} ({reason}): install it")


def _import(name):
    if name == "mindspore":
        prepare()
        import mindspore as module
    elif name == "mindspore_lite":
        import mindspore_lite as module
    else:
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # from 1.32 on it would report to its makers
        import onnxruntime as module
    return module


@contextlib.contextmanager
def _named_in_utf8(path):
    """Yield a path that runtimes find, which take names for UTF-8; of another encoding's, as GBK's, it is a copy's."""
    if str(path).encode("utf-8", "replace") == os.fsencode(path):
        yield str(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield shutil.copy(path, f"{folder}/model{path.suffix}")


@functools.cache
def _share_memory():
    """Have all graphs of the process work in one arena, for they run one after the other."""
    ort = _import("onnxruntime")
    kind, default = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    ort.create_and_register_allocator(ort.OrtMemoryInfo("Cpu", kind, 0, default), None)


class OnnxGraph:
    """A graph that ONNX Runtime runs, called with NumPy arrays; ``model`` is a path, or the file's bytes."""

    def __init__(self, model, inputs, outputs, device=None, threads=None, name="the network"):
        ort, self._name = _import("onnxruntime"), name
        providers = {"GPU": ["CUDAExecutionProvider"], "Ascend": ["CANNExecutionProvider"], "CPU": []}
        there = ort.get_available_providers()
        wanted = providers[device] if device else [p for p in sum(providers.values(), []) if p in there]
        if not set(wanted) <= set(there):
            raise UserError(f"this onnxruntime has no {wanted[0]}: use --device CPU, or install its build")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or _cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Less memory, and threads that wait do not spin (docs/inference_speed.md).
        _share_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.enable_mem_pattern = False  # of no use where sizes change
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = [*((provider, {"device_id": device_id()}) for provider in wanted), "CPUExecutionProvider"]
        try:
            with contextlib.nullcontext(model) if isinstance(model, bytes) else _named_in_utf8(model) as file:
                self._session = ort.InferenceSession(file, options, providers=providers)
        except Exception as error:  # onnxruntime's own classes, which are not exported
            raise UserError(f"onnxruntime {ort.__version__} cannot load {name}: {ADVICE}") from error
        self._inputs, self._outputs = inputs, outputs

    def __call__(self, *arrays):
        feeds = {name: np.ascontiguousarray(array) for name, array in zip(self._inputs, arrays, strict=True)}
        try:
            return tuple(self._session.run(self._outputs, feeds))
        except Exception as error:  # onnxruntime's own classes: no memory, another shape
            raise _cannot_run("onnxruntime", self._name, arrays, error) from error


class _MindSporeGraph:
    def __init__(self, path, inputs, outputs, device, threads, name):
        self._ms = ms = _import("mindspore")
        self._name = name
        try:
            if device:
                ms.set_device(device)
            ms.set_context(mode=ms.GRAPH_MODE)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"mindspore has no device {device} here: use --device CPU, or install its build") from error
        try:
            with _named_in_utf8(path) as file:
                self._cell = ms.nn.GraphCell(ms.load(file))
        except (RuntimeError, ValueError) as error:
            raise UserError(f"mindspore {ms.__version__} cannot load {path}: {ADVICE}") from error

    def __call__(self, *arrays):
        tensor = self._ms.Tensor
        try:
            results = self._cell(*(x if isinstance(x, tensor) else tensor(np.ascontiguousarray(x)) for x in arrays))
        except (RuntimeError, ValueError, TypeError) as error:
            raise _cannot_run("mindspore", self._name, arrays, error) from error
        return results if isinstance(results, tuple) else (results,)


class _LiteGraph:
    """MindSpore Lite, whose Context takes all from one device; its precision_mode is the device's own."""

    def __init__(self, path, inputs, outputs, device, threads, name):
        lite, self._name, self._device = _import("mindspore_lite"), name, device or "CPU"
        try:
            context = lite.Context()
            context.target = [self._device.lower()]
            if self._device == "CPU":
                context.cpu.thread_num = threads or _cores()
            else:
                getattr(context, self._device.lower()).device_id = device_id()
            self._model = lite.Model()
            with _named_in_utf8(path) as file:
                self._model.build_from_file(file, lite.ModelType.MINDIR, context)
        except (RuntimeError, ValueError) as error:
            raise UserError(f"mindspore_lite cannot load {path} for {self._device} ({error}): {ADVICE}") from error

    def __call__(self, *arrays):
        try:
            inputs = self._model.get_inputs()
            if [list(x.shape) for x in inputs] != [list(x.shape) for x in arrays]:
                self._model.resize(inputs, [list(x.shape) for x in arrays])
                inputs = self._model.get_inputs()
            for tensor, array in zip(inputs, arrays, strict=True):
                tensor.set_data_from_numpy(np.ascontiguousarray(array))
            return tuple(result.get_data_to_numpy() for result in self._model.predict(inputs))
        except RuntimeError as error:
            raise _cannot_run("mindspore_lite", self._name, arrays, error) from error


_GRAPHS = {"onnxruntime": OnnxGraph, "mindspore": _MindSporeGraph, "mindspore_lite": _LiteGraph}


def _cannot_run(runtime, name, arrays, error):
    shapes = ", ".join(str(tuple(x.shape)) for x in arrays)
    return UserError(
        f"{runtime} cannot run {name} on inputs {shapes} ({first_line(error)}): take smaller tiles, or on Ascend "
        "convert it for one size (docs/deployment.md)"
    )


def _cores():
    """How many cores this process may use; onnxruntime by itself takes all of the machine's, also in a container."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or "max": no limit
        return count
