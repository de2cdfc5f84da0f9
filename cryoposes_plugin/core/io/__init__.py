"""Files: STAR, .cs, MRC and npz files, folders of results, and the state of interrupted runs.

`read_particles` and `write_particles`, `read_volume` and `write_volume`, `read_stack` and
`write_stack`, `Folder`, `join_tables`. They are loaded when they are used.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "Folder": "folder",
        "Stack": "mrc",
        "StackWriter": "mrc",
        "join_tables": "ids",
        "read_npz": "npz",
        "read_particles": "particle_files",
        "read_stack": "mrc",
        "read_volume": "mrc",
        "stack_paths": "particle_files",
        "write_particles": "particle_files",
        "write_stack": "mrc",
        "write_volume": "mrc",
    },
)
