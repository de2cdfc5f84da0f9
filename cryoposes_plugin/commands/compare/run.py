"""The `compare` command: errors of estimated poses against true poses of the same particles."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from ...core.errors import ConfigError, InputError
from ...core.evaluation.errors import (
    FOUND_BELOW_DEG,
    angular_errors_deg,
    shift_errors_angstrom,
    summarise_angles,
    summarise_shifts,
)
from ...core.evaluation.orthogonal4 import Orthogonal4, register_orthogonal4
from ...core.evaluation.registration import HANDS, Registration, register
from ...core.geometry.symmetry import symmetry_rotations
from ...core.image_kinds import OFF_CENTRE, PARTICLE, true_kinds
from ...core.io.error_log import not_fatal
from ...core.io.ids import Join, join
from ...core.io.names import ERRORS_NAME
from ...core.io.particle_files import read_particles
from ...core.scores import JUNK, best_ranking, title_of
from ...core.types import ParticleTable
from ...core.values import counted
from ..number_tables import write_numbers
from ..run_directory import RunDirectory
from .config import CompareConfig

logger = logging.getLogger(__name__)

#: Fewer particles than this do not determine a common rotation well.
_FEW_PARTICLES = 10
#: Errors above this share of those by chance mean no agreement.
_CHANCE = 0.8
#: The hand is decided if the errors of one hand are below this share of those of the other.
_HAND = 0.5
_FEWEST_FOR_CHANCE = 20
#: As many particles give the median errors of the other hand and by chance to some thousandths.
_MOST_FOR_SCALES = 50_000
#: A particle is at its right place if its shift is off by less than this.
_FOUND_WITHIN_PX = 2.0
#: A common rotation above this is reported after a comparison without registration.
_NOTABLE_TURN_DEG = 1.0


@dataclass(frozen=True)
class KnownJunk:
    """Junk among the images of both sets, where it is known.

    images : number of images in both sets. junk : number of those that are junk. by_kind : the same
    for each kind. told_share : the share of junk that their probabilities say; None without these.
    found_off_centre : particles far off centre at their right pose and place, which are no junk.
    """

    images: int
    junk: int
    by_kind: Dict[str, int]
    told_share: Optional[float]
    found_off_centre: int = 0

    @property
    def sentence(self) -> str:
        share = 100 * self.junk / self.images
        told = "" if self.told_share is None else f"; told: {100 * self.told_share:.2g} %"
        kinds = ", ".join(f"{name} {number}" for name, number in self.by_kind.items())
        found = (
            f" Not counted: {counted(self.found_off_centre, 'particle')} far off centre at the right "
            "pose and place, which can be used like any other."
        )
        return (
            f"Junk: {self.junk} of {counted(self.images, 'image')} ({share:.2g} %{told})"
            + (f": {kinds}" if kinds else "")
            + "."
            + (found if self.found_off_centre else "")
            + " The errors are those of the particles alone."
        )

    def metrics(self) -> Dict[str, Any]:
        return {
            "images": self.images,
            "junk": self.junk,
            "junk_share": self.junk / self.images,
            "junk_share_told": self.told_share,
            "junk_by_kind": self.by_kind,
            "found_off_centre": self.found_off_centre,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class PoseComparison:
    """Errors of the particles that are in both sets, (N,) each; `angular_deg` is under the chosen
    registration. Images that are known to be junk are left out, and counted in `junk`.

    `registration` is physical (a rotation, and perhaps the hand), and so is `registered_deg`,
    whichever was chosen.
    """

    ids: np.ndarray
    angular_deg: np.ndarray
    absolute_deg: np.ndarray
    registered_deg: np.ndarray
    shift_angstrom: np.ndarray
    registration: Registration
    only_in_truth: int
    only_in_estimate: int
    join: Join
    scores: Dict[str, np.ndarray]
    estimated_rotations: np.ndarray
    orthogonal4: Optional[Orthogonal4] = None
    #: Median error in degrees with the other hand, and with the true poses permuted among the
    #: particles, each after the best rotation; None where there are too few particles.
    other_hand_deg: Optional[float] = None
    by_chance_deg: Optional[float] = None
    junk: Optional[KnownJunk] = None

    @property
    def no_better_than_chance(self) -> bool:
        """Whether the poses have nothing in common with the true ones, in any frame and hand."""
        if self.by_chance_deg is None or self.other_hand_deg is None:
            return False
        return min(self._registered_deg, self.other_hand_deg) > _CHANCE * self.by_chance_deg

    @property
    def hand(self) -> str:
        """The hand that fits the true poses much better than the other, else "undecided"."""
        decided = (
            self.other_hand_deg is not None and self._registered_deg < _HAND * self.other_hand_deg
        )
        return self.registration.hand if decided and not self.no_better_than_chance else "undecided"

    @property
    def other_hand_is_right(self) -> bool:
        return (
            self.other_hand_deg is not None and self.other_hand_deg < _HAND * self._registered_deg
        )

    @property
    def _registered_deg(self) -> float:
        return float(np.median(self.registered_deg))


def check(config: CompareConfig) -> None:
    """Raise every error that can be found before any file is written."""
    config.validate()
    group = symmetry_rotations(config.symmetry)
    if config.registration == "orthogonal4" and len(group) > 1:
        raise ConfigError(
            "compare: --registration orthogonal4 does not allow for symmetry and --symmetry is "
            f"{config.symmetry}; give C1, or another registration."
        )
    join(*_read(config), config.join_by)


def run(config: CompareConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write errors.csv, plots and the report; returns the metrics."""
    result = compare_tables(
        *_read(config), config.symmetry, config.registration, config.seed, config.join_by
    )
    _write_errors(run, result)
    metrics = _metrics(config, result)

    logger.info(
        "compare: %d particles joined by %s, %d only in the true set, %d only in the estimated "
        "one; median angular error %.3f°, %.1f %% below 5°, median shift error %.2f Å.",
        len(result.ids),
        result.join.how,
        result.only_in_truth,
        result.only_in_estimate,
        metrics["median_angular_error_deg"],
        100 * metrics["share_below_5_deg"],
        metrics["median_shift_error_angstrom"],
    )
    if result.junk is not None:
        logger.info("compare: %s", result.junk.sentence)
    if result.no_better_than_chance:
        logger.warning("compare: %s", _chance_note(result))
    with not_fatal(run.path, "its report"):
        _report(config, run, result, metrics)
    return metrics


