"""Which particles are the same, within a set and between two sets; never by their position.

A particle is identified by its image: the whole path of the stack and the slice. An id (RELION's
rlnImageId, cryoSPARC's uid) is used if it does not contradict the images; otherwise the images
decide, and the join says so.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from pathlib import Path
from typing import Callable, NamedTuple, Tuple

import numpy as np

from ..errors import InputError
from ..types import AnyPath, ParticleTable
from .mrc import Stack
from .stack_copies import originals

logger = logging.getLogger(__name__)

#: How sets may be joined; "auto" decides by their contents.
JOINS = ("auto", "image", "id")
_MOST_FOLDERS = 32

#: Rows in one set and the rows of the same particles in another.
Rows = Tuple[np.ndarray, np.ndarray]


class Join(NamedTuple):
    """The rows in a and in b of the particles that are in both sets, in the order of a.

    how : what they were joined by. note : a sentence on it, or "".
    """

    rows_a: np.ndarray
    rows_b: np.ndarray
    how: str
    note: str = ""


def join_tables(a: ParticleTable, b: ParticleTable) -> Tuple[np.ndarray, np.ndarray]:
    """Rows in a and in b of common particles, in the order of a; InputError if there are none."""
    found = join(a, b)
    return found.rows_a, found.rows_b


def join(a: ParticleTable, b: ParticleTable, by: str = "auto") -> Join:
    """Join two sets by `by`, one of JOINS; copies of one image are paired in their order.

    Raises
    ------
    InputError : nothing in common, or ids asked for that one set does not have.
    """
    ids = a.explicit_ids and b.explicit_ids
    if by == "id" and not ids:
        raise InputError("One of the two sets has no unique ids (rlnImageId); join by image.")
    by_image = _pair(*_image_keys(a, b, os.path.realpath))
    by_id = _pair(a.ids, b.ids) if ids else _NOTHING
    if by == "id" or (by == "auto" and ids and _agree(by_id, by_image, a, b)):
        found = Join(by_id[0], by_id[1], "id")
    elif len(by_image[0]):
        found = Join(
            by_image[0], by_image[1], "image", _NOTE_IMAGES_WIN if ids and by == "auto" else ""
        )
    else:
        found = _join_moved(a, b, by_id)
    if len(found.rows_a) == 0:
        raise InputError(_nothing_common(a, b, by, len(by_id[0])))
    if found.note:
        logger.warning("%s", found.note)

    return found


def image_groups(table: ParticleTable) -> np.ndarray:
    """(N,) number of each image; copies of an image, also in copies of a stack, have the same."""
    original = originals(table.stack_paths)
    keys, _ = _image_keys(table, table, lambda path: os.path.abspath(original[path]))
    return np.unique(keys, return_inverse=True)[1].reshape(-1)


def image_name(table: ParticleTable, row: int) -> str:
    """The name of a particle's image in a sentence."""
    return f"image {table.slice_index[row] + 1} of {table.stack_paths[table.stack_index[row]]}"


def warn_of_copies(table: ParticleTable) -> None:
    """Warn if some particles have the image of another one."""
    image = image_groups(table)
    counts = np.bincount(image)
    if len(counts) < len(table):
        first = image_name(table, int(np.flatnonzero(image == np.argmax(counts > 1))[0]))
        logger.warning(
            "The %d particles have only %d different images: some occur more than once (such as "
            "%s).%s",
            len(table),
            len(counts),
            first,
            copied_stack(table),
        )


def copied_stack(table: ParticleTable) -> str:
    """A sentence on the first stack that is a copy of another one in the set, or ""."""
    pair = next(
        ((copy, first) for copy, first in originals(table.stack_paths).items() if copy != first),
        None,
    )
    return "" if pair is None else f" Stack {pair[0]} is a copy of {pair[1]}: use one of the two."


_NOTHING = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))
_NOTE_IMAGES_WIN = (
    "The ids of the two sets (rlnImageId) contradict their images: the particles were joined by "
    "image (whole path and slice)."
)
_NOTE_MOVED = (
    "The two sets have no stack file in common: the particles were joined by {}, as if the "
    "stacks had been moved or copied."
)


def _image_keys(
    a: ParticleTable, b: ParticleTable, name: Callable
) -> Tuple[np.ndarray, np.ndarray]:
    """A number for each image, equal for equal stacks (by `name` of the path) and slices."""
    known: dict = {}
    name = lru_cache(maxsize=None)(name)
    codes = [
        np.array([known.setdefault(name(p), len(known)) for p in t.stack_paths], dtype=np.int64)
        for t in (a, b)
    ]
    longest = 1 + max(int(t.slice_index.max(initial=0)) for t in (a, b))
    first, second = (c[t.stack_index] * longest + t.slice_index for c, t in zip(codes, (a, b)))
    return first, second


