"""Optics groups, which scipion-em-relion keeps as STAR text in the acquisition of a set."""

from __future__ import annotations

import logging
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..core.errors import InputError
from ..core.io.star_labels import (
    ABERRATIONS,
    ACQUISITION,
    BOX_SIZE,
    DIMENSIONALITY,
    OPTICS_GROUP,
    OPTICS_NAME,
    PHASE_FLIPPED,
    PIXEL_SIZE,
    PREMULTIPLIED,
)
from ..core.texts import Texts
from ..core.types import OpticsGroup, ParticleTable

logger = logging.getLogger(__name__)

_MICROGRAPH_PIXEL = "rlnMicrographOriginalPixelSize"


def optics_groups(
    particles, keys: Sequence[Tuple[Any, ...]]
) -> Tuple[Tuple[OpticsGroup, ...], np.ndarray]:
    """The optics groups of a set, and (N,) the group of each of some keys.

    The STAR text of scipion-em-relion is used if there is one; pixel size, box size and phase
    flipping are those of the set. Without a text, particles with the same acquisition make a group.

    Parameters
    ----------
    particles : SetOfParticles.
    keys : of particles, (number of the optics group or None, voltage, Cs, amplitude contrast).
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
                f"Particles of {particles.getFileName()} belong to optics group {unknown[0]}, but "
                f"the optics table of the set has only {', '.join(map(str, rows))}; assign the "
                "optics groups again."
            )
        acquisition = acquisition_values(particles.getAcquisition())
        return tuple(_group(particles, rows[number], acquisition) for number in distinct), index

    return tuple(
        _group(particles, {OPTICS_NAME: f"opticsGroup{i + 1}"}, key[1:])
        for i, key in enumerate(distinct)
    ), index


def _common_row(particles, rows: List[Dict[str, str]]) -> Dict[str, str]:
    """What all optics groups have in common, for particles without the number of their group.

    RELION's import loses these numbers. Raises InputError if the groups differ in something that
    the images depend on and that is modelled.
    """
    for label in [label for _, label in ACQUISITION] + [PREMULTIPLIED, PHASE_FLIPPED]:
        values = {float(row.get(label, 0)) for row in rows}
        if len(values) > 1:
            raise InputError(
                f"The particles of {particles.getFileName()} do not say which optics group they "
                f"belong to, but the groups differ in {label} "
                f"({', '.join(f'{v:g}' for v in sorted(values))}); assign the optics groups again."
            )
    differ = [label for label in ABERRATIONS if len({row.get(label) for row in rows}) > 1]
    if differ:
        logger.warning(
            "The particles of %s do not say which optics group they belong to, but the groups "
            "differ in %s, which is therefore not corrected.",
            particles.getFileName(),
            ", ".join(differ),
        )
    common = {
        label: value
        for label, value in rows[0].items()
        if all(row.get(label) == value for row in rows)
    }
    return {**common, OPTICS_NAME: rows[0].get(OPTICS_NAME, "opticsGroup1")}


def acquisition_values(acquisition) -> Tuple[Any, Any, Any]:
    """Voltage (kV), spherical aberration (mm) and amplitude contrast; None if unknown."""
    return (
        acquisition.getVoltage(),
        acquisition.getSphericalAberration(),
        acquisition.getAmplitudeContrast(),
    )


def _text_rows(particles) -> Dict[Optional[int], Dict[str, str]]:
    """Rows of the optics table by group number; empty if the set has no table."""
    text = particles.getAcquisition().opticsGroupInfo.get()
    if not text:
        return {}
    from ..core.io.star_grammar import parse

    columns: Dict[str, Texts] = {}
    for table in parse(text, f"The optics groups of {particles.getFileName()}"):
        columns.update(table.columns)
    number = len(next(iter(columns.values()), []))
    rows = [{label: values[i] for label, values in columns.items()} for i in range(number)]
    return {int(row.get(OPTICS_GROUP, i + 1)): row for i, row in enumerate(rows)}


def _group(particles, row: Dict[str, str], acquisition: Sequence[Any]) -> OpticsGroup:
    row = {
        k: v
        for k, v in row.items()
        if k not in (OPTICS_GROUP, PIXEL_SIZE, BOX_SIZE, DIMENSIONALITY)
    }
    values = {}
    for (attribute, label), fallback in zip(ACQUISITION, acquisition):
        text = row.pop(label, None)
        values[attribute] = fallback if text is None else float(text)

    premultiplied = float(row.pop(PREMULTIPLIED, 0))
    flipped = float(row.pop(PHASE_FLIPPED, 0)) or particles.isPhaseFlipped()
    state = "ctf-premultiplied" if premultiplied else "phase-flipped" if flipped else "raw"
    name = row.pop(OPTICS_NAME, "opticsGroup1")
    return OpticsGroup(
        name,
        particles.getSamplingRate(),
        particles.getXDim(),
        image_state=state,
        extra=row,
        **values,
    )


def can_share_a_set(first: OpticsGroup, other: OpticsGroup) -> bool:
    """Whether box size, pixel size and image state are the same; a Scipion set has one of each."""
    pixels = first.pixel_size_angstrom, other.pixel_size_angstrom
    alike = first.box_size_px == other.box_size_px and first.image_state == other.image_state
    return alike and abs(pixels[1] - pixels[0]) <= 1e-4 * pixels[0]


def kind_of_images(group: OpticsGroup) -> str:
    """In words: "raw images of 64 px at 4 Å"."""
    size, pixel = group.box_size_px, group.pixel_size_angstrom
    return f"{group.image_state} images of {size} px at {pixel:g} Å"


def set_optics(output, table: ParticleTable, magnification: float) -> None:
    """Set pixel size, acquisition, image state and optics text of an empty SetOfParticles.

    Raises InputError if the groups differ in box size, pixel size or image state, which a Scipion
    set cannot have.
    """
    from pwem.objects import Acquisition

    first = table.optics[0]
    for other in table.optics[1:]:
        if not can_share_a_set(first, other):
            raise InputError(
                f"Optics groups {first.name} and {other.name} differ in box size, pixel size or "
                "image state, which is not possible in one Scipion set; split the particles by "
                "optics group."
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
    """The STAR text of optics groups for scipion-em-relion."""
    from ..core.io.star_grammar import format_table

    columns: Dict[str, List[str]] = {
        OPTICS_NAME: [g.name.replace(" ", "_") for g in groups],
        OPTICS_GROUP: [str(i + 1) for i in range(len(groups))],
        _MICROGRAPH_PIXEL: [
            g.extra.get(_MICROGRAPH_PIXEL, f"{g.pixel_size_angstrom:.6f}") for g in groups
        ],
    }
    for attribute, label in ACQUISITION:
        if all(getattr(g, attribute) is not None for g in groups):
            columns[label] = [f"{getattr(g, attribute):.6f}" for g in groups]
    columns[PIXEL_SIZE] = [f"{g.pixel_size_angstrom:.6f}" for g in groups]
    columns[BOX_SIZE] = [str(g.box_size_px) for g in groups]
    columns[DIMENSIONALITY] = ["2"] * len(groups)
    if any(g.image_state == "ctf-premultiplied" for g in groups):
        columns[PREMULTIPLIED] = [str(int(g.image_state == "ctf-premultiplied")) for g in groups]
    for label in dict.fromkeys(k for g in groups for k in g.extra if k not in columns):
        if all(label in g.extra for g in groups):
            columns[label] = [g.extra[label] for g in groups]
    return "\n# version 30001\n" + format_table("optics", columns, "The optics groups")
