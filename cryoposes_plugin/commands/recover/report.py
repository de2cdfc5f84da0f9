"""What `recover` says about its poses: errors where the truth is known, notes and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.evaluation.errors import angular_errors_deg, summarise_angles
from ...core.evaluation.orthogonal4 import register_orthogonal4
from ...core.evaluation.registration import HANDS, register
from ...core.geometry.rotations import angular_distance_rad
from ...core.io.ids import join_tables
from ...core.io.particle_files import read_particles
from ...core.io.star_labels import not_modelled
from ...core.models.distance_model import DistanceModel
from ...core.models.embedding import Embedding
from ...core.types import ParticleTable
from ...core.values import counted
from ..infer.inputs import ModelInputs
from ..recover_distances.report import recovery_figures
from ..report import write_report
from ..run_directory import RunDirectory
from .config import RecoverConfig

_SAMPLE = 400
#: The copies decide between R and R^-1 if the residual of one is below this share of that of the
#: other.
_CLEARLY = 0.7
#: Ranges of true distances, in degrees, for which errors of distances are reported separately.
_RANGES_DEG = ((0, 60), (60, 120), (120, 180))
#: Distances that a network has not learned leave residuals of about 37 degrees, good ones a few
#: degrees.
_LARGE_RESIDUAL_DEG = 20.0


@dataclass(frozen=True)
class TruePoses:
    """True rotations (M, 3, 3) of the particles in `rows` (M,) of a set of results."""

    rotations: np.ndarray
    rows: np.ndarray

    @classmethod
    def read(
        cls,
        path,
        table: ParticleTable,
        images_from: Optional[str] = None,
        passthrough: Optional[str] = None,
    ) -> TruePoses:
        """Joined as `io.ids` says; InputError where nothing is common, or the file has no poses.

        Parameters
        ----------
        path, images_from, passthrough : of the particle file (see `read_particles`).
        table : the particles whose true poses are wanted.
        """
        truth = read_particles(path, ("poses",), images_from, passthrough)
        true_rows, rows = join_tables(truth, table)
        return cls(np.asarray(truth.rotations)[true_rows], rows)


def true_errors(
    model: DistanceModel,
    embedding: Embedding,
    rotations: np.ndarray,
    truth: TruePoses,
    free: bool,
    seed: int,
) -> Dict[str, float]:
    """Errors of the distances and of the rotations.

    mean_orthogonal4_error_deg is that of Banjac et al. 2021, eq. 5, which also moves the beam;
    mean_distance_error_0_to_60_deg is over pairs whose true distance is in that range, and so on.

    Parameters
    ----------
    model, embedding : give the distances.
    rotations : (N, 3, 3) recovered.
    truth : true rotations of some of the particles.
    free : whether a common rotation and the hand were left open.
    seed : of the samples.
    """
    found, true, identity = rotations[truth.rows], truth.rotations, np.eye(3)[None]
    registered = (
        register(found, true, identity, hands=HANDS, seed=seed).apply(found) if free else found
    )
    true_rad, estimated_rad = sampled_distances(model, embedding, truth, seed)
    best = register_orthogonal4(found, true, seed=seed)
    off, away = np.rad2deg(np.abs(estimated_rad - true_rad)), np.rad2deg(true_rad)
    between = {(low, high): off[(away >= low) & (away <= high)] for low, high in _RANGES_DEG}

    return {
        "mean_distance_error_deg": float(off.mean()),
        **{
            f"mean_distance_error_{a}_to_{b}_deg": float(part.mean())
            for (a, b), part in between.items()
            if part.size
        },
        "mean_orthogonal4_error_deg": float(np.rad2deg(best.mean_residual_rad)),
        **summarise_angles(angular_errors_deg(registered, true, identity)),
    }


def sampled_distances(
    model: DistanceModel, embedding: Embedding, truth: TruePoses, seed: int
) -> Tuple[np.ndarray, np.ndarray]:
    """(M,) true and estimated distances in radians between some of the particles.

    Parameters
    ----------
    model, embedding : give the estimated distances.
    truth : true rotations of some of the particles.
    seed : of the sample.
    """
    part = np.random.default_rng(seed).permutation(len(truth.rows))[:_SAMPLE]
    first, second = np.triu_indices(len(part), 1)
    features, rotations = embedding.features[truth.rows[part]], truth.rotations[part]
    return angular_distance_rad(rotations[first], rotations[second]), model.distances(
        features, features
    )[first, second]


def recovery_notes(config: RecoverConfig, metrics: Dict[str, Any]) -> List[str]:
    """Notes that are needed to interpret the poses."""
    reach = f"up to {config.max_shift_px:g} px of the model's images"
    shifts = {
        "volume": f"Shifts were measured against {config.volume}, {reach}.",
        "network": "The shifts are those of the network.",
        "input": "The network gives no shifts: those of the input are kept.",
        "zero": "The network gives no shifts and the input has none: all shifts are zero.",
    }

    if config.volume is None:
        found = [
            "The poses are in a frame of their own: a rotation of the volume and its hand are "
            "undetermined, as always without a reference.",
        ]
        if metrics["beam_residual_deg"] > _CLEARLY * metrics["beam_residual_of_inverse_deg"]:
            found.append(
                "Rotated and mirrored copies determine the direction of the beam poorly (their "
                f"median error is {metrics['beam_residual_deg']:.0f}°, and "
                f"{metrics['beam_residual_of_inverse_deg']:.0f}° for the inverse rotations): do "
                "not trust a reconstruction from these poses."
            )
    else:
        found = [
            f"The poses have the frame and the hand of {config.volume}; projections do "
            "not show the hand."
        ]
        if metrics["median_distance_residual_deg"] > _LARGE_RESIDUAL_DEG:
            found.append(
                f"The distances to the volume's projections fit no pose (median residual "
                f"{metrics['median_distance_residual_deg']:.0f}°): the network has not learned "
                "them. Train it longer, and do not trust these poses."
            )
    found.append(shifts[metrics["shift_source"]])
    if metrics["outliers"]:
        found.append(
            f"The distances of {metrics['outliers']} particles fit clearly worse than those of "
            "most."
        )
    found += not_modelled(metrics["columns_not_modelled"])
    return found


def write_recovery_report(
    config: RecoverConfig,
    run: RunDirectory,
    inputs: ModelInputs,
    embedding: Embedding,
    poses: Any,
    truth: Optional[TruePoses],
    metrics: Dict[str, Any],
    notes: List[str],
) -> None:
    """Write report.html and its figures.

    Parameters
    ----------
    config, run, inputs : of the run.
    embedding : features of the particles.
    poses : that were recovered.
    truth : true poses, if they are known.
    metrics, notes : to show.
    """
    figures: Dict[str, Tuple[str, Figure]] = {}
    if poses.recovery is not None:
        figures.update(recovery_figures(poses.pairs, poses.recovery, config.seed))
    if truth is not None:
        degrees = [
            np.rad2deg(d) for d in sampled_distances(inputs.model, embedding, truth, config.seed)
        ]
        figures["distance_density"] = (
            "Distances from the network against true ones.",
            plots.distance_density(degrees[0], np.minimum(degrees[1], 180.0)),
        )

    write_report(
        run.path,
        "Poses from learned distances",
        numbers=metrics,
        notes=notes,
        figures=figures,
        lead=f"{counted(len(inputs.table), 'particle')}, model {inputs.pose_source}.",
    )
