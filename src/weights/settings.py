"""Settings told from a checkpoint, against those that a configuration gives."""

from src.errors import UserError


def combine(found, assumed, given=None):
    """Return the settings of a converted checkpoint.

    Args:
        found: nested dict of what the checkpoint fixes.
        assumed: nested dict of what it does not tell.
        given: nested dict of a configuration; it replaces what is assumed and must agree with what is found.

    Returns:
        nested dict; what none of the three gives is left out.

    Raises:
        UserError: the configuration contradicts the checkpoint; the message has both values of every setting.
    """
    if given is None:
        return _merge(assumed, found)
    conflicts = [
        f"{name} is {_value(given, name)} in the configuration, {value} in the checkpoint"
        for name, value in _flat(found).items()
        if _value(given, name) != value
    ]
    if conflicts:
        raise UserError(f"{'; '.join(conflicts)}: correct the configuration, or leave out --config")
    return _merge(given, found)


def _value(given, name):
    """Return a given setting by its full name."""
    value = given
    for part in name.split("."):
        value = value[part]
    if name == "encoder.growth" and value == 0:
        return given["encoder"]["features"] // 2
    return value


def _flat(settings, prefix=""):
    flat = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _merge(below, above):
    """Return ``below`` with the leaves of ``above`` in their places."""
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merge(below.get(key, {}), value) if isinstance(value, dict) else value
    return merged
