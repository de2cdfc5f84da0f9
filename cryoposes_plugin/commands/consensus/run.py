"""The `consensus` command: the particles on whose poses several sets agree within their errors."""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import numpy as np

from ...core import plots
from ...core.errors import InputError
from ...core.evaluation import calibration
from ...core.evaluation.consensus import Consensus, PoseSet, consensus, in_frame_of
from ...core.geometry.symmetry import symmetry_rotations
from ...core.io.covariances import (
    covariance_of_errors,
    covariance_texts,
    read_covariance,
    write_covariances,
)
from ...core.io.error_log import not_fatal
from ...core.io.ids import join
from ...core.io.names import ACCEPTED_NAME, REJECTED_NAME
from ...core.io.particle_files import read_particles, write_particle_results
from ...core.refinement.results import error_with_wrong_poses
from ...core.scores import (
    BASIN_ERROR,
    CONSENSUS,
    COVARIANCE,
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    POSE_SOURCE,
    WRONG_BASIN,
)
from ...core.types import ParticleTable
from ...core.values import counted
from ..report import write_report
from ..run_directory import RunDirectory
from .config import ConsensusConfig
from .pictures import TABLE_NAME

logger = logging.getLogger(__name__)

AGREE, ROTATION, SHIFT, MISSING = "agree", "rotations-differ", "shifts-differ", "not-in-all-sets"
#: A set that needs a rotation larger than this was not in the frame of the first.
_NOTABLE_TURN_DEG = 1.0
_FEWEST_PARTICLES = 2
#: Sets of one frame whose errors are right agree on more than this share of the particles.
_FEW = 0.05
_FEW_AGREE = (
    "Nearly no poses agree: the sets may lie in different frames (see --registration), or their "
    "expected errors may be too small."
)


@dataclass(frozen=True)
class _Joined:
    """The first set; the rows of it that are in all sets; and of these the tables of all sets.

    paths : of the sets. only_elsewhere : for each other set, its particles that the first lacks.
    """

    first: ParticleTable
    rows: np.ndarray
    tables: Tuple[ParticleTable, ...]
    paths: Tuple[str, ...]
    only_elsewhere: Tuple[int, ...]


