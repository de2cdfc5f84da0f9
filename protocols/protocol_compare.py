"""The protocol of `compare`."""

from __future__ import annotations

import csv
from typing import Any, Dict, List

import numpy as np
from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.compare.config import CompareConfig
from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.core.io.names import ERRORS_NAME
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import convert, results

from .protocol_base import SAMPLE, ParticleInput
from .protocol_comparison import ProtCryoposesComparison

#: Columns of errors.csv -> attributes of the particles (without underscore).
_ERRORS = {
    "angular_error_deg": "cryoposesAngularErrorDeg",
    "shift_error_angstrom": "cryoposesShiftErrorAngstrom",
}


class ProtCryoposesCompare(ProtCryoposesComparison):
    """Compares estimated poses with true poses of the same particles.

    The two sets are matched by particle id. The output is the estimated set with the angular error
    and the shift error of each particle as attributes. If a registration was chosen, its poses are
    given in the frame of the true poses.
    """

    _label = CompareConfig.title
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = CompareConfig
    PARTICLES = (
        ParticleInput("truth", "inputTruth", poses=True, images=False),
        ParticleInput("estimate", "inputEstimate", poses=True, images=False),
    )

    def _defineParams(self, form):
        self._define_comparison(form)

    def _input_problems(self) -> List[str]:
        return super()._input_problems() or self._common_problems("inputTruth", "inputEstimate")

    def _questions(self, config: Config) -> List[str]:
        from cryoposes_plugin.core.particles.plausibility import kinship_question

        truth, estimate = (self._pointed(param) for param in ("inputTruth", "inputEstimate"))
        common = truth.getIdSet() & estimate.getIdSet()
        tables = [
            convert.sample_table(particles, SAMPLE, common) for particles in (truth, estimate)
        ]
        return super()._questions(config) + kinship_question(*tables, len(common))

    def _create_outputs(self) -> None:
        from cryoposes_plugin.core.io.particle_files import read_particles

        errors, metrics = self._read_errors(), self._metrics()
        table = read_particles(self._star_path(self.PARTICLES[1]))
        table = table.take(np.flatnonzero(np.isin(table.ids, errors["id"])))
        order = np.argsort(errors["id"])
        rows = order[np.searchsorted(errors["id"][order], table.ids)]
        found = {name: errors[column][rows] for column, name in _ERRORS.items()}
        table = table.replace(scores={**table.scores, **found})
        registered = metrics["registration"] != "none"
        if registered:
            table = table.replace(rotations=_in_frame_of_truth(table.rotations, metrics))
        particles = self._createSetOfParticles()
        results.update_particles(
            particles, self.inputEstimate.get(), table, poses=registered, scores=tuple(found)
        )
        self._define(outputParticles=particles)

    def _read_errors(self) -> Dict[str, np.ndarray]:
        with open(self._run_file(ERRORS_NAME), newline="", encoding="utf-8") as handle:
            rows = list(csv.DictReader(handle))
        errors = {column: np.array([float(row[column]) for row in rows]) for column in _ERRORS}
        return {"id": np.array([int(row["id"]) for row in rows]), **errors}

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [
            f"{counted(metrics['particles'], 'particle')}: "
            f"median angular error {metrics['median_angular_error_deg']:.2f}°, "
            f"90th percentile {metrics['p90_angular_error_deg']:.2f}°, "
            f"{100 * metrics['share_below_5_deg']:.1f} % below 5°.",
            f"Median shift error {metrics['median_shift_error_angstrom']:.2f} Å.",
        ]
        if "known_junk" in metrics:
            lines.append(metrics["known_junk"]["sentence"])
        if metrics["registration"] == "orthogonal4":
            lines.append(
                "The poses were registered by an orthogonal 4 x 4 matrix. This is not physical, "
                "because it moves the beam."
            )
        if metrics["only_in_truth"] or metrics["only_in_estimate"]:
            lines.append(
                f"Not compared: {counted(metrics['only_in_truth'], 'particle')} that only the "
                f"true set has, and {metrics['only_in_estimate']} that only the estimated set has."
            )

        return lines


def _in_frame_of_truth(rotations: np.ndarray, metrics: Dict[str, Any]) -> np.ndarray:
    from cryoposes_plugin.core.evaluation.orthogonal4 import Orthogonal4
    from cryoposes_plugin.core.evaluation.registration import Registration

    if metrics["registration"] == "orthogonal4":
        return Orthogonal4(np.array(metrics["orthogonal4_matrix"]), 0.0).apply(rotations)
    found = metrics["registered"]
    return Registration(np.array(metrics["registration_matrix"]), found["hand"], 0.0).apply(
        rotations
    )