def compare_tables(
    truth: ParticleTable,
    estimate: ParticleTable,
    symmetry: str = "C1",
    registration: str = "none",
    seed: int = 0,
    join_by: str = "auto",
) -> PoseComparison:
    """Join two sets with poses (see `io.ids`) and measure the errors.

    Parameters
    ----------
    truth, estimate : both with rotations and shifts.
    symmetry : point group; poses that it makes equal count as equal.
    registration : "none", "rotation", "rotation-and-hand" or "orthogonal4": what is removed before
        the main errors are computed. The errors after the best common rotation are computed in any
        case.
    seed : of the registration.
    join_by : what identifies a particle in both sets.
    """
    joined = join(truth, estimate, join_by)
    rows_truth, rows_estimate = joined.rows_a, joined.rows_b
    only_in_truth = len(truth) - len(rows_truth)
    only_in_estimate = len(estimate) - len(rows_estimate)
    truth, estimate = truth.take(rows_truth), estimate.take(rows_estimate)
    whole = truth, estimate
    truth, estimate = particles_of(truth, estimate)
    true, estimated = _rotations(truth), _rotations(estimate)
    group = symmetry_rotations(symmetry)
    hands = HANDS if registration == "rotation-and-hand" else HANDS[:1]
    found = register(estimated, true, group, hands=hands, seed=seed)
    absolute = angular_errors_deg(estimated, true, group)
    registered = angular_errors_deg(found.apply(estimated), true, group)
    shifts = shift_errors_angstrom(
        np.asarray(estimate.shifts_px),
        estimate.pixel_size_angstrom,
        np.asarray(truth.shifts_px),
        truth.pixel_size_angstrom,
    )
    chosen = absolute if registration == "none" else registered
    frame = None if registration == "none" else found
    junk = _known_junk(*whole, group, frame)

    orthogonal4 = None
    if registration == "orthogonal4":
        orthogonal4 = register_orthogonal4(estimated, true, seed=seed)
        chosen = angular_errors_deg(orthogonal4.apply(estimated), true, group)
    return PoseComparison(
        truth.ids,
        chosen,
        absolute,
        registered,
        shifts,
        found,
        only_in_truth,
        only_in_estimate,
        joined,
        dict(estimate.scores),
        estimated,
        orthogonal4,
        *_error_scales(estimated, true, group, found, seed),
        junk,
    )


