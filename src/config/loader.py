"""From YAML files and ``key=value`` overrides to a :class:`Config`, and back.

Inside, settings are one flat dict from full names such as ``train.lr`` to values of the right type: each
file is checked by itself, so that an error names the file it is in, and "later wins" is ``dict.update``.
"""

import dataclasses
import difflib
import math
import os
import re
import reprlib
import typing
from pathlib import Path

import yaml

from src.config.schema import Config
from src.errors import UserError

# tag, pattern, possible first characters: https://yaml.org/spec/1.2.2/#103-core-schema, less the octal and
# hexadecimal numbers, infinities and NaN, which no setting takes
_CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", r"(null|Null|NULL|~|)", ["n", "N", "~", ""]),
    ("tag:yaml.org,2002:bool", r"(true|True|TRUE|false|False|FALSE)", list("tTfF")),
    ("tag:yaml.org,2002:int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        r"[-+]?(([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+)",
        list("-+.0123456789"),
    ),
    ("tag:yaml.org,2002:merge", r"<<", ["<"]),
)
_CONSTRUCTED = (None, *(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map")))


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}
    yaml_constructors = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in _CONSTRUCTED}

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that YAML 1.1 or this dialect would take for something else."""


_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)
for _tag, _pattern, _first in _CORE_SCHEMA:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern + r"\Z"), _first)
    _Dumper.add_implicit_resolver(_tag, re.compile(_pattern + r"\Z"), _first)


def parse(text, where):
    """Return the Python value of one YAML document.

    Args:
        text: str, or the bytes of a file (UTF-8 or UTF-16).
        where: what is parsed, for error messages.

    Raises:
        UserError: the text is not YAML, or gives a key twice; the message names the line.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
        raise UserError(f"{where}{line}: not valid YAML: {problem}") from error
    except (ValueError, LookupError, RecursionError) as error:  # such as '!!int x', or ten thousand brackets
        raise UserError(f"{where}: not valid YAML: a value cannot be read ({type(error).__name__})") from error


def dump(value):
    """Return YAML text that :func:`parse` reads back as the same value; mappings keep their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


_EXPECTED = {
    int: "a whole number",
    float: "a finite number",
    bool: "true or false",
    str: "text",
    tuple[int, ...]: "a list of whole numbers such as [1, 2, 4]",
}


def load_config(path, overrides=()):
    """Read a YAML file, the files it names under ``base``, and ``key=value`` overrides.

    ``base`` is a path or a list of paths relative to the file; of two bases the later wins, and the
    file wins over its bases. Overrides come last. What none of them gives keeps its default.
    Whether the settings fit each other is :func:`src.config.validate.check`'s question.

    Args:
        path: the YAML file.
        overrides: strings such as ``"train.lr=1e-4"``; the value is YAML, text is taken as it is.

    Raises:
        UserError: a file is missing or broken, a setting is unknown or has the wrong type.
    """
    return _build(Config, _overridden(_read(Path(path), ()), overrides))


def with_overrides(config, overrides):
    """Return a configuration with ``key=value`` overrides applied; see :func:`load_config`."""
    return _build(Config, _overridden(_flatten(config_to_dict(config), "the configuration"), overrides))


def overrides_to_dict(overrides):
    """Return the nested dict of ``key=value`` overrides alone; see :func:`load_config`."""
    nested = {}
    for name, value in _overridden({}, overrides).items():
        section, _, leaf = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[leaf] = _plain(value)
    return nested


def config_from_dict(settings, where="the configuration"):
    """Return the configuration of a nested dict such as :func:`config_to_dict` makes.

    Args:
        settings: nested dict; what it leaves out keeps its default.
        where: where it comes from, for error messages.

    Raises:
        UserError: a setting is unknown or has the wrong type.
    """
    return _build(Config, _flatten(settings, where))


def config_to_dict(config):
    """Return the configuration as a nested dict that JSON and YAML can hold: tuples become lists."""

    def as_dict(pairs):
        return {key: _plain(value) for key, value in pairs}

    return dataclasses.asdict(config, dict_factory=as_dict)


def dump_yaml(config):
    """Return the configuration as YAML text that :func:`load_config` reads back."""
    return dump(config_to_dict(config))


def setting_types(section=Config, prefix=""):
    """Return {full name: type} of every setting, in the schema's order."""
    types = {}
    for name, kind in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(kind):
            types.update(setting_types(kind, f"{prefix}{name}."))
        else:
            types[prefix + name] = kind
    return types


_TYPES = setting_types()
_SECTIONS = {name.split(".")[0] for name in _TYPES if "." in name}


def _plain(value):
    """A setting's value as JSON and YAML hold it."""
    return list(value) if isinstance(value, tuple) else value


def _overridden(flat, overrides):
    for override in overrides:
        flat.update(_parse_override(override))
    return flat


def _read(path, chain):
    """Return the flat settings of a file and its bases; ``chain`` holds the files that led here."""
    where = f"{path} (a base of {chain[-1]})" if chain else path
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{where}: no such file; name a YAML file such as those in configs/") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{where}: cannot be read ({reason}); name a YAML file such as those in configs/") from error
    if os.path.realpath(path) in map(os.path.realpath, chain):
        raise UserError(f"{where}: a file is its own base; remove one 'base' of this circle")
    settings = parse(text, path)
    if settings is None:
        raise UserError(f"{path}: the file is empty; it should hold settings such as 'system: rrdb'")
    if not isinstance(settings, dict):
        raise UserError(f"{path}: expected settings such as 'system: rrdb', got {_show(settings)}")
    bases = settings.pop("base", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: 'base' expects a path or a list of paths, got {_show(bases)}")
    flat = {}
    for base in bases:
        flat.update(_read(path.parent / base, (*chain, path)))
    flat.update(_flatten(settings, path))
    return flat


def _parse_override(override):
    """Return the flat settings of one ``key=value``."""
    where = f"override '{override}'"
    name, equals, text = override.partition("=")
    name = name.strip()
    if not equals:
        raise UserError(f"{where}: expected key=value, such as train.lr=1e-4")
    # Text stands as it was typed ("#1", "a: b" and "2024" are fine folder names) unless it is quoted.
    is_plain_text = _TYPES.get(name) is str and not text.startswith(("'", '"'))
    return _flatten({name: text if is_plain_text else parse(text, where)}, where)


def _flatten(settings, where, prefix=""):
    """Return {full name: checked value} of a nested dict; a section without content is allowed."""
    if not isinstance(settings, dict):
        group = f"'{prefix[:-1]}'" if prefix else "it"
        raise UserError(f"{where}: {group} should be a group of settings, got {_show(settings)}")
    flat = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if name in _SECTIONS:
            found = _flatten({} if value is None else value, where, f"{name}.")
        elif name in _TYPES:
            found = {name: _convert(value, _TYPES[name], name, where)}
        else:
            raise UserError(f"{where}: unknown setting '{name}'; did you mean {_nearest(name)}?")
        for twice in flat.keys() & found.keys():
            raise UserError(f"{where}: '{twice}' is given twice; keep one")
        flat.update(found)
    return flat


def _convert(value, kind, name, where):
    """Return ``value`` as ``kind``; only int to float and list to tuple are converted."""
    if kind is float and type(value) is int and abs(value) < 1e300:
        value = float(value)
    if kind == tuple[int, ...] and isinstance(value, list | tuple) and all(type(item) is int for item in value):
        return tuple(value)
    if type(value) is kind and (kind is not float or math.isfinite(value)):
        return value
    advice = "; write it in quotes" if kind is str else ""
    raise UserError(f"{where}: '{name}' expects {_EXPECTED[kind]}, got {_show(value)}{advice}")


def _show(value):
    """Return a value for an error message: short even where it is endless, and YAML's null as a word."""
    return "nothing" if value is None else reprlib.repr(value)


def _nearest(name):
    """Return the valid name or names that an unknown one most likely stands for, for an error message."""
    leaf = name.rpartition(".")[2]
    same_leaf = [known for known in _TYPES if known.rpartition(".")[2] == leaf]
    if same_leaf and name == leaf:  # the section was left out
        return " or ".join(f"'{known}'" for known in same_leaf)
    known = [*(same_leaf or _TYPES), *_SECTIONS]
    return f"'{difflib.get_close_matches(name, known, n=1, cutoff=0)[0]}'"


def _build(section, flat, prefix=""):
    """Return the dataclass ``section`` with the flat settings under ``prefix``; the rest keeps its default."""
    values = {}
    for name, kind in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(kind):
            values[name] = _build(kind, flat, f"{prefix}{name}.")
        elif prefix + name in flat:
            values[name] = flat[prefix + name]
    return section(**values)
