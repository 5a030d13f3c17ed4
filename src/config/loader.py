"""From YAML files and ``key=value`` overrides to a configuration, and back.

Each source is checked by itself, so that an error names the file it is in; inside, settings are one flat dict from
full names such as ``train.lr`` to values, and "later wins" is ``dict.update``. ``schemas`` is everywhere
{system: dataclass}: the system that a configuration names decides what settings there are.
"""

import dataclasses
import difflib
import os
import re
import typing

import yaml

from ..errors import UserError
from ..host.shipped import shipped
from .schema import Config, settings_of, shown


class _Yaml(yaml.SafeLoader):
    """Leaves text as it is written: the type of a setting says whether ``no`` is a word and 1e-4 a number."""

    yaml_implicit_resolvers = {}

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes lists on one line."""


_Yaml.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(null|Null|NULL|~|)\Z"), ["n", "N", "~", ""])
_Yaml.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"<<\Z"), ["<"])
_Dumper.add_representer(
    list, lambda dumper, value: dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)
)


def load_config(path, overrides, schemas):
    """Read a YAML file, the files it names under ``base``, and ``key=value`` overrides.

    ``base`` is a path or a list of paths relative to the file; of two bases the later wins, and the file wins over
    its bases. Overrides such as ``train.lr=1e-4`` come last: their values are YAML, but text is taken as it is.
    ``srdiff_lite_x4`` stands for ``configs/srdiff_lite_x4.yaml``, which is found from any folder.
    Whether the settings fit each other is for ``families.family.Family.check`` to say.
    """
    path, named = shipped(path), shipped(f"configs/{path}.yaml")
    if os.path.isfile(named) and not os.path.isfile(path):
        path = named
    return _build([*_read(path, ()), *_parse_overrides(overrides, schemas)], schemas)


def with_overrides(config, overrides):
    """Return a configuration of the same system with ``key=value`` overrides applied."""
    schemas = {config.system: type(config)}
    return _build([("the configuration", config_to_dict(config)), *_parse_overrides(overrides, schemas)], schemas)


def config_from_dict(settings, schemas, where="the configuration", stored=False):
    """Return the configuration of a nested dict from ``where``, a word for errors.

    ``stored``: an earlier version may have written it, with every family's sections, of which the others' are left out.
    """
    return _build([(where, settings)], schemas, stored)


def overrides_to_dict(overrides, schemas):
    """Return the nested dict of ``key=value`` overrides alone, of any family."""
    known, flat = _of_any(schemas), {}
    for where, settings in _parse_overrides(overrides, schemas):
        flat.update(_check(settings, where, known, schemas))
    return _nested({name: _plain(value) for name, value in flat.items()})


def config_to_dict(config):
    """Return the configuration as a nested dict for JSON and YAML: tuples become lists."""
    return dataclasses.asdict(config, dict_factory=lambda pairs: {name: _plain(value) for name, value in pairs})


def dump_yaml(config):
    """Return the configuration as YAML text that :func:`load_config` reads back."""
    return yaml.dump(config_to_dict(config), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _of_any(schemas):
    return {name: known for schema in reversed(schemas.values()) for name, known in settings_of(schema).items()}


def _names(settings):  # and of their sections
    return [*settings, *dict.fromkeys(name.partition(".")[0] for name in settings if "." in name)]


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _nested(flat):
    nested = {}
    for name, value in flat.items():
        section, _, leaf = name.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[leaf] = value
    return nested


def _read(path, chain):
    """Return [(where, settings)] of a file's bases and the file; ``chain`` holds the files that led here."""
    where = f"{path} (a base of {chain[-1]})" if chain else path
    try:
        text = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        reason = "no such file" if isinstance(error, FileNotFoundError) else reason
        raise UserError(f"{where}: {reason}; name a YAML file such as those in configs/") from error
    if os.path.realpath(path) in map(os.path.realpath, chain):
        raise UserError(f"{where}: a file is its own base; remove one 'base' of this circle")
    settings = _parse(text, path)
    if not isinstance(settings, dict):
        got = "an empty file" if settings is None else shown(settings)
        raise UserError(f"{path}: expected settings such as 'system: rrdb', got {got}")
    bases = settings.pop("base", [])
    bases = [bases] if isinstance(bases, str) else bases
    if not isinstance(bases, list) or not all(isinstance(base, str) for base in bases):
        raise UserError(f"{path}: 'base' expects a path or a list of paths, got {shown(bases)}")
    return [*(source for base in bases for source in _read(path.parent / base, (*chain, path))), (path, settings)]


