"""Settings: frozen dataclasses, YAML files with bases, ``key=value`` overrides."""
