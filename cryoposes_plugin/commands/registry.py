"""All commands by name, found by their folders beside this file.

Scipion's GUI imports this module, so it must work with Python 3.8 and must not load TensorFlow.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from typing import Any, Dict, Type

from .config import Config


def _find_configs() -> Dict[str, Type[Config]]:
    """The config class of each command, in the order of the work."""
    folders = [m.name for m in pkgutil.iter_modules([os.path.dirname(__file__)]) if m.ispkg]
    classes = [_config_class(folder) for folder in folders]
    return {c.command: c for c in sorted(classes, key=lambda c: (c.place, c.command))}


def _config_class(folder: str) -> Type[Config]:
    """The class in a command's `config` that bears the command's name."""
    module, command = importlib.import_module(f"{__package__}.{folder}.config"), _command(folder)
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Config) and value.command == command:
            return value
    raise TypeError(f"expected a config of the command {command!r} in {module.__name__}")


def _command(folder: str) -> str:
    return folder.replace("_", "-")


#: Config class of each command, by name.
CONFIGS: Dict[str, Type[Config]] = _find_configs()


def module_of(command: str) -> Any:
    """The module with `check(config)` and `run(config, run)` of a command, imported when needed."""
    return _module(command, "run")


def has_needs(command: str) -> bool:
    """Whether a command has long work, whose needs are told before it starts."""
    folder = os.path.join(os.path.dirname(__file__), command.replace("-", "_"))
    return command in CONFIGS and os.path.exists(os.path.join(folder, "needs.py"))


def needs_module(command: str) -> Any:
    """The module with `needs(config, size, pace)` of a command; None if it has no long work."""
    return _module(command, "needs") if has_needs(command) else None


def pictures_module(command: str) -> Any:
    """The module with `pictures(folder, config)` of a command, imported when needed."""
    return _module(command, "pictures")


def _module(command: str, name: str) -> Any:
    return importlib.import_module(f"{__package__}.{command.replace('-', '_')}.{name}")
