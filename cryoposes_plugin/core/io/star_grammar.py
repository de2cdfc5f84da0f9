"""STAR files as RELION reads and writes them: text <-> tables of text columns. This is not CIF.

A row is a line, and its values are separated by ASCII white space. A quoted value begins with ' or
" and ends with the same character followed by white space; other quotes are plain characters.
`data_`, `loop_` and `_label` are special only at the beginning of a line where a header may occur:
among rows, a line with as many words as there are columns is a row, whatever it begins with.
Comments begin with #, at the beginning of a line or after the last value of a row. Beyond RELION:
line ends of Windows and old Macintosh, byte order marks, blank lines between rows.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import InputError
from ..texts import ENCODING, AnyTexts, Texts, packed, texts_together
from ..types import AnyPath
from .folder import atomic_path

_SPACE = " \t\f\v"
_WORD = re.compile(f"[^{_SPACE}]+")
_CLOSING = {quote: re.compile(f"{quote}(?=[{_SPACE}]|$)") for quote in "'\""}
_CONTROLS = [bytes([i]) for i in range(32) if i not in b"\t\n\v\f\r"]
_UNWRITABLE = re.compile("[\x00-\x08\x0a-\x1f\ud800-\udc7f\udd00-\udfff]")
#: Beginnings of values that some readers would misunderstand.
_NEEDS_QUOTES = re.compile(
    f"""^$|^['"#;_]|^(data_|loop_|save_|stop_|global_)|[{_SPACE}]""", re.IGNORECASE
)
#: Bytes that end a word, and bytes by which a value may need quotes or cannot be written.
_IS_SPACE = np.isin(np.arange(256), list(b" \t\f\v\n"))
_SUSPECT_WITHIN = np.isin(np.arange(256), [*range(1, 33)])
_SUSPECT_FIRST = np.isin(np.arange(256), list(b"\0'\"#;_"))
#: Words that begin a header may be written as they are, but some readers would misunderstand them.
_HEADER_LETTERS = np.isin(np.arange(256), list(b"dDlLsSgG"))
#: A line that begins with one of these may be a comment or a header.
_SUSPECT = frozenset("#dDlL")
_COMMENT_OR_HEADER = np.isin(np.arange(256), list(b"#dDlL"))
_BYTES_AT_ONCE, _ROWS_AT_ONCE = 2**22, 8192

#: Texts by label.
Columns = Mapping[str, AnyTexts]


@dataclass(frozen=True)
class Table:
    """One loop, or the label-value pairs, of a block.

    columns : by label without underscore. number : of rows. line : where the table begins in its
    file, from 1.
    """

    block: str
    columns: Dict[str, Texts]
    number: int
    line: int = 0

    def __len__(self) -> int:
        return self.number


def read_star(path: AnyPath) -> List[Table]:
    """All tables of a STAR file; InputError, with the line, for anything else."""
    return _tables(_Lines(_content(Path(path))), path)


def write_star(path: AnyPath, tables: Sequence[Table]) -> None:
    """Write the tables, and check that they can be read back before the file takes its name.

    Raises
    ------
    InputError : a value that STAR cannot hold: several lines, or both kinds of quotes before a
        blank.
    """
    with atomic_path(path) as part:
        with open(part, "wb") as handle:
            for table in tables:
                handle.writelines(_lines(table, path))
        found = _tables(_Lines(_content(part)), path, keep=False)
        if [_shape(t) for t in found] != [_shape(t) for t in tables]:
            raise InputError(
                f"{path} would not be read back as it was written; please report this with the "
                "input."
            )


def parse(text: str, path: AnyPath) -> List[Table]:
    """The tables in a text; `path` names it in sentences."""
    return _tables(_Lines(text.encode(*ENCODING)), path)


class _Lines:
    """The lines of a content; those of many rows are taken as bytes."""

    def __init__(self, content: bytes):
        if b"\r" in content:
            content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self.content = content
        array = np.frombuffer(content, np.uint8)
        ends = [
            at + np.flatnonzero(array[at : at + _BYTES_AT_ONCE] == ord("\n"))
            for at in range(0, len(array), _BYTES_AT_ONCE)
        ]
        self.begins = np.concatenate([[0], *(e + 1 for e in ends), [len(content) + 1]])

    def __len__(self) -> int:
        return len(self.begins) - 1

    def __getitem__(self, at: int) -> str:
        return self.content[self.begins[at] : self.begins[at + 1] - 1].decode(*ENCODING)

    def chunk(self, begin: int) -> Tuple[bytes, int]:
        """Some lines from this one on, each with its end, and the number of the line after them."""
        last = int(np.searchsorted(self.begins, self.begins[begin] + _BYTES_AT_ONCE, "right")) - 1
        end = min(max(begin + 1, min(last, begin + _ROWS_AT_ONCE)), len(self))
        content = self.content[self.begins[begin] : self.begins[end]]
        return (content if content.endswith(b"\n") else content + b"\n"), end


