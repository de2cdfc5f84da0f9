"""Refine poses."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.core.words import counted
from cryoposes_plugin.scipion import forms

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesRefine(ProtCryoposesBase):
    """Refines the orientation and shift of each particle against a volume, to the limit that the noise sets.

    Poses may come from anywhere: from 'estimate poses', RELION or cryoSPARC. Each particle's own scale, the noise and
    the strength of the volume in the images are measured on the way. Every pose gets its expected error in degrees and
    how far it moved; whether the poses belong to the volume or to its mirror is said.
    """

    _label = "refine poses"
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = RefineConfig
    PARTICLES = (ParticleInput("particles", "inputParticles", poses=True),)
    VOLUMES = (("volume", "inputVolume"),)

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(
            form,
            "particles",
            "SetOfParticles",
            "Particles with the poses to start from.",
            pointer_condition="hasAlignmentProj",
        )
        forms.add_pointer(
            form, "volume", "Volume", "Volume to refine against, in the frame of the poses."
        )
        forms.add_fields(form, RefineConfig, "symmetry", "resolution_angstrom", "search_deg")
        forms.add_fields(
            form,
            RefineConfig,
            "search_starts",
            "search_shift_px",
            condition="searchDeg is not None and searchDeg > 0",
        )
        forms.add_fields(
            form, RefineConfig, "prior_deg", "prior_shift_px", "working_box_px", "batch_size"
        )
        forms.add_execution(form, RefineConfig, gpu=True)

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry
        from cryoposes_plugin.core.plausibility import check_resolution

        parse_symmetry(config.symmetry)
        check_resolution(config.command, config.resolution_angstrom, self._width_angstrom())

    def _create_outputs(self) -> None:
        self._define(outputParticles=self._create_particles())

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return [
            f"{counted(metrics['particles'], 'pose')} refined; they moved by {metrics['median_moved_deg']:.2f}° and "
            f"{metrics['median_moved_angstrom']:.2f} Å (medians).",
            f"Expected error: {metrics['median_expected_error_deg']:.2f}° and "
            f"{metrics['median_expected_shift_error_angstrom']:.2f} Å (median of the root mean squares).",
            *metrics.get("notes", []),
        ]

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return []
        return [
            f"Poses of {metrics['particles']} particles were refined by maximum likelihood against a reference, with "
            f"the noise spectrum measured on the residuals (Cryoposes); their median expected error is "
            f"{metrics['median_expected_error_deg']:.2f}°."
        ]
