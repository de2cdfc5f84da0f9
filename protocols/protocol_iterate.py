"""Refine and reconstruct."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfFSCs, SetOfParticles, Volume

from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.commands.iterate.config import IterateConfig
from cryoposes_plugin.scipion import convert, forms

from .protocol_base import ParticleInput
from .protocol_reconstruct import ProtCryoposesReconstruct


class ProtCryoposesIterate(ProtCryoposesReconstruct):
    """Refines poses and reconstructs in turns, from a volume cut at low resolution, until the resolution stops to grow.

    Each half of the particles has its own map and noise model, so that their Fourier shell correlation is independent
    beyond the cut. A network trained on the cut volume proposes poses; without one, the particles' own poses are
    started from.
    """

    _label = "refine and reconstruct"
    _possibleOutputs = {
        "outputVolume": Volume,
        "outputFSC": SetOfFSCs,
        "outputParticles": SetOfParticles,
    }
    CONFIG = IterateConfig
    PARTICLES = (ParticleInput("particles", "inputParticles"),)
    VOLUMES = (("volume", "inputVolume"),)

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(
            form,
            "particles",
            "SetOfParticles",
            "Particles; without a network they need poses to start from.",
        )
        forms.add_pointer(
            form, "volume", "Volume", "Volume to start from; only its low resolution is used."
        )
        forms.add_fields(form, IterateConfig, "low_pass_angstrom")
        forms.add_pointer(
            form,
            "model",
            "PoseModel",
            "Optional. A network trained on the volume, cut at the same resolution. It proposes poses in every round.",
            optional=True,
        )
        forms.add_fields(form, IterateConfig, "symmetry", "rounds", "mask_diameter_angstrom")
        forms.add_fields(form, IterateConfig, "hypotheses", condition="inputModel is not None")
        forms.add_fields(form, IterateConfig, "max_shift_px", "working_box_px", "batch_size")
        forms.add_execution(form, IterateConfig, gpu=True)

    def _input_paths(self) -> Dict[str, Any]:
        model = self.inputModel.get()
        return {**super()._input_paths(), **({} if model is None else {"model": model.getFolder()})}

    def _input_problems(self) -> List[str]:
        problems, particles = super()._input_problems(), self.inputParticles.get()
        if self.inputModel.get() is None and not particles.hasAlignmentProj():
            problems.append(
                "Particles: they have no poses, and no network is given to find them; give one of the two."
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
            f"{metrics['rounds']} rounds from {metrics['low_pass_angstrom']:g} Å; the best was {metrics['best_round']}."
        ]
        return lines + super()._result_summary(metrics)

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return []
        return [
            f"Starting from a map cut at {metrics['low_pass_angstrom']:g} Å, poses were refined by maximum likelihood "
            "and volumes reconstructed in turns, independently for two halves of the particles (Cryoposes)."
        ]
