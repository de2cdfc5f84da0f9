"""Damage to files, drawn at random from a generator: of bytes, of lines and words, and within the
formats.
"""

import gzip
import io
import json
import struct
import zipfile

import h5py
import numpy as np

WORDS = (
    *(
        "nan",
        "inf",
        "-inf",
        "-1",
        "0",
        "1e300",
        "-1e38",
        "1e-300",
        "9" * 30,
        "9" * 5000,
        "2147483648",
        "0.5",
        "",
        "abc",
    ),
    *(
        "None",
        "null",
        "true",
        "'",
        '"',
        "#",
        "_x",
        "data_",
        "loop_",
        "\x00",
        "\ufeff",
        "é中",
        "../..",
        "/dev/zero",
        "$(x)",
    ),
)
JSON_VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        10**30,
        10**400,
        0.5,
        1e300,
        -1e300,
        5e-324,
        "",
        "false",
        "1",
        "nan",
        "a" * 5000,
        "\x00",
    ),
    *([], [1], [[]], [1, 2, 3], {}, {"a": 1}, float("nan"), float("inf"), "../../x", "é\n"),
)
INTEGERS = (0, 1, -1, 2, 3, 7, 101, 255, 1024, 65536, 2**24, 2**31 - 1, -(2**31))
FLOATS = (0.0, -1.0, 1e-45, 1e-30, 1e30, 3e38, -3e38, float("nan"), float("inf"), 1e12)


def _place(rng, content: bytes, most: int = 200):
    start = int(rng.integers(0, len(content) + 1))
    return start, min(len(content), start + int(rng.integers(1, most)))


def _bits(rng, content):
    data = bytearray(content)
    for at in rng.integers(0, max(1, len(data)), rng.integers(1, 9)):
        data[at : at + 1] = (
            bytes([data[at] ^ (1 << int(rng.integers(8)))]) if at < len(data) else b""
        )
    return bytes(data)


def _cut(rng, content):
    return content[: int(rng.integers(0, len(content) + 1))]


def _insert(rng, content):
    start, _ = _place(rng, content)
    return content[:start] + rng.bytes(int(rng.integers(1, 50))) + content[start:]


def _remove(rng, content):
    start, stop = _place(rng, content)
    return content[:start] + content[stop:]


def _repeat(rng, content):
    start, stop = _place(rng, content)
    return content[:stop] + content[start:stop] * int(rng.integers(1, 20)) + content[stop:]


def _zeros(rng, content):
    start, stop = _place(rng, content)
    return content[:start] + bytes(stop - start) + content[stop:]


def _swap(rng, content):
    (a, b), (c, d) = sorted([_place(rng, content), _place(rng, content)])
    return (
        content if c < b else content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]
    )


def of_bytes(rng, content: bytes) -> bytes:
    kinds = (_bits, _cut, _insert, _remove, _repeat, _zeros, _swap)
    return kinds[rng.integers(len(kinds))](rng, content)


def of_text(rng, content: bytes) -> bytes:
    """Lines and words are lost, doubled, exchanged, or become others."""
    lines = content.decode().split("\n")
    i, j = (int(k) for k in rng.integers(0, len(lines), 2))
    kind = rng.integers(8)
    if kind == 0:
        del lines[i]
    elif kind == 1:
        lines.insert(j, lines[i])
    elif kind == 2:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 3:
        lines[i] = lines[i].replace(" ", str(rng.choice(["\t", "  ", "\r", ",", "\x0b"])))
    elif kind == 4:
        return "\n".join(lines).replace("\n", str(rng.choice(["\r", "\r\n", " ", "\n\n"]))).encode()
    else:
        _change_word(rng, lines, [n for n, line in enumerate(lines) if line.split()])
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _change_word(rng, lines, filled):
    at = filled[rng.integers(len(filled))]
    words = lines[at].split(" ")
    words[rng.integers(len(words))] = WORDS[rng.integers(len(WORDS))]
    lines[at] = " ".join(words)


def of_json(rng, content: bytes) -> bytes:
    """Values of any type in any place; keys lost, unknown or there twice."""
    tree = json.loads(content)
    places = list(_places(tree))
    for _ in range(rng.integers(1, 3)):
        holder, key = places[rng.integers(len(places))]
        kind = rng.integers(6)
        if kind == 0 and isinstance(holder, dict):
            holder.pop(key, None)
        elif kind == 1 and isinstance(holder, dict):
            holder[WORDS[rng.integers(len(WORDS))]] = holder.get(key)
        else:
            value = JSON_VALUES[rng.integers(len(JSON_VALUES))]
            try:
                holder[key] = value
            except IndexError:
                holder.append(value)
    text = json.dumps(tree)
    if rng.integers(20) == 0:
        text = text.replace("}", ', "seed": 1, "seed": 2}', 1)
    if rng.integers(20) == 0:
        text = text.replace(": ", ": " + "[" * 10**5, 1)
    return text.encode()


