"""YAML as settings need it: the core schema of YAML 1.2, without duplicate keys.

PyYAML follows YAML 1.1, where ``1e-4`` is text, ``0160`` is 112, ``1:30`` is 90 and ``no`` is false. Here
only what looks like a decimal number is one, ``true`` and ``false`` are the truth values, and a key that is
given twice is an error.
"""

import re

import yaml

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
