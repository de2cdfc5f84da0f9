"""The report of `infer` on its poses: numbers and notes."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

import numpy as np

from ...core.evaluation.calibration import wrong_pose_of_particle
from ...core.io.particle_files import columns_not_modelled
from ...core.io.star_labels import not_modelled
from ...core.refinement.levenberg_marquardt import ANGLES
from ...core.scores import DISPERSION, EXPECTED_ERROR, JUNK, TRACE, WRONG_BASIN
from ...core.trust.verdict import IN_SHORT
from ...core.values import counted
from .config import InferConfig
from .estimate import Estimate
from .inputs import ModelInputs

#: What is more likely than not.
_LIKELY = 0.5


def metrics_of(config: InferConfig, inputs: ModelInputs, estimate: Estimate) -> Dict[str, Any]:
    """Numbers for metrics.json."""
    card, table, rate = inputs.model.card, estimate.table, estimate.particles_per_second
    shifts_angstrom = (
        np.linalg.norm(np.asarray(table.shifts_px), axis=1) * table.pixel_size_angstrom
    )

    return {
        "particles": len(table),
        "particles_per_second": rate if rate > 0 else None,
        "pose_source": inputs.pose_source,
        "symmetry": card.symmetry,
        "model_box_size_px": card.box_size_px,
        "model_pixel_size_angstrom": card.pixel_size_angstrom,
        "shift_source": _shift_source(config, inputs),
        "median_shift_angstrom": float(np.median(shifts_angstrom)),
        f"median_{DISPERSION}": float(np.median(table.scores[DISPERSION])),
        f"median_{TRACE}": float(np.median(table.scores[TRACE])),
        "columns_not_modelled": columns_not_modelled(table),
        **inputs.images.grey.metrics(),
        **likely(table.scores),
        **estimate.metrics,
    }


def likely(scores: Mapping[str, np.ndarray]) -> Dict[str, Any]:
    """Numbers of likely particles, and among these of likely wrong poses, as far as there are
    scores (N,) for it.
    """
    number = len(next(iter(scores.values())))
    junk = scores.get(JUNK, np.zeros(number))
    shown, found = junk <= _LIKELY, {}
    if JUNK in scores:
        found["junk_share"] = float(junk.mean())
    if WRONG_BASIN in scores:
        wrong = wrong_pose_of_particle(scores[WRONG_BASIN], junk)
        found["likely_wrong"] = int((shown & (wrong > _LIKELY)).sum())
    if EXPECTED_ERROR in scores and shown.any():
        found["likely_median_expected_error_deg"] = float(np.median(scores[EXPECTED_ERROR][shown]))
    return {**found, "likely_particles": int(shown.sum())} if found else {}


def summary_of(metrics: Dict[str, Any]) -> str:
    """How good the poses are, in a few sentences: expected error, share of wrong poses, share of
    junk, and the verdict, as far as they are known.
    """
    number, sentences = metrics.get("likely_particles"), []
    if "likely_median_expected_error_deg" in metrics:
        sentences.append(
            f"Median expected error {metrics['likely_median_expected_error_deg']:.2g}°."
        )
    elif f"median_{TRACE}" in metrics:
        sentences.append(
            "The poses were not refined, so that their errors are not known in degrees; the "
            f"network's uncertainty ranks them (median {metrics[f'median_{TRACE}']:.3g})."
        )

    if "likely_wrong" in metrics and number:
        share = 100 * metrics["likely_wrong"] / number
        sentences.append(
            f"Likely wrong: {metrics['likely_wrong']} of {counted(number, 'pose')} ({share:.2g} %)"
            + (", junk not counted." if "junk_share" in metrics else ".")
        )
    if "junk_share" in metrics:
        sentences.append(f"Junk: {100 * metrics['junk_share']:.2g} % of the images.")
    if metrics.get("verdict") in IN_SHORT:
        sentences.append(f"Verdict: {IN_SHORT[metrics['verdict']]}.")
    return " ".join(sentences)


def _shift_source(config: InferConfig, inputs: ModelInputs) -> str:
    if inputs.volume is not None and config.assign != ANGLES:
        return "volume"
    return "zero" if inputs.table.shifts_px is None or not inputs.table.shifts_px.any() else "input"


def notes_of(
    config: InferConfig, inputs: ModelInputs, estimate: Estimate, metrics: Dict[str, Any]
) -> List[str]:
    """Notes that are needed to interpret the poses, each sentence once.

    Parameters
    ----------
    config, inputs : of the run.
    estimate : the poses.
    metrics : see `metrics_of`.
    """
    not_refined = metrics.get("not_refined")
    source_of_hand = (
        f"{config.volume}, against which the poses were refined"
        if metrics["refined"]
        else "the data that the model was trained on"
    )

    notes = [
        *estimate.warnings,
        *([not_refined] if not_refined else []),
        _on_shifts(config, metrics),
        "The network takes the images as they are: the input's shifts are not applied to them.",
        f"The hand is that of {source_of_hand}; projections do not show it.",
        *inputs.images.remarks(),
        *_on_input(inputs, metrics),
        *estimate.notes,
    ]
    return list(dict.fromkeys(notes))


def _on_shifts(config: InferConfig, metrics: Dict[str, Any]) -> str:
    source = metrics["shift_source"]
    if source != "volume":
        reason = "--assign is angles" if config.volume else "No volume was given"
        if source == "zero":
            return f"{reason} and the input has no shifts: all shifts are zero."
        return f"{reason}: the shifts are those of the input."
    if metrics["refined"]:
        return f"Poses were refined against {config.volume}, from the network's hypotheses."
    return (
        f"Shifts were measured against {config.volume}, up to {config.max_shift_px:g} px of the "
        "model's images."
    )


def _on_input(inputs: ModelInputs, metrics: Dict[str, Any]) -> List[str]:
    notes = []
    if metrics.get("shifts_at_edge_of_search"):
        notes.append(
            f"{metrics['shifts_at_edge_of_search']} shifts lie at the edge of the search; a larger "
            "--max-shift-px or better centred particles may help."
        )
    notes += not_modelled(metrics["columns_not_modelled"])

    states = sorted(
        {inputs.table.optics[i].image_state for i in np.unique(inputs.table.optics_index)}
    )
    if states != [inputs.model.card.image_state]:
        notes.append(
            f"The images are {', '.join(states)} and the model was trained on images that are "
            f"{inputs.model.card.image_state}."
        )
    return notes