def _known_junk(
    truth: ParticleTable,
    estimate: ParticleTable,
    group: np.ndarray,
    frame: Optional[Registration],
) -> Optional[KnownJunk]:
    """Junk among the same images of two sets; None where it is not known.

    Parameters
    ----------
    truth, estimate : the sets, in one order.
    group : (G, 3, 3) symmetry operations.
    frame : takes the estimated rotations to the true ones; None: they are in one frame.
    """
    kinds = true_kinds(truth, estimate)
    if kinds is None:
        return None
    found = kinds == OFF_CENTRE
    found[found] = _at_right_pose(truth.take(found), estimate.take(found), group, frame)
    names, numbers = np.unique(kinds[(kinds != PARTICLE) & ~found], return_counts=True)
    told = estimate.scores.get(JUNK)
    return KnownJunk(
        len(kinds),
        int(numbers.sum()),
        dict(zip(names.tolist(), numbers.tolist())),
        None if told is None else float(np.mean(told)),
        int(found.sum()),
    )


def _at_right_pose(
    truth: ParticleTable,
    estimate: ParticleTable,
    group: np.ndarray,
    frame: Optional[Registration],
) -> np.ndarray:
    """(N,) bool; see `_known_junk`."""
    rotations = _rotations(estimate) if frame is None else frame.apply(_rotations(estimate))
    moved_px = np.asarray(estimate.shifts_px) - np.asarray(truth.shifts_px)
    return (angular_errors_deg(rotations, _rotations(truth), group) < FOUND_BELOW_DEG) & (
        np.linalg.norm(moved_px, axis=1) < _FOUND_WITHIN_PX
    )


def particles_of(
    truth: ParticleTable, estimate: ParticleTable
) -> Tuple[ParticleTable, ParticleTable]:
    """Two sets of the same images, in one order, without those that are known to be junk; InputError
    if there is nothing else.
    """
    kinds = true_kinds(truth, estimate)
    if kinds is None:
        return truth, estimate
    if not (kinds == PARTICLE).any():
        raise InputError(
            f"All {counted(len(kinds), 'image')} that the two sets have in common are junk; give "
            "sets with particles in common."
        )
    return truth.take(kinds == PARTICLE), estimate.take(kinds == PARTICLE)


def _error_scales(
    estimated: np.ndarray, true: np.ndarray, group: np.ndarray, found: Registration, seed: int
) -> Tuple[Optional[float], Optional[float]]:
    """Median error in degrees with the other hand, and with permuted true poses; None for few
    particles. Of a large set some are drawn.
    """
    rng = np.random.default_rng(seed)
    if len(true) > _MOST_FOR_SCALES:
        rows = rng.choice(len(true), _MOST_FOR_SCALES, replace=False)
        estimated, true = estimated[rows], true[rows]

    def median_deg(truth, hands) -> float:
        return float(
            np.rad2deg(
                register(estimated, truth, group, hands=hands, seed=seed).median_residual_rad
            )
        )

    if len(true) < _FEW_PARTICLES:
        return None, None
    other = median_deg(true, tuple(hand for hand in HANDS if hand != found.hand))
    if len(true) < _FEWEST_FOR_CHANCE:
        return other, None
    return other, median_deg(true[rng.permutation(len(true))], HANDS)


def _read(config: CompareConfig) -> Tuple[ParticleTable, ParticleTable]:
    truth, estimate = (
        read_particles(str(p), ("poses",), config.images_from, config.passthrough)
        for p in (config.truth, config.estimate)
    )
    return truth, estimate


def _rotations(table: ParticleTable) -> np.ndarray:
    if table.rotations is None:
        raise ValueError("expected particles with poses, received a table without rotations")
    return table.rotations


def _metrics(config: CompareConfig, result: PoseComparison) -> Dict[str, Any]:
    metrics = {
        "particles": len(result.ids),
        "only_in_truth": result.only_in_truth,
        "only_in_estimate": result.only_in_estimate,
        "joined_by": result.join.how,
        "symmetry": config.symmetry,
        "registration": config.registration,
        **summarise_angles(result.angular_deg),
        **summarise_shifts(result.shift_angstrom),
        "absolute": summarise_angles(result.absolute_deg),
        "registered": {
            **summarise_angles(result.registered_deg),
            "hand": result.registration.hand,
            "hand_verdict": result.hand,
            "median_by_chance_deg": result.by_chance_deg,
            "rotation_angle_deg": result.registration.angle_deg,
        },
        "registration_matrix": result.registration.rotation.tolist(),
    }
    if result.junk is not None:
        metrics["known_junk"] = result.junk.metrics()
    if result.orthogonal4 is not None:
        metrics["inverted"] = result.orthogonal4.inverted
        metrics["orthogonal4_matrix"] = result.orthogonal4.matrix.tolist()

    return metrics