def check(config: ConsensusConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    symmetry_rotations(config.symmetry)
    joined = _joined(config)
    for path, table in zip(joined.paths, joined.tables):
        _covariance(config, path, table)


def run(config: ConsensusConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write accepted.star (poses on which the sets agree), rejected.star (the rest of the first set,
    with the reason), covariance.npz, consensus.csv and the report; returns the metrics.
    """
    group = symmetry_rotations(config.symmetry)
    joined = _joined(config)
    sets, frames, notes = _in_one_frame(config, joined, group)
    found = consensus(sets, group, config.shared_errors)
    agree = found.agree(config.sigmas)

    reason = np.full(len(joined.first), MISSING, dtype=object)
    reason[joined.rows] = np.where(
        agree, AGREE, np.where(found.rotations_differ_more, ROTATION, SHIFT)
    )
    first = joined.first.replace(extra={**joined.first.extra, CONSENSUS: reason})
    accepted, covariance = _accepted(config, joined, sets, found, group)
    write_particle_results(run, ACCEPTED_NAME, accepted.take(np.flatnonzero(agree)))
    write_covariances(run, accepted.ids[agree], covariance[agree])
    write_particle_results(run, REJECTED_NAME, first.take(np.flatnonzero(reason != AGREE)))
    _write_table(run, joined, found, reason)

    metrics = _metrics(config, joined, sets, found, reason, group)
    metrics["frames"] = frames
    notes = [*_notes(metrics, joined), *notes]
    few = metrics["agree"] < _FEW * metrics["in_all_sets"]
    if few:
        notes.insert(1, _FEW_AGREE)
    for note in notes:
        logger.log(logging.WARNING if note == _FEW_AGREE else logging.INFO, "consensus: %s", note)
    with not_fatal(run.path, "its report"):
        title = "Differences in units of their covariance."
        figure = plots.chi_square_quantiles(found.chi_square, found.degrees[0])
        write_report(
            run.path,
            "Consensus of poses",
            lead=f"{counted(len(first), 'particle')} in {len(joined.paths)} sets.",
            numbers=metrics,
            notes=notes,
            figures={"chi_square": (title, figure)},
        )
    return {**metrics, "notes": notes}


def _joined(config: ConsensusConfig) -> _Joined:
    paths = (str(config.particles), *config.others)
    first, *others = (
        read_particles(path, ("poses",), config.images_from, config.passthrough) for path in paths
    )
    joins = [join(first, other, config.join_by) for other in others]
    rows = joins[0].rows_a
    for found in joins[1:]:
        rows = np.intersect1d(rows, found.rows_a)
    if len(rows) < _FEWEST_PARTICLES:
        raise InputError(
            f"The {len(paths)} sets have {counted(len(rows), 'particle')} in common; give sets of "
            "the same particles."
        )

    tables = [first.take(rows)]
    for found, other in zip(joins, others):
        place = np.searchsorted(found.rows_a, rows)
        tables.append(other.take(found.rows_b[place]))
    elsewhere = tuple(len(other) - len(found.rows_b) for found, other in zip(joins, others))
    return _Joined(first, rows, tuple(tables), paths, elsewhere)


def _covariance(config: ConsensusConfig, path: str, table: ParticleTable) -> np.ndarray:
    """(N, 5, 5) of the poses: their own, else from their expected errors, else as the config says."""
    found = read_covariance(path, table)
    if found is None and BASIN_ERROR in table.scores:
        shift_error = table.scores.get(EXPECTED_SHIFT_ERROR, np.zeros(len(table)))
        found = covariance_of_errors(np.deg2rad(table.scores[BASIN_ERROR]), shift_error)
    if found is None and config.error_deg is not None:
        turn, move = np.deg2rad(config.error_deg), config.error_angstrom or 0.0
        found = covariance_of_errors(np.full(len(table), turn), np.full(len(table), move))
    if found is None:
        raise InputError(
            f"{path} has no errors of its poses (_{COVARIANCE}, _{BASIN_ERROR}); refine them with "
            "`refine`, or give their expected error with --error-deg."
        )

    bad = np.flatnonzero(~(np.linalg.eigvalsh(found[:, :3, :3])[:, 0] > 0))
    if len(bad):
        raise InputError(
            f"Particle {table.ids[bad[0]]} of {path} has an expected error of 0°, or a covariance "
            "that is none; refine the poses again, or remove the particle."
        )
    return found


def _in_one_frame(
    config: ConsensusConfig, joined: _Joined, group: np.ndarray
) -> Tuple[List[PoseSet], List[Dict[str, Any]], List[str]]:
    """The sets in the frame of the first, how each was registered, and sentences on that."""
    first, *others = (
        PoseSet(
            np.asarray(table.rotations),
            np.asarray(table.shifts_px) * np.reshape(table.pixel_size_angstrom, (-1, 1)),
            _covariance(config, path, table),
        )
        for path, table in zip(joined.paths, joined.tables)
    )
    if config.registration == "none":
        return [first, *others], [], []

    sets, frames, notes = [first], [], []
    for path, other in zip(joined.paths[1:], others):
        with_hand = config.registration == "rotation-and-hand"
        moved, found, displacement = in_frame_of(first, other, group, with_hand, config.seed)
        sets.append(moved)
        frames.append(
            {
                "hand": found.hand,
                "rotation_deg": found.angle_deg,
                "displacement_angstrom": displacement.tolist(),
            }
        )
        if found.hand == "opposite" or found.angle_deg > _NOTABLE_TURN_DEG:
            hand = " and mirrored" if found.hand == "opposite" else ""
            notes.append(
                f"{path} was turned by {found.angle_deg:.2f}°{hand} into the frame of the first set."
            )
    return sets, frames, notes


def _accepted(
    config: ConsensusConfig,
    joined: _Joined,
    sets: List[PoseSet],
    found: Consensus,
    group: np.ndarray,
) -> Tuple[ParticleTable, np.ndarray]:
    """All common particles at the consensus of their poses, and the covariances (rad, Å)."""
    table, poses, every = joined.tables[0], found.mean, np.arange(len(joined.rows))
    if config.pose == "best":
        poses = PoseSet(
            *(
                np.stack([getattr(s, name) for s in sets])[found.best, every]
                for name in ("rotations", "shifts_angstrom", "covariance")
            )
        )
    wrong = [t.scores[WRONG_BASIN] for t in joined.tables if WRONG_BASIN in t.scores]
    variance = np.einsum("nii->ni", poses.covariance)
    basin = np.rad2deg(np.sqrt(variance[:, :3].sum(axis=1)))

    scores = {BASIN_ERROR: basin}
    if wrong:
        scores[WRONG_BASIN] = np.max(wrong, axis=0)
        scores[EXPECTED_ERROR] = error_with_wrong_poses(basin, scores[WRONG_BASIN], group)
    if variance[:, 3:].any():
        scores[EXPECTED_SHIFT_ERROR] = np.sqrt(variance[:, 3:].sum(axis=1))
    sources = ";".join(_source(t, path) for path, t in zip(joined.paths, joined.tables))
    extra = {
        **table.extra,
        CONSENSUS: np.full(len(table), AGREE, dtype=object),
        COVARIANCE: covariance_texts(poses.covariance),
        POSE_SOURCE: np.full(len(table), f"consensus:{sources}", dtype=object),
    }
    shifts = poses.shifts_angstrom / np.reshape(table.pixel_size_angstrom, (-1, 1))
    moved = table.replace(rotations=poses.rotations, shifts_px=shifts, scores=scores, extra=extra)
    return moved, poses.covariance


def _source(table: ParticleTable, path: str) -> str:
    """Where the poses of a set come from."""
    sources = sorted({str(s) for s in table.extra.get(POSE_SOURCE, [])})
    return ",".join(sources) or "unknown"


def _write_table(run: RunDirectory, joined: _Joined, found: Consensus, reason: np.ndarray) -> None:
    """consensus.csv: one row for each particle that all sets have."""
    with run.atomic(TABLE_NAME) as part, open(part, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["id", "chi_square", "rotation", "shift", "agrees"])
        squares = (found.chi_square, found.rotation_chi_square, found.shift_chi_square)
        agrees = (reason[joined.rows] == AGREE).astype(int)
        for identity, *values, agree in zip(joined.tables[0].ids, *squares, agrees):
            writer.writerow([identity, *(f"{value:.6g}" for value in values), agree])


def _metrics(
    config: ConsensusConfig,
    joined: _Joined,
    sets: List[PoseSet],
    found: Consensus,
    reason: np.ndarray,
    group: np.ndarray,
) -> Dict[str, Any]:
    names, numbers = np.unique(reason.astype(str), return_counts=True)
    counts = dict(zip(names.tolist(), numbers.tolist()))
    inflation = []
    for other in sets[1:]:
        turns = calibration.rotation_differences_rad(sets[0].rotations, other.rotations, group)
        both = sets[0].covariance[:, :3, :3] + other.covariance[:, :3, :3]
        inflation.append(calibration.chi_square(turns, both).inflation)

    return {
        "particles": len(joined.first),
        "sets": len(joined.paths),
        "in_all_sets": len(joined.rows),
        "only_in_other_sets": list(joined.only_elsewhere),
        "agree": counts.get(AGREE, 0),
        "rotations_differ": counts.get(ROTATION, 0),
        "shifts_differ": counts.get(SHIFT, 0),
        "not_in_all_sets": counts.get(MISSING, 0),
        "sigmas": config.sigmas,
        "degrees_of_freedom": found.degrees[0],
        "rotation_inflation": inflation,
        "pose": config.pose,
    }


def _notes(metrics: Dict[str, Any], joined: _Joined) -> List[str]:
    notes = [
        f"{metrics['agree']} of {counted(metrics['particles'], 'particle')} agree within "
        f"{metrics['sigmas']:g} standard deviations; rotations differ in "
        f"{metrics['rotations_differ']}, shifts in {metrics['shifts_differ']}, and "
        f"{metrics['not_in_all_sets']} are not in all sets."
    ]

    for path, factor in zip(joined.paths[1:], metrics["rotation_inflation"]):
        notes.append(f"{path}: {calibration.inflation_verdict(factor, 'differences')}")
    for path, number in zip(joined.paths[1:], joined.only_elsewhere):
        if number:
            notes.append(
                f"{counted(number, 'particle')} of {path} alone were left out: the first set does "
                "not have them."
            )
    notes.append(
        "Errors that all sets share are not seen: those of the map, the CTFs and the images."
    )
    return notes
