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
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ..errors import InputError
from ..types import AnyPath
from .folder import atomic_path

_SPACE = " \t\f\v"
_WORD = re.compile(f"[^{_SPACE}]+")
_CLOSING = {quote: re.compile(f"{quote}(?=[{_SPACE}]|$)") for quote in "'\""}
_CONTROLS = [chr(i) for i in range(32) if chr(i) not in "\t\n\v\f\r"]
_UNWRITABLE = re.compile("[\x00-\x08\x0a-\x1f\ud800-\udc7f\udd00-\udfff]")
#: Beginnings of values that some readers would misunderstand.
_NEEDS_QUOTES = re.compile(
    f"""^$|^['"#;_]|^(data_|loop_|save_|stop_|global_)|[{_SPACE}]""", re.IGNORECASE
)
#: A value without these characters needs no quotes and can be written.
_SUSPECT_WITHIN = "'\"#;_ " + "".join(chr(i) for i in range(32) if i != 10)
#: A line that begins with one of these may be a comment or a header.
_SUSPECT = frozenset("#dDlL")
_ROWS_AT_ONCE = 4096

Splitter = Callable[[str], List[str]]


@dataclass(frozen=True)
class Table:
    """One loop, or the label-value pairs, of a block.

    columns : lists of text, by label without underscore. number : of rows. line : where the table
    begins in its file, from 1.
    """

    block: str
    columns: Dict[str, List[str]]
    number: int
    line: int = 0

    def __len__(self) -> int:
        return self.number


def read_star(path: AnyPath) -> List[Table]:
    """All tables of a STAR file; InputError, with the line, for anything else."""
    return parse(_text(Path(path)), path)


def write_star(path: AnyPath, tables: Sequence[Table]) -> None:
    """Write the tables, and check that they can be read back before the file takes its name.

    Raises
    ------
    InputError : a value that STAR cannot hold: several lines, or both kinds of quotes before a
        blank.
    """
    with atomic_path(path) as part:
        with open(part, "w", encoding="utf-8", errors="surrogateescape", newline="\n") as handle:
            for table in tables:
                handle.writelines(_lines(table, path))
        found = parse(_text(part), path, keep=False)
        if [_shape(t) for t in found] != [_shape(t) for t in tables]:
            raise InputError(
                f"{path} would not be read back as it was written; please report this with the "
                "input."
            )


def parse(text: str, path: AnyPath, keep: bool = True) -> List[Table]:
    """The tables in a text.

    path : names the text in sentences. keep : whether to fill the columns or only to count rows.
    """
    split = _splitter(text)
    lines = (text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text).split("\n")
    tables: List[Table] = []
    block: Optional[str] = None
    at = 0

    while at < len(lines):
        words = split(lines[at])
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
            table, at = _loop(lines, at + 1, block, split, path, keep)
            tables.append(table)
        elif words[0][0] == "_":
            table, at = _pairs(lines, at, block, split, path)
            tables.append(table)
        else:
            raise InputError(
                f"{path}: line {at + 1} begins with {words[0][:40]!r} where data_, loop_ or a "
                "label is expected; repair the file."
            )

    return tables


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give a RELION STAR file."
        ) from error

    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        text = data.decode("utf-16", "replace")
    else:
        text = data[3 if data.startswith(codecs.BOM_UTF8) else 0 :].decode(
            "utf-8", "surrogateescape"
        )
    control = next((character for character in _CONTROLS if character in text), None)
    if control is not None:
        line = text.count("\n", 0, text.index(control)) + 1
        raise InputError(
            f"{path} holds the byte {ord(control)} in line {line}, so it is not text; give a "
            "RELION STAR file."
        )
    return text


def _splitter(text: str) -> Splitter:
    return str.split if text.isascii() else _WORD.findall


def _is_header(words: Sequence[str], begin: str) -> bool:
    """Whether the line is `data_name` or `loop_` alone, apart from a comment."""
    word = words[0].lower()
    fits = word.startswith(begin) if begin == "data_" else word == begin
    return fits and (len(words) == 1 or words[1][0] == "#")


def _pairs(
    lines: List[str], at: int, block: str, split: Splitter, path: AnyPath
) -> Tuple[Table, int]:
    begin = at
    columns: Dict[str, List[str]] = {}
    while at < len(lines):
        words = split(lines[at])
        if words and words[0][0] not in "#;_":
            break
        if words and words[0][0] == "_":
            values = _values(lines[at], 2, split)
            if len(words) == 1 or words[1][0] == "#" or values is None:
                raise InputError(
                    f"{path}: line {at + 1}, {words[0]}, has {_counted(words[1:])}, but one is "
                    "expected; if loop_ is missing before the labels, insert it."
                )
            _add_label(columns, values[0], path, at)
            columns[values[0][1:]].append(values[1])
        at += 1

    return Table(block, columns, 1, begin + 1), at


