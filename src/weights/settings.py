"""Settings told from a checkpoint, against those that a configuration gives."""

from src.errors import UserError


def combine(found, assumed, given=None):
    """Return the settings of a converted checkpoint.

    Args:
        found: nested dict of what the checkpoint fixes.
        assumed: nested dict of what it does not tell.
        given: nested dict of a configuration, or of some settings; they replace what is assumed and must agree with
            what is found.

    Returns:
        nested dict; what none of the three gives is left out.

    Raises:
        UserError: the configuration contradicts the checkpoint; the message has both values of every setting.
    """
    given = given or {}
    conflicts = []
    for name, value in _flat(found).items():
        known, named = _named(given, name, found)
        if known and named != value:
            conflicts.append(f"{name} is {named} in the configuration, {value} in the checkpoint")
    if conflicts:
        raise UserError(f"{'; '.join(conflicts)}: correct the configuration, or leave it out")
    return _merge(_merge(assumed, given), found)


def _named(given, name, found):
    """Return whether a setting, by its full name, is among those given, and its value."""
    value = given
    for part in name.split("."):
        if part not in value:
            return False, None
        value = value[part]
    if name == "encoder.growth" and value == 0:
        value = given["encoder"].get("features", found["encoder"]["features"]) // 2
    return True, value


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
