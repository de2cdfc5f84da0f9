"""Plausibility of a set of particles: impossible values are errors, unlikely ones are questions.

`particle_questions` checks the acquisition, the CTF and the origins; `pose_problem` and
`pose_questions` check the poses; `kinship_question` compares two sets. Scipion's GUI imports this
module, so it must work with Python 3.8.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np

from ..errors import InputError
from ..quantities import (
    ACQUISITION,
    BFACTOR,
    DEFOCUS,
    PHASE_PLATE_DEG,
    PHASE_SHIFT,
    defocus_questions,
    extremes,
    width_questions,
)
from ..types import CtfTable, OpticsGroup, ParticleTable

_ONE_TURN_RAD = 2 * np.pi
#: A particle is reported if its defocus differs from that of the set by more than this factor.
_LONELY_DEFOCUS = 8.0
#: If the two defoci of one image differ by more than this, and by more than half, the columns are
#: in different units or the CTF fit failed.
_ASTIGMATISM_ANGSTROM, _LARGEST_ASTIGMATISM_ANGSTROM = 2000.0, 10000.0
#: Fewest different values whose range is informative.
_FEWEST_VALUES = 5
#: Largest difference between the defoci of one particle in two sets, refined or not; and the share
#: of particles that counts as most.
_SAME_DEFOCUS_ANGSTROM, _MOST = 1000.0, 0.5
_FEWEST_POSES, _FEWEST_IMAGES = 10, 3
#: Rotations count as equal within this (Frobenius norm).
_SAME = 1e-5
#: The poses of real particles never all lie within such an angle: their in-plane angles are
#: arbitrary.
_NARROW_DEG = 20.0


# ---- acquisition, CTF and origins ------------------------------------------------------------


def particle_questions(table: ParticleTable, what: str) -> List[str]:
    """Questions about acquisition, CTF and origins of particles; InputError for impossible values."""
    asked: List[str] = []
    for group in np.unique(table.optics_index):
        asked += _group_questions(table.optics[group], what)
    if table.ctf is not None and len(table):
        asked += _ctf_questions(table, table.ctf, what)
    return asked + _origin_questions(table, what)


def _group_questions(optics: OpticsGroup, what: str) -> List[str]:
    from ..io.star_optics import aberration_questions  # imported here, because it loads SciPy

    asked = []
    for attribute, quantity in ACQUISITION.items():
        value = getattr(optics, attribute)
        if value is not None:
            asked += quantity.question(
                value, f"{what}: the {quantity.name} of optics group {optics.name}"
            )
    asked += aberration_questions(optics, what)
    if not asked and optics.box_size_px:
        subject = f"{what}: the width of the images of optics group {optics.name}"
        asked += width_questions(subject, optics.box_size_px, optics.pixel_size_angstrom)
    return asked


def _ctf_questions(table: ParticleTable, ctf: CtfTable, what: str) -> List[str]:
    u, v = ctf.defocus_u_angstrom, ctf.defocus_v_angstrom
    asked = defocus_questions(
        np.stack([u, v]), float(np.median(ctf.phase_shift_deg)), f"{what}: the {DEFOCUS.name}"
    )
    if not asked:
        asked += _lonely_defocus(
            table, np.maximum(abs(u), abs(v)), np.minimum(abs(u), abs(v)), ctf, what
        )

    asked += _astigmatism_questions(table, u, v, what)
    asked += _angle_questions(
        ctf.defocus_angle_deg[abs(u - v) > 1.0],
        f"{what}: the angle of the astigmatism (_rlnDefocusAngle)",
    )
    asked += _phase_shift_questions(ctf.phase_shift_deg, what)
    for value in extremes(ctf.bfactor_angstrom2):
        asked += BFACTOR.question(value, f"{what}: the {BFACTOR.name} of a particle")
    return asked


def _lonely_defocus(
    table: ParticleTable, largest: np.ndarray, smallest: np.ndarray, ctf: CtfTable, what: str
) -> List[str]:
    """The question about a few particles whose defocus is far from that of the set."""
    typical = float(np.median(largest))
    far = (largest > _LONELY_DEFOCUS * typical) | (largest > DEFOCUS.usual[1])
    if abs(np.median(ctf.phase_shift_deg)) < PHASE_PLATE_DEG:
        far |= largest < typical / _LONELY_DEFOCUS
    if not far.any():
        return []
    row = int(np.flatnonzero(far)[0])
    return [
        f"{what}: the defocus of particle {table.ids[row]} is {smallest[row]:.6g} to "
        f"{largest[row]:.6g} Å, whereas that of the set is about {typical:.0f} "
        f"Å{_and_others(far)}: is that right?"
    ]


def _and_others(mask: np.ndarray) -> str:
    others = int(mask.sum()) - 1
    return f", and {others} more {'is' if others == 1 else 'are'} as far off" if others else ""


def _astigmatism_questions(
    table: ParticleTable, u: np.ndarray, v: np.ndarray, what: str
) -> List[str]:
    difference = np.abs(u - v)
    absurd = (difference > _ASTIGMATISM_ANGSTROM) & (difference > 0.5 * np.maximum(abs(u), abs(v)))
    absurd |= difference > _LARGEST_ASTIGMATISM_ANGSTROM
    if not absurd.any():
        return []
    row = int(np.argmax(difference))
    return [
        f"{what}: the two defoci of particle {table.ids[row]} are {u[row]:.6g} and {v[row]:.6g} Å"
        f"{_and_others(absurd)}: are both columns in the same unit, and did the CTF fit succeed?"
    ]


def _angle_questions(angles_deg: np.ndarray, subject: str) -> List[str]:
    """The question about angles that seem to be in radians: all are below 2 pi and they spread over
    that range.
    """
    distinct = np.unique(np.round(angles_deg, 4))
    if (
        len(distinct) < _FEWEST_VALUES
        or np.abs(distinct).max() > _ONE_TURN_RAD
        or np.ptp(distinct) < 1.5
    ):
        return []
    return [
        f"{subject} is {distinct[0]:.3g} to {distinct[-1]:.3g} in all {len(angles_deg)} particles "
        "that have one: were radians typed where degrees are needed?"
    ]


def _phase_shift_questions(phase_shift_deg: np.ndarray, what: str) -> List[str]:
    subject, asked = f"{what}: the {PHASE_SHIFT.name} of a particle", []
    for value in extremes(phase_shift_deg):
        asked += PHASE_SHIFT.question(value, subject)
    some = phase_shift_deg[phase_shift_deg != 0]
    if len(some) and 0.15 < np.median(np.abs(some)) and np.abs(some).max() <= np.pi:
        asked.append(
            f"{what}: the {PHASE_SHIFT.name} is {some.min():.3g} to {some.max():.3g}: were radians "
            "typed where degrees are needed?"
        )
    return asked


def _origin_questions(table: ParticleTable, what: str) -> List[str]:
    if table.shifts_px is None or not len(table):
        return []
    reach = np.abs(table.shifts_px).max(axis=1)
    far = reach > table.box_size_px / 2
    if not far.any():
        return []
    row = int(np.argmax(np.where(far, reach, 0)))
    return [
        f"{what}: the origin of particle {table.ids[row]} lies {reach[row]:.4g} px from the centre "
        f"of its image, which is {table.box_size_px[row]} px wide{_and_others(far)}: were the "
        "particles extracted again, or was the unit changed?"
    ]


# ---- two sets ---------------------------------------------------------------------------------


def kinship_question(a: ParticleTable, b: ParticleTable, common: int) -> List[str]:
    """The question whether two sets that share ids hold the same particles.

    a, b : some of the `common` particles. Raises InputError if both the images and the defoci
        differ; without defoci, a question is returned.
    """
    _, rows_a, rows_b = np.intersect1d(a.ids, b.ids, return_indices=True)
    a, b = a.take(rows_a), b.take(rows_b)
    other = np.array([_image(a, row) != _image(b, row) for row in range(len(a))])
    if not len(a) or other.mean() <= _MOST:
        return []

    row = int(np.flatnonzero(other)[0])
    in_a, in_b = (" of ".join(_image(table, row)) for table in (a, b))
    shared = (
        f"The two sets share {common} ids but not the images: id {a.ids[row]} is image {in_a} in "
        f"one and {in_b} in the other"
    )
    if a.ctf is None or b.ctf is None:
        return [f"{shared}; do they come from the same particles?"]

    first, second = (0.5 * (c.defocus_u_angstrom + c.defocus_v_angstrom) for c in (a.ctf, b.ctf))
    if (np.abs(first - second) > _SAME_DEFOCUS_ANGSTROM).mean() > _MOST:
        raise InputError(
            f"{shared}, with a defocus of {first[row]:.0f} and {second[row]:.0f} Å; give two sets "
            "that come from the same particles."
        )

    return []


def _image(table: ParticleTable, row: int) -> Tuple[str, str]:
    return str(table.slice_index[row] + 1), str(table.stack_paths[table.stack_index[row]])


# ---- poses ------------------------------------------------------------------------------------


def pose_problem(table: ParticleTable, what: str) -> Optional[str]:
    """What is wrong with poses that are all equal or share one viewing direction; otherwise None."""
    images = np.stack([table.stack_index, table.slice_index], axis=1)
    number = len(np.unique(images, axis=0))
    if table.rotations is None or number < _FEWEST_IMAGES:
        return None

    remedy = "estimate their poses first, with `cryoposes infer` or `cryoposes initial-volume`"
    first = table.rotations[0]
    if np.abs(table.rotations - first).max() < _SAME:
        equal = (
            "rot = tilt = psi = 0"
            if np.abs(first - np.eye(3)).max() < _SAME
            else "the same orientation"
        )
        return f"{what}: the particles were never aligned: all {len(table)} have {equal}; {remedy}."

    directions = table.rotations[:, 2]  # see `conventions.viewing_directions`
    if np.abs(directions - directions[0]).max() < _SAME:
        return (
            f"{what}: all {len(table)} particles have the same viewing direction and differ only "
            f"in-plane, as after a 2D classification; {remedy}."
        )

    return None


def pose_questions(table: ParticleTable, what: str) -> List[str]:
    """Questions about poses that are unlikely to be estimates."""
    rotations = table.rotations
    if rotations is None or len(table) < _FEWEST_IMAGES:
        return []
    zero = np.abs(rotations - np.eye(3)).max(axis=(1, 2)) < _SAME
    if zero.sum() >= _FEWEST_IMAGES:
        return [
            f"{what}: {zero.sum()} of {len(table)} particles have rot = tilt = psi = 0: were these "
            "never aligned?"
        ]
    if len(table) < _FEWEST_POSES:
        return []
    if _angles_deg(rotations, np.eye(3)).max() < _NARROW_DEG:
        return [
            f"{what}: all {len(table)} poses lie within "
            f"{_angles_deg(rotations, np.eye(3)).max():.1f}° of rot = tilt = psi = 0: were radians "
            "typed where degrees are needed?"
        ]
    if _angles_deg(rotations, rotations[0]).max() < _NARROW_DEG:
        return [
            f"{what}: all {len(table)} poses lie within "
            f"{_angles_deg(rotations, rotations[0]).max():.1f}° of one another: are these the "
            "poses of the particles?"
        ]
    from ..conventions import rotations_to_euler_deg  # imported here, because it loads SciPy

    return _angle_questions(
        rotations_to_euler_deg(rotations)[:, 2], f"{what}: the angle psi (_rlnAnglePsi)"
    )


def _angles_deg(rotations: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(N,) angles between each rotation and another one."""
    cosine = (np.einsum("nij,ij->n", rotations, other) - 1) / 2
    return np.rad2deg(np.arccos(np.clip(cosine, -1, 1)))
