"""Who may import whom inside src/, read from the source; that there is no circle; that importing has no side effect."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RULE = {  # room: the rooms that it may import beside itself; errors may be imported by all
    "errors": "",
    "host": "",
    "config": "",
    "layers": "",
    "diffusion": "",
    "imaging": "host",
    "losses": "diffusion",
    "weights": "config host",
    "dataset": "imaging host",
    "inference": "diffusion imaging host",
    "metrics": "layers imaging weights host",
    "families": "layers diffusion losses inference weights config",
    "export": "families inference diffusion imaging layers host",
    "training": "families dataset metrics inference losses weights layers host config",
    "build": "families export inference weights host config",
    "command": "host",
    "commands": "build command families export training metrics inference dataset losses weights diffusion imaging "
    "layers host config",
}
LATE = ("src.build", "src.commands.")  # whose functions may import src, and each family's family.py: mindspore is late
WITHOUT_MINDSPORE = ("errors", "config", "imaging", "diffusion", "inference", "host", "dataset", "export")
WITH_MINDSPORE = {  # of those rooms, the files that are not: the device, batches, and what makes an export
    "src.host.device", "src.host.compile_cache", "src.dataset.batches", "src.export.check", "src.export.exporter",
    "src.export.mindir", "src.export.model", "src.export.onnx_model", "src.export.onnx_operators",
    "src.export.sampler_graph",
}  # fmt: skip


def module_name(path):
    """Return ``src.imaging.resize`` for ``src/imaging/resize.py``, ``src.imaging`` for its ``__init__.py``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py"))}


def room_of(module):
    """Return the room that a module belongs to: ``imaging`` for ``src.imaging.resize``, "" for ``src``.

    ``src/dataset/div2k_preprocess.py`` is a command, at the path that its users know.
    """
    if module.startswith("src.dataset.div2k_preprocess"):
        return "commands"
    return module.split(".")[1] if "." in module else ""


def imported(source, inside_functions=False):
    """Return the full names of all that source imports, or of what it imports inside functions alone.

    ``from a import b`` gives ``a.b``, which is a module or a name in one; a relative import keeps its dots. An import
    by a name made at run time gives ``(dynamic)``.
    """
    tree = ast.parse(source)
    nodes = set(ast.walk(tree))
    if inside_functions:
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)]
        nodes = {node for function in functions for node in ast.walk(function)}
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            names |= {"(dynamic)"} if name in ("__import__", "import_module") else set()
    return names


def may_import(module, name):
    """Whether the rule lets a module import a name, such as ``src.host.files.locked``."""
    if name.startswith((".", "(dynamic)")) or name.split(".")[0] in ("tests", "torch", "train", "eval", "infer"):
        return False
    if name.split(".")[0] != "src":
        return True
    room, other = room_of(module), room_of(name)
    if room == other == "families":
        return _is_below(module, name)
    return other in (room, "errors", *RULE.get(room, "").split())


def _is_below(module, name):
    """Whether a family's file may import another of families/: the contract, its own folder, or a family below it."""
    family, other = module.split(".")[2], name.split(".")[2]
    below = {"srdiff": ("rrdb",), "srgan": ("rrdb",), "registry": ("rrdb", "srdiff", "sr3", "srgan")}
    return other in (family, "family", *below.get(family, ())) and not (family == "family" and other != "family")


def broken_rules(sources):
    """Return ``MODULE imports NAME`` of everything that the rule forbids in {module: source}."""
    broken = []
    for module, source in sources.items():
        broken += [f"{module} imports {name}" for name in sorted(imported(source)) if not may_import(module, name)]
        if not module.startswith(LATE) and not (room_of(module) == "families" and module.endswith("family")):
            late = [name for name in sorted(imported(source, True)) if name.startswith("src.")]
            broken += [f"{module} imports {name} inside a function" for name in late]
    return broken


def circle(sources):
    """Return modules that import each other in a circle, the first one again at the end; [] where there is none."""
    edges = {
        module: sorted({_module_in(name, sources) for name in imported(source)} - {None, module})
        for module, source in sources.items()
    }
    done, path = set(), []

    def visit(module):
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        path.append(module)
        found = next((c for other in edges[module] if (c := visit(other))), [])
        path.pop()
        done.add(module)
        return found

    return next((c for module in edges if (c := visit(module))), [])


