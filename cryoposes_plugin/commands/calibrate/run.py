"""The `calibrate` command: whether expected errors and probabilities are right."""

from __future__ import annotations

import csv
import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from ...core.errors import InputError
from ...core.evaluation import calibration
from ...core.evaluation.errors import FOUND_BELOW_DEG, angular_errors_deg
from ...core.evaluation.registration import register
from ...core.geometry.symmetry import symmetry_rotations
from ...core.image_kinds import PARTICLE, true_kinds
from ...core.io.covariances import covariance_of_errors, read_covariance
from ...core.io.error_log import not_fatal
from ...core.io.ids import join
from ...core.io.names import COVARIANCE_NAME
from ...core.io.particle_files import read_particles
from ...core.scores import (
    ANGULAR_ERROR,
    BASIN_ERROR,
    ERROR_BOUND,
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    JUNK,
    RANKING,
    SHIFT_ERROR,
    WRONG_BASIN,
    cost,
)
from ...core.types import ParticleTable
from ...core.values import counted
from ..run_directory import RunDirectory
from .config import CalibrateConfig
from .pictures import CHI_SQUARE, SPARSIFICATION, pictures, table_of

logger = logging.getLogger(__name__)

#: Expected errors that are off by less than this are called right.
_MINIMUM_EFFECT = 0.15
_FEWEST_PARTICLES = 25
Tables = Dict[str, Dict[str, np.ndarray]]


