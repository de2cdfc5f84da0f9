"""Loops compiled by Numba, which run outside the interpreter's lock."""

from __future__ import annotations

from typing import Any, Callable, Dict

import numba

#: Sums may be reordered, so that they are made of vectors; there are no infinities.
_OPTIONS: Dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}


def compiled(function: Callable) -> Any:
    """The compiled function; what was compiled is kept on disk, where there is a place for it."""
    try:
        return numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return numba.njit(**_OPTIONS)(function)


def inlined(function: Callable) -> Any:
    """A part of compiled functions, which becomes part of their code.

    A call in its place would run other code where the caller was compiled than where it was read
    from disk, and round differently.
    """
    return numba.njit(forceinline=True, **_OPTIONS)(function)
