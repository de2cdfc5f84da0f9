"""Measured distances between particles: a weighted graph in compressed rows, and checks of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Callable, Iterator, Optional, Tuple, Union

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ..errors import InputError
from ..io.npz import read_npz

#: Three distances to known rotations allow two rotations; the fourth one decides between them.
FEWEST_DISTANCES = 4
_CHUNK = 2**18
_LARGEST_WEIGHT = 1e30
_REMEDY = "give an npz file with the arrays i, j (particles, from 0) and d (radians)"
#: Pairs with less than this share of the mean weight are ignored where the search starts.
_NEGLIGIBLE = 0.01


@dataclass(frozen=True)
class PairDistances:
    """M distances between N particles, each pair once, in rows of its first particle (CSR).

    Attributes
    ----------
    indptr : (N + 1,) int64; the pairs of particle i are indptr[i]:indptr[i + 1].
    second : (M,) int32, the other particle.
    distance_rad : (M,) float64, as measured: noise may take it below 0 or above pi.
    weight : (M,) float64 > 0 or None (all 1), inverse variances up to a common factor.
    """

    indptr: np.ndarray
    second: np.ndarray
    distance_rad: np.ndarray
    weight: Optional[np.ndarray] = None

    @property
    def number(self) -> int:
        return len(self.indptr) - 1

    def __len__(self) -> int:
        return len(self.second)

    def first(self, part: slice = slice(None)) -> np.ndarray:
        """(M,) int32, the first particle of each pair, or of a range of pairs."""
        start, stop, _ = part.indices(len(self))
        rows = np.searchsorted(self.indptr, [start, stop], side="right")
        low, high = rows[0] - 1, min(rows[1], self.number)
        bounds = np.clip(self.indptr[low : high + 1], start, stop)
        return np.repeat(np.arange(low, high, dtype=np.int32), np.diff(bounds))

    def rows(self, pairs_a_part: int = _CHUNK) -> Iterator[Tuple[slice, slice]]:
        """Parts of whole rows with about this many pairs: (rows, pairs) as slices."""
        row = 0
        while row < self.number:
            # As many whole rows as fit, at least one that has pairs ...
            start = self.indptr[row]
            full, filled = np.searchsorted(
                self.indptr, [start + pairs_a_part, start], side="right"
            ) - [1, 0]
            last = self.indptr[min(max(full, filled), self.number)]
            # ... and the empty ones that follow, so that no part is empty.
            stop = int(np.searchsorted(self.indptr, last, side="right")) - 1
            yield slice(row, stop), slice(int(self.indptr[row]), int(self.indptr[stop]))
            row = stop

    @cached_property
    def degrees(self) -> np.ndarray:
        """(N,) number of distances of each particle."""
        return np.diff(self.indptr) + np.bincount(self.second, minlength=self.number)

    def weights_of(self, pairs: np.ndarray) -> np.ndarray:
        """(K,) weights of some pairs (K,)."""
        return np.ones(len(pairs)) if self.weight is None else self.weight[pairs]

    def weight_sums(self) -> np.ndarray:
        """(N,) sums over each particle's pairs: `degrees` where all weights are 1."""
        if self.weight is None:
            return self.degrees.astype(np.float64)
        matrix = self.matrix(self.weight)
        return np.asarray(matrix.sum(axis=0)).ravel() + np.asarray(matrix.sum(axis=1)).ravel()

    def with_weight(self) -> PairDistances:
        """The pairs without those of negligible weight, if the others still connect all particles."""
        if self.weight is None or self.weight.min() >= _NEGLIGIBLE * self.weight.mean():
            return self
        strong = self.take(self.weight >= _NEGLIGIBLE * self.weight.mean())
        enough = strong.degrees.min() >= FEWEST_DISTANCES and connected_parts(strong)[0] == 1
        return strong if enough else self

    def matrix(self, values: np.ndarray) -> sparse.csr_matrix:
        """(N, N) sparse matrix of values (M,) at [first, second]; the other triangle is empty."""
        return sparse.csr_matrix(
            (values, self.second, self.indptr), shape=(self.number, self.number)
        )

    def take(self, keep: np.ndarray) -> PairDistances:
        """The pairs selected by a mask (M,) bool."""
        counts = np.concatenate([[0], np.cumsum(keep)])
        weight = None if self.weight is None else self.weight[keep]
        return PairDistances(
            counts[self.indptr], self.second[keep], self.distance_rad[keep], weight
        )

    def within(self, chosen: np.ndarray) -> PairDistances:
        """The pairs between some particles (K,), which are renumbered in the given order."""
        place = np.full(self.number, -1, dtype=np.int32)
        place[chosen] = np.arange(len(chosen), dtype=np.int32)
        counts = np.diff(self.indptr)[chosen]
        ends = np.cumsum(counts)
        entries = np.arange(int(ends[-1])) + np.repeat(self.indptr[chosen] - ends + counts, counts)
        keep = place[self.second[entries]] >= 0
        entries, row = entries[keep], np.repeat(np.arange(len(chosen)), counts)[keep]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(chosen)))])
        weight = None if self.weight is None else self.weight[entries]
        return PairDistances(
            indptr, place[self.second[entries]], self.distance_rad[entries], weight
        )

    def subtract_offsets(self, offsets_rad: np.ndarray) -> PairDistances:
        """The pairs with (N,) errors common to all distances of a particle subtracted."""
        corrected = (
            self.distance_rad
            - np.repeat(offsets_rad, np.diff(self.indptr))
            - offsets_rad[self.second]
        )
        return PairDistances(self.indptr, self.second, corrected, self.weight)

    def columns(self, chosen: np.ndarray) -> np.ndarray:
        """(N, K) distances from all particles to the chosen ones, NaN if there is none."""
        place = np.full(self.number, -1, dtype=np.int32)
        place[chosen] = np.arange(len(chosen))
        found = np.full((self.number, len(chosen)), np.nan)
        for rows, part in self.rows():
            first, second, d = self.first(part), self.second[part], self.distance_rad[part]
            inside = place[second] >= 0
            found[first[inside], place[second[inside]]] = d[inside]
            if (place[rows] >= 0).any():
                inside = place[first] >= 0
                found[second[inside], place[first[inside]]] = d[inside]
        return found


