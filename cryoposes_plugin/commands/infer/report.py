"""What `infer` says about its poses: notes and a page."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import numpy as np

from ...core.imaging.reprojections import low_passed
from ...core.particles.batches import batches
from ...core.plots import plots
from ...core.refinement.shift_finder import ShiftFinder
from ...core.words import counted, not_modelled
from ..report import write_report
from ..run_directory import RunDirectory
from .config import InferConfig
from .inputs import Inputs
from .results import TRACE, Results

_SHOWN = 8


def report_notes(config: InferConfig, inputs: Inputs, metrics: Dict[str, Any]) -> List[str]:
    """What a reader of the poses must know."""
    notes = {
        "volume": f"Poses were refined against {config.volume}, from the network's hypotheses."
        if metrics["refined"]
        else f"Shifts were measured against {config.volume}, up to {config.max_shift_px:g} px of the model's images.",
        "input": "No volume was given: the shifts are those of the input, kept as they were.",
        "zero": "No volume was given and the input has no shifts: all shifts are zero.",
    }
    hand = (
        f"The hand is that of {config.volume}, against which the poses were refined; images cannot tell it."
        if metrics["refined"]
        else "The hand is that of what the model was trained on; images cannot tell it."
    )
    found = [
        notes[metrics["shift_source"]],
        "The network looks at the images as they are: shifts of the input do not move them.",
        hand,
        *inputs.images.remarks(),
    ]
    if metrics.get("shifts_at_edge_of_search"):
        found.append(
            f"{metrics['shifts_at_edge_of_search']} shifts lie at the edge of the search; a larger --max-shift-px or "
            "better centred particles may help."
        )
    found += not_modelled(metrics["columns_not_modelled"])
    states = sorted(
        {inputs.table.optics[i].image_state for i in np.unique(inputs.table.optics_index)}
    )
    if states != [inputs.model.card.image_state]:
        found.append(
            f"The images are {', '.join(states)} and the model was trained on images that are "
            f"{inputs.model.card.image_state}."
        )
    return found


def write_inference_report(
    run: RunDirectory,
    inputs: Inputs,
    results: Results,
    finder: Optional[ShiftFinder],
    metrics,
    notes,
) -> None:
    figures = {
        "uncertainty_histogram": (
            "The more negative the more certain; the score ranks particles and is not an angle.",
            plots.uncertainty_histogram(results.trace, name=TRACE),
        ),
    }
    if finder is not None:
        figures["particles_beside_reprojections"] = (
            "Particles beside the reprojections at their poses, centred and low-passed, the most certain to the left.",
            _beside_reprojections(inputs, results, finder),
        )
    write_report(
        run.path,
        "Estimated poses",
        numbers=metrics,
        notes=notes,
        figures=figures,
        lead=f"{counted(len(inputs.table), 'particle')}, model {inputs.pose_source}.",
    )


def _beside_reprojections(inputs: Inputs, results: Results, finder: ShiftFinder):
    """Some of the first optics group, from the most to the least certain, low-passed for the eye."""
    rows = batches(inputs.table, 256)[0]
    order = rows[np.argsort(results.trace[rows], kind="stable")]
    chosen = order[np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).astype(int)]
    images, ctf, state = inputs.read_batch(chosen)
    reprojections = finder.reprojections(results.rotations[chosen], ctf, state)
    return plots.particles_beside_reprojections(
        low_passed(images, results.shifts_px[chosen]),
        low_passed(reprojections),
        [f"id {i}" for i in inputs.table.ids[chosen]],
    )