def check(config: CalibrateConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    symmetry_rotations(config.symmetry)
    given = _joined(config)
    if config.truth:
        if not _ranking(given.particles):
            raise InputError(
                f"{config.particles} has no column with scores; give particles that 'infer' or "
                "'refine' wrote."
            )
    else:
        _covariance(str(config.particles), given.particles)
        _covariance(str(config.other), given.second)


def run(config: CalibrateConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write the curves, plots and the report; returns the metrics."""
    tables: Tables = {}
    measure = _against_truth if config.truth else _against_second
    metrics, notes = measure(config, _joined(config), tables)
    for name, table in tables.items():
        _write(run, name, table)
    metrics["verdict"] = " ".join(notes)

    logger.info("calibrate: %s", metrics["verdict"])
    with not_fatal(run.path, "its report"):
        _report(config, run, metrics, notes)
    return metrics


@dataclass(frozen=True)
class _Joined:
    """Two sets.

    particles, second : the particles that are in both, in one order. junk : images of the first set
    that are known to be junk, None if there are none. left_out : number of images of the first set
    that are in neither.
    """

    particles: ParticleTable
    second: ParticleTable
    junk: Optional[ParticleTable]
    left_out: int


def _joined(config: CalibrateConfig) -> _Joined:
    first, second = (
        read_particles(str(path), ("poses",), config.images_from, config.passthrough)
        for path in (config.particles, config.truth or config.other)
    )
    found = join(first, second, config.join_by)
    kinds = true_kinds(second.take(found.rows_b), first.take(found.rows_a))
    is_particle = np.full(len(found.rows_a), True) if kinds is None else kinds == PARTICLE
    if is_particle.sum() < _FEWEST_PARTICLES:
        raise InputError(
            f"{config.particles} and {config.truth or config.other} have only "
            f"{counted(int(is_particle.sum()), 'particle')} in common; calibration needs at least "
            f"{_FEWEST_PARTICLES}."
        )

    alone = np.setdiff1d(np.arange(len(first)), found.rows_a)
    junk = found.rows_a[~is_particle]
    if config.missing_is_junk:
        junk, alone = np.concatenate([junk, alone]), alone[:0]
    return _Joined(
        first.take(found.rows_a[is_particle]),
        second.take(found.rows_b[is_particle]),
        first.take(junk) if len(junk) else None,
        len(alone),
    )


def _against_truth(
    config: CalibrateConfig, given: _Joined, tables: Tables
) -> Tuple[Dict[str, Any], List[str]]:
    particles, truth, junk = given.particles, given.second, given.junk
    group, estimated, turn_deg = _in_one_frame(config, particles, truth)
    errors = angular_errors_deg(estimated, _rotations(truth), group)
    right = errors < FOUND_BELOW_DEG
    metrics: Dict[str, Any] = {
        "particles": len(particles),
        "root_mean_square_error_deg": float(np.sqrt(np.mean(errors**2))),
        "share_below_5_deg": float(right.mean()),
        "common_rotation_deg": turn_deg,
    }
    notes: List[str] = []
    tables["errors"] = {"id": particles.ids, "angular_error_deg": errors}

    scores = _ranking(particles)
    metrics["areas_below_5_deg"] = _areas({n: particles.scores[n] for n in scores}, right)
    if EXPECTED_ERROR in scores:
        expected = particles.scores[EXPECTED_ERROR]
        found = calibration.error_reliability(expected, errors)
        tables["reliability_error"] = _reliability_table(found)
        metrics["expected_calibration_error_deg"] = found.expected_calibration_error
        curve = calibration.sparsification(expected, errors)
        tables[SPARSIFICATION] = {
            "removed": curve.removed,
            "kept_deg": curve.kept,
            "oracle_deg": curve.oracle,
        }
        metrics["sparsification_area"] = curve.area
        notes.append(error_verdict(found))
    if ERROR_BOUND in scores:
        share = calibration.coverage(errors, particles.scores[ERROR_BOUND])
        metrics["bound_90"] = vars(share)
        notes.append(
            f"The 90 % bound holds for {100 * share.share:.1f} % of the particles (95 % interval "
            f"{100 * share.low:.1f} to {100 * share.high:.1f} %)."
        )
    if WRONG_BASIN in scores:
        wrong = calibration.wrong_pose_of_particle(particles.scores[WRONG_BASIN], _junk(particles))
        _probability(metrics, tables, "wrong", wrong, ~right)
        notes.append(
            f"{100 * np.mean(~right):.2g} % of the particles with a true pose are more than "
            f"{FOUND_BELOW_DEG:g}° off; the probabilities of a wrong pose, without that of junk "
            f"which they contain, say {100 * np.mean(wrong):.2g} %."
        )

    if junk is not None:
        is_particle = np.arange(len(particles) + len(junk)) < len(particles)
        common = [name for name in scores if name in junk.scores]
        both = {n: np.concatenate([particles.scores[n], junk.scores[n]]) for n in common}
        metrics["junk"] = len(junk)
        metrics["areas_particle_against_junk"] = _areas(both, is_particle)
        if JUNK in both:
            _probability(metrics, tables, "junk", both[JUNK], ~is_particle)
            share = metrics["junk_share"]
            notes.append(
                f"Of {counted(len(is_particle), 'image')} {100 * share['observed']:.2g} % are junk; "
                f"the probabilities of junk say {100 * share['expected']:.2g} %."
            )
        if WRONG_BASIN in both:
            event = np.concatenate([~right, np.ones(len(junk), dtype=bool)])
            _probability(metrics, tables, "wrong_or_junk", both[WRONG_BASIN], event)
    if given.left_out:
        notes.append(f"{counted(given.left_out, 'particle')} without a true pose were left out.")

    covariance = read_covariance(str(config.particles), particles)
    if covariance is not None:
        _chi_square(
            metrics, tables, particles.replace(rotations=estimated), truth, covariance, group
        )
        notes.append(calibration.inflation_verdict(metrics["rotation_inflation"], "errors"))
    return metrics, notes


def _against_second(
    config: CalibrateConfig, given: _Joined, tables: Tables
) -> Tuple[Dict[str, Any], List[str]]:
    particles, other, junk = given.particles, given.second, given.junk
    group, estimated, turn_deg = _in_one_frame(config, particles, other)
    differences = angular_errors_deg(estimated, _rotations(other), group)
    tables["errors"] = {"id": particles.ids, "difference_deg": differences}
    metrics: Dict[str, Any] = {
        "particles": len(particles),
        "median_difference_deg": float(np.median(differences)),
        "share_of_pairs_beyond_5_deg": float(np.mean(differences >= FOUND_BELOW_DEG)),
        "common_rotation_deg": turn_deg,
    }
    covariance = _covariance(str(config.particles), particles) + _covariance(
        str(config.other), other
    )
    _chi_square(metrics, tables, particles.replace(rotations=estimated), other, covariance, group)

    notes = [calibration.inflation_verdict(metrics["rotation_inflation"], "differences")]
    if all(WRONG_BASIN in table.scores for table in (particles, other)):
        both_right = 1 - 0.5 * (_junk(particles) + _junk(other))
        for table in (particles, other):
            wrong = calibration.wrong_pose_of_particle(table.scores[WRONG_BASIN], _junk(table))
            both_right = both_right * (1 - wrong)
        expected = metrics["expected_share_of_pairs_wrong"] = float(np.mean(1 - both_right))
        observed = metrics["share_of_pairs_beyond_5_deg"]
        notes.append(
            f"{100 * observed:.1f} % of the pairs differ by more than {FOUND_BELOW_DEG:g}°; the "
            f"probabilities of a wrong pose say {100 * expected:.1f} %."
        )
    if given.left_out:
        notes.append(f"{counted(given.left_out, 'particle')} of the first set alone were left out.")
    if junk is not None:
        notes.append(f"{counted(len(junk), 'image')} known to be junk were left out.")
    notes.append(
        "Errors that both estimates share are not tested: those of the map, of the CTFs, and of "
        "images that mislead both."
    )
    return metrics, notes


def error_verdict(found: calibration.Reliability) -> str:
    """Whether expected errors are right, with bins that are off by more than chance explains."""
    wrong = found.wrong_bins(_MINIMUM_EFFECT)
    if not wrong.any():
        return (
            "The expected errors are right: no bin is off by more than "
            f"{100 * _MINIMUM_EFFECT:.0f} % and more than chance explains."
        )
    ratio = found.ratio[wrong]
    worst = float(ratio[np.nanargmax(np.abs(np.log(ratio)))])
    word = f"small by a factor of up to {worst:.2f}" if worst > 1 else f"large: {worst:.2f} is left"
    return f"In {int(wrong.sum())} of {len(wrong)} bins the expected errors are too {word}."


def _in_one_frame(
    config: CalibrateConfig, particles: ParticleTable, second: ParticleTable
) -> Tuple[np.ndarray, np.ndarray, float]:
    """Symmetry operations, rotations of the first set in the frame of the second, and the angle of
    the common rotation.
    """
    group, estimated = symmetry_rotations(config.symmetry), _rotations(particles)
    chosen = config.registration
    if chosen == "none" or (chosen == "auto" and config.truth):
        return group, estimated, 0.0
    found = register(estimated, _rotations(second), group, seed=config.seed)
    return group, found.apply(estimated), found.angle_deg


def _chi_square(
    metrics: Dict[str, Any],
    tables: Tables,
    first: ParticleTable,
    second: ParticleTable,
    covariance: np.ndarray,
    group: np.ndarray,
) -> None:
    turns = calibration.rotation_differences_rad(_rotations(first), _rotations(second), group)
    shifts = [
        np.asarray(table.shifts_px) * np.reshape(table.pixel_size_angstrom, (-1, 1))
        for table in (first, second)
    ]
    parts = {"rotation": calibration.chi_square(turns, covariance[:, :3, :3])}
    if covariance[:, 3:, 3:].any():  # the network alone knows no error of the shifts
        parts["shift"] = calibration.chi_square(shifts[1] - shifts[0], covariance[:, 3:, 3:])
    tables[CHI_SQUARE] = {"id": first.ids, **{name: part.values for name, part in parts.items()}}
    for name, part in parts.items():
        metrics[f"{name}_inflation"] = part.inflation
        metrics[f"{name}_inflation_of_tail"] = part.tail_inflation
        metrics[f"{name}_share_far_beyond"] = part.far_share


def _covariance(path: str, table: ParticleTable) -> np.ndarray:
    """(N, 5, 5) of the file beside the particles, else equal in all directions from the expected
    errors.
    """
    found = read_covariance(path, table)
    if found is not None:
        return found
    names = (BASIN_ERROR, EXPECTED_SHIFT_ERROR)
    missing = [name for name in names if name not in table.scores]
    if missing:
        raise InputError(
            f"{path} has neither {COVARIANCE_NAME} beside it nor a column _{missing[0]}; refine "
            "the poses with `infer` (with a volume) or `refine`."
        )
    turn_rad = np.deg2rad(table.scores[BASIN_ERROR])
    return covariance_of_errors(turn_rad, table.scores[EXPECTED_SHIFT_ERROR])


def _ranking(table: ParticleTable) -> List[str]:
    """Scores that rank, without those that need the truth; InputError for values that are none."""
    names = [n for n in RANKING if n in table.scores and n not in (ANGULAR_ERROR, SHIFT_ERROR)]
    for name in names:
        bad = np.flatnonzero(~np.isfinite(table.scores[name]))
        if len(bad):
            raise InputError(
                f"Particle {table.ids[bad[0]]} has {name} = {table.scores[name][bad[0]]}; remove "
                "it or estimate its pose again."
            )
    return names


def _junk(table: ParticleTable) -> np.ndarray:
    """(N,) probability of junk; 0 where it is not known."""
    return table.scores.get(JUNK, np.zeros(len(table)))


def _rotations(table: ParticleTable) -> np.ndarray:
    if table.rotations is None:
        raise ValueError("expected particles with poses, received a table without rotations")
    return table.rotations


def _areas(scores: Mapping[str, np.ndarray], good: np.ndarray) -> Dict[str, float]:
    """Areas by score; none if all particles are of one kind."""
    if good.all() or not good.any():
        return {}
    areas = {}
    for name, values in scores.items():
        roc, precision_recall = calibration.ranking_areas(cost(name, values), good)
        areas[f"{name}_roc"], areas[f"{name}_precision_recall"] = roc, precision_recall
    return areas


def _probability(
    metrics: Dict[str, Any], tables: Tables, name: str, probability: np.ndarray, event: np.ndarray
) -> None:
    found = calibration.probability_reliability(probability, event)
    tables[f"reliability_{name}"] = _reliability_table(found)
    metrics[f"{name}_expected_calibration_error"] = found.expected_calibration_error
    metrics[f"{name}_brier_score"] = calibration.brier_score(probability, event)
    metrics[f"{name}_share"] = {
        "expected": float(np.mean(probability)),
        "observed": float(np.mean(event)),
    }


def _reliability_table(found: calibration.Reliability) -> Dict[str, np.ndarray]:
    return dict(vars(found))


def _write(run: RunDirectory, name: str, table: Mapping[str, np.ndarray]) -> None:
    target = table_of(run.path, name).name
    with run.atomic(target) as part, open(part, "w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(table)
        writer.writerows([f"{value:.12g}" for value in row] for row in zip(*table.values()))


def _report(
    config: CalibrateConfig, run: RunDirectory, metrics: Dict[str, Any], notes: List[str]
) -> None:
    from ..report import write_report

    figures = {
        name: (picture.title + ".", picture.draw())
        for name, picture in pictures(run.path, config).items()
    }
    write_report(
        run.path,
        "Calibration",
        numbers={name: value for name, value in metrics.items() if name != "verdict"},
        notes=notes,
        figures=figures,
        lead=f"{counted(metrics['particles'], 'particle')} of {config.particles} against "
        f"{config.truth or config.other}.",
    )