def _pair(keys_a: np.ndarray, keys_b: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """The rows of equal keys in the order of a; the k-th of equal keys is paired with the k-th."""
    places = np.concatenate([_occurrence(keys_a), _occurrence(keys_b)])
    codes = np.unique(np.concatenate([keys_a, keys_b]), return_inverse=True)[1].reshape(-1)
    codes = codes * (1 + places.max(initial=0)) + places
    first, second = codes[: len(keys_a)], codes[len(keys_a) :]
    _, rows_a, rows_b = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    order = np.argsort(rows_a)
    return rows_a[order], rows_b[order]


def _occurrence(keys: np.ndarray) -> np.ndarray:
    """(N,) how many equal keys come before each."""
    order = np.argsort(keys, kind="stable")
    ranks = np.arange(len(keys))
    begins = np.r_[True, np.diff(keys[order]) != 0][: len(keys)]
    out = np.empty(len(keys), dtype=np.int64)
    out[order] = ranks - np.maximum.accumulate(np.where(begins, ranks, 0))
    return out


def _agree(by_id: Rows, by_image: Rows, a: ParticleTable, b: ParticleTable) -> bool:
    """Whether joining by ids and by whole image paths gives the same pairs."""
    if not len(by_id[0]) or not len(by_image[0]):
        return False
    images = _image_keys(a, b, os.path.realpath)
    if (images[0][by_id[0]] != images[1][by_id[1]]).any():
        return False
    once = np.isin(by_image[0], _single(images[0])) & np.isin(by_image[1], _single(images[1]))
    return bool((a.ids[by_image[0][once]] == b.ids[by_image[1][once]]).all())


def _single(keys: np.ndarray) -> np.ndarray:
    """The rows with a unique key."""
    _, first, counts = np.unique(keys, return_index=True, return_counts=True)
    return first[counts == 1]


def _join_moved(a: ParticleTable, b: ParticleTable, by_id: Rows) -> Join:
    """Join sets without a common stack by the ends of the paths that distinguish the stacks."""
    tails = next((k for k in range(1, _MOST_FOLDERS) if _distinct(a, k) and _distinct(b, k)), None)
    if tails is None:
        return Join(*_NOTHING, "file name")
    keys = _image_keys(a, b, lambda path: _tail(path, tails))
    found = _pair(*keys)
    how, what = "file name", "file name and slice"
    if len(by_id[0]) and (keys[0][by_id[0]] == keys[1][by_id[1]]).all():
        found, how, what = by_id, "id", "rlnImageId, which agrees with file names and slices"
    return (
        Join(*found, how, _NOTE_MOVED.format(what) + _difference(a, b, *found))
        if len(found[0])
        else Join(*found, how)
    )


def _tail(path: AnyPath, number: int) -> Tuple[str, ...]:
    """The last parts of a path; stacks that cryoSPARC calls .mrc are linked as .mrcs for RELION."""
    whole = os.path.abspath(path)
    return Path(whole[:-1] if whole.endswith(".mrcs") else whole).parts[-number:]


def _distinct(table: ParticleTable, number: int) -> bool:
    """Whether the last parts of their paths distinguish the stacks."""
    return len({_tail(path, number) for path in table.stack_paths}) == len(table.stack_paths)


def _difference(a: ParticleTable, b: ParticleTable, rows_a: np.ndarray, rows_b: np.ndarray) -> str:
    """A sentence if the first common image differs between the two files, as far as they exist."""
    images = []
    for table, row in ((a, rows_a[0]), (b, rows_b[0])):
        try:
            images.append(
                Stack(table.stack_paths[table.stack_index[row]]).read(table.slice_index[[row]])
            )
        except InputError:
            return ""
    if np.array_equal(images[0], images[1]):
        return ""
    return (
        f" However, {image_name(a, rows_a[0])} and {image_name(b, rows_b[0])} are not the same "
        "image, so these may be different particles."
    )


def _nothing_common(a: ParticleTable, b: ParticleTable, by: str, common_ids: int) -> str:
    what = "id (rlnImageId)" if by == "id" else "image (rlnImageName)"
    also = (
        f", though {common_ids} ids are in both (rlnImageId)" if by == "auto" and common_ids else ""
    )
    return (
        f"The two particle sets ({len(a)} and {len(b)} particles) share no {what}{also}; give two "
        "sets of the same particles, or join them by id (--join-by id) if their images were made "
        "again."
    )
