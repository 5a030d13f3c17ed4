"""Who may import whom inside src/, read from the source; and that importing has no side effect."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def module_name(path):
    """Return ``src.imaging.resize`` for ``src/imaging/resize.py``, ``src.imaging`` for its ``__init__.py``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted((ROOT / "src").rglob("*.py"))}


def part_of(module):
    """Return the part that a module belongs to: ``imaging`` for ``src.imaging.resize``."""
    return module.split(".")[1] if "." in module else ""


PARTS = {  # part: the other parts that it may import
    "config": set(),
    "imaging": set(),
    "models": set(),
    "diffusion": set(),
    "weights": set(),
    "losses": {"diffusion"},
    "dataset": {"imaging"},
    "metrics": {"imaging", "models"},
    "training": {"metrics", "runtime"},
    "inference": {"diffusion", "imaging"},
    "export": {"inference", "diffusion", "imaging"},
    # The modules at the top of src/
    "errors": set(),
    "atomic_file": set(),
    "folder_lock": set(),
    "interrupts": set(),
    "runtime": set(),
    "shipped": set(),
    "cache_folder": set(),
    "compile_cache": set(),
    "launcher": set(),
    "event_files": set(),
    "wandb_run": set(),
    "tracking": {"event_files", "wandb_run"},
    "command": {"runtime"},
}
BUILD = {part_of(module) for module in MODULES if part_of(module).startswith("build")}  # may import everything
FOR_ALL = {"errors", "atomic_file", "cache_folder", "folder_lock", "interrupts"}
COMMANDS_IN_SRC = {"src.dataset.div2k_preprocess"}  # a module that is run as a command may import these as well:
FOR_COMMANDS = {"command", "runtime"}
WITHOUT_MINDSPORE = (
    "src.config",
    "src.imaging",
    "src.diffusion.schedule",
    "src.diffusion.schedule",
    "src.diffusion.samplers",
    "src.dataset.div2k_preprocess",
    "src.dataset.patches",
    "src.errors",
    "src.host.files",
    "src.host.files",
    "src.host.signals",
    "src.host.launcher",
    "src.host.tensorboard",
    "src.host.wandb_run",
    "src.host.tracking",
    "src.host.files",
    "src.command",
)


def imported(source):
    """Return the full names of all that Python source imports, at its top and inside functions.

    ``from a import b`` gives ``a.b``, which is a module or a name in one; a relative import keeps its dots. An import
    by a name made at run time gives ``(dynamic)``.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call):
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            names |= {"(dynamic)"} if name in ("__import__", "import_module") else set()
    return names


def broken_rules(module, source):
    """Return what a module imports against the rule, as a sorted list of names."""
    part = part_of(module)
    if part in BUILD:
        allowed = PARTS.keys() | BUILD
    else:
        allowed = PARTS.get(part, set()) | FOR_ALL | {part} | (FOR_COMMANDS if module in COMMANDS_IN_SRC else set())
    return sorted(
        name
        for name in imported(source)
        if name.startswith((".", "(dynamic)"))
        or name.split(".")[0] in ("tests", "torch", "train", "eval", "infer", "export", "convert")
        or (name.split(".")[0] == "src" and part_of(name) not in allowed)
    )


def is_without_mindspore(module):
    return any(module == name or module.startswith(f"{name}.") for name in WITHOUT_MINDSPORE)


@pytest.mark.parametrize("module", MODULES)
def test_it_imports_only_what_its_part_may(module):
    assert broken_rules(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("module", [name for name in MODULES if is_without_mindspore(name)])
def test_it_never_imports_mindspore_not_even_in_a_function(module):
    names = imported(MODULES[module].read_text(encoding="utf-8"))
    assert [name for name in names if name.split(".")[0] == "mindspore"] == []


@pytest.mark.parametrize("name", WITHOUT_MINDSPORE)
def test_the_modules_named_here_exist(name):
    assert name in MODULES


def test_every_part_has_a_rule():
    assert {part_of(module) for module in MODULES} <= PARTS.keys() | BUILD | {""}


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("src.imaging.io", "from src.layers import rrdb", "src.families.rrdb.network"),
        ("src.imaging.io", "from src import models", "src.layers"),
        ("src.imaging.io", "import src.families.rrdb.network as r", "src.families.rrdb.network"),
        ("src.imaging.io", "def f():\n    if True:\n        from src.config.loader import x", "src.config.loader.x"),
        ("src.imaging.io", "from . import resize", "..resize"),
        ("src.imaging.io", "from ..models import rrdb", "..models.rrdb"),
        ("src.imaging.io", "importlib.import_module('src.layers')", "(dynamic)"),
        ("src.imaging.io", "__import__('src.layers')", "(dynamic)"),
        ("src.imaging.io", "from src.command import run", "src.command.run"),
        ("src.build", "import torch.nn", "torch.nn"),
        ("src.build", "from train import main", "train.main"),
        ("src.families.rrdb.network", "from src.build import build_model", "src.build.build_model"),
    ],
)
def test_a_forbidden_import_is_found(module, source, found):
    assert broken_rules(module, source) == [found]


def test_allowed_imports_pass():
    source = "import os\nfrom src.errors import UserError\nfrom src.imaging.resize import imresize"
    assert broken_rules("src.dataset.pairs", source) == []
    assert broken_rules("src.dataset.div2k_preprocess", "from src.command import run") == []


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


def test_importing_changes_nothing_and_does_not_load_mindspore(tmp_path):
    modules = [name for name in MODULES if is_without_mindspore(name)] + ["src.host.device", "src.command", "src.build"]
    assert changes_by_importing(modules, [], tmp_path) == {}


def test_importing_the_rest_changes_nothing_but_loading_mindspore(tmp_path):
    pytest.importorskip("mindspore")
    modules = [name for name in MODULES if not is_without_mindspore(name)]
    # What these libraries do on being imported is theirs.
    assert changes_by_importing(modules, ["mindspore", "mindspore.dataset"], tmp_path) == {}
