"""The weights of `model.keras`, checked before Keras reads them: sizes by the headers, nothing
outside of the file.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

from ..errors import UNREADABLE, InputError
from ..io.files import check_regular
from ..memory import require_memory
from ..values import shown_error

_WEIGHTS, _MEMBERS = "model.weights.h5", ("metadata.json", "config.json", "model.weights.h5")
#: What HDF5 and Keras write besides the numbers.
_SLACK_BYTES = 2**24
_REMEDY = "give the model folder as `train` wrote it"


def weights_bytes(path: Path) -> int:
    """Size of the weights within model.keras; InputError for a file that is none, or has other
    members.
    """
    subject = f"Model file {path}"
    check_regular(path, subject, _REMEDY)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            number = len(archive.infolist())
    except UNREADABLE as error:
        raise InputError(f"{subject} cannot be read ({shown_error(error)}); {_REMEDY}.") from error
    strangers = [name for name in members if name not in _MEMBERS]
    if strangers or _WEIGHTS not in members or number > len(members):
        what = f"holds {strangers[0][:60]!r}" if strangers else "does not hold its weights once"
        raise InputError(f"{subject} {what}, as no model of this program does; {_REMEDY}.")
    return members[_WEIGHTS].file_size


def check_weights(path: Path, network_bytes: int) -> None:
    """InputError unless the arrays of model.keras lie in it, whole, and are about as large as the
    network's.
    """
    subject, size = f"Model file {path}", weights_bytes(path)
    if not network_bytes <= size <= 2 * network_bytes + _SLACK_BYTES:
        raise InputError(
            f"{subject} holds {size} bytes of weights and the network of its card needs "
            f"{network_bytes}; {_REMEDY}."
        )
    require_memory(2 * size, subject)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(_WEIGHTS) as handle:
            content = handle.read(size)
        with h5py.File(io.BytesIO(content), "r") as store:
            _check_group(store, subject, size)
    except UNREADABLE as error:
        raise InputError(f"{subject} cannot be read ({shown_error(error)}); {_REMEDY}.") from error


def _check_group(store: h5py.File, subject: str, size: int) -> None:
    total = 0
    groups, seen = [store], set()
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(f"{subject} links from {name[:60]!r} to elsewhere; {_REMEDY}.")
            entry = group[name]
            if isinstance(entry, h5py.Group):
                address = h5py.h5o.get_info(entry.id).addr
                groups += [] if address in seen else [entry]
                seen.add(address)
            elif isinstance(entry, h5py.Dataset):
                total += _dataset_bytes(entry, subject, size - total)


def _dataset_bytes(entry: h5py.Dataset, subject: str, left: int) -> int:
    if entry.is_virtual or entry.external or entry.compression is not None:
        raise InputError(
            f"{subject}: the array {entry.name} is compressed or lies elsewhere; {_REMEDY}."
        )
    if entry.dtype.kind not in "biufSO" or entry.nbytes > left:
        raise InputError(
            f"{subject}: the array {entry.name} is {entry.shape} of {entry.dtype}; {_REMEDY}."
        )
    return entry.nbytes


def check_finite(network: keras.Model, path: Path) -> None:
    """InputError if a weight is NaN or infinite."""
    for variable in network.weights:
        if not np.isfinite(np.asarray(variable, dtype=np.float64)).all():
            raise InputError(
                f"Model file {path} has weights that are NaN or infinite; train the model again."
            )
