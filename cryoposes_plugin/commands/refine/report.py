"""The report of a refinement on its poses: numbers, notes and figures."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from matplotlib.figure import Figure

from ...core import plots
from ...core.io.particle_files import columns_not_modelled
from ...core.io.star_labels import not_modelled
from ...core.refinement.refinement import Refinement
from ...core.refinement.results import Results
from ...core.scores import (
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    IMAGE_RESIDUAL,
    JUNK,
    MOVED,
    WRONG_BASIN,
)
from ...core.trust.judge import Judged
from ...core.trust.twin import DECOYS
from ...core.types import ParticleTable
from ...core.values import counted

#: A pose is called ambiguous if it is wrong with at least this probability.
_AMBIGUOUS = 0.5
#: Medians of scores; of the errors of parts of the poses that stay, there may be none.
_MEDIANS = {
    "median_expected_error_deg": EXPECTED_ERROR,
    "median_expected_shift_error_angstrom": EXPECTED_SHIFT_ERROR,
}
#: A kind of junk is named from this share of the images on.
_NAMED_SHARE = 0.01


def metrics_of(
    refinement: Refinement,
    results: Results,
    table: ParticleTable,
    judged: Optional[Judged] = None,
) -> Dict[str, Any]:
    """Numbers for metrics.json.

    Parameters
    ----------
    refinement, results : of the particles.
    table : the particles with their scores.
    judged : the set after its twin, if there was one.
    """
    scores, grid, rate = table.scores, refinement.grid, results.particles_per_second

    return {
        "particles": len(table),
        "particles_per_second": rate if rate > 0 else None,
        "working_box_px": grid.box_size_px,
        "working_pixel_size_angstrom": grid.pixel_size_angstrom,
        "resolution_used_angstrom": {
            table.optics[group].name: grid.field_of_view_angstrom / spectra.last_shell
            for group, spectra in results.spectra.items()
        },
        **{
            name: float(np.median(scores[score]))
            for name, score in _MEDIANS.items()
            if score in scores
        },
        "mean_wrong_basin_probability": float(scores[WRONG_BASIN].mean()),
        "ambiguous_particles": int((scores[WRONG_BASIN] >= _AMBIGUOUS).sum()),
        "median_residual": float(np.median(scores[IMAGE_RESIDUAL])),
        "converged_share": float(results.refined.converged.mean()),
        "particles_without_signal": int((results.refined.gain <= 0).sum()),
        "columns_not_modelled": columns_not_modelled(table),
        **(_judged_metrics(table.scores[JUNK], judged) if judged else {}),
        **refinement.images.grey.metrics(),
    }


def _judged_metrics(probability: np.ndarray, judged: Judged) -> Dict[str, Any]:
    kinds = {name: share for name, share in judged.junk.shares.items() if name in DECOYS}
    excess, error = judged.magnification
    return {
        "magnification_excess": excess,
        "magnification_error": error if np.isfinite(error) else None,
        "told_from_simulated_area": judged.twin_test.area,
        "junk_particles": int((probability > _AMBIGUOUS).sum()),
        "junk_share": float(probability.mean()),
        "junk_share_by_kind": kinds,
    }


def report_notes(metrics: Dict[str, Any]) -> List[str]:
    """Notes that are needed to interpret the poses."""
    notes = [
        "Expected errors and their bounds hold if the image shows the particle; the probability of "
        "a wrong pose contains that of junk."
    ]

    if metrics["particles_without_signal"]:
        notes.append(
            f"{metrics['particles_without_signal']} particles fit no pose better than noise; "
            "filter them out."
        )
    if metrics["ambiguous_particles"]:
        notes.append(
            f"More likely wrong than right according to {WRONG_BASIN}: "
            f"{counted(metrics['ambiguous_particles'], 'pose')}."
        )
    if metrics.get("junk_particles"):
        kinds = sorted(metrics["junk_share_by_kind"].items(), key=lambda item: -item[1])
        named = ", ".join(
            f"{name} {100 * share:.0f} %" for name, share in kinds if share >= _NAMED_SHARE
        )
        notes.append(
            f"More likely junk than particles according to {JUNK}: "
            f"{counted(metrics['junk_particles'], 'image')} of {metrics['particles']}"
            + (f" (most like: {named} of all images)" if named else "")
            + ". Remove them with `cryoposes filter`."
        )
    notes += not_modelled(metrics["columns_not_modelled"])
    return notes


def refinement_figures(
    refinement: Refinement, results: Results, table: ParticleTable
) -> Dict[str, Tuple[str, Figure]]:
    """Figures by name, with their captions."""
    scores, grid = table.scores, refinement.grid
    figures = {}
    if EXPECTED_ERROR in scores:
        figures["expected_error"] = (
            "Expected error of each orientation (root mean square), from the curvature of its "
            "likelihood.",
            plots.value_histogram(
                scores[EXPECTED_ERROR], "Expected error of the orientations", "expected error [°]"
            ),
        )
    figures.update(
        {
            "agreement": (
                "Amplitude of the map in the images, and amplitude of the noise, as far as images and "
                "map agree.",
                plots.spectra(
                    {
                        table.optics[group].name: (s.amplitude, np.sqrt(s.noise_variance))
                        for group, s in results.spectra.items()
                    },
                    grid.field_of_view_angstrom,
                ),
            ),
        }
    )

    if MOVED in scores:
        figures["moved"] = (
            "How far each orientation moved.",
            plots.value_histogram(scores[MOVED], "Distance from the poses given", "moved [°]"),
        )
    return figures
