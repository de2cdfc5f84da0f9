"""RELION particle STAR files: 3.0 and 3.1 are read, 3.1 is written. The STAR labels live here (and in scipion.convert).

gemmi parses the file. Columns that are not modelled travel verbatim in `extra`.
`rlnImageName` is looked for from the working directory, then from the STAR file's folder, there by file name alone too.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import gemmi
import numpy as np

from .. import conventions
from ..errors import InputError
from ..types import CtfTable, OpticsGroup, ParticleTable
from .mrc import read_stack_header
from .run_directory import atomic_path

# Labels other modules may pass through `ParticleTable.extra`.
COORDINATE_X, COORDINATE_Y = "rlnCoordinateX", "rlnCoordinateY"
MICROGRAPH_NAME, CLASS_NUMBER = "rlnMicrographName", "rlnClassNumber"
POSE_SOURCE = "cryoposesPoseSource"
SCORE_PREFIX = "cryoposes"
TEXT_COLUMNS = (POSE_SOURCE,)

_ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")
_ORIGINS_ANGSTROM = ("rlnOriginXAngst", "rlnOriginYAngst")
_ORIGINS_PX = ("rlnOriginX", "rlnOriginY")
_DEFOCUS = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle")
_PHASE_SHIFT, _BFACTOR = "rlnPhaseShift", "rlnCtfBfactor"
_IMAGE_NAME, _IMAGE_ID, _SUBSET, _OPTICS = "rlnImageName", "rlnImageId", "rlnRandomSubset", "rlnOpticsGroup"
_VOLTAGE, _CS, _AMPLITUDE = "rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast"
_PIXEL, _BOX, _NAME, _DIMENSION = "rlnImagePixelSize", "rlnImageSize", "rlnOpticsGroupName", "rlnImageDimensionality"
_MAGNIFICATION, _DETECTOR = "rlnMagnification", "rlnDetectorPixelSize"
_PREMULTIPLIED, _FLIPPED = "rlnCtfDataAreCtfPremultiplied", "rlnCtfDataArePhaseFlipped"

#: Columns that matter to the image and that the forward model leaves out: they pass through and are named in reports.
NOT_MODELLED = (
    "rlnBeamTiltX",
    "rlnBeamTiltY",
    "rlnOddZernike",
    "rlnEvenZernike",
    "rlnMagMat00",
    "rlnMagMat01",
    "rlnMagMat10",
    "rlnMagMat11",
    "rlnMtfFileName",
    "rlnCtfScalefactor",
)

_REQUIREMENTS = {
    "poses": (_ANGLES, "orientations", "align the particles first, or give particles with angles"),
    "ctf": (_DEFOCUS[:2], "CTF", "estimate the CTF and extract the particles with it"),
    "subset": ((_SUBSET,), "half sets", "run a gold-standard refinement, or let half sets be drawn"),
}


def read_particles(path, require: Sequence[str] = ()) -> ParticleTable:
    """Read a particle STAR file.

    Parameters
    ----------
    path : STAR file.
    require : what must be there, of "poses", "ctf", "subset".

    Raises
    ------
    InputError : unreadable or empty file, a column that is missing or holds something that is no number, unknown optics
        group, missing stack where the box size has to be read from it.
    """
    path = Path(path)
    particles, optics_block = _blocks(path)
    columns = _columns(particles)
    if _IMAGE_NAME not in columns or not columns[_IMAGE_NAME]:
        raise InputError(f"{path} has no column _{_IMAGE_NAME} with particles in it; give a STAR file of particles.")
    for name in require:
        labels, what, remedy = _REQUIREMENTS[name]
        for label in labels:
            if label not in columns:
                raise InputError(f"{path} has no column _{label}: the particles have no {what}; {remedy}.")
    reader = _Reader(path, columns)
    stack_paths, stack_index, slice_index = _image_references(path, reader.take(_IMAGE_NAME))
    optics, optics_index = reader.optics(optics_block, stack_paths, stack_index)
    pixel = np.array([o.pixel_size_angstrom for o in optics])[optics_index]
    explicit = _IMAGE_ID in columns
    ids = reader.integers(_IMAGE_ID) if explicit else np.arange(1, reader.number + 1, dtype=np.int64)
    rotations, shifts = reader.poses(pixel)
    return ParticleTable(
        ids=ids,
        stack_paths=stack_paths,
        stack_index=stack_index,
        slice_index=slice_index,
        optics=optics,
        optics_index=optics_index,
        rotations=rotations,
        shifts_px=shifts,
        ctf=reader.ctf(optics, optics_index),
        random_subset=reader.integers(_SUBSET) if _SUBSET in columns else None,
        scores=reader.scores(),
        extra=reader.remaining(),
        explicit_ids=explicit,
    )


def _blocks(path: Path):
    if not path.is_file():
        raise InputError(f"Particle file {path} does not exist; check the path.")
    try:
        document = gemmi.cif.read_file(str(path))
    except (ValueError, RuntimeError, OSError) as error:
        raise InputError(
            f"{path} cannot be read as a STAR file ({error}); give a RELION particle STAR file."
        ) from error
    optics = particles = None
    for block in document:
        tags = _columns(block)
        if _IMAGE_NAME in tags:
            particles = block
        elif _NAME in tags or block.name == "optics":
            optics = block
    if particles is None:
        raise InputError(f"{path} has no column _{_IMAGE_NAME}; give a STAR file of particles.")
    return particles, optics


def _columns(block) -> Dict[str, List[str]]:
    for item in block:
        if item.loop is not None:
            width, values = item.loop.width(), item.loop.values
            return {tag[1:]: values[i::width] for i, tag in enumerate(item.loop.tags)}
    return {item.pair[0][1:]: [item.pair[1]] for item in block if item.pair is not None}


class _Reader:
    """Takes typed columns out of the text columns; what is not taken remains verbatim."""

    def __init__(self, path: Path, columns: Dict[str, List[str]]):
        self.path, self.columns, self.taken = path, columns, {_IMAGE_ID, _SUBSET, _OPTICS}
        self.number = len(columns[_IMAGE_NAME])

    def take(self, label: str) -> List[str]:
        self.taken.add(label)
        return self.columns[label]

    def floats(self, label: str, default: Optional[float] = None) -> np.ndarray:
        if label not in self.columns:
            if default is None:
                raise InputError(f"{self.path} has no column _{label}; give a complete STAR file.")
            return np.full(self.number, default)
        values = self.take(label)
        return _to_floats(values, label, self.path)

    def integers(self, label: str) -> np.ndarray:
        return self.floats(label).astype(np.int64)

    def poses(self, pixel: np.ndarray) -> Tuple[Optional[np.ndarray], Optional[np.ndarray]]:
        shifts = None
        if all(c in self.columns for c in _ORIGINS_ANGSTROM):
            origin = np.stack([self.floats(c) for c in _ORIGINS_ANGSTROM], axis=1)
            shifts = conventions.origin_angstrom_to_shifts_px(origin, pixel)
        elif all(c in self.columns for c in _ORIGINS_PX):
            shifts = conventions.origin_angstrom_to_shifts_px(
                np.stack([self.floats(c) for c in _ORIGINS_PX], axis=1), 1.0
            )
        if not all(c in self.columns for c in _ANGLES):
            return None, shifts
        rotations = conventions.euler_deg_to_rotations(np.stack([self.floats(c) for c in _ANGLES], axis=1))
        return rotations, np.zeros((self.number, 2)) if shifts is None else shifts

    def ctf(self, optics, optics_index) -> Optional[CtfTable]:
        if not all(c in self.columns for c in _DEFOCUS[:2]):
            return None
        acquisition: List[np.ndarray] = []
        for attribute, label in (
            ("voltage_kv", _VOLTAGE),
            ("spherical_aberration_mm", _CS),
            ("amplitude_contrast", _AMPLITUDE),
        ):
            values = [getattr(o, attribute) for o in optics]
            if None in values:
                raise InputError(
                    f"{self.path} has defocus values and no _{label}; add the acquisition parameters to the optics "
                    "table."
                )
            acquisition.append(np.array(values, dtype=np.float64)[optics_index])
        voltage, aberration, contrast = acquisition
        return CtfTable(
            self.floats(_DEFOCUS[0]),
            self.floats(_DEFOCUS[1]),
            self.floats(_DEFOCUS[2], 0.0),
            self.floats(_PHASE_SHIFT, 0.0),
            voltage,
            aberration,
            contrast,
            self.floats(_BFACTOR, 0.0),
        )

    def optics(self, block, stack_paths, stack_index) -> Tuple[Tuple[OpticsGroup, ...], np.ndarray]:
        if block is None:
            return self._optics_of_30(stack_paths, stack_index)
        table = _columns(block)
        number = len(next(iter(table.values()), []))
        numbers = _to_floats(table.get(_OPTICS, [str(i + 1) for i in range(number)]), _OPTICS, self.path).astype(int)
        wanted = self.integers(_OPTICS) if _OPTICS in self.columns else np.full(self.number, numbers[0])
        unknown = np.setdiff1d(wanted, numbers)
        if len(unknown):
            raise InputError(
                f"{self.path} has particles of optics group {unknown[0]} and its optics table does not; add the group."
            )
        index = np.searchsorted(np.sort(numbers), wanted)
        index = np.argsort(numbers)[index]
        rows = [{label: values[i] for label, values in table.items()} for i in range(number)]
        return tuple(self._group(row, stack_paths, stack_index[index == i]) for i, row in enumerate(rows)), index

    def _optics_of_30(self, stack_paths, stack_index):
        labels = [
            c
            for c in (_VOLTAGE, _CS, _AMPLITUDE, _PIXEL, _MAGNIFICATION, _DETECTOR, _FLIPPED, _PREMULTIPLIED)
            if c in self.columns
        ]
        keys = list(zip(*(self.take(c) for c in labels))) if labels else [()] * self.number
        distinct = {key: i for i, key in enumerate(dict.fromkeys(keys))}
        index = np.array([distinct[key] for key in keys])
        groups = []
        for key, i in distinct.items():
            row = dict(zip(labels, key), **{_NAME: f"opticsGroup{i + 1}"})
            if _PIXEL not in row and _MAGNIFICATION in row and _DETECTOR in row:
                detector, magnification = (_to_floats([row[c]], c, self.path)[0] for c in (_DETECTOR, _MAGNIFICATION))
                row[_PIXEL] = repr(1e4 * detector / magnification)
            groups.append(self._group(row, stack_paths, stack_index[index == i]))
        return tuple(groups), index

    def _group(self, row: Dict[str, str], stack_paths, stack_index) -> OpticsGroup:
        row = dict(row)
        row.pop(_OPTICS, None)
        row.pop(_DIMENSION, None)
        name = gemmi.cif.as_string(row.pop(_NAME, "opticsGroup1"))

        def number(label):
            text = row.pop(label, None)
            return None if text is None else float(_to_floats([text], label, self.path)[0])

        pixel, box = number(_PIXEL), number(_BOX)
        if pixel is None or pixel <= 0:
            raise InputError(f"{self.path}: optics group {name} has pixel size {pixel}; give a positive _{_PIXEL}.")
        if box is None:
            box = read_stack_header(stack_paths[stack_index[0]])[1] if len(stack_index) else 0
        premultiplied, flipped = number(_PREMULTIPLIED), number(_FLIPPED)
        state = "ctf-premultiplied" if premultiplied else "phase-flipped" if flipped else "raw"
        return OpticsGroup(name, pixel, int(box), number(_VOLTAGE), number(_CS), number(_AMPLITUDE), state, row)

    def scores(self) -> Dict[str, np.ndarray]:
        return {c: self.floats(c) for c in self.columns if c.startswith(SCORE_PREFIX) and c not in TEXT_COLUMNS}

    def remaining(self) -> Dict[str, np.ndarray]:
        return {c: np.array(v, dtype=object) for c, v in self.columns.items() if c not in self.taken}


def _to_floats(values: Sequence[str], label: str, path: Path) -> np.ndarray:
    try:
        numbers = np.array(values, dtype=np.float64)
    except ValueError:
        row, text = next((i, v) for i, v in enumerate(values) if not _is_number(v))
        raise InputError(
            f"{path}: _{label} of particle {row + 1} is {text!r}, which is no number; repair the file."
        ) from None
    if not np.isfinite(numbers).all():
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise InputError(
            f"{path}: _{label} of particle {row + 1} is {values[row]}; repair the file or remove the particle."
        )
    return numbers


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _image_references(star: Path, names: Sequence[str]):
    """Stack paths (resolved), the index of each particle's stack, and its slice from 0."""
    found: Dict[str, int] = {}
    stack_index = np.empty(len(names), dtype=np.int64)
    slice_index = np.empty(len(names), dtype=np.int64)
    for i, raw in enumerate(names):
        number, at, stack = gemmi.cif.as_string(raw).partition("@")
        if not at:
            number, stack = "1", number
        if not number.isdigit() or int(number) < 1:
            raise InputError(f"{star}: _{_IMAGE_NAME} of particle {i + 1} is {raw!r}; write it as 000001@stack.mrcs.")
        stack_index[i] = found.setdefault(stack, len(found))
        slice_index[i] = int(number) - 1
    return tuple(_resolve(star, stack) for stack in found), stack_index, slice_index


