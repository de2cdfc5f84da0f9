"""Columns of text: one array of bytes for a column, not one Python object for each cell."""

from __future__ import annotations

from typing import Any, Iterator, List, Optional, Sequence, Tuple, Union, overload

import numpy as np

#: Bytes that are not UTF-8 come back as they were.
ENCODING = ("utf-8", "surrogateescape")
#: Rows that are Python objects at one time.
_AT_ONCE = 65536
#: A fixed width may cost this many times the bytes of the texts themselves.
_LARGEST_WASTE, _SMALL = 8, 2**20

AnyTexts = Union["Texts", np.ndarray, Sequence[str]]


class Texts:
    """(N,) texts, which behave as an array of str that cannot be changed.

    data : (N,) their bytes, of a fixed width (dtype S), or as objects if one text is much longer
    than the others.
    """

    def __init__(self, data: np.ndarray):
        self.data = data

    @classmethod
    def of(cls, values: AnyTexts) -> Texts:
        """The texts of an array or a list of str; ValueError for a null character or half a
        surrogate pair.
        """
        if isinstance(values, Texts):
            return values
        if isinstance(values, np.ndarray) and values.dtype.kind == "S":
            return cls(values)
        return texts_together(
            [
                cls(packed(_all_encoded([str(v) for v in values[at : at + _AT_ONCE]])))
                for at in range(0, max(1, len(values)), _AT_ONCE)
            ]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self), _AT_ONCE):
            for word in self.data[at : at + _AT_ONCE].tolist():
                yield word.decode(*ENCODING)

    @overload
    def __getitem__(self, rows: Union[int, np.integer]) -> str: ...

    @overload
    def __getitem__(self, rows: Union[slice, np.ndarray, Sequence[int]]) -> Texts: ...

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, (int, np.integer)):
            return self.data[rows].decode(*ENCODING)
        return Texts(self.data[rows])

    def __array__(self, dtype: Any = None, copy: Optional[bool] = None) -> np.ndarray:
        if dtype is not None and np.dtype(dtype).kind in "fi":
            return self.data.astype(dtype)
        texts = np.empty(len(self), dtype=object)
        texts[:] = list(self)
        return texts if dtype is None else texts.astype(dtype)

    def __eq__(self, other: object) -> Any:
        if isinstance(other, str):
            return self.data == other.encode(*ENCODING)
        return np.asarray(self) == np.asarray(other)

    def __ne__(self, other: object) -> Any:
        return ~(self == other)

    def __hash__(self) -> int:
        raise TypeError("columns of text are no keys")

    def astype(self, dtype: Any) -> np.ndarray:
        return np.asarray(self, dtype)

    def tolist(self) -> List[str]:
        return list(self)

    def distinct(self) -> List[str]:
        """The different texts, in the order of their first rows."""
        first, _ = distinct_rows([self])
        return self[first].tolist()

    def has_byte(self, character: bytes) -> bool:
        """Whether any of the texts holds it."""
        return character in self._bytes()

    @property
    def is_ascii(self) -> bool:
        return self._bytes().isascii()

    def _bytes(self) -> bytes:
        return b"".join(self.data) if self.data.dtype == object else self.data.tobytes()


def packed(words: List[bytes]) -> np.ndarray:
    """(N,) bytes of a fixed width, or objects if that would waste memory."""
    longest = max(map(len, words), default=0)
    if longest * len(words) > _LARGEST_WASTE * sum(map(len, words)) + _SMALL:
        out = np.empty(len(words), dtype=object)
        out[:] = words
        return out
    return np.array(words, dtype=f"S{max(1, longest)}")


def texts_together(parts: Sequence[Texts]) -> Texts:
    """The texts of all parts, one part after the other."""
    arrays = [part.data for part in parts]
    number, used = sum(map(len, arrays)), sum(a.nbytes for a in arrays)
    widest = max(a.dtype.itemsize for a in arrays)
    if any(a.dtype == object for a in arrays) or widest * number > _LARGEST_WASTE * used + _SMALL:
        arrays = [a.astype(object) for a in arrays]
    return Texts(np.concatenate(arrays) if len(arrays) > 1 else arrays[0])


def formatted(pattern: str, numbers: np.ndarray) -> Texts:
    """(N,) texts of numbers: (N,), or (N, K) for a pattern with K places such as "%.3f/%.3f"."""
    parts = []
    for at in range(0, max(1, len(numbers)), _AT_ONCE):
        some = numbers[at : at + _AT_ONCE]
        lines = (f"{pattern}\n" * len(some)) % tuple(some.ravel().tolist())
        parts.append(Texts(packed(lines.encode().split(b"\n")[:-1])))
    return texts_together(parts)


def numbers_between(texts: AnyTexts, number: int, separator: str = "/") -> np.ndarray:
    """(N, number) float64 of texts such as "0.5/1.5"; rows of NaN for those that are none."""
    words, found = Texts.of(texts), []
    for at in range(0, max(1, len(words)), _AT_ONCE):
        some = words.data[at : at + _AT_ONCE].tolist()
        cells = [word.split(separator.encode()) for word in some]
        try:
            if any(len(row) != number for row in cells):
                raise ValueError("another number of values")
            flat = np.array([cell for row in cells for cell in row], dtype=np.bytes_)
            found.append(flat.astype(np.float64).reshape(-1, number))
        except ValueError:
            found.append(np.array([_numbers(row, number) for row in cells]).reshape(-1, number))
    return np.concatenate(found)


def _numbers(cells: List[bytes], number: int) -> List[float]:
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        values = []
    return values if len(values) == number else [np.nan] * number


def distinct_rows(columns: Sequence[AnyTexts]) -> Tuple[np.ndarray, np.ndarray]:
    """The first row of each distinct combination of columns of texts or numbers, ascending, and
    (N,) the combination of each row.
    """
    code = np.zeros(len(columns[0]), dtype=np.int64)
    first = np.zeros(1, dtype=np.int64)
    for column in columns:
        numbers = isinstance(column, np.ndarray) and column.dtype.kind in "fiu"
        data = np.asarray(column) if numbers else Texts.of(column).data
        new = np.r_[True, data[1:] != data[:-1]][: len(data)]
        begins = np.flatnonzero(new)  # most neighbours are alike
        values, inverse = np.unique(data[begins], return_inverse=True)
        runs = np.diff(np.r_[begins, len(data)])
        own = np.repeat(inverse.reshape(-1), runs)
        _, first, code = np.unique(code * len(values) + own, return_index=True, return_inverse=True)
        code = code.reshape(-1)

    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[code]


def _all_encoded(texts: List[str]) -> List[bytes]:
    together = "\n".join(texts)
    if "\0" in together:
        raise ValueError("a text with a null character")
    if texts and together.count("\n") == len(texts) - 1:
        return together.encode(*ENCODING).split(b"\n")
    return [text.encode(*ENCODING) for text in texts]
