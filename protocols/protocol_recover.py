"""The protocol of `recover`."""

from __future__ import annotations

from typing import Any, Dict, List

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import DISTANCES, RECOVERY
from cryoposes_plugin.commands.recover.checks import check_enough_particles
from cryoposes_plugin.commands.recover.config import RecoverConfig
from cryoposes_plugin.core.values import counted
from cryoposes_plugin.scipion import convert, forms

from .protocol_base import ParticleInput, ProtCryoposesBase


class ProtCryoposesRecover(ProtCryoposesBase):
    """Recovers the poses of particles from distances between their images, which a network
    estimates.

    No volume is needed. The poses are then in a frame of their own, which differs from any other
    frame by a rotation and possibly by the hand. The direction of the beam is found from copies of
    some images, rotated and mirrored by known amounts. With the volume that the network was trained
    on, the distances to its projections give poses in the frame of that volume.

    Each particle gets a score that says how well its distances fit, by which outliers can be found.
    """

    _label = RecoverConfig.title
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
        forms.add_pointer(form, RecoverConfig, "particles", "SetOfParticles")
        forms.add_pointer(form, RecoverConfig, "model", "PoseModel")
        forms.add_pointer(form, RecoverConfig, "volume", "Volume", optional=True)
        forms.add_pointer(
            form,
            RecoverConfig,
            "truth",
            "SetOfParticles",
            optional=True,
            pointer_condition="hasAlignmentProj",
        )
        with_volume, without = "inputVolume is not None", "inputVolume is None"

        frame = forms.add_frame(form, RecoverConfig, DISTANCES)
        forms.add_fields(frame, RecoverConfig, "landmarks")
        forms.add_fields(frame, RecoverConfig, "copies", condition=without)
        forms.add_fields(
            frame, RecoverConfig, "reference_snr", "max_shift_px", condition=with_volume
        )

        frame = forms.add_frame(form, RecoverConfig, RECOVERY, without)
        forms.add_fields(frame, RecoverConfig, "method", condition=without)
        forms.add_fields(
            frame,
            RecoverConfig,
            "minibatch_steps",
            "minibatch_pairs",
            "minibatch_rate",
            condition="inputVolume is None and method == 1",
        )

        forms.add_computation(form, RecoverConfig)

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
        if config.volume is None:
            check_enough_particles(what, particles.getSize())

    def _create_outputs(self) -> None:
        self._define(outputParticles=self._create_particles())

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [f"Poses of {counted(metrics['particles'], 'particle')} recovered from distances."]
        if "errors" in metrics:
            errors = metrics["errors"]
            lines.append(
                f"Mean errors against the true poses: {errors['mean_distance_error_deg']:.1f}° "
                f"for the distances and {errors['mean_angular_error_deg']:.1f}° for the poses."
            )
        return lines + metrics.get("notes", [])

    def _methods(self) -> List[str]:
        metrics = self._metrics()
        if not metrics:
            return []
        return [
            f"Poses of {metrics['particles']} particles were recovered from the distances between "
            "their images, as estimated by a network (Cryoposes)."
        ]
