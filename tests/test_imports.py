"""Who may import whom inside src/, read from the source; that there is no circle; that importing has no side effect."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RULE = {  # room: the rooms that it may import beside itself and errors
    "": "build inference",  # the public face
    "errors": "",
    "host": "",
    "config": "host",
    "layers": "",
    "diffusion": "",
    "imaging": "host",
    "losses": "diffusion layers metrics",
    "weights": "config host",
    "dataset": "imaging host",
    "inference": "diffusion imaging host",
    "metrics": "layers imaging weights host",
    "families": "layers diffusion losses inference weights config host",
    "export": "families inference diffusion imaging layers host",
    "training": "export families dataset metrics inference losses weights diffusion layers host config",
    "build": "families export inference weights host config",
    "command": "host",
    "cli": "commands command metrics diffusion imaging host",
    "commands": "build command families export training metrics inference dataset losses weights diffusion imaging "
    "layers host config",
}
WITHOUT_MINDSPORE = {  # room: its files that neither import mindspore nor load it on being imported
    "errors": "*",
    "host": "files shipped signals tracking tensorboard wandb_run ranks",
    "config": "*",
    "imaging": "*",
    "diffusion": "*",
    "inference": "*",
    "dataset": "degradation div2k_preprocess manifest pairs patches preprocess sources",
    "export": "cache load",
}
# These load it in functions alone, as each family.py does.
LATE = ("", "host.device", "command", "build", "families.registry", "export.artefact", "export.runner")
OUTSIDE = ("tests", "benchmarks", "scripts", "torch", "train", "eval", "infer", "export", "convert", "demo")


def module_name(path):
    """Return ``imaging.resize`` for ``src/imaging/resize.py``, ``imaging`` for its ``__init__.py``, "" for src's."""
    parts = path.relative_to(ROOT / "src").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py"))}
PACKAGES = {module_name(path) for path in (ROOT / "src").rglob("__init__.py")}


def room_of(module):
    """Return ``imaging`` for ``imaging.resize``; a module that is run as a program is a command, wherever it lies."""
    if module == "__main__":
        return "cli"
    return "commands" if module in ("dataset.div2k_preprocess", "export.runner") else module.split(".")[0]


def part_of(module):
    """Return the room, of a family its folder: ``families.rrdb``."""
    return ".".join(module.split(".")[:2]) if room_of(module) == "families" else room_of(module)


def is_family(module):
    """Whether it is ``families/X/family.py``, the contract that these share, or a part of it that some share."""
    return room_of(module) == "families" and module.endswith(("family", "picture_losses", "distillation"))


