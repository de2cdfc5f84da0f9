"""Files: STAR, MRC and npz files, folders of results, and the state of interrupted runs.

`read_particles` and `write_particles`, `read_volume` and `write_volume`, `read_stack` and
`write_stack`, `Folder`, `join_tables`. They are loaded when they are used.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_MODULES = {
    "Folder": "folder",
    "Stack": "mrc",
    "StackWriter": "mrc",
    "join_tables": "ids",
    "read_npz": "npz",
    "read_particles": "star_reader",
    "read_stack": "mrc",
    "read_volume": "mrc",
    "stack_paths": "star_reader",
    "write_particles": "star_writer",
    "write_stack": "mrc",
    "write_volume": "mrc",
}
__all__ = tuple(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
