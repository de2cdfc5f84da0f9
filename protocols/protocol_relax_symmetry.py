"""The protocol of `relax-symmetry`."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles, Volume

from cryoposes_plugin.commands.config import REFINEMENT, SEARCH, Config
from cryoposes_plugin.commands.relax_symmetry.config import FROM_IMAGES, RelaxSymmetryConfig
from cryoposes_plugin.core.io.names import HALF1_NAME, HALF2_NAME, VOLUME_NAME
from cryoposes_plugin.scipion import forms

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesRelaxSymmetry(ProtCryoposesBase):
    """Finds which symmetry mate of its pose each particle has, if the particle has only part of the
    symmetry that it was refined with: one subunit carries a ligand, or a complex sits on one side.

    Each particle is refined at each mate (relaxed symmetry) and gets the probability of each. The
    difference between the subunits is taken from the volume, or searched for in the images.
    """

    _label = RelaxSymmetryConfig.title
    _possibleOutputs = {"outputParticles": SetOfParticles, "outputVolume": Volume}
    CONFIG = RelaxSymmetryConfig
    PARTICLES = (ParticleInput("particles", "inputParticles", poses=True),)
    VOLUMES = (("volume", "inputVolume"), ("focus_mask", "inputFocusMask"))

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(
            form,
            RelaxSymmetryConfig,
            "particles",
            "SetOfParticles",
            pointer_condition="hasAlignmentProj",
        )
        forms.add_pointer(form, RelaxSymmetryConfig, "volume", "Volume")
        forms.add_fields(form, RelaxSymmetryConfig, "pseudo_symmetry", "symmetry", "asymmetry_from")
        forms.add_pointer(
            form,
            RelaxSymmetryConfig,
            "focus_mask",
            "VolumeMask,Volume",
            optional=True,
        )
        forms.add_group(form, RelaxSymmetryConfig, REFINEMENT)
        forms.add_group(form, RelaxSymmetryConfig, SEARCH, condition="asymmetryFrom == 1")
        forms.add_computation(form, RelaxSymmetryConfig)

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.subgroups import cosets

        cosets(config.pseudo_symmetry, config.symmetry)
        config.check_images(self._width_angstrom())

    def _create_outputs(self) -> None:
        config = self._make_config()
        found = config.asymmetry_from == FROM_IMAGES
        self._define(outputParticles=self._create_particles(subset=found))
        if found:
            volume = Volume(self._run_file(VOLUME_NAME))
            volume.setSamplingRate(self.inputParticles.get().getSamplingRate())
            volume.setHalfMaps([self._run_file(HALF1_NAME), self._run_file(HALF2_NAME)])
            self._define(outputVolume=volume)

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        return list(metrics.get("notes", []))

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return []
        return [
            f"{metrics['particles']} particles were refined at each of {metrics['mates']} symmetry "
            "mates of their poses, with the probability of each (Cryoposes)."
        ]