def pairs_from_arrays(
    i: np.ndarray,
    j: np.ndarray,
    d: np.ndarray,
    weight: Optional[np.ndarray] = None,
    *,
    number: Optional[int] = None,
    name: str = "distances",
) -> PairDistances:
    """Check lists of pairs and sort them.

    Parameters
    ----------
    i, j : (M,) integers, particles counted from 0; pairs of a particle with itself are left out. A
        pair that occurs several times, in either order, counts as the weighted mean of its
        distances, with the sum of their weights.
    d : (M,) radians; finite, and not further outside [0, pi] than noise explains: see
        `_check_values`.
    weight : (M,) >= 0; pairs of weight 0 are left out.
    number : of particles; default: the largest index + 1.
    name : of the file, for the sentences.

    Raises
    ------
    InputError : if the lists are unusable.
    """
    i, j, d = np.asarray(i), np.asarray(j), np.asarray(d)
    weight = None if weight is None else np.asarray(weight)
    _check_shapes(i, j, d, weight, name)
    _check_indices(i, j, number, name)
    _check_values(d, weight, name)
    number = number or int(max(i.max(), j.max())) + 1
    i, j = i.astype(np.int64), j.astype(np.int64)
    keep = i != j if weight is None else (i != j) & (weight > 0)
    if not keep.all():
        i, j, d, weight = i[keep], j[keep], d[keep], None if weight is None else weight[keep]
    if not len(d):
        raise InputError(
            f"{name}: no pair of two different particles is left; give distances between particles."
        )

    i, j, d, weight = _each_once(i, j, d, weight)
    if number > len(d):
        raise InputError(
            f"{name}: {len(d)} pairs for {number} particles leave some without distances; add "
            "pairs."
        )

    order = None if (np.diff(i) >= 0).all() else np.argsort(i, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(i, minlength=number))])
    second, distance = j.astype(np.int32), d.astype(np.float64)
    if weight is not None:
        weight = weight.astype(np.float64)
        weight /= weight.mean()
    if order is not None:
        second, distance = second[order], distance[order]
        weight = None if weight is None else weight[order]
    return PairDistances(indptr, second, distance, weight)


def _each_once(i: np.ndarray, j: np.ndarray, d: np.ndarray, weight: Optional[np.ndarray]):
    """Pairs that occur several times are merged at the position of the first."""
    pair = np.minimum(i, j) << 32 | np.maximum(i, j)
    if (np.diff(pair) > 0).all() or (np.diff(np.sort(pair)) > 0).all():
        return i, j, d, weight
    _, first, place = np.unique(pair, return_index=True, return_inverse=True)
    order = np.argsort(first)
    weight = np.ones(len(d)) if weight is None else weight
    total = np.bincount(place, weight)
    first, mean, total = first[order], (np.bincount(place, weight * d) / total)[order], total[order]
    return i[first], j[first], mean, None if (total == total[0]).all() else total


def read_pairs(path: Union[str, Path]) -> PairDistances:
    """Read `i`, `j`, `d` (radians) and perhaps `weight` of an npz file; InputError if the file is
    unusable.
    """
    names = ("i", "j", "d")
    arrays = read_npz(path, str(path), _REMEDY, required=names, wanted=(*names, "weight"))
    pairs = pairs_from_arrays(
        arrays["i"], arrays["j"], arrays["d"], arrays.get("weight"), name=str(path)
    )
    check_graph(pairs, str(path))
    return pairs


