"""Recover poses from distances."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.recover.config import RecoverConfig
from cryoposes_plugin.core.words import counted
from cryoposes_plugin.scipion import convert, forms

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesRecover(ProtCryoposesBase):
    """Recovers the poses of particles from the distances that a network sees between their images.

    No reference is needed: the poses come in a frame of their own, which differs from any other by a rotation of the
    volume and its hand. Copies of some images, turned and mirrored by known amounts, tell where the beam is. With the
    volume that the network was trained on, the distances to its projections give the poses in its frame. How badly a
    particle's distances fit is kept as a score; outliers stand out.
    """

    _label = "recover poses from distances"
    _possibleOutputs = {"outputParticles": SetOfParticles}
    CONFIG = RecoverConfig
    PARTICLES = (
        ParticleInput("particles", "inputParticles"),
        ParticleInput("truth", "inputTruth", poses=True),
    )
    VOLUMES = (("volume", "inputVolume"),)
    CITATIONS = ("Banjac2021",)

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_pointer(form, "particles", "SetOfParticles", "Particles whose poses are wanted.")
        forms.add_pointer(
            form,
            "model",
            "PoseModel",
            "A network that 'train pose network' trained for distances ('distance', 'banjac2021'), or one for poses, "
            "whose estimates have distances too.",
        )
        forms.add_pointer(
            form,
            "volume",
            "Volume",
            "Optional. The volume that the network was trained on: poses follow from the distances to its projections, "
            "in its frame. Without it from the distances among the particles.",
            optional=True,
        )
        forms.add_pointer(
            form,
            "truth",
            "SetOfParticles",
            "Optional. The same particles with their true poses, where these are known: errors are reported.",
            optional=True,
            pointer_condition="hasAlignmentProj",
        )
        forms.add_fields(form, RecoverConfig, "landmarks", "batch_size")
        forms.add_fields(
            form,
            RecoverConfig,
            "reference_snr",
            "max_shift_px",
            condition="inputVolume is not None",
        )
        forms.add_fields(form, RecoverConfig, "copies", "method", condition="inputVolume is None")
        forms.add_fields(
            form,
            RecoverConfig,
            "minibatch_steps",
            "minibatch_pairs",
            "minibatch_rate",
            condition="inputVolume is None and method == 1",
        )
        forms.add_execution(form, RecoverConfig, gpu=True)

    def _input_paths(self) -> Dict[str, Any]:
        return {**super()._input_paths(), "model": self.inputModel.get().getFolder()}

    def _input_problems(self) -> List[str]:
        return super()._input_problems() or self._common_problems("inputTruth", "inputParticles")

    def _check(self, config: Any) -> None:
        from cryoposes_plugin.core.models.model_card import ModelCard

        card = ModelCard.read(config.model)
        card.check_tells_rotations(config.model)
        particles, what = self.inputParticles.get(), forms.label_of(self.CONFIG, "particles")
        convert.check_fits_card(particles, card, what)
        config.check_number(what, particles.getSize())

    def _create_outputs(self) -> None:
        self._define(outputParticles=self._create_particles())

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [f"Poses of {counted(metrics['particles'], 'particle')} recovered from distances."]
        if "errors" in metrics:
            errors = metrics["errors"]
            lines.append(
                f"Errors against the truth: {errors['mean_distance_error_deg']:.1f}° of the distances and "
                f"{errors['mean_angular_error_deg']:.1f}° of the poses (means)."
            )
        return lines + metrics.get("notes", [])

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return []
        return [
            f"Poses of {metrics['particles']} particles were recovered from the distances between their images, as "
            "a network estimates them (Cryoposes)."
        ]
