"""The protocol of `refine`."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import REFINEMENT, SEARCH, Config
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import forms

from .protocol_base import ParticleInput, ProtCryoposesBase

#: Numbers of the expected errors, and their units; parts of poses that stay may have none.
_EXPECTED = {
    "median_expected_error_deg": "°",
    "median_expected_shift_error_angstrom": " Å",
}


class ProtCryoposesRefine(ProtCryoposesBase):
    """Refines the pose of each particle against a volume, to noise-limited accuracy.

    The poses may come from 'estimate poses', RELION, cryoSPARC or any other program. The noise
    spectrum, the scale of the volume and the scale of each particle are measured from the images.

    Each particle gets the expected error of its pose in degrees, and how far the pose moved. The
    summary says whether the poses belong to the volume or to its mirror image.
    """

    _label = RefineConfig.title
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = RefineConfig
    PARTICLES = (ParticleInput("particles", "inputParticles", poses=True),)
    VOLUMES = (("volume", "inputVolume"), ("mask", "inputMask"))

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(
            form,
            RefineConfig,
            "particles",
            "SetOfParticles",
            pointer_condition="hasAlignmentProj",
        )
        forms.add_pointer(form, RefineConfig, "volume", "Volume")
        forms.add_pointer(form, RefineConfig, "mask", "VolumeMask", optional=True)
        forms.add_fields(form, RefineConfig, "symmetry")
        forms.add_group(form, RefineConfig, REFINEMENT)

        frame = forms.add_frame(form, RefineConfig, SEARCH)
        forms.add_fields(frame, RefineConfig, "search_deg")
        forms.add_fields(
            frame,
            RefineConfig,
            "search_starts",
            condition="searchDeg is not None and searchDeg > 0",
        )
        forms.add_fields(frame, RefineConfig, "search_shift_px")

        forms.add_computation(form, RefineConfig)

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.commands.plausibility import check_resolution
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)
        check_resolution(config.command, config.resolution_angstrom, self._width_angstrom())

    def _create_outputs(self) -> None:
        self._define(outputParticles=self._create_particles())

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return [
            f"{counted(metrics['particles'], 'pose')} refined; median change "
            f"{metrics['median_moved_deg']:.2f}° and {metrics['median_moved_angstrom']:.2f} Å.",
            *_expected(metrics),
            *metrics.get("notes", []),
        ]

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return []
        return [
            f"Poses of {metrics['particles']} particles were refined by maximum likelihood "
            "against a reference, with the noise spectrum estimated from the residuals "
            "(Cryoposes).",
            *_expected(metrics),
        ]


def _expected(metrics: Dict[str, Any]) -> List[str]:
    found = [f"{metrics[key]:.2f}{unit}" for key, unit in _EXPECTED.items() if key in metrics]
    return [f"Median expected error (root mean square): {' and '.join(found)}."] if found else []
