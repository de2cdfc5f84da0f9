"""A first volume and first poses from the images alone: a search from random starts at low
resolution.

The names below load TensorFlow when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "DETAIL": "search",
    "SAME_VOLUME": "starts",
    "SHAPE": "search",
    "Search": "search",
    "SearchOutcome": "starts",
    "SearchResult": "search",
    "Stage": "search",
    "WorkingImages": "working_images",
    "group_scales": "working_images",
    "likeliest_poses": "search",
    "read_images": "working_images",
    "search_all": "starts",
}
__all__ = tuple(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