def _module_in(name, modules):
    """Return the module that an imported name is, or is in; None outside ``modules`` and for a bare package."""
    if name in modules:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in modules else None


def test_every_import_is_allowed():
    assert broken_rules(SOURCES) == []


def test_there_is_no_circle():
    assert circle(SOURCES) == []


def test_every_room_has_a_rule():
    assert {room_of(module) for module in SOURCES} - {""} == RULE.keys()


def test_a_planted_upward_import_is_found():
    for module, line, inside in (
        ("src.imaging.io", "from src.layers.bicubic import phase_kernels", False),
        ("src.imaging.io", "from src import layers", False),
        ("src.host.files", "import src.imaging.io as io", False),
        ("src.families.rrdb.family", "from src.families.srdiff.family import SRDiff", False),
        ("src.metrics.fid", "def f():\n    from src.training.run import Run", True),
        ("src.inference.upscaler", "from src.config.schema import Config", False),
        ("src.training.run", "from src.commands.train import run", False),
        ("src.imaging.io", "from . import resize", False),
        ("src.imaging.io", "importlib.import_module('src.layers')", False),
    ):
        found = broken_rules(SOURCES | {module: f"{SOURCES[module]}\n{line}\n"})
        assert len(found) == 1 + inside and all(text.startswith(f"{module} imports ") for text in found), line


def test_an_allowed_import_inside_a_function_is_found_where_nothing_need_be_late():
    planted = SOURCES | {"src.dataset.pairs": "def f():\n    from src.imaging.resize import imresize\n"}
    assert broken_rules(planted) == ["src.dataset.pairs imports src.imaging.resize.imresize inside a function"]


def test_a_planted_circle_is_found_in_functions_too():
    planted = SOURCES | {"src.errors": SOURCES["src.errors"] + "\ndef f():\n    from src.host.files import locked\n"}
    found = circle(planted)
    assert {"src.errors", "src.host.files"} <= set(found) and found[0] == found[-1]


@pytest.mark.parametrize("room", WITHOUT_MINDSPORE)
def test_a_room_without_mindspore(room):
    heavy = {
        module
        for module, source in SOURCES.items()
        if room_of(module) == room
        and module not in WITH_MINDSPORE
        and any(name.split(".")[0] == "mindspore" for name in imported(source))
    }
    assert heavy == set()


# Imports modules one after the other in a fresh process; prints {module: what importing it changed}.
PROBE = """
import importlib, json, logging, os, pathlib, random, sys, warnings
import numpy
sys.path.insert(0, sys.argv[1])
modules, preloaded = json.loads(sys.argv[2]), json.loads(sys.argv[3])
for name in preloaded:
    importlib.import_module(name)

def state():
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "files": sorted(os.listdir()),
        "sys.path": list(sys.path), "log handlers": [str(h) for h in logging.root.handlers],
        "log level": logging.root.level, "random": random.getstate(),
        "numpy.random": str(numpy.random.get_state()), "mindspore": "mindspore" in sys.modules,
    }

changes = {}
for name in modules:
    before = state()
    importlib.import_module(name)
    after = state()
    found = [key for key in before if before[key] != after[key]]
    if found:
        changes[name] = found
print("changes:" + json.dumps(changes))
"""


def changes_by_importing(modules, preloaded, folder):
    """Import modules in a fresh process whose current folder is ``folder``; return {module: what changed}."""
    command = [sys.executable, "-c", PROBE, str(ROOT), json.dumps(modules), json.dumps(preloaded)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=900)
    assert process.returncode == 0, process.stderr
    output, _, changes = process.stdout.partition("changes:")
    assert output == ""
    return json.loads(changes)


def light_modules():
    return [module for module in SOURCES if room_of(module) in WITHOUT_MINDSPORE and module not in WITH_MINDSPORE]


def test_importing_changes_nothing_and_does_not_load_mindspore(tmp_path):
    modules = [*light_modules(), "src.host.device", "src.command", "src.build", "src.families.registry"]
    assert changes_by_importing(modules, [], tmp_path) == {}


def test_importing_the_rest_changes_nothing_but_loading_mindspore(tmp_path):
    pytest.importorskip("mindspore")
    modules = [module for module in SOURCES if module not in light_modules()]
    # What these libraries do on being imported is theirs.
    assert changes_by_importing(modules, ["mindspore", "mindspore.dataset"], tmp_path) == {}