def _tables(lines: _Lines, path: AnyPath, keep: bool = True) -> List[Table]:
    """keep : whether to fill the columns or only to count rows."""
    tables: List[Table] = []
    block: Optional[str] = None
    at = 0

    while at < len(lines):
        words = _words(lines[at])
        if not words or words[0][0] in "#;":
            at += 1
        elif _is_header(words, "data_"):
            block, at = words[0][len("data_") :], at + 1
        elif block is None:
            raise InputError(
                f"{path}: line {at + 1} begins with {words[0][:40]!r}, but a STAR file begins with "
                "data_."
            )
        elif _is_header(words, "loop_"):
            table, at = _loop(lines, at + 1, block, path, keep)
            tables.append(table)
        elif words[0][0] == "_":
            table, at = _pairs(lines, at, block, path)
            tables.append(table)
        else:
            raise InputError(
                f"{path}: line {at + 1} begins with {words[0][:40]!r} where data_, loop_ or a "
                "label is expected; repair the file."
            )

    return tables


def _content(path: Path) -> bytes:
    """A file as UTF-8; bytes that are not are kept."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give a RELION STAR file."
        ) from error

    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        data = data.decode("utf-16", "replace").encode(*ENCODING)
    elif data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
    control = next((byte for byte in _CONTROLS if byte in data), None)
    if control is not None:
        line = data.count(b"\n", 0, data.index(control)) + 1
        raise InputError(
            f"{path} holds the byte {control[0]} in line {line}, so it is not text; give a RELION "
            "STAR file."
        )
    return data


def _words(line: str) -> List[str]:
    return line.split() if line.isascii() else _WORD.findall(line)


def _is_header(words: Sequence[str], begin: str) -> bool:
    """Whether the line is `data_name` or `loop_` alone, apart from a comment."""
    word = words[0].lower()
    fits = word.startswith(begin) if begin == "data_" else word == begin
    return fits and (len(words) == 1 or words[1][0] == "#")


def _pairs(lines: _Lines, at: int, block: str, path: AnyPath) -> Tuple[Table, int]:
    begin = at
    found: Dict[str, Texts] = {}
    while at < len(lines):
        words = _words(lines[at])
        if words and words[0][0] not in "#;_":
            break
        if words and words[0][0] == "_":
            values = _values(lines[at], 2)
            if len(words) == 1 or words[1][0] == "#" or values is None:
                raise InputError(
                    f"{path}: line {at + 1}, {words[0]}, has {_counted(words[1:])}, but one is "
                    "expected; if loop_ is missing before the labels, insert it."
                )
            found[_new_label(found, values[0], path, at)] = Texts.of(values[1:])
        at += 1

    return Table(block, found, 1, begin + 1), at


def _loop(lines: _Lines, at: int, block: str, path: AnyPath, keep: bool) -> Tuple[Table, int]:
    begin = at
    labels, at = _labels(lines, at, path)
    if not labels:
        raise InputError(f"{path}: loop_ in line {begin} has no labels; repair the file.")
    parts, number, at = _rows(lines, at, len(labels), f"data_{block}", path, keep)
    columns = {}
    for i, label in enumerate(labels):
        columns[label] = texts_together([part[i] for part in parts] or [Texts.of([])])
        for part in parts:
            part[i] = columns[label][:0]  # the memory is freed column by column
    return Table(block, columns, number, begin), at


#: The columns of some rows.
Part = List[Texts]


def _rows(
    lines: _Lines, at: int, width: int, where: str, path: AnyPath, keep: bool
) -> Tuple[List[Part], int, int]:
    """The columns in parts, the number of rows, and the line of the next header.

    Many lines at once are taken as bytes if nothing in them needs a closer look.
    """
    parts: List[Part] = []
    number, gap = 0, False
    while at < len(lines):
        content, end = lines.chunk(at)
        plain = _plain_rows(content, width)
        if plain is not None:
            if keep and len(plain.begins):
                parts.append(plain.columns())
            number, gap, at = number + len(plain.begins), gap or plain.gap, end
            continue

        rows: List[List[str]] = []
        while at < end:
            line = lines[at]
            row: Optional[List[str]] = _words(line)
            if row and (len(row) != width or row[0][0] in _SUSPECT or '"' in line or "'" in line):
                if _ends_table(lines, at, row, width, gap):
                    break
                row = _row(line, row, width)
                if row is None:
                    raise InputError(
                        f"{path}: row {number + len(rows) + 1} of {where} (line {at + 1}) has "
                        f"{_counted(_quoted_words(line))}, but the table has {width} columns; "
                        "repair the row (values with blanks need quotes)."
                    )
            elif not row:
                gap = True
            if row:
                rows.append(row)
            at += 1
        if keep and rows:
            parts.append([Texts.of(values) for values in zip(*rows)])
        number += len(rows)
        if at < end:
            break

    return parts, number, at


class _PlainRows(NamedTuple):
    """Rows of as many words as there are columns.

    content : (bytes,) uint8. begins, lengths : (rows, columns) of the words. gap : whether there
    are blank lines between them.
    """

    content: np.ndarray
    begins: np.ndarray
    lengths: np.ndarray
    gap: bool

    def columns(self) -> Part:
        return [self._column(i) for i in range(self.begins.shape[1])]

    def _column(self, i: int) -> Texts:
        begins, lengths = self.begins[:, i], self.lengths[:, i]
        places = np.arange(lengths.max())
        if places.size * len(begins) > len(self.content):  # one word is much longer than others
            words = zip(begins.tolist(), (begins + lengths).tolist())
            return Texts(packed([self.content[a:b].tobytes() for a, b in words]))
        found = self.content.take(begins[:, None] + places, mode="clip")
        found[places >= lengths[:, None]] = 0
        return Texts(found.view(f"S{places.size}").reshape(-1))


def _plain_rows(content: bytes, width: int) -> Optional[_PlainRows]:
    """The rows of some lines; None if they hold quotes, comments, or perhaps a header."""
    if b'"' in content or b"'" in content:
        return None
    array = np.frombuffer(content, np.uint8)
    space = _IS_SPACE[array]
    edges = np.flatnonzero(space[1:] != space[:-1]) + 1
    if not space[0]:
        edges = np.r_[0, edges]
    begins, ends = edges[::2], edges[1::2]

    words = np.diff(np.searchsorted(begins, np.flatnonzero(array == ord("\n"))), prepend=0)
    if ((words != 0) & (words != width)).any():
        return None
    first = begins[::width]
    if _begins_header(array, first[_COMMENT_OR_HEADER[array[first]]]):
        return None
    shape = (-1, width)
    return _PlainRows(
        array, begins.reshape(shape), (ends - begins).reshape(shape), bool((words == 0).any())
    )


def _begins_header(content: np.ndarray, begins: np.ndarray) -> bool:
    """Whether one of the words that begin here is a comment or begins like a header."""
    heads = content.take(begins[:, None] + np.arange(5), mode="clip")
    names = [np.frombuffer(name, np.uint8) for name in (b"data", b"loop")]
    like = [(heads[:, :4] | 0x20 == name).all(axis=1) & (heads[:, 4] == ord("_")) for name in names]
    return bool((like[0] | like[1] | (heads[:, 0] == ord("#"))).any())


def _labels(lines: _Lines, at: int, path: AnyPath) -> Tuple[Dict[str, None], int]:
    labels: Dict[str, None] = {}
    while at < len(lines):
        words = _words(lines[at])
        if words and words[0][0] == "_" and (len(words) == 1 or words[1][0] == "#"):
            labels[_new_label(labels, words[0], path, at)] = None
        elif words and (words[0][0] not in "#;" or _row(lines[at], words, len(labels))):
            break
        at += 1
    return labels, at


def _new_label(known: Mapping[str, object], word: str, path: AnyPath, at: int) -> str:
    if len(word) == 1 or word[1:] in known:
        what = "is empty" if len(word) == 1 else "occurs twice"
        raise InputError(f"{path}: the label {word} in line {at + 1} {what}; repair the file.")
    return word[1:]


def _ends_table(lines: _Lines, at: int, words: List[str], width: int, gap: bool) -> bool:
    """Whether this line is the header of the next table, and not a row that begins like one."""
    if not (_is_header(words, "data_") or _is_header(words, "loop_")):
        return False
    if len(words) != width or gap:
        return True
    later = (_words(lines[i]) for i in range(at + 1, len(lines)))
    following = next((w for w in later if w and w[0][0] != "#"), ["_"])
    return _is_header(following, "loop_")


def _row(line: str, words: List[str], width: int) -> Optional[List[str]]:
    """The values of a line; [] for a comment, None for a wrong number of values."""
    if not words[0].strip("#"):
        return []
    values = _values(line, width)
    return [] if values is None and words[0][0] == "#" else values


def _values(line: str, width: int) -> Optional[List[str]]:
    """The values without quotes and comment; None if their number is not that of the columns."""
    for words in ([_quoted_words(line)] if "'" in line or '"' in line else []) + [_words(line)]:
        if len(words) == width or (len(words) > width and words[width][:1] == "#"):
            return words[:width]
    return None


def _quoted_words(line: str) -> List[str]:
    closing = {
        quote: [m.start() for m in pattern.finditer(line)] for quote, pattern in _CLOSING.items()
    }
    words: List[str] = []
    at = 0
    while True:
        word = _WORD.search(line, at)
        if word is None:
            return words

        start, at = word.span()
        ends = closing.get(line[start], [])
        place = bisect_right(ends, start)
        if place < len(ends):
            start, at = start + 1, ends[place] + 1
            words.append(line[start : at - 1])
        else:
            words.append(line[start:at])


def _counted(words: Sequence[str]) -> str:
    return "1 value" if len(words) == 1 else f"{len(words)} values"


def _shape(table: Table) -> Tuple[str, List[str], int]:
    return table.block, list(table.columns), table.number


def format_table(block: str, columns: Columns, path: AnyPath) -> str:
    """The text of a table, with quotes where needed; `path` names it in sentences."""
    return b"".join(_lines(text_table(block, columns, path), path)).decode(*ENCODING)


def text_table(block: str, columns: Columns, path: AnyPath) -> Table:
    """A table that is to be written to a file, from at least one column.

    Raises
    ------
    InputError : a value that no STAR file can hold.
    """
    texts = {}
    for label, values in columns.items():
        try:
            texts[label] = Texts.of(values)
        except ValueError:
            for row, value in enumerate(values, 1):
                _quoted(str(value), row, label, path)
    return Table(block, texts, len(next(iter(texts.values()))))


def _lines(table: Table, path: AnyPath) -> Iterator[bytes]:
    yield f"\ndata_{table.block}\n\nloop_\n".encode(*ENCODING)
    yield from (f"_{label} #{i}\n".encode(*ENCODING) for i, label in enumerate(table.columns, 1))
    for at in range(0, table.number, _ROWS_AT_ONCE):
        rows = slice(at, at + _ROWS_AT_ONCE)
        written = [
            _written(values.data[rows], at, label, path) for label, values in table.columns.items()
        ]
        yield _text_of_rows(written)
    yield b"\n"


def _text_of_rows(columns: Sequence[np.ndarray]) -> bytes:
    """Lines with the words (N,) of all columns: widths are padded with zeros, which are dropped."""
    if any(column.dtype == object for column in columns):
        return b"".join(b" ".join(row) + b"\n" for row in zip(*(c.tolist() for c in columns)))
    number = len(columns[0])
    blank = np.full((number, 1), ord(" "), np.uint8)
    padded = [part for column in columns for part in (_matrix(column), blank)]
    padded[-1] = np.full((number, 1), ord("\n"), np.uint8)
    flat = np.concatenate(padded, axis=1).reshape(-1)
    return flat[flat != 0].tobytes()


def _matrix(words: np.ndarray) -> np.ndarray:
    """(N, width) uint8 of words (N,) of a fixed width."""
    return np.ascontiguousarray(words).view(np.uint8).reshape(len(words), -1)


def _written(words: np.ndarray, before: int, label: str, path: AnyPath) -> np.ndarray:
    """The words (N,) with quotes where needed; `before` rows come before them in their table."""
    if words.dtype == object:
        suspect = np.ones(len(words), dtype=bool)
    else:
        matrix = _matrix(words)
        suspect = _SUSPECT_WITHIN[matrix].any(axis=1) | _SUSPECT_FIRST[matrix[:, 0]]
        for underscore in (4, 6):
            if matrix.shape[1] > underscore:
                suspect |= _HEADER_LETTERS[matrix[:, 0]] & (matrix[:, underscore] == ord("_"))
    if not suspect.any():
        return words
    values = words.tolist()
    for row in np.flatnonzero(suspect).tolist():
        text = values[row].decode(*ENCODING)
        values[row] = _quoted(text, before + row + 1, label, path).encode(*ENCODING)
    return packed(values)


def _quoted(value: str, row: int, label: str, path: AnyPath) -> str:
    what = f"{path}: _{label} of row {row}, {value[:60]!r},"
    if _UNWRITABLE.search(value):
        raise InputError(
            f"{what} contains a line break or a control character, which STAR files cannot hold; "
            "rename it."
        )
    if not _NEEDS_QUOTES.search(value):
        return value
    for quote in "\"'":
        if not re.search(f"{quote}[{_SPACE}]", value):
            return f"{quote}{value}{quote}"
    raise InputError(
        f"{what} contains blanks after both kinds of quotes, which STAR files cannot hold; rename "
        "it."
    )
