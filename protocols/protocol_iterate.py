"""The protocol of `iterate`."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfFSCs, SetOfParticles, Volume

from cryoposes_plugin.commands.config import RECONSTRUCTION, REFINEMENT, Config
from cryoposes_plugin.commands.iterate.config import IterateConfig
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import convert, forms

from .protocol_base import ParticleInput
from .protocol_reconstruct import ProtCryoposesReconstruct


class ProtCryoposesIterate(ProtCryoposesReconstruct):
    """Refines poses and reconstructs alternately, from a low-pass filtered volume, until the
    resolution stops improving.

    Each half of the particles has its own map and noise model, so that the Fourier shell
    correlation of the halves is independent beyond the resolution of the filter. A network trained
    on the filtered volume proposes the poses. Without a network, the refinement starts from the
    poses of the particles.
    """

    _label = IterateConfig.title
    _possibleOutputs = {
        "outputVolume": Volume,
        "outputFSC": SetOfFSCs,
        "outputParticles": SetOfParticles,
    }
    CONFIG = IterateConfig
    PARTICLES = (ParticleInput("particles", "inputParticles"),)
    VOLUMES = (("volume", "inputVolume"), ("mask", "inputMask"))

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(form, IterateConfig, "particles", "SetOfParticles")
        forms.add_pointer(form, IterateConfig, "volume", "Volume")
        forms.add_fields(form, IterateConfig, "low_pass_angstrom")
        forms.add_pointer(form, IterateConfig, "model", "PoseModel", optional=True)
        forms.add_group(form, IterateConfig, RECONSTRUCTION)
        forms.add_pointer(form, IterateConfig, "mask", "VolumeMask", optional=True)
        frame = forms.add_frame(form, IterateConfig, REFINEMENT)
        with_model = "inputModel is not None"
        forms.add_fields(frame, IterateConfig, "rounds")
        forms.add_fields(frame, IterateConfig, "hypotheses", "max_shift_px", condition=with_model)
        forms.add_fields(frame, IterateConfig, "working_box_px")
        forms.add_computation(form, IterateConfig)

    def _input_paths(self) -> Dict[str, Any]:
        model = self.inputModel.get()
        return {**super()._input_paths(), **({} if model is None else {"model": model.getFolder()})}

    def _input_problems(self) -> List[str]:
        problems, particles = super()._input_problems(), self.inputParticles.get()
        if self.inputModel.get() is None and not particles.hasAlignmentProj():
            problems.append(
                "Particles: they have no poses, and no network is given that could estimate them; "
                "give a pose model, or particles with poses."
            )
        return problems

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)
        particles, volume = self.inputParticles.get(), self.inputVolume.get()
        config.check_images(
            self._width_angstrom(), particles.getSamplingRate(), volume.getSamplingRate()
        )
        if config.model is not None:
            convert.check_gives_poses(
                config.model, self.inputParticles.get(), forms.label_of(self.CONFIG, "particles")
            )

    def _create_outputs(self) -> None:
        super()._create_outputs()
        self._define(outputParticles=self._create_particles(subset=True))

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [
            f"{counted(metrics['rounds'], 'round')}, starting at {metrics['low_pass_angstrom']:g} "
            f"Å; round {metrics['best_round']} gave the best map."
        ]
        return lines + super()._result_summary(metrics)

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return []
        return [
            f"Starting from a map low-pass filtered to {metrics['low_pass_angstrom']:g} Å, poses "
            "were refined by maximum likelihood and volumes reconstructed alternately, "
            "independently for two halves of the particles (Cryoposes)."
        ]
