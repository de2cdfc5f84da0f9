"""The protocol of `initial-volume`."""

from __future__ import annotations

import os
from typing import Any, Dict, List

from pwem.objects import SetOfFSCs, SetOfParticles, Volume

from cryoposes_plugin.commands.config import REFINEMENT, SEARCH
from cryoposes_plugin.commands.initial_volume.checks import check_enough_particles
from cryoposes_plugin.commands.initial_volume.config import InitialVolumeConfig
from cryoposes_plugin.core.io.names import FSC_NAME, VOLUME_NAME
from cryoposes_plugin.scipion import forms

from .protocol_base import ParticleInput
from .protocol_reconstruct import ProtCryoposesReconstruct


class ProtCryoposesInitialVolume(ProtCryoposesReconstruct):
    """Finds a first volume and poses from the particles alone, without a reference and without a
    network.

    Several searches from random volumes find the shape at low resolution. The most likely result is
    then refined and reconstructed alternately, independently for each half of the particles. Images
    do not determine the hand of the volume, so it may be the mirror image.
    """

    _label = InitialVolumeConfig.title
    _possibleOutputs = {
        "outputVolume": Volume,
        "outputFSC": SetOfFSCs,
        "outputParticles": SetOfParticles,
    }
    CONFIG = InitialVolumeConfig
    PARTICLES = (ParticleInput("particles", "inputParticles"),)
    VOLUMES = ()
    CITATIONS = ("Punjani2017",)

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(form, InitialVolumeConfig, "particles", "SetOfParticles")
        forms.add_fields(form, InitialVolumeConfig, "diameter_angstrom", "symmetry")
        forms.add_group(form, InitialVolumeConfig, SEARCH)
        forms.add_group(form, InitialVolumeConfig, REFINEMENT)
        forms.add_computation(form, InitialVolumeConfig)

    def _check(self, config: Any) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)
        what = forms.label_of(self.CONFIG, "particles")
        check_enough_particles(what, self.inputParticles.get().getSize())
        config.check_images(self._width_angstrom())

    def _create_outputs(self) -> None:
        refined = os.path.exists(self._run_file(FSC_NAME))
        if refined:
            super()._create_outputs()
        else:
            if self.hasAttribute("outputFSC"):  # from an earlier run with rounds
                self.deleteOutput(self.outputFSC)
            volume = Volume(self._run_file(VOLUME_NAME))
            volume.setSamplingRate(self.inputParticles.get().getSamplingRate())
            self._define(outputVolume=volume)
        self._define(outputParticles=self._create_particles(subset=refined))

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [
            f"The volume of the search explains {100 * metrics['search_explained_power']:.0f} % "
            "of the power of the images, up to a resolution of "
            f"{metrics['search_resolution_angstrom']:.0f} Å."
        ]
        lines += metrics["notes"]
        return lines + (super()._result_summary(metrics) if "fsc_statement" in metrics else [])

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return []
        return [
            "An initial volume was determined from the images alone, by stochastic expectation "
            f"maximisation with decreasing noise from {metrics['starts']} random starts, followed "
            "by alternating refinement and reconstruction (Cryoposes)."
        ]