def _resolve(star: Path, stack: str) -> Path:
    for candidate in (Path(stack), star.parent / stack, star.parent / Path(stack).name):
        if candidate.exists():
            return candidate
    return Path(stack)


def columns_not_modelled(table: ParticleTable) -> List[str]:
    """Columns that matter to the images, are not in the forward model, and pass through unchanged."""
    present = set(table.extra) | {label for group in table.optics for label in group.extra}
    return [label for label in NOT_MODELLED if label in present]


def write_particles(path, table: ParticleTable) -> None:
    """Write RELION 3.1; stacks under the working directory are named relative to it, as RELION wants them."""
    with atomic_path(path) as part:
        with open(part, "w", encoding="utf-8") as handle:
            _write_loop(handle, "optics", _optics_columns(table))
            _write_loop(handle, "particles", _particle_columns(table))


def _write_loop(handle, block: str, columns: Mapping[str, Sequence[str]]) -> None:
    handle.write(f"\ndata_{block}\n\nloop_\n")
    handle.writelines(f"_{label} #{i}\n" for i, label in enumerate(columns, 1))
    handle.writelines(" ".join(row) + "\n" for row in zip(*columns.values()))
    handle.write("\n")


def _optics_columns(table: ParticleTable) -> Dict[str, List[str]]:
    optics = table.optics
    columns = {
        _OPTICS: [str(i + 1) for i in range(len(optics))],
        _NAME: [o.name.replace(" ", "_") for o in optics],
        _PIXEL: [f"{o.pixel_size_angstrom:.6f}" for o in optics],
        _BOX: [str(o.box_size_px) for o in optics],
        _DIMENSION: ["2"] * len(optics),
    }
    for label, attribute in (
        (_VOLTAGE, "voltage_kv"),
        (_CS, "spherical_aberration_mm"),
        (_AMPLITUDE, "amplitude_contrast"),
    ):
        values = [getattr(o, attribute) for o in optics]
        if any(v is not None for v in values):
            columns[label] = [_known(v, label, o.name) for v, o in zip(values, optics)]
    if any(o.image_state != "raw" for o in optics):
        columns[_PREMULTIPLIED] = [str(int(o.image_state == "ctf-premultiplied")) for o in optics]
        columns[_FLIPPED] = [str(int(o.image_state == "phase-flipped")) for o in optics]
    for label in dict.fromkeys(k for o in optics for k in o.extra):
        columns[label] = [_known(o.extra.get(label), label, o.name) for o in optics]
    return columns


