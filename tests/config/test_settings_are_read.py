"""No setting is decoration: something outside src/config reads each one."""

import ast
from pathlib import Path

from src.config.schema import settings_of
from src.families.registry import SCHEMAS

ROOT = Path(__file__).resolve().parents[2]


def names_read(source):
    """Return the settings that Python source reads, as full names.

    ``config.train.lr`` and ``train.lr`` read ``train.lr``, and so does ``rates.lr`` after
    ``rates = config.train``; ``config.seed`` reads ``seed``. ``getattr(config.train, name)`` reads all that its
    function names in quotes.
    """
    tree = ast.parse(source)
    aliases = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    aliases[target.id] = node.value.attr
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            found |= {f"{name}.{node.attr}", f"{aliases.get(name, name)}.{node.attr}"}
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        nodes = list(ast.walk(function))
        calls = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr"]
        sections = {call.args[0].attr for call in calls if isinstance(call.args[0], ast.Attribute)}
        quoted = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        found |= {f"{section}.{name}" for section in sections for name in quoted}
    return {name.removeprefix("config.") for name in found}


def test_names_read_sees_chains_section_variables_and_aliases():
    source = (
        "def f(config, eval):\n    rates = config.train\n    return config.seed, rates.lr, eval.steps, config.data.val"
    )
    assert names_read(source) >= {"seed", "train.lr", "eval.steps", "data.val"}
    assert "train.lr" in names_read(
        "def f(config):\n    return [getattr(config.train, name) for name in ('lr', 'keep')]"
    )
    assert "train.lr" not in names_read("config.train.lr = 1; other.lr; rates.lr")


def test_every_setting_is_read():
    files = [*ROOT.glob("*.py"), *(path for path in (ROOT / "src").rglob("*.py") if "config" not in path.parts)]
    read = set().union(*(names_read(path.read_text(encoding="utf-8")) for path in files))
    settings = {name for schema in SCHEMAS.values() for name in settings_of(schema)}
    assert settings - read == set()
