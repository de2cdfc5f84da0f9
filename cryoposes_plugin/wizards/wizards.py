"""Mask diameter on an average image, symmetry by the map itself, threshold on the histogram, box and pixel size."""

from __future__ import annotations

from functools import partial
from typing import Any, Dict, Optional

import numpy as np
from pyworkflow.wizard import Wizard

from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.core.scores import cost, title_of
from cryoposes_plugin.protocols import (
    ProtCryoposesFilter,
    ProtCryoposesInitialVolume,
    ProtCryoposesReconstruct,
    ProtCryoposesRefine,
    ProtCryoposesSimulate,
    ProtCryoposesTrain,
)
from cryoposes_plugin.scipion.figure_window import SliderDialog

from .inputs import average_image, average_projection, first_particles, first_volume, volume_data

_STEPS = 200


class GridWizard(Wizard):
    """Box and pixel size of the particles that the form was given, else of its volume."""

    _targets = [
        (ProtCryoposesSimulate, ["boxSizePx", "pixelSizeAngstrom"]),
        (ProtCryoposesTrain, ["boxSizePx", "pixelSizeAngstrom"]),
    ]

    def show(self, form, *params):
        values = grid_of(form.protocol)
        if values is None:
            return say(
                form, "Give particles or a volume first: box and pixel size are taken from them."
            )
        for name, value in values.items():
            form.setVar(name, value)


class MaskDiameterWizard(Wizard):
    """A circle on the average of the images, or on the mean projection of the map."""

    _targets = [
        (ProtCryoposesTrain, ["maskDiameterAngstrom"]),
        (ProtCryoposesReconstruct, ["maskDiameterAngstrom"]),
        (ProtCryoposesInitialVolume, ["diameterAngstrom"]),
        (ProtCryoposesSimulate, ["particleDiameterAngstrom"]),
    ]

    def show(self, form, *params):
        from cryoposes_plugin.core.plots.mask_preview import (
            mask_preview,
            suggested_diameter_angstrom,
        )

        found = average_of(form.protocol)
        if found is None:
            return say(
                form, "Give particles or a volume first: the mask is drawn on their average."
            )
        image, pixel = found
        values = pixel * np.linspace(2, image.shape[0], _STEPS)
        suggested = suggested_diameter_angstrom(image, pixel)
        start = int(np.argmin(np.abs(values - suggested)))
        chosen = SliderDialog(
            "Mask diameter", partial(mask_preview, image, pixel), values, start, form
        ).ask()
        if chosen is not None:
            form.setVar(form.wizParamName, round(float(chosen), 1))


class SymmetryWizard(Wizard):
    """Correlation of the map with itself turned by the operations of each usual group; the likely one is taken."""

    _targets = [
        (ProtCryoposesTrain, ["symmetry"]),
        (ProtCryoposesRefine, ["symmetry"]),
        (ProtCryoposesReconstruct, ["symmetry"]),
    ]

    def show(self, form, *params):
        from cryoposes_plugin.core.maps.symmetry import likely_group, symmetry_correlations
        from cryoposes_plugin.core.plots.plots import symmetry_bars

        volume = first_volume(form.protocol)
        if isinstance(form.protocol, ProtCryoposesInitialVolume):
            return say(
                form,
                "Axes can be seen on a volume only: find one with C1, and ask again in 'reconstruct volume'.",
            )
        if volume is None:
            return say(
                form, "Give a volume first: its axes are compared with those of the usual groups."
            )
        correlations = symmetry_correlations(volume_data(volume))
        names = ["C1", *correlations]
        start = names.index(likely_group(correlations))
        chosen = SliderDialog(
            "Symmetry", partial(symmetry_bars, correlations), names, start, form
        ).ask()
        if chosen is not None:
            form.setVar("symmetry", chosen)


class ThresholdWizard(Wizard):
    """The threshold moved over the histogram of the scores, with the number of particles that it keeps."""

    _targets = [(ProtCryoposesFilter, ["threshold"])]

    def show(self, form, *params):
        from cryoposes_plugin.core.plots.plots import uncertainty_histogram

        form.setParamFromVar("score")
        protocol = form.protocol
        name = FilterConfig.__dataclass_fields__["score"].metadata["choices"][protocol.score.get()]
        scores = scores_of(protocol, name)
        if scores is None:
            return say(
                form,
                f"Give particles with the score '{title_of(name)}' first, as 'estimate poses' makes them.",
            )
        values = np.unique(np.quantile(scores, np.linspace(0, 1, _STEPS)))
        kept = cost(name, np.quantile(cost(name, scores), protocol.keepQuantile.get() or 0.75))
        start = int(np.argmin(np.abs(values - kept)))

        def draw(threshold):
            return uncertainty_histogram(
                scores, cost(name, scores) <= cost(name, threshold), name, float(threshold)
            )

        chosen = SliderDialog("Threshold", draw, values, start, form).ask()
        if chosen is not None:
            form.setVar("threshold", float(chosen))


def grid_of(protocol) -> Optional[Dict[str, Any]]:
    """Parameter -> value, from the particles or else the volume of the form; None if it has neither."""
    particles, volume = first_particles(protocol), first_volume(protocol)
    if particles is not None:
        return {"boxSizePx": particles.getXDim(), "pixelSizeAngstrom": particles.getSamplingRate()}
    if volume is not None:
        return {"boxSizePx": volume.getDim()[0], "pixelSizeAngstrom": volume.getSamplingRate()}
    return None


def average_of(protocol):
    """((D, D) average image, pixel size in Å) of the form's volume, or else of its particles; None without either."""
    volume, particles = first_volume(protocol), first_particles(protocol)
    if volume is not None:
        return average_projection(volume), volume.getSamplingRate()
    if particles is not None:
        return average_image(particles), particles.getSamplingRate()
    return None


def scores_of(protocol, name: str) -> Optional[np.ndarray]:
    """(N,) scores of the form's particles; None where there are none."""
    particles = first_particles(protocol)
    if (
        particles is None
        or not particles.getSize()
        or not particles.getFirstItem().hasAttribute(f"_{name}")
    ):
        return None
    return np.array(
        [item.getAttributeValue(f"_{name}") for item in particles.iterItems()], dtype=np.float64
    )


def say(form, sentence: str) -> None:
    form.showInfo(sentence)