def _known(value, label: str, group: str) -> str:
    if value is None:
        raise InputError(f"Optics group {group} has no _{label} while others have; give it to all groups.")
    return value if isinstance(value, str) else f"{value:.6f}"


def _particle_columns(table: ParticleTable) -> Dict[str, Sequence[str]]:
    names = [_written_path(p) for p in table.stack_paths]
    columns: Dict[str, Sequence[str]] = {
        _IMAGE_NAME: [_quoted(f"{s + 1:06d}@{names[k]}") for s, k in zip(table.slice_index, table.stack_index)],
        _OPTICS: [str(i + 1) for i in table.optics_index],
    }
    if table.explicit_ids:
        columns[_IMAGE_ID] = [str(i) for i in table.ids]
    if table.rotations is not None:
        angles = conventions.rotations_to_euler_deg(table.rotations)
        columns.update({label: _format(angles[:, i]) for i, label in enumerate(_ANGLES)})
    if table.shifts_px is not None:
        origin = conventions.shifts_px_to_origin_angstrom(table.shifts_px, table.pixel_size_angstrom)
        columns.update({label: _format(origin[:, i]) for i, label in enumerate(_ORIGINS_ANGSTROM)})
    if table.ctf is not None:
        ctf = table.ctf
        columns.update(
            zip(_DEFOCUS, map(_format, (ctf.defocus_u_angstrom, ctf.defocus_v_angstrom, ctf.defocus_angle_deg)))
        )
        columns[_PHASE_SHIFT] = _format(ctf.phase_shift_deg)
        if ctf.bfactor_angstrom2.any():
            columns[_BFACTOR] = _format(ctf.bfactor_angstrom2)
    if table.random_subset is not None:
        columns[_SUBSET] = [str(i) for i in table.random_subset]
    # a lone old angle or origin of the input must not overwrite or contradict the poses
    ours = set(columns)
    if table.rotations is not None:
        ours.update(_ANGLES)
    if table.shifts_px is not None:
        ours.update(_ORIGINS_ANGSTROM + _ORIGINS_PX)
    columns.update({label: list(values) for label, values in table.extra.items() if label not in ours})
    columns.update({label: [f"{v:.9g}" for v in values] for label, values in table.scores.items()})
    return columns


def _quoted(text: str) -> str:
    """A path with spaces would fall into two columns."""
    return gemmi.cif.quote(text) if " " in text else text


def _format(values: np.ndarray) -> Sequence[str]:
    return np.char.mod("%.6f", np.asarray(values, dtype=np.float64)).tolist()


def _written_path(path: Path) -> str:
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.startswith("..") else relative