def _places(tree):
    pairs = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, value in pairs:
        yield tree, key
        yield from _places(value)


def of_mrc(rng, content: bytes) -> bytes:
    """Fields of the header, and values, become extreme ones."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        offset = 4 * int(
            rng.integers(0, 56) if rng.integers(4) else rng.integers(0, len(data) // 4)
        )
        number = (
            struct.pack("<i", INTEGERS[rng.integers(len(INTEGERS))])
            if rng.integers(2)
            else struct.pack("<f", FLOATS[rng.integers(len(FLOATS))])
        )
        data[offset : offset + 4] = number
    return bytes(data)


def of_gzip(rng, content: bytes) -> bytes:
    return gzip.compress(of_mrc(rng, gzip.decompress(content)), 1)


def of_npz(rng, content: bytes) -> bytes:
    """Arrays of other types, lengths and values, and headers that lie."""
    with np.load(io.BytesIO(content)) as archive:
        arrays = dict(archive)
    name = str(rng.choice(sorted(arrays)))
    array, kind = arrays[name], rng.integers(7)
    if kind == 0:
        arrays.pop(name)
    elif kind == 1:
        arrays[name] = array.astype(rng.choice(["f2", "f8", "i1", "u8", "c16", "U5", "?"]))
    elif kind == 2:
        arrays[name] = array[: int(rng.integers(0, array.size + 1))] if array.ndim else array[None]
    elif kind == 3:
        arrays[name] = array.reshape(1, *array.shape)
    elif kind == 4:
        arrays[name] = np.where(
            rng.random(array.shape) < 0.1, FLOATS[rng.integers(len(FLOATS))], array.astype(float)
        )
    elif kind == 5:
        with np.errstate(all="ignore"):
            arrays[name] = array + np.array(INTEGERS[rng.integers(len(INTEGERS))]).astype(
                array.dtype
            )
    saved = io.BytesIO()
    np.savez(saved, **arrays)
    if kind == 6:
        return saved.getvalue().replace(b"'shape': (", b"'shape': (9", 1)
    return saved.getvalue()


def of_cs(rng, content: bytes) -> bytes:
    """Fields of other types, shapes and values, lost or out of order, and headers that lie."""
    records = np.load(io.BytesIO(content))
    columns = {name: records[name] for name in records.dtype.names}
    name, kind = str(rng.choice(list(columns))), rng.integers(7)
    values = columns[name]
    if kind == 0:
        columns.pop(name)
    elif kind == 1:
        to = rng.choice(["f2", "f8", "i1", "u8", "S3", "?", "M8[s]", "V4"])
        columns[name] = np.zeros(values.shape, to)
    elif kind == 2:
        columns[name] = np.repeat(values[:, None], int(rng.integers(0, 4)), axis=1)
    elif kind == 3:
        columns[name] = values[rng.integers(0, len(values), len(values))]
    elif values.dtype.kind == "S":
        columns[name] = np.full(values.shape, str(rng.choice(WORDS))[:300].encode())
    elif kind in (4, 5):
        extreme = FLOATS[rng.integers(len(FLOATS))]
        changed = rng.random(values.shape) < 0.1
        with np.errstate(all="ignore"):
            columns[name] = np.where(changed, extreme, values.astype(float)).astype(values.dtype)
    kinds = [(key, column.dtype, column.shape[1:]) for key, column in columns.items()]
    damaged = np.zeros(len(records), kinds)
    for key, column in columns.items():
        damaged[key] = column
    saved = io.BytesIO()
    np.save(saved, damaged)
    if kind == 6:
        return saved.getvalue().replace(b"'shape': (", b"'shape': (9", 1)
    return saved.getvalue()


def of_keras(rng, content: bytes) -> bytes:
    """The HDF5 file within is damaged, or a value, or the archive's list of members."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights = "model.weights.h5"
    kind = rng.integers(4)
    if kind == 0:
        members[weights] = of_bytes(rng, members[weights])
    elif kind == 1:
        members[str(rng.choice(["../x", "/etc/x", "assets/y", weights + "2"]))] = b"x"
    elif kind == 2:
        members.pop(str(rng.choice(sorted(members))))
    else:
        members[weights] = _other_arrays(rng, members[weights])
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return saved.getvalue()


def _other_arrays(rng, content: bytes) -> bytes:
    store = io.BytesIO(content)
    with h5py.File(store, "r+") as file:
        names = []
        file.visititems(
            lambda name, entry: names.append(name) if isinstance(entry, h5py.Dataset) else None
        )
        name, kind = names[rng.integers(len(names))], rng.integers(4)
        array = file[name][...]
        del file[name]
        if kind == 0:
            file[name] = np.full(array.shape, FLOATS[rng.integers(len(FLOATS))], array.dtype)
        elif kind == 1:
            file[name] = np.zeros((*array.shape, 2), array.dtype)
        elif kind == 2:
            file[name] = h5py.ExternalLink("/etc/passwd", "/x")
    return store.getvalue()
