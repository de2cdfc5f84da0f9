"""Wizards for mask diameter, symmetry, threshold, box size and pixel size."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
from pyworkflow.wizard import Wizard

from cryoposes_plugin import protocols
from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.commands.filter.decoys import decoy_scores
from cryoposes_plugin.commands.registry import has_needs
from cryoposes_plugin.core.scores import JUNK, cost, title_of
from cryoposes_plugin.protocols import (
    ProtCryoposesFilter,
    ProtCryoposesInitialVolume,
    ProtCryoposesReconstruct,
    ProtCryoposesRefine,
    ProtCryoposesSimulate,
    ProtCryoposesTrain,
)
from cryoposes_plugin.scipion import convert
from cryoposes_plugin.scipion.figure_window import SliderDialog
from cryoposes_plugin.scipion.forms import NEEDS_PARAM

from .inputs import average_image, average_projection, first_particles, first_volume, volume_data

_STEPS = 200
#: Models that a list shows.
_MOST_LISTED = 20


class GridWizard(Wizard):
    """Takes box size and pixel size from the particles of the form, or from its volume."""

    _targets = [
        (ProtCryoposesSimulate, ["boxSizePx", "pixelSizeAngstrom"]),
        (ProtCryoposesTrain, ["boxSizePx", "pixelSizeAngstrom"]),
    ]

    def show(self, form, *params):
        values = grid_of(form.protocol)
        if values is None:
            return say(
                form,
                "Choose particles or a volume first. Box size and pixel size are taken from them.",
            )
        for name, value in values.items():
            form.setVar(name, value)


class MaskDiameterWizard(Wizard):
    """Shows the mask as a circle on the mean projection of the volume, or on the mean image."""

    _targets = [
        (ProtCryoposesTrain, ["maskDiameterAngstrom"]),
        (ProtCryoposesReconstruct, ["maskDiameterAngstrom"]),
        (ProtCryoposesInitialVolume, ["diameterAngstrom"]),
        (ProtCryoposesSimulate, ["particleDiameterAngstrom"]),
    ]

    def show(self, form, *params):
        from cryoposes_plugin.core.maps.size import suggested_diameter_angstrom
        from cryoposes_plugin.core.plots import mask_preview

        found = average_of(form.protocol)
        if found is None:
            return say(
                form, "Choose particles or a volume first. The mask is drawn on their average."
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
    """Compares the volume with itself, rotated by the operations of each common point group."""

    _targets = [
        (ProtCryoposesTrain, ["symmetry"]),
        (ProtCryoposesRefine, ["symmetry"]),
        (ProtCryoposesReconstruct, ["symmetry"]),
    ]

    def show(self, form, *params):
        from cryoposes_plugin.core.maps.symmetry import likely_group, symmetry_correlations
        from cryoposes_plugin.core.plots import symmetry_bars

        volume = first_volume(form.protocol)
        if isinstance(form.protocol, ProtCryoposesInitialVolume):
            return say(
                form,
                "The symmetry can only be found on a volume. Determine a volume with C1 first, "
                "then use this wizard in 'reconstruct volume'.",
            )
        if volume is None:
            return say(form, "Choose a volume first. It is compared with the common point groups.")
        correlations = symmetry_correlations(volume_data(volume))
        names = ["C1", *correlations]
        start = names.index(likely_group(correlations))
        chosen = SliderDialog(
            "Symmetry", partial(symmetry_bars, correlations), names, start, form
        ).ask()
        if chosen is not None:
            form.setVar("symmetry", chosen)


class ThresholdWizard(Wizard):
    """Moves the threshold on the histogram of the scores; shows how many particles it keeps."""

    _targets = [(ProtCryoposesFilter, ["threshold"])]

    def show(self, form, *params):
        from cryoposes_plugin.core.plots import uncertainty_histogram

        form.setParamFromVar("score")
        protocol = form.protocol
        name = FilterConfig.__dataclass_fields__["score"].metadata["choices"][protocol.score.get()]
        scores = scores_of(protocol, name)
        if scores is None:
            return say(
                form,
                f"Choose particles with the score '{title_of(name)}' first, for example from "
                "'estimate poses'.",
            )
        decoys = decoys_of(protocol) if name == JUNK else None
        first = first_threshold(protocol, name, scores)
        values = np.unique(np.append(np.quantile(scores, np.linspace(0, 1, _STEPS)), first))
        start = int(np.searchsorted(values, first))

        def draw(threshold):
            return uncertainty_histogram(
                scores,
                cost(name, scores) <= cost(name, threshold),
                name,
                float(threshold),
                decoys,
            )

        chosen = SliderDialog("Threshold", draw, values, start, form).ask()
        if chosen is not None:
            form.setVar("threshold", float(chosen))


class ModelLibraryWizard(Wizard):
    """Lists the models of the folder, the one of the likest map first."""

    _targets = [(ProtCryoposesTrain, ["modelLibrary"])]

    def show(self, form, *params):
        from cryoposes_plugin.commands.train.parent import ranked_models
        from cryoposes_plugin.core.errors import InputError
        from cryoposes_plugin.core.types import Volume

        form.setParamFromVar("modelLibrary")
        folder, volume = form.protocol.modelLibrary.get(), first_volume(form.protocol)
        if not folder or volume is None:
            return say(form, "Choose a volume and a folder of models first.")
        density = Volume(volume_data(volume), volume.getSamplingRate())
        try:
            models = ranked_models(Path(folder), density)
        except InputError as error:
            return say(form, str(error))
        lines = [
            f"{alike:.2f}  {model.folder}: {model.card.symmetry}, {model.card.box_size_px} px of "
            f"{model.card.pixel_size_angstrom:.3g} Å"
            for alike, model in models[:_MOST_LISTED]
        ]
        say(form, "\n".join(["Likeness of the maps, 1 for the same map:", *lines]))


class NeedsWizard(Wizard):
    """Says what memory, disk space and time the run will need."""

    _targets = [
        (protocol, [NEEDS_PARAM])
        for protocol in (getattr(protocols, name) for name in protocols.__all__)
        if has_needs(protocol.CONFIG.command)
    ]

    def show(self, form, *params):
        say(form, form.protocol.needs_sentence())


def grid_of(protocol) -> Optional[Dict[str, Any]]:
    """Parameter -> value, from the particles or the volume of the form; None without either."""
    particles, volume = first_particles(protocol), first_volume(protocol)
    if particles is not None:
        return {"boxSizePx": particles.getXDim(), "pixelSizeAngstrom": particles.getSamplingRate()}
    if volume is not None:
        return {"boxSizePx": volume.getDim()[0], "pixelSizeAngstrom": volume.getSamplingRate()}
    return None


def average_of(protocol):
    """((D, D) average image, pixel size in Å) of volume or particles; None without either."""
    volume, particles = first_volume(protocol), first_particles(protocol)
    if volume is not None:
        return average_projection(volume), volume.getSamplingRate()
    if particles is not None:
        return average_image(particles), particles.getSamplingRate()
    return None


def scores_of(protocol, name: str) -> Optional[np.ndarray]:
    """(N,) scores of the particles of the form; None if there are none."""
    particles = first_particles(protocol)
    if (
        particles is None
        or not particles.getSize()
        or not particles.getFirstItem().hasAttribute(f"_{name}")
    ):
        return None
    return convert.scores_of(particles, name)


def first_threshold(protocol, name: str, scores: np.ndarray) -> float:
    """The threshold at which the wizard opens: of the fraction in the form; else, for the
    probability of junk, that of the false discovery rate, and for other scores of three quarters.
    """
    # SciPy's statistics are not for Scipion's start.
    from cryoposes_plugin.core.evaluation.selection import accept_at_rate

    fraction = protocol.keepQuantile.get()
    if name == JUNK and not fraction:
        kept = accept_at_rate(scores, protocol.falseDiscoveryRate.get())
        if kept.any():
            return float(scores[kept].max())
    return float(cost(name, np.quantile(cost(name, scores), fraction or 0.75)))


def decoys_of(protocol) -> Optional[np.ndarray]:
    """(M,) probabilities of junk of the decoys that the run of the particles left; None without."""
    particles = first_particles(protocol)
    if particles is None or not particles.getFileName():
        return None
    return decoy_scores(Path(particles.getFileName()).parent / "extra" / "run")


def say(form, sentence: str) -> None:
    """Show a message."""
    form.showInfo(sentence)
