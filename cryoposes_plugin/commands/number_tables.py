"""Tables of numbers as CSV, which spreadsheets read."""

from __future__ import annotations

import csv
import warnings
from itertools import chain
from pathlib import Path
from typing import Dict, List, Mapping

import numpy as np

#: Rows that are Python objects at one time.
_AT_ONCE = 65536


def write_numbers(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write columns of (N,) numbers: whole numbers as they are, others to six digits."""
    arrays = [np.asarray(values) for values in columns.values()]
    pattern = ",".join("%d" if array.dtype.kind in "iu" else "%.6g" for array in arrays) + "\r\n"
    with open(path, "w", newline="", encoding="utf-8") as handle:
        csv.writer(handle).writerow(columns)
        for at in range(0, len(arrays[0]), _AT_ONCE):
            some = [array[at : at + _AT_ONCE].tolist() for array in arrays]
            handle.write(pattern * len(some[0]) % tuple(chain.from_iterable(zip(*some))))


def number_names(path: Path) -> List[str]:
    """The names of the columns of a CSV file."""
    with open(path, newline="", encoding="utf-8") as handle:
        return next(csv.reader(handle), [])


def read_numbers(path: Path) -> Dict[str, np.ndarray]:
    """The columns of a CSV file of numbers, by name; an empty or missing cell is NaN."""
    names = number_names(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file without rows
            table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2, comments=None)
        return dict(zip(names, table.T)) if len(table) else {}
    except ValueError:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        return {name: np.array([float(row.get(name) or "nan") for row in rows]) for name in names}
