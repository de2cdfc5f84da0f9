"""A first volume and first poses from the images alone: a search from random starts at low
resolution.

The names below load TensorFlow when they are first used.
"""

from __future__ import annotations

from ..lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
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
    },
)