def _parse(text, where):
    try:
        return yaml.load(text, _Yaml)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be parsed"
        raise UserError(f"{where}{line}: not valid YAML: {problem}") from error
    except (ValueError, LookupError, AttributeError, RecursionError) as error:  # '!!int x', ten thousand brackets
        raise UserError(f"{where}: not valid YAML: a value cannot be read ({type(error).__name__})") from error


def _parse_overrides(overrides, schemas):
    known, sources = _of_any(schemas), []
    for override in overrides:
        where = f"override '{override}'"
        name, equals, text = override.partition("=")
        name = name.strip()
        if not equals:
            raise UserError(f"{where}: expected key=value, such as train.lr=1e-4")
        # Text stands as it was typed ("#1", "a: b" and "null" are fine folder names) unless it is quoted.
        is_typed = name in known and known[name].kind is str and not text.startswith(("'", '"'))
        sources.append((where, {name: text if is_typed else _parse(text, where)}))
    return sources


def _build(sources, schemas, stored=False):
    """Return the configuration of [(where, settings)], of which the later win."""
    where, system = sources[0][0], Config.system
    for source, settings in sources:
        if isinstance(settings, dict) and "system" in settings:
            where, system = source, settings["system"]
    if system not in list(schemas):
        raise UserError(f"{where}: 'system' must be one of {', '.join(schemas)}, got {shown(system)}")
    schema, flat = schemas[system], {"system": system}
    common = {each.name for each in dataclasses.fields(Config)} - {"degradation"}  # which is younger than such files
    for where, settings in sources:
        # with all that is common it is a config.yaml, once of all families
        written = stored or (isinstance(settings, dict) and common <= settings.keys())
        flat.update(_check(settings, where, settings_of(schema), schemas, written))
    kinds, values = typing.get_type_hints(schema), _nested(flat)
    return schema(**{key: kinds[key](**value) if isinstance(value, dict) else value for key, value in values.items()})


def _check(settings, where, known, schemas, stored=False):
    """Return {full name: value} of a nested dict, each one ``known``; where ``stored``, other systems' are left out."""
    if not isinstance(settings, dict):
        raise UserError(f"{where}: it should be a group of settings, got {shown(settings)}")
    flat = {}
    for key, value in settings.items():
        group = {f"{key}.{leaf}": item for leaf, item in value.items()} if isinstance(value, dict) else {}
        for name, item in (group or {str(key): value}).items():
            if name in flat:
                raise UserError(f"{where}: '{name}' is given twice; keep one")
            if name in known:
                flat[name] = known[name].read(item, f"{where}: '{name}'")
            elif name in _names(known):
                if item is not None and item != {}:  # a section without content is allowed
                    raise UserError(f"{where}: '{name}' should be a group of settings, got {shown(item)}")
            elif not (owners := [system for system, schema in schemas.items() if name in _names(settings_of(schema))]):
                raise UserError(f"{where}: unknown setting '{name}'; did you mean {_nearest(name, known)}?")
            elif not stored and ("." in name or (item is not None and item != {})):
                system = " or ".join(owners)
                raise UserError(f"{where}: unknown setting '{name}', it belongs to system={system}; leave it out")
    return flat


def _nearest(name, known):
    """Return the valid names that an unknown one most likely stands for."""
    leaf = name.rpartition(".")[2]
    same_leaf = [full for full in known if full.rpartition(".")[2] == leaf]
    if same_leaf and name == leaf:  # the section was left out
        return " or ".join(f"'{full}'" for full in same_leaf)
    return f"'{difflib.get_close_matches(name, _names(same_leaf or known), n=1, cutoff=0)[0]}'"
