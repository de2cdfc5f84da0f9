"""Rows of Scipion's particle sets, read and written without an object for each particle.

Scipion keeps a set in a table with a column for each nested attribute of its items, such as
`_ctfModel._defocusU`. The table of a new set is made by Scipion's own code from the first item; the
rows that follow differ from it in what is given. What is read or written is compared, for one item,
with what Scipion itself reads or writes. Where they differ, and in sets of a kind that is not known
here, items are taken one by one.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import warnings
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from ..core.texts import Texts, texts_together

#: Rows that are Python objects at one time.
_AT_ONCE = 2**16
#: What a row has beside the attributes of its item, by the names of Scipion's `getObjDict`.
ID, ENABLED, LABEL, COMMENT = "object.id", "object.enabled", "object.label", "object.comment"
#: A particle has an acquisition of its own only with both of these; else it has that of its set.
_OWN_ACQUISITION = "_acquisition._voltage", "_acquisition._magnification"
_KINDS = {ID: "Integer", ENABLED: "Boolean", LABEL: "String", COMMENT: "String"}
_NUMBERS = {"Integer": np.int64, "Float": np.float64, "Boolean": np.bool_}

#: Stored values of some rows, by the label of their column.
Chunk = Dict[str, Sequence[Any]]
#: The class of each column by its label, and the rows in the order of their ids.
_Rows = Tuple[Dict[str, str], Iterator[Chunk]]


class Column(NamedTuple):
    """A column of N rows.

    values : (N,) numbers or texts, (N, 4, 4) for matrices; 0 or empty where no value is known.
    known : (N,) bool.
    """

    values: Union[np.ndarray, Texts]
    known: np.ndarray

    def take(self, rows: np.ndarray) -> Column:
        return Column(self.values[rows], self.known[rows])


def read_columns(
    particles, wanted: Callable[[str], bool], where: Optional[str] = None
) -> Dict[str, Column]:
    """Columns of the items of a set, in the order of their ids.

    Parameters
    ----------
    particles : SetOfParticles.
    wanted : which labels to read.
    where : SQL condition on the ids; default: none.

    Returns
    -------
    By label, with `ID` and `ENABLED`; {} if there are no items.
    """
    kinds, chunks = _rows(particles, wanted, where)
    parts: Dict[str, List[Column]] = {}
    for chunk in chunks:
        for label, values in chunk.items():
            kind = _KINDS.get(label) or kinds[label]
            parts.setdefault(label, []).append(_column(kind, values))
    return {label: _together(columns) for label, columns in parts.items()}


def append_copies_of(
    output,
    source,
    of: np.ndarray,
    rows: np.ndarray,
    make: Callable[[Any, int], Any],
    values: Callable[[np.ndarray], Chunk],
    where: Optional[str] = None,
) -> Tuple[int, np.ndarray]:
    """Append items that are made from those of another set, in the order of these.

    Parameters
    ----------
    output, source : SetOfParticles.
    of : (M,) id of the item that each new one is made from.
    rows : (M,) what `make` and `values` know each new one by.
    make : changes a copy of an item of the source into that of a row.
    values : of (n,) rows, what their items do not have from the source: by label the n stored
        values, with `ID`.
    where : SQL condition on the ids, which all in `of` fulfil; default: none.

    Returns
    -------
    Number of items of the source from which none is made; (M,) bool, whose item was found.
    """
    order = np.argsort(of, kind="stable")
    ordered, found, unused = of[order], np.zeros(len(of), dtype=bool), 0
    for chunk in _rows(source, lambda label: True, where)[1]:
        ids = np.array(chunk[ID], dtype=np.int64)
        begin = np.searchsorted(ordered, ids, side="left")
        times = np.searchsorted(ordered, ids, side="right") - begin
        given = np.repeat(np.arange(len(ids)), times)
        place = np.repeat(begin - np.cumsum(times) + times, times) + np.arange(len(given))
        new = order[place]
        found[new] = True
        unused += int((times == 0).sum())

        once = len(given) == len(ids) and bool(times.all())
        copied = chunk if once else {k: [v[g] for g in given] for k, v in chunk.items()}
        items = _copies(source, ids[given], rows[new], make)
        append_alike(output, {**copied, **values(rows[new])}, items)
    return unused, found


def _copies(
    source, ids: np.ndarray, rows: np.ndarray, make: Callable[[Any, int], Any]
) -> Iterator[Any]:
    for identity, row in zip(ids.tolist(), rows.tolist()):
        item = next(source.iterItems(where=f"id={identity}"))
        yield make(item.clone(), row)


def append_made(
    output, number: int, make: Callable[[int], Any], values: Callable[[np.ndarray], Chunk]
) -> None:
    """Append items that are made from nothing.

    Parameters
    ----------
    output : SetOfParticles.
    number : of items.
    make : makes item k < number.
    values : of (n,) k, what differs between items: by label the n stored values, with `ID`.
    """
    for at in range(0, number, _AT_ONCE):
        new = np.arange(at, min(number, at + _AT_ONCE))
        append_alike(output, values(new), map(make, new.tolist()))


def append_alike(output, columns: Chunk, items: Iterator[Any]) -> None:
    """Append items to a set: the first by Scipion's code, and those that are alike as rows.

    Parameters
    ----------
    output : SetOfParticles.
    columns : by label the stored values of each, with `ID`. What is missing is alike in all of
        them, and labels that the items do not have are ignored.
    items : the same as items, of which no more are made than needed.
    """
    ids, first = columns[ID], next(items, None)
    if first is None:
        return
    output.append(first)
    rows = _rows_after(output, first, columns)
    if rows is None:
        for item in items:
            output.append(item)
        return

    database = output._getMapper().db
    database.cursor.executemany(database.INSERT_OBJECT, rows)
    output._size.set(output.getSize() + len(ids) - 1)
    output._idCount = max(output._idCount, max(ids))


def _rows_after(output, first: Any, columns: Chunk) -> Optional[Iterator[Tuple[Any, ...]]]:
    """The rows after the first, for the database; None if the first is stored otherwise."""
    known = type(output).append is _methods().append and _has_known_mapper(output)
    if not known or (output.hasAcquisition() and _lack_acquisition(columns)):
        return None
    values = {
        ID: first.getObjId(),
        ENABLED: first.isEnabled(),
        LABEL: first.getObjLabel(),
        COMMENT: first.getObjComment(),
        **output._getMapper()._getValuesFromObject(first),
    }
    alike = {ENABLED, *(label for label in values if label not in columns)}
    if output.getSamplingRate():
        alike.add("_samplingRate")  # the set gives it to its items
    rows = zip(*(itertools.repeat(v) if k in alike else columns[k] for k, v in values.items()))
    return rows if all(map(_same, next(rows), values.values())) else None


def _rows(particles, wanted: Callable[[str], bool], where: Optional[str]) -> _Rows:
    return _stored_rows(particles, wanted, where) or _item_rows(particles, wanted, where)


def _stored_rows(particles, wanted: Callable[[str], bool], where: Optional[str]) -> Optional[_Rows]:
    """The rows of the table; None if it is not as known, or its first item is not as stored."""
    if type(particles).iterItems is not _methods().iterItems or not _has_known_mapper(particles):
        return None
    database = particles._getMapper().db
    if not database.hasTable("Properties"):  # Scipion makes the tables with the first item
        return {}, iter(())
    try:
        names = {row["label_property"]: row["column_name"] for row in database.getClassRows()}
        kinds = {row["label_property"]: row["class_name"] for row in database.getClassRows()}
        labels = [label for label in names if label != "self" and wanted(label)]
        columns = ", ".join(["id", "enabled", "label", "comment", *(names[k] for k in labels)])
        cursor = database.connection.cursor()
        cursor.row_factory = None
        cursor.execute(f"SELECT {columns} {database.FROM} WHERE {where or 1} ORDER BY id")
    except (AttributeError, LookupError, sqlite3.OperationalError):
        return None

    def chunk_of(rows: List[Tuple[Any, ...]]) -> Chunk:
        chunk: Chunk = dict(zip((ID, ENABLED, LABEL, COMMENT, *labels), zip(*rows)))
        for name in (LABEL, COMMENT):
            chunk[name] = [text or "" for text in chunk[name]]
        return chunk

    rows = cursor.fetchmany(_AT_ONCE)
    if rows:
        item = particles[rows[0][0]].getObjDict()
        for label, (value,) in chunk_of(rows[:1]).items():
            if label in kinds and not _same_column(kinds[label], value, item.get(label)):
                return None

    def chunks() -> Iterator[Chunk]:
        some = rows
        while some:
            yield _with_acquisition(chunk_of(some), of_set)
            some = cursor.fetchmany(_AT_ONCE)

    of_set = {f"_acquisition.{k}": v for k, v in particles.getAcquisition().getObjDict().items()}
    return kinds, chunks()


def _item_rows(particles, wanted: Callable[[str], bool], where: Optional[str]) -> _Rows:
    """What Scipion would store of the items, one by one."""
    kinds: Dict[str, str] = {}
    ids = [] if particles.isEmpty() else sorted(particles.getUniqueValues("id", where=where))

    def chunks() -> Iterator[Chunk]:
        for at in range(0, len(ids), _AT_ONCE):
            chosen = set(ids[at : at + _AT_ONCE])
            chunk: Dict[str, List[Any]] = {}
            for item in particles.iterItems(where=f"id>={min(chosen)} AND id<={max(chosen)}"):
                if item.getObjId() not in chosen:
                    continue
                if not kinds:
                    classes = item.getObjDict(includeClass=True)
                    kinds.update({k: v[0] for k, v in classes.items() if k == "self" or wanted(k)})
                values = item.getObjDict(includeBasic=True)
                values[ENABLED] = item.isEnabled()
                for label in (ID, ENABLED, LABEL, COMMENT, *kinds):
                    if label != "self":
                        chunk.setdefault(label, []).append(values.get(label))
            yield chunk

    return kinds, chunks()


def _methods():
    """The class whose ways of reading and writing items are known."""
    from pwem.objects import SetOfImages

    return SetOfImages


def _has_known_mapper(particles) -> bool:
    from pyworkflow.mapper.sqlite import SqliteFlatMapper

    return type(particles._getMapper()) is SqliteFlatMapper


def _with_acquisition(chunk: Chunk, of_set: Dict[str, Any]) -> Chunk:
    """Rows without an acquisition of their own have that of the set."""
    if not _lack_acquisition(chunk):
        return chunk
    own = (chunk.get(label, itertools.repeat(None)) for label in _OWN_ACQUISITION)
    lacking = [None in values for values in zip(*own)]
    changed = {
        label: [of_set.get(label) if lacks else v for lacks, v in zip(lacking, chunk[label])]
        for label in chunk
        if label in of_set
    }
    return {**chunk, **changed}


def _lack_acquisition(columns: Chunk) -> bool:
    own = [columns[label] for label in _OWN_ACQUISITION if label in columns]
    return len(own) == 1 or any(None in values for values in own)


def _column(kind: str, stored: Sequence[Any]) -> Column:
    """A column of a class of Scipion from what is stored; ValueError if it cannot be that."""
    known = np.ones(len(stored), dtype=bool)
    values = list(stored)
    if None in values:
        known = np.array([value is not None for value in values])
        blank = json.dumps(np.zeros((4, 4)).tolist()) if kind == "Matrix" else ""
        blank = 0 if kind in _NUMBERS else blank
        values = [blank if value is None else value for value in values]

    if kind in _NUMBERS:
        return Column(np.array(values, dtype=_NUMBERS[kind]), known)
    if kind == "Matrix":
        return Column(_matrices(values), known)
    return Column(Texts.of(values), known)


def _matrices(texts: List[str]) -> np.ndarray:
    """(N, 4, 4) numbers of texts as Scipion writes them, or of another shape if they are of that."""
    numbers = ",".join(texts).encode().translate(None, b"[]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what are no numbers
        values = np.fromstring(numbers, sep=",")
    if len(values) == 16 * len(texts):
        return values.reshape(-1, 4, 4)
    return np.array(json.loads(f"[{','.join(texts)}]"), dtype=np.float64)


def _together(parts: List[Column]) -> Column:
    known = np.concatenate([part.known for part in parts])
    values = [part.values for part in parts]
    texts = [part for part in values if isinstance(part, Texts)]
    return Column(texts_together(texts) if texts else np.concatenate(values), known)


def _same_column(kind: str, stored: Any, of_item: Any) -> bool:
    try:
        first, other = _column(kind, [stored]), _column(kind, [of_item])
    except (TypeError, ValueError):
        return False
    return bool(first.known[0] == other.known[0]) and bool(
        np.array_equal(np.asarray(first.values), np.asarray(other.values))
    )


def _same(value: Any, other: Any) -> bool:
    return bool(value == other) or (value != value and other != other)