def imports(module, source, modules):
    """Return [(name, inside a function)] of all that a module's source imports; of src/ ``src.host.files``.

    Of ``from .a import b`` it is the module a.b, or else a, in which b is a name. Inside src/ all imports are relative,
    since it is installed by another name: one that says ``src`` is ``absolute src``. An import by a name made at run
    time is ``(dynamic)``.
    """
    tree, found = ast.parse(source), []
    package = ["src", *filter(None, module.split("."))] if module in PACKAGES else ["src", *module.split(".")[:-1]]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    inside = {node for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [f"absolute {a.name}" if a.name.split(".")[0] == "src" else a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            whole = ".".join([*above, *filter(None, [node.module])])
            names = [f"{whole}.{a.name}" if f"{whole}.{a.name}"[4:] in modules else whole for a in node.names]
            if not node.level:
                names = [f"absolute {name}" if name.split(".")[0] == "src" else name for name in names]
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            names = ["(dynamic)"] if called in ("__import__", "import_module") else []
        found += [(name, node in inside) for name in names]
    return sorted(set(found))


def inner(module, source, modules):
    """Return the modules of src/ that a module's source imports."""
    return sorted({name[4:] for name, _ in imports(module, source, modules) if name.startswith("src.")})


def broken_rules(sources):
    """Return ``MODULE imports NAME`` of everything in {module: source} that the rule forbids."""
    broken = []
    for module, source in sources.items():
        may_be_late = room_of(module) in ("", "build", "cli", "commands") or is_family(module)
        for name, inside in imports(module, source, sources):
            if name == "(dynamic)" and module == "__main__":
                continue  # of cli/, whose commands it knows by name
            if not may_import(module, name):
                broken.append(f"{module} imports {name}")
            elif inside and name.startswith("src.") and not may_be_late:
                broken.append(f"{module} imports {name} inside a function")
    return broken


def may_import(module, name):
    """Whether the rule lets a module import a name, such as ``src.host.files``."""
    if not name.startswith("src."):
        return name != "src" and not name.startswith(("absolute ", "(")) and name.split(".")[0] not in OUTSIDE
    room, other = room_of(module), room_of(name[4:])
    if room == other == "families":  # a family is told from those below it by the test that refuses circles
        part, target = part_of(module), part_of(name[4:])
        if part in ("families.registry", target):
            return True
        return part != "families.family" and target != "families.registry"
    return other in (room, "errors", *RULE.get(room, "").split())


def graph_of(sources, node=str):
    """Return {module: the modules that it imports}; with ``node=part_of`` of rooms and family folders."""
    graph = {node(module): set() for module in sources}
    for module, source in sources.items():
        graph[node(module)] |= {node(name) for name in inner(module, source, sources)} - {node(module)}
    return graph


def circles(graph):
    """Return the groups of nodes that can be reached from each other, sorted."""

    def reached(node):
        found, new = set(), {node}
        while new:
            new = {other for each in new for other in graph.get(each, ())} - found
            found |= new
        return found

    reach = {node: reached(node) for node in graph}
    groups = {frozenset(other for other in reach[node] if node in reach.get(other, ())) for node in graph}
    return sorted(sorted(group) for group in groups if group)


def is_without_mindspore(module):
    room, _, file = module.partition(".")
    files = WITHOUT_MINDSPORE.get(room, "").split()
    return bool(files) and (files == ["*"] or file in ("", *files))


def test_every_import_is_allowed():
    assert broken_rules(SOURCES) == []


def test_there_is_no_circle_between_modules_nor_between_families():
    assert circles(graph_of(SOURCES)) == []
    assert circles(graph_of(SOURCES, part_of)) == []


def test_every_room_has_a_rule():
    assert {room_of(module) for module in SOURCES} == RULE.keys()


def test_files_without_mindspore_do_not_import_it_in_functions_either():
    names = {f"{room}.{file}" for room, files in WITHOUT_MINDSPORE.items() for file in files.split() if file != "*"}
    assert names - SOURCES.keys() == set()
    modules = [module for module in SOURCES if is_without_mindspore(module)]
    assert [m for m in modules for name, _ in imports(m, SOURCES[m], ()) if name.split(".")[0] == "mindspore"] == []


PLANTED = dict.fromkeys(
    ("build", "cli.train", "commands.train", "dataset.pairs", "dataset.div2k_preprocess", "errors", "families.family",
     "host.device", "families.registry", "families.rrdb.network", "families.srdiff.family", "host.files", "imaging.io",
     "imaging.resize", "layers", "layers.layers", "training.run"), ""
)  # fmt: skip


@pytest.mark.parametrize(
    ("module", "source", "name"),
    [
        ("imaging.io", "from ..layers.layers import ResNet", "src.layers.layers"),
        ("imaging.io", "from .. import layers", "src.layers"),
        ("imaging.io", "from .. import anything", "src"),
        ("layers", "from ..host import files", "src.host.files"),
        ("imaging.io", "class A:\n    def f(self):\n        if 1:\n            from ..layers import a", "src.layers"),
        ("imaging.io", "from src.imaging import resize", "absolute src.imaging.resize"),
        ("imaging.io", "import src.imaging.resize as r", "absolute src.imaging.resize"),
        ("imaging.io", "importlib.import_module('src.layers')", "(dynamic)"),
        ("imaging.io", "__import__('src.layers')", "(dynamic)"),
        ("errors", "from .host import files", "src.host.files"),
        ("build", "import torch.nn", "torch.nn"),
        ("build", "from train import main", "train"),
        ("build", "from .cli.train import main", "src.cli.train"),
        ("training.run", "from ..commands.train import run", "src.commands.train"),
        ("dataset.pairs", "from .div2k_preprocess import main", "src.dataset.div2k_preprocess"),
        ("families.family", "from .rrdb.network import RRDB", "src.families.rrdb.network"),
        ("families.rrdb.network", "from ..registry import FAMILIES", "src.families.registry"),
        ("imaging.io", "def f():\n    from .resize import imresize", "src.imaging.resize inside a function"),
        ("training.run", "def f():\n    from ..host import files", "src.host.files inside a function"),
    ],
)
def test_a_planted_import_is_refused(module, source, name):
    assert broken_rules(PLANTED | {module: source}) == [f"{module} imports {name}"]


def test_allowed_imports_pass():
    late = "def f():\n    from {0}host.device import select_device\n    from {0}families.rrdb.network import RRDB"
    allowed = {
        "imaging.io": "import os\nfrom ..errors import UserError\nfrom .resize import imresize",
        "dataset.div2k_preprocess": "from .pairs import find\nfrom ..imaging import io",
        "families.registry": "from .srdiff.family import SRDiff",
        "families.srdiff.family": "from ..family import Family\ndef f():\n    from ...layers import layers",
        "build": late.format("."),
        "commands.train": late.format(".."),
    }
    assert broken_rules(PLANTED | allowed) == []


@pytest.mark.parametrize(
    ("sources", "node", "group"),
    [
        ({"host.files": "from . import device", "host.device": "def f():\n    from . import files"}, str,
         ["host.device", "host.files"]),
        ({"a.x": "from . import y", "a.y": "from . import z", "a.z": "from . import x"}, str, ["a.x", "a.y", "a.z"]),
        ({"families.rrdb.a": "from ..srdiff.b import c", "families.srdiff.b": "",
          "families.srdiff.c": "from ..rrdb.a import b"}, part_of, ["families.rrdb", "families.srdiff"]),
    ],
)  # fmt: skip
def test_a_planted_circle_is_found(sources, node, group):
    assert circles(graph_of(PLANTED | sources, node)) == [group]
    without = dict(list(sources.items())[:-1])
    assert circles(graph_of(PLANTED | without, node)) == []


# Imports modules one after the other in a fresh process; prints {module: what importing it changed}.
PROBE = """
import importlib, json, logging, os, random, sys
import numpy
sys.path.insert(0, sys.argv[1])

def state():
    return {
        "environment": dict(os.environ), "folder": os.getcwd(), "files": sorted(os.listdir()),
        "sys.path": list(sys.path), "log handlers": [str(h) for h in logging.root.handlers],
        "log level": logging.root.level, "random": random.getstate(),
        "numpy.random": str(numpy.random.get_state()), "mindspore": "mindspore" in sys.modules,
    }

changes = {}
for name in json.loads(sys.argv[2]):
    before = state()
    importlib.import_module(name)
    after = state()
    found = [key for key in before if before[key] != after[key]]
    if found and name.startswith("src"):  # what other packages do on being imported is theirs
        changes[name] = found
print("changes:" + json.dumps(changes))
"""


def test_importing_changes_nothing_and_loads_mindspore_only_where_it_may(tmp_path):
    pytest.importorskip("mindspore")
    light = [m for m in SOURCES if is_without_mindspore(m) or m in LATE or is_family(m)]
    rest = [module for module in SOURCES if module not in light]
    names = [f"src.{module}".rstrip(".") for module in light], [f"src.{module}".rstrip(".") for module in rest]
    order = [*names[0], "mindspore", "mindspore.dataset", *names[1]]
    command = [sys.executable, "-c", PROBE, str(ROOT), json.dumps(order)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=900)
    assert process.returncode == 0, process.stderr
    output, _, changes = process.stdout.partition("changes:")
    assert (output, json.loads(changes)) == ("", {})
