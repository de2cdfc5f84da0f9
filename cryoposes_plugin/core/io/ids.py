"""Joining two particle tables: by id where both carry ids, else by image name; never by position."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..errors import InputError
from ..types import ParticleTable


def image_keys(table: ParticleTable) -> np.ndarray:
    """(N,) 'slice@stack name' with the stack's file name alone, since folders change when files are moved."""
    names = np.array([p.name for p in table.stack_paths], dtype=object)[table.stack_index]
    return np.array([f"{s + 1}@{n}" for s, n in zip(table.slice_index, names)])


def join_tables(a: ParticleTable, b: ParticleTable) -> Tuple[np.ndarray, np.ndarray]:
    """Rows (in a, in b) of the particles that are in both, in a's order; InputError if there are none."""
    by_id = a.explicit_ids and b.explicit_ids
    keys_a, keys_b = (a.ids, b.ids) if by_id else (image_keys(a), image_keys(b))
    for keys in (keys_a, keys_b):
        if len(np.unique(keys)) != len(keys):
            values, counts = np.unique(keys, return_counts=True)
            raise InputError(
                f"Particle {values[counts > 1][0]} occurs {counts.max()} times in one set; remove the duplicates "
                "before joining sets."
            )
    _, rows_a, rows_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    if len(rows_a) == 0:
        how = "id (rlnImageId)" if by_id else "image name (rlnImageName)"
        raise InputError(
            f"The two particle sets ({len(a)} and {len(b)} particles) share no {how}; give two sets that come from "
            "the same particles."
        )
    order = np.argsort(rows_a)
    return rows_a[order], rows_b[order]
