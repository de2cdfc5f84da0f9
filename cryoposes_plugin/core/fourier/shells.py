"""Shells of Fourier space: spheres, or rings of an image, one pixel thick about the zero frequency."""

from __future__ import annotations

from typing import Iterator, Optional

import numpy as np


def whole_frequencies(box_size_px: int) -> np.ndarray:
    """(D,) int64 frequencies in cycles per box, in the order of `fft`: 0, 1, 2, ..., -2, -1."""
    half = box_size_px // 2
    return (np.arange(box_size_px) + half) % box_size_px - half


def squared_frequencies(box_size_px: int, dimensions: int, half: bool = True) -> np.ndarray:
    """Squared length of every frequency of a transform, in (cycles per box)^2, int64.

    Parameters
    ----------
    box_size_px : edge D.
    dimensions : number n of axes.
    half : whether the last axis is that of `rfftn` (D // 2 + 1 values) or of `fftn` (D values).
    """
    squared = whole_frequencies(box_size_px) ** 2
    last = np.arange(box_size_px // 2 + 1) ** 2 if half else squared
    axes = np.ix_(*[squared] * (dimensions - 1), last)
    return sum(axes[1:], axes[0])


def shell_index(box_size_px: int, dimensions: int = 3, half: bool = True) -> np.ndarray:
    """The nearest integer to the length of every frequency; arguments as `squared_frequencies`.

    At the box D and pixel size p, shell s lies at the frequency s / (D p).
    """
    return np.rint(np.sqrt(squared_frequencies(box_size_px, dimensions, half))).astype(np.intp)


def shell_planes(box_size_px: int) -> Iterator[np.ndarray]:
    """(D, D // 2 + 1) planes of `shell_index` of `rfftn` one after the other: that of a large box
    and what is made of it would be many times a map's memory.
    """
    plane = squared_frequencies(box_size_px, 2)
    for squared in whole_frequencies(box_size_px) ** 2:
        yield np.rint(np.sqrt(plane + squared)).astype(np.intp)


def multiplicity(box_size_px: int) -> np.ndarray:
    """(D // 2 + 1,) float64: how often each column of `rfftn` occurs in the whole Fourier space."""
    columns = np.full(box_size_px // 2 + 1, 2.0)
    columns[0] = 1.0
    if box_size_px % 2 == 0:
        columns[-1] = 1.0
    return columns


def shell_sums(
    values: np.ndarray, shells: np.ndarray, number_of_shells: Optional[int] = None
) -> np.ndarray:
    """(S,) float64 sums of real values over shells 0 to S - 1; `shells` is of the values' shape.

    By default S is the number of shells that occur; values in shells beyond S are left out.
    """
    number = 0 if number_of_shells is None else number_of_shells
    return np.bincount(shells.ravel(), values.ravel(), minlength=number)[:number_of_shells]


def shell_counts(shells: np.ndarray, number_of_shells: Optional[int] = None) -> np.ndarray:
    """(S,) int64: how many values lie in each shell."""
    number = 0 if number_of_shells is None else number_of_shells
    return np.bincount(shells.ravel(), minlength=number)[:number_of_shells]


def shell_means(
    values: np.ndarray, shells: np.ndarray, number_of_shells: Optional[int] = None
) -> np.ndarray:
    """(S,) float64 means over shells, 0 where a shell is empty; arguments as `shell_sums`."""
    counts = shell_counts(shells, number_of_shells)
    return shell_sums(values, shells, number_of_shells) / np.maximum(counts, 1)
