"""Numbers from the text columns of a STAR table, and the sentences about values that are not."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError
from ..texts import AnyTexts, Texts

_LONGEST_SHOWN = 100
#: Whole numbers beyond this cannot be told apart in double precision.
_LARGEST_EXACT = 2.0**53

#: Names row i of a table in a sentence.
RowName = Callable[[int], str]


def particle_name(row: int) -> str:
    return f"particle {row + 1}"


def optics_row_name(row: int) -> str:
    return f"row {row + 1} of the optics table"


class ParticleColumns(NamedTuple):
    """The text columns of the particles in a STAR file, by label.

    path : the file. columns : by label, N texts each. number : N.
    """

    path: Path
    columns: Dict[str, Texts]
    number: int

    def has(self, labels: Sequence[str]) -> bool:
        """Whether the file has every one of these columns."""
        return all(label in self.columns for label in labels)

    def complete(self, *choices: Tuple[str, ...]) -> Tuple[str, ...]:
        """The first of these groups of labels that the file has completely, else ()."""
        return next((labels for labels in choices if self.has(labels)), ())

    def floats(self, label: str, default: Optional[float] = None) -> np.ndarray:
        """(N,) float64; without the column, the default for every particle."""
        if label not in self.columns:
            if default is None:
                raise InputError(f"{self.path} has no column _{label}; give a complete STAR file.")
            return np.full(self.number, default)
        return to_floats(self.columns[label], label, self.path)

    def integers(self, label: str) -> np.ndarray:
        """(N,) int64."""
        return to_integers(self.columns[label], label, self.path)

    def stacked(self, labels: Sequence[str]) -> np.ndarray:
        """(N, number of labels) float64."""
        return np.stack([self.floats(label) for label in labels], axis=1)


def to_floats(
    values: AnyTexts, label: str, path: Path, row_name: RowName = particle_name
) -> np.ndarray:
    """The numbers that the texts of a column stand for.

    Parameters
    ----------
    values : N texts.
    label, path : the column and the file, for the sentences.
    row_name : names row i in a sentence.

    Returns
    -------
    (N,) float64, finite.

    Raises
    ------
    InputError : a text that is not a finite number as RELION would read it.
    """
    texts = Texts.of(values)
    try:
        numbers = texts.astype(np.float64)
        plain = _is_plain(texts)
    except ValueError:
        plain = False

    if not plain:
        row, text = next((i, v) for i, v in enumerate(texts) if not _is_number(v))
        raise InputError(
            f"{path}: _{label} of {row_name(row)} is {shown_text(text)!r}, which is not a number; "
            "repair the file."
        )
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise InputError(
            f"{path}: _{label} of {row_name(row)} is {shown_text(texts[row])}; repair the file or "
            "remove the particle."
        )
    return numbers


def to_integers(
    values: AnyTexts, label: str, path: Path, row_name: RowName = particle_name
) -> np.ndarray:
    """The whole numbers that the texts of a column stand for; they may be written as 1.000.

    Parameters
    ----------
    values : N texts.
    label, path : the column and the file, for the sentences.
    row_name : names row i in a sentence.

    Returns
    -------
    (N,) int64.

    Raises
    ------
    InputError : a text that is not a whole number of at most 64 bits.
    """
    texts = Texts.of(values)
    try:
        if _is_plain(texts):
            return texts.astype(np.int64)
    except (ValueError, OverflowError):
        pass

    numbers = to_floats(texts, label, path, row_name)
    wrong = np.flatnonzero((numbers != np.round(numbers)) | (np.abs(numbers) >= _LARGEST_EXACT))
    if len(wrong):
        row = int(wrong[0])
        what = "is not a whole number" if numbers[row] % 1 else "is too large a number"
        raise InputError(
            f"{path}: _{label} of {row_name(row)} is {shown_text(texts[row])}, which {what}; "
            "correct it."
        )
    return numbers.astype(np.int64)


def shown_text(text: str) -> str:
    """A value for a sentence, cut if it is long."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _is_plain(texts: Texts) -> bool:
    """Python reads 1_000 and the digits of other scripts as numbers; RELION does not."""
    return texts.is_ascii and not texts.has_byte(b"_")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return _is_plain(Texts.of([text]))
