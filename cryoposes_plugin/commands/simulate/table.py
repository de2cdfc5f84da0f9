"""The particles of a simulation, as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import numpy as np

from ...core.fourier.aberrations import recorded_shifts, true_shifts
from ...core.image_kinds import PARTICLE, kinds_as_text
from ...core.image_truth import as_texts
from ...core.io import star_labels
from ...core.io.star_optics import aberrations_of
from ...core.scores import POSE_SOURCE, TRUE_KIND
from ...core.types import OpticsGroup, ParticleTable
from .draws import Draws
from .inputs import SimulationInputs

_COLUMNS_PER_MICROGRAPH = 10


def particle_table(stack: Path, inputs: SimulationInputs, drawn: Draws) -> ParticleTable:
    """The simulated particles with their true poses: ids 1 to N, in the order of the stack."""
    n = len(drawn.rotations)
    number = np.arange(n)
    places = _places(drawn, inputs.box_size_px)
    names = drawn.micrograph_names[drawn.micrograph].astype(object)
    extra = {
        star_labels.COORDINATE_X: np.char.mod("%.1f", places[:, 0]).astype(object),
        star_labels.COORDINATE_Y: np.char.mod("%.1f", places[:, 1]).astype(object),
        star_labels.MICROGRAPH_NAME: names,
        POSE_SOURCE: np.full(n, "truth", dtype=object),
        **as_texts(drawn.truth),
    }
    if (drawn.kind != PARTICLE).any():
        extra[TRUE_KIND] = kinds_as_text(drawn.kind)
    if len(inputs.volumes) > 1:
        extra[star_labels.CLASS_NUMBER] = np.char.mod("%d", drawn.volume_index + 1).astype(object)

    optics = drawn.optics if drawn.stated_optics is None else drawn.stated_optics
    return ParticleTable(
        ids=number + 1,
        stack_paths=(stack,),
        stack_index=np.zeros(n, dtype=np.int64),
        slice_index=number,
        optics=optics,
        optics_index=drawn.optics_index,
        rotations=drawn.rotations,
        shifts_px=_shifts_in(optics, drawn),
        ctf=drawn.ctf if drawn.stated_ctf is None else drawn.stated_ctf,
        extra=extra,
    )


def _places(drawn: Draws, box_size_px: int) -> np.ndarray:
    """(N, 2) coordinates of the picks: row by row on each micrograph, a duplicate beside its
    source.
    """
    micrograph = drawn.micrograph
    order = np.argsort(micrograph, kind="stable")
    first = np.searchsorted(micrograph[order], micrograph[order])
    place = np.empty_like(order)
    place[order] = np.arange(len(order)) - first
    column, row = place % _COLUMNS_PER_MICROGRAPH, place // _COLUMNS_PER_MICROGRAPH
    places = (np.stack([column, row], axis=1) + 0.5) * box_size_px
    if drawn.duplicates is not None:
        places = places[drawn.duplicates.source] - drawn.duplicates.step_px
    return places


def _shifts_in(optics: Tuple[OpticsGroup, ...], drawn: Draws) -> np.ndarray:
    """Shifts of images that are corrected by what is stated, not by what is true."""
    shifts_px = drawn.shifts_px + drawn.off_centre_px
    if optics is drawn.optics:
        return shifts_px
    true, stated = (
        np.array([aberrations_of(group).matrix for group in groups])[drawn.optics_index]
        for groups in (drawn.optics, optics)
    )
    return true_shifts(recorded_shifts(shifts_px, true), stated)