def _loop(
    lines: List[str], at: int, block: str, split: Splitter, path: AnyPath, keep: bool
) -> Tuple[Table, int]:
    begin = at
    columns, at = _labels(lines, at, split, path)
    if not columns:
        raise InputError(f"{path}: loop_ in line {begin} has no labels; repair the file.")
    number, at = _rows(lines, at, columns, f"data_{block}", split, path, keep)
    return Table(block, columns, number, begin), at


def _rows(
    lines: List[str],
    begin: int,
    columns: Dict[str, List[str]],
    where: str,
    split: Splitter,
    path: AnyPath,
    keep: bool,
) -> Tuple[int, int]:
    """Fill the columns; returns the number of rows and the line of the next header."""
    width = len(columns)
    number, gap = 0, False
    values: List[str] = []  # one flat list: lists of rows would slow down the garbage collector

    for at in range(begin, len(lines)):
        line = lines[at]
        row: Optional[List[str]] = split(line)
        if not row:
            gap = True
            continue
        if len(row) != width or row[0][0] in _SUSPECT or '"' in line or "'" in line:
            if _ends_table(lines, at, row, width, gap, split):
                break
            row = _row(line, row, width, split)
        if row is None:
            raise InputError(
                f"{path}: row {number + 1} of {where} (line {at + 1}) has "
                f"{_counted(_quoted_words(line))}, but the table has {width} columns; repair the "
                "row (values with blanks need quotes)."
            )
        if row:
            values += row
            number += 1
        if number % _ROWS_AT_ONCE == 0:
            _add_rows(columns, values, keep)
    else:
        at = len(lines)

    _add_rows(columns, values, keep)
    return number, at


def _labels(
    lines: List[str], at: int, split: Splitter, path: AnyPath
) -> Tuple[Dict[str, List[str]], int]:
    columns: Dict[str, List[str]] = {}
    while at < len(lines):
        words = split(lines[at])
        if words and words[0][0] == "_" and (len(words) == 1 or words[1][0] == "#"):
            _add_label(columns, words[0], path, at)
        elif words and (words[0][0] not in "#;" or _row(lines[at], words, len(columns), split)):
            break
        at += 1
    return columns, at


def _add_label(columns: Dict[str, List[str]], word: str, path: AnyPath, at: int) -> None:
    if len(word) == 1 or word[1:] in columns:
        what = "is empty" if len(word) == 1 else "occurs twice"
        raise InputError(f"{path}: the label {word} in line {at + 1} {what}; repair the file.")
    columns[word[1:]] = []


def _ends_table(
    lines: List[str], at: int, words: List[str], width: int, gap: bool, split: Splitter
) -> bool:
    """Whether this line is the header of the next table, and not a row that begins like one."""
    if not (_is_header(words, "data_") or _is_header(words, "loop_")):
        return False
    if len(words) != width or gap:
        return True
    later = (split(lines[i]) for i in range(at + 1, len(lines)))
    following = next((w for w in later if w and w[0][0] != "#"), ["_"])
    return _is_header(following, "loop_")


def _row(line: str, words: List[str], width: int, split: Splitter) -> Optional[List[str]]:
    """The values of a line; [] for a comment, None for a wrong number of values."""
    if not words[0].strip("#"):
        return []
    values = _values(line, width, split)
    return [] if values is None and words[0][0] == "#" else values


def _values(line: str, width: int, split: Splitter) -> Optional[List[str]]:
    """The values without quotes and comment; None if their number is not that of the columns."""
    for words in ([_quoted_words(line)] if "'" in line or '"' in line else []) + [split(line)]:
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


def _add_rows(columns: Dict[str, List[str]], values: List[str], keep: bool) -> None:
    if keep:
        for i, column in enumerate(columns.values()):
            column.extend(values[i :: len(columns)])
    values.clear()


def _counted(words: Sequence[str]) -> str:
    return "1 value" if len(words) == 1 else f"{len(words)} values"


def _shape(table: Table) -> Tuple[str, List[str], int]:
    return table.block, list(table.columns), table.number


def format_table(table: Table, path: AnyPath) -> str:
    """The text of a table, with quotes where needed; `path` names it in sentences."""
    return "".join(_lines(table, path))


def _lines(table: Table, path: AnyPath) -> Iterator[str]:
    yield f"\ndata_{table.block}\n\nloop_\n"
    yield from (f"_{label} #{i}\n" for i, label in enumerate(table.columns, 1))
    written = [_written(values, label, path) for label, values in table.columns.items()]
    yield from (" ".join(row) + "\n" for row in zip(*written))
    yield "\n"


def _written(values: Sequence[str], label: str, path: AnyPath) -> Sequence[str]:
    """The values, with quotes where needed; a single search finds that most columns need none."""
    whole = "\n".join(values)
    plain = whole.isascii() and "" not in values and whole.count("\n") == len(values) - 1
    if plain and not any(character in whole for character in _SUSPECT_WITHIN):
        return values
    return [_quoted(value, row, label, path) for row, value in enumerate(values, 1)]


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