def _write_errors(run: RunDirectory, result: PoseComparison) -> None:
    columns: Dict[str, np.ndarray] = {
        "id": result.ids,
        "angular_error_deg": result.angular_deg,
        "shift_error_angstrom": result.shift_angstrom,
        "angular_error_absolute_deg": result.absolute_deg,
        "angular_error_registered_deg": result.registered_deg,
        **result.scores,
    }
    with run.atomic(ERRORS_NAME) as part:
        write_numbers(part, columns)


def notes(registration: str, result: PoseComparison) -> List[str]:
    """Notes that are needed to interpret the numbers."""
    number, found = len(result.ids), [result.join.note] if result.join.note else []
    if result.junk is not None:
        found.append(result.junk.sentence)
    if result.only_in_truth or result.only_in_estimate:
        found.append(
            f"{result.only_in_truth} particles are only in the true set and "
            f"{result.only_in_estimate} only in the estimated one; they are not compared."
        )
    if result.no_better_than_chance:
        found.append(_chance_note(result))
    elif result.other_hand_is_right:
        found.append(
            "The estimated poses have the other hand: after mirroring and rotation, their median "
            f"error is {result.other_hand_deg:.2f}° (--registration rotation-and-hand)."
        )

    if registration == "orthogonal4":
        found.append(_orthogonal4_note(result))
    elif registration != "none":
        found.append(
            "The errors are those after the estimate was rotated by "
            f"{result.registration.angle_deg:.2f}° (hand: {result.hand})."
        )
        if number < _FEW_PARTICLES:
            found.append(
                f"The common rotation was fitted to only {number} particles: the errors after it "
                "are too small."
            )
    elif (
        number >= _FEW_PARTICLES
        and not result.no_better_than_chance
        and result.registration.angle_deg > _NOTABLE_TURN_DEG
        and np.median(result.registered_deg) < 0.9 * np.median(result.absolute_deg)
    ):
        found.append(
            f"A common rotation of {result.registration.angle_deg:.2f}° would lower the median "
            f"error to {np.median(result.registered_deg):.2f}°: the two sets may lie in different "
            "frames (--registration)."
        )
    return found


def _chance_note(result: PoseComparison) -> str:
    return (
        "The estimated poses have nothing in common with the true ones: after the best common "
        f"rotation the median error is {np.median(result.registered_deg):.1f}°, and "
        f"{result.by_chance_deg:.1f}° if the true poses are permuted among the particles."
    )


def _orthogonal4_note(result: PoseComparison) -> str:
    inverse = (
        "inverting the estimated rotations and "
        if result.orthogonal4 and result.orthogonal4.inverted
        else ""
    )
    return (
        f"The errors are those after {inverse}multiplying the quaternions by the best orthogonal 4 "
        "x 4 matrix, which is what pairwise distances leave undetermined. This is not physical, "
        "since it moves the beam; after the best rotation of the volume alone the median error is "
        f"{np.median(result.registered_deg):.2f}°."
    )


def _report(
    config: CompareConfig, run: RunDirectory, result: PoseComparison, metrics: Dict[str, Any]
) -> None:
    from ...core.plots import direction_maps, error_against_uncertainty, error_histogram
    from ..report import write_report

    figures = {"error_histogram": ("Angular errors.", error_histogram(result.angular_deg))}
    score = best_ranking(result.scores)
    if score is not None:
        figures["error_against_uncertainty"] = (
            f"Angular error against the {title_of(score)}, and the error of the most certain "
            "particles.",
            error_against_uncertainty(result.scores[score], result.angular_deg, score),
        )
    maps = direction_maps({"estimated": result.estimated_rotations})
    figures["direction_maps"] = ("Estimated viewing directions.", maps)
    shown = {k: v for k, v in metrics.items() if not k.endswith("_matrix")}
    write_report(
        run.path,
        "Comparison of poses",
        numbers=shown,
        notes=notes(config.registration, result),
        figures=figures,
        lead=f"{counted(len(result.ids), 'particle')} of {config.estimate} against {config.truth}.",
    )