def landmark_pairs(
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
    number: int,
    landmarks: int,
    seed: int = 0,
) -> PairDistances:
    """Distances of all particles to some landmarks drawn at random.

    Parameters
    ----------
    distance : distance(i, j) takes (N, 1) and (1, K) indices and returns (N, K) radians; called for
        some rows at a time.
    number : of particles.
    landmarks : how many of them are landmarks.
    seed : of the draw.
    """
    chosen = np.sort(
        np.random.default_rng(seed).choice(number, min(landmarks, number), replace=False)
    )
    rank = np.full(number, len(chosen))
    rank[chosen] = np.arange(len(chosen))
    second, values, counts = [], [], []
    for start in range(0, number, max(1, _CHUNK // len(chosen))):
        rows = np.arange(start, min(start + max(1, _CHUNK // len(chosen)), number))
        # a pair of two landmarks is kept in the row of the second one
        keep = (rank[rows] == len(chosen))[:, None] | (np.arange(len(chosen)) < rank[rows][:, None])
        values.append(np.asarray(distance(rows[:, None], chosen[None, :]), dtype=np.float64)[keep])
        second.append(np.broadcast_to(chosen.astype(np.int32), keep.shape)[keep])
        counts.append(keep.sum(axis=1))
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return PairDistances(indptr, np.concatenate(second), np.concatenate(values))


def connected_parts(pairs: PairDistances) -> Tuple[int, np.ndarray]:
    """The number of connected parts of the graph of pairs, and the part (N,) of each particle."""
    return connected_components(pairs.matrix(np.ones(len(pairs), dtype=np.int8)), directed=False)


def check_graph(pairs: PairDistances, name: str = "distances") -> None:
    """Raise InputError if the pairs do not determine all rotations relative to one another."""
    degrees = pairs.degrees
    few = np.flatnonzero(degrees < FEWEST_DISTANCES)
    if len(few):
        raise InputError(
            f"{name}: particle {few[0]} has {degrees[few[0]]} distances ({len(few)} of "
            f"{pairs.number} particles have fewer than {FEWEST_DISTANCES}, which do not determine "
            "a rotation); add pairs or leave these particles out."
        )

    parts, label = connected_parts(pairs)
    if parts > 1:
        sizes = np.bincount(label)
        raise InputError(
            f"{name}: the graph of pairs consists of {parts} parts that share no distance "
            f"(particle 0 with {sizes[label[0]]}, particle "
            f"{int(np.flatnonzero(label != label[0])[0])} in another); add pairs between them, or "
            "recover each part separately."
        )


def _check_shapes(
    i: np.ndarray, j: np.ndarray, d: np.ndarray, weight: Optional[np.ndarray], name: str
) -> None:
    for what, array in (("i", i), ("j", j), ("d", d), ("weight", weight)):
        if array is None:
            continue
        if d.ndim != 1 or array.shape != d.shape:
            raise InputError(
                f"{name}: {what} has shape {array.shape} and d {d.shape}; give lists of pairs, all "
                "of one length."
            )

        kinds = "iu" if what in "ij" else "iuf"
        if array.dtype.kind not in kinds:
            raise InputError(
                f"{name}: {what} is of type {array.dtype}; give "
                f"{'integers' if kinds == 'iu' else 'numbers'}."
            )
    if not len(d):
        raise InputError(f"{name}: the lists are empty; give distances.")


def _check_indices(i: np.ndarray, j: np.ndarray, number: Optional[int], name: str) -> None:
    for what, array in (("i", i), ("j", j)):
        low, high = int(array.min()), int(array.max())
        if low < 0:
            raise InputError(
                f"{name}: {what}[{int(array.argmin())}] is {low}; particles are counted from 0."
            )
        limit = number if number is not None else np.iinfo(np.int32).max
        if high >= limit:
            raise InputError(
                f"{name}: {what}[{int(array.argmax())}] is {high}, but there are {limit} "
                "particles, counted from 0."
            )


def _check_values(d: np.ndarray, weight: Optional[np.ndarray], name: str) -> None:
    for what, array in (("d", d), ("weight", weight)):
        if array is not None and not np.isfinite(array).all():
            at = int(np.flatnonzero(~np.isfinite(array))[0])
            raise InputError(
                f"{name}: {what}[{at}] is {array[at]}; give finite numbers, or leave that pair out."
            )

    if weight is not None and weight.min() < 0:
        raise InputError(
            f"{name}: weight[{int(weight.argmin())}] is {weight.min():g}; weights are 0 or more."
        )
    if weight is not None and weight.max() > _LARGEST_WEIGHT:
        raise InputError(
            f"{name}: weight[{int(weight.argmax())}] is {weight.max():g}; give at most "
            f"{_LARGEST_WEIGHT:g}: only the ratios of the weights matter."
        )

    outside = (d < 0) | (d > np.pi)
    far = np.flatnonzero((d < -2 * np.pi) | (d > 3 * np.pi))
    if len(far) or outside.mean() > 0.5:
        at = int(far[0]) if len(far) else int(np.flatnonzero(outside)[0])
        raise InputError(
            f"{name}: d[{at}] is {d[at]:g}, which noise cannot explain for a distance in [0, pi] "
            f"({100 * outside.mean():.0f} % of all lie outside); give radians."
        )
