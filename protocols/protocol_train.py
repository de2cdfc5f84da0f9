"""Train a pose network."""

from __future__ import annotations

from typing import Any, Dict, List

from pyworkflow.protocol.constants import GPU_LIST, USE_GPU

from cryoposes_plugin.commands.config import Config
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.io.names import MODEL_NAME
from cryoposes_plugin.objects import PoseModel
from cryoposes_plugin.scipion import convert, forms

from .protocol_base import ParticleInput, ProtCryoposesBase

_LENGTH = ("epochs", "steps", "images_per_epoch")
_NETWORK = (
    "model_box_size_px",
    "ctf_correction",
    "filter_bank",
    "pooling",
    "representation",
    "heads",
    "dropout",
)
_LOSSES = (
    "loss",
    "training_style",
    "feature_distance",
    "features",
    "pair_sampling",
    "distance_weight",
    "regression_weight",
)
_OPTIMIZATION = ("batch_size", "learning_rate", "l2", "validation_number", "checkpoint_minutes")
_AUGMENTATION = ("augment_rotation", "augment_mirror", "augment_shift_px", "augment_noise")
#: What a normal user sees beside the pointers.
_NORMAL = ("symmetry", "preset", "minutes", "snr")
_SECTIONS = ("Input", "Training", "Simulated images")


class ProtCryoposesTrain(ProtCryoposesBase):
    """Trains a network that estimates the orientation of single-particle images, and how sure it is of each.

    It learns from volumes, whose projections are simulated on the fly, from particles with known poses, or from both.
    Give the particles that the network is meant for as 'Particles to resemble': box, pixel size, CTFs and noise
    are taken from them.
    """

    _label = "train pose network"
    _possibleOutputs = {"outputModel": PoseModel}
    CONFIG = TrainConfig
    PARTICLES = (
        ParticleInput("like", "inputLike"),
        ParticleInput("particles", "inputParticles", poses=True),
    )
    CITATIONS = ("Banjac2021", "Lian2022", "Chung2023")

    def _defineParams(self, form):
        form.addSection(label=_SECTIONS[0])
        forms.add_volumes(
            form,
            "Volumes whose projections are simulated while training. The hand of the volumes is the hand of "
            "all poses that the network will give.",
            optional=True,
        )
        forms.add_pointer(
            form,
            "like",
            "SetOfParticles",
            "Optional. The particles that the network is meant for: their CTFs, "
            "acquisition, box, pixel size and noise (level and spectrum) are taken; their poses are not used.",
            optional=True,
        )
        forms.add_pointer(
            form,
            "particles",
            "SetOfParticles",
            "Optional. Particles whose poses are labels to learn from. Give poses that you trust: the network learns "
            "their errors, too.",
            optional=True,
            pointer_condition="hasAlignmentProj",
            label=forms.label_of(TrainConfig, "particles"),
        )
        forms.add_fields(
            form,
            TrainConfig,
            "symmetry",
            "mask_diameter_angstrom",
            "box_size_px",
            "pixel_size_angstrom",
        )
        forms.add_fields(form, TrainConfig, "resolution_angstrom", "assembly")
        form.addSection(label=_SECTIONS[1])
        forms.add_fields(form, TrainConfig, "preset", "minutes", *_LENGTH)
        forms.add_fields(form, TrainConfig, *_NETWORK, *_LOSSES, *_OPTIMIZATION)
        forms.add_fields(form, TrainConfig, *_AUGMENTATION, condition="inputParticles is not None")
        form.addSection(label=_SECTIONS[2])
        forms.add_fields(form, TrainConfig, "snr", "noise_variance", "noise_correlation_px")
        forms.add_fields(form, TrainConfig, "orientations", "shift_distribution", "shift_px", "ctf")
        forms.add_fields(form, TrainConfig, *forms.CTF_FIELDS, condition="ctf")
        forms.add_execution(form, TrainConfig, gpu=True)
        _leave_to_experts(form)

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)
        like = self._pointed("inputLike")
        config.check_noise()
        self._check_mask(config)
        if config.ctf and like is not None:
            convert.check_particles(like, forms.label_of(self.CONFIG, "like"), ctf=True)

    def _check_mask(self, config: Config) -> None:
        """Where the images are as wide as those of a set."""
        from cryoposes_plugin.core.plausibility import check_diameter

        given = next(
            (
                param
                for param in ("inputLike", "inputParticles")
                if self._pointed(param) is not None
            ),
            None,
        )
        if given is None:
            return
        particles = self._pointed(given)
        box = config.box_size_px or particles.getXDim()
        width = box * (config.pixel_size_angstrom or particles.getSamplingRate())
        check_diameter(
            config.command, "mask_diameter_angstrom", config.mask_diameter_angstrom, width
        )

    def _create_outputs(self) -> None:
        from cryoposes_plugin.core.models.model_card import ModelCard

        folder = self._run_file(MODEL_NAME)
        card = ModelCard.read(folder)
        model = PoseModel(folder)
        model.setPreset(card.preset)
        model.setSymmetry(card.symmetry)
        model.setBoxSize(card.box_size_px)
        model.setSamplingRate(card.pixel_size_angstrom)
        model.setValidationErrorDeg(card.validation.get("median_error_deg"))
        self._define(outputModel=model)

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [
            f"{metrics[key]} {text}"
            for key, text in (("steps", "steps."), ("images_seen", "images seen."))
            if key in metrics
        ]
        error = self._validation_error_deg()
        if error is not None:
            lines.append(f"Median angular error on images kept apart: {error:.2f}°.")
        validation = metrics.get("validation", {})
        if "median_distance_error_deg" in validation:
            lines.append(
                "The network gives distances between images, for 'recover poses from distances'; median error on pairs "
                f"kept apart: {validation['median_distance_error_deg']:.2f}°."
            )
        return lines or ["Training is finished."]

    def _validation_error_deg(self):
        return self.outputModel.getValidationErrorDeg() if hasattr(self, "outputModel") else None

    def _methods(self) -> List[str]:
        error = self._validation_error_deg()
        return (
            []
            if error is None
            else [
                f"A network was trained to estimate poses (median error {error:.1f}° on images that it had not seen)."
            ]
        )


def _leave_to_experts(form) -> None:
    """All parameters of our own but a few; Scipion's (run name, threads, GPU) stay where they are."""
    normal = {forms.param_name(name) for name in _NORMAL}
    for section in form.iterSections():
        ours = section.label.get() in _SECTIONS
        for name, param in section.iterParams():
            if (
                ours
                and name not in normal
                and not name.startswith("input")
                and name not in (USE_GPU, GPU_LIST)
            ):
                param.setExpert()
