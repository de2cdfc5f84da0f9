"""Optics groups: what scipion-em-relion keeps as STAR text in the acquisition of a set <-> the core's OpticsGroup."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..core.errors import InputError
from ..core.types import OpticsGroup, ParticleTable

_GROUP, _NAME, _PIXEL, _BOX = (
    "rlnOpticsGroup",
    "rlnOpticsGroupName",
    "rlnImagePixelSize",
    "rlnImageSize",
)
_DIMENSION, _MICROGRAPH_PIXEL = "rlnImageDimensionality", "rlnMicrographOriginalPixelSize"
_ACQUISITION = (
    ("rlnVoltage", "voltage_kv"),
    ("rlnSphericalAberration", "spherical_aberration_mm"),
    ("rlnAmplitudeContrast", "amplitude_contrast"),
)
_PREMULTIPLIED, _FLIPPED = "rlnCtfDataAreCtfPremultiplied", "rlnCtfDataArePhaseFlipped"


def optics_groups(
    particles, keys: Sequence[Tuple[Any, ...]]
) -> Tuple[Tuple[OpticsGroup, ...], np.ndarray]:
    """The groups of a set and each particle's group.

    Parameters
    ----------
    particles : SetOfParticles.
    keys : per particle (number of its optics group or None, voltage, Cs, amplitude contrast).

    The text that RELION's plugin keeps wins, where there is one; pixel size, box and phase flipping are those of the
    set. Without it, particles of one acquisition make a group.
    """
    rows = _text_rows(particles)
    if rows and any(key[0] is None for key in keys):
        rows = {None: _common_row(particles, list(rows.values()))}
        keys = [(None, *key[1:]) for key in keys]
    distinct = {
        key: i
        for i, key in enumerate(
            dict.fromkeys(key[0] for key in keys) if rows else dict.fromkeys(keys)
        )
    }
    index = np.array([distinct[key[0] if rows else key] for key in keys], dtype=np.int64)
    if rows:
        unknown = [number for number in distinct if number not in rows]
        if unknown:
            raise InputError(
                f"Particles of {particles.getFileName()} are of optics group {unknown[0]} and the set's optics table "
                f"has {', '.join(map(str, rows))}; assign the optics groups again."
            )
        acquisition = acquisition_values(particles.getAcquisition())
        return tuple(_group(particles, rows[number], acquisition) for number in distinct), index
    return tuple(
        _group(particles, {_NAME: f"opticsGroup{i + 1}"}, key[1:]) for i, key in enumerate(distinct)
    ), index


def _common_row(particles, rows: List[Dict[str, str]]) -> Dict[str, str]:
    """What all optics groups have in common, for particles that do not say theirs (RELION's import does not keep it).

    Raises InputError where the groups differ in something that the images depend on and that is modelled.
    """
    for label in [label for label, _ in _ACQUISITION] + [_PREMULTIPLIED, _FLIPPED]:
        values = {float(row.get(label, 0)) for row in rows}
        if len(values) > 1:
            raise InputError(
                f"The particles of {particles.getFileName()} do not say which optics group they are of, and the groups "
                f"differ in {label} ({', '.join(f'{v:g}' for v in sorted(values))}); assign the optics groups again."
            )
    common = {
        label: value
        for label, value in rows[0].items()
        if all(row.get(label) == value for row in rows)
    }
    return {**common, _NAME: rows[0].get(_NAME, "opticsGroup1")}


def acquisition_values(acquisition) -> Tuple[Any, Any, Any]:
    """Voltage (kV), spherical aberration (mm) and amplitude contrast of a Scipion acquisition; None for the unknown."""
    return (
        acquisition.getVoltage(),
        acquisition.getSphericalAberration(),
        acquisition.getAmplitudeContrast(),
    )


def _text_rows(particles) -> Dict[Optional[int], Dict[str, str]]:
    """Rows of the optics table by group number; empty where the set has none."""
    text = particles.getAcquisition().opticsGroupInfo.get()
    if not text:
        return {}
    from ..core.io.star_grammar import parse

    columns: Dict[str, List[str]] = {}
    for table in parse(text, f"The optics groups of {particles.getFileName()}"):
        columns.update(table.columns)
    number = len(next(iter(columns.values()), []))
    rows = [{label: values[i] for label, values in columns.items()} for i in range(number)]
    return {int(row.get(_GROUP, i + 1)): row for i, row in enumerate(rows)}


def _group(particles, row: Dict[str, str], acquisition: Sequence[Any]) -> OpticsGroup:
    row = {k: v for k, v in row.items() if k not in (_GROUP, _PIXEL, _BOX, _DIMENSION)}
    values = {}
    for (label, attribute), fallback in zip(_ACQUISITION, acquisition):
        text = row.pop(label, None)
        values[attribute] = fallback if text is None else float(text)
    premultiplied = float(row.pop(_PREMULTIPLIED, 0))
    flipped = float(row.pop(_FLIPPED, 0)) or particles.isPhaseFlipped()
    state = "ctf-premultiplied" if premultiplied else "phase-flipped" if flipped else "raw"
    name = row.pop(_NAME, "opticsGroup1")
    return OpticsGroup(
        name,
        particles.getSamplingRate(),
        particles.getXDim(),
        image_state=state,
        extra=row,
        **values,
    )


def set_optics(output, table: ParticleTable, magnification: float) -> None:
    """Give an empty SetOfParticles the pixel size, acquisition, image state and optics text of a table.

    Raises InputError where the groups differ in pixel size or box, which a Scipion set cannot hold.
    """
    from pwem.objects import Acquisition

    first = table.optics[0]
    for other in table.optics[1:]:
        if (other.box_size_px, other.image_state) != (first.box_size_px, first.image_state) or abs(
            other.pixel_size_angstrom - first.pixel_size_angstrom
        ) > 1e-4 * first.pixel_size_angstrom:
            raise InputError(
                f"Optics groups {first.name} and {other.name} differ in box, pixel size or image state, which one "
                "Scipion set cannot hold; split the particles by optics group."
            )
    acquisition = Acquisition(
        magnification=magnification,
        voltage=first.voltage_kv,
        amplitudeContrast=first.amplitude_contrast,
        sphericalAberration=first.spherical_aberration_mm,
    )
    acquisition.opticsGroupInfo.set(optics_star(table.optics))
    output.setAcquisition(acquisition)
    output.setSamplingRate(first.pixel_size_angstrom)
    output.setIsPhaseFlipped(first.image_state == "phase-flipped")


def optics_star(groups: Sequence[OpticsGroup]) -> str:
    """The STAR text of optics groups, as scipion-em-relion reads it."""
    from ..core.io.star_grammar import Table, format_table

    columns: Dict[str, List[str]] = {
        _NAME: [g.name.replace(" ", "_") for g in groups],
        _GROUP: [str(i + 1) for i in range(len(groups))],
        _MICROGRAPH_PIXEL: [
            g.extra.get(_MICROGRAPH_PIXEL, f"{g.pixel_size_angstrom:.6f}") for g in groups
        ],
    }
    for label, attribute in _ACQUISITION:
        if all(getattr(g, attribute) is not None for g in groups):
            columns[label] = [f"{getattr(g, attribute):.6f}" for g in groups]
    columns[_PIXEL] = [f"{g.pixel_size_angstrom:.6f}" for g in groups]
    columns[_BOX] = [str(g.box_size_px) for g in groups]
    columns[_DIMENSION] = ["2"] * len(groups)
    if any(g.image_state == "ctf-premultiplied" for g in groups):
        columns[_PREMULTIPLIED] = [str(int(g.image_state == "ctf-premultiplied")) for g in groups]
    for label in dict.fromkeys(k for g in groups for k in g.extra if k not in columns):
        if all(label in g.extra for g in groups):
            columns[label] = [g.extra[label] for g in groups]
    return "\n# version 30001\n" + format_table(
        Table("optics", columns, len(groups)), "The optics groups"
    )
