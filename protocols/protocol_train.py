"""The protocol of `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from pwem.objects import SetOfParticles

from cryoposes_plugin.commands.config import (
    AUGMENTATION,
    IMAGE_SIZE,
    LABELLED,
    LOSS,
    NETWORK,
    NOISE,
    OPTIMISER,
    POSES,
    TRAINING_LENGTH,
    VALIDATION,
    Config,
)
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.io.names import MODEL_NAME, PARTICLES_NAME
from cryoposes_plugin.objects import PoseModel
from cryoposes_plugin.scipion import convert, forms

from .protocol_base import ParticleInput, ProtCryoposesBase


def pose_model(folder: str) -> PoseModel:
    """The network in a folder as an object of Scipion."""
    from cryoposes_plugin.core.models.model_card import ModelCard

    card, model = ModelCard.read(folder), PoseModel(folder)
    model.setPreset(card.preset)
    model.setSymmetry(card.symmetry)
    model.setBoxSize(card.box_size_px)
    model.setSamplingRate(card.pixel_size_angstrom)
    model.setValidationErrorDeg(card.validation.get("median_error_deg"))
    return model


class ProtCryoposesTrain(ProtCryoposesBase):
    """Trains a network that estimates the pose of each particle image and its uncertainty.

    The network learns from volumes, whose projections are simulated during the training, from
    particles with known poses, or from both. Give the particles to which it will be applied as
    'Particles to imitate': box size, pixel size, CTFs and noise of the simulated images are taken
    from them.
    """

    _label = TrainConfig.title
    _possibleOutputs = {"outputModel": PoseModel, "outputParticles": SetOfParticles}
    CONFIG = TrainConfig
    PARTICLES = (
        ParticleInput("like", "inputLike"),
        ParticleInput("particles", "inputParticles", poses=True),
        ParticleInput("junk", "inputJunk"),
    )
    CITATIONS = ("Banjac2021", "Lian2022", "Chung2023")

    def _defineParams(self, form):
        form.addSection(label="Input")
        forms.add_volumes(form, TrainConfig, optional=True)
        forms.add_pointer(form, TrainConfig, "like", "SetOfParticles", optional=True)
        forms.add_pointer(
            form,
            TrainConfig,
            "particles",
            "SetOfParticles",
            optional=True,
            pointer_condition="hasAlignmentProj",
        )
        forms.add_pointer(form, TrainConfig, "junk", "SetOfParticles", optional=True)
        forms.add_pointer(form, TrainConfig, "from_model", "PoseModel", optional=True)
        forms.add_fields(form, TrainConfig, "model_library")
        forms.add_fields(form, TrainConfig, "symmetry")
        forms.add_group(form, TrainConfig, IMAGE_SIZE)

        form.addSection(label="Network and loss")
        forms.add_group(form, TrainConfig, NETWORK)
        forms.add_group(form, TrainConfig, LOSS)

        form.addSection(label="Training")
        forms.add_group(form, TrainConfig, TRAINING_LENGTH)
        forms.add_group(form, TrainConfig, OPTIMISER)
        forms.add_group(form, TrainConfig, LABELLED, "inputParticles is not None")
        forms.add_group(form, TrainConfig, AUGMENTATION, "inputParticles is not None")
        forms.add_group(form, TrainConfig, VALIDATION)

        forms.add_computation(form, TrainConfig)

        form.addSection(label="Simulated images")
        forms.add_group(form, TrainConfig, NOISE)
        forms.add_group(form, TrainConfig, POSES)
        forms.add_ctf_group(form, TrainConfig)

    def _input_paths(self):
        model = self._pointed("inputFromModel")
        chosen = {} if model is None else {"from_model": model.getFolder()}
        return {**super()._input_paths(), **chosen}

    def _check(self, config: Config) -> None:
        from cryoposes_plugin.core.geometry.symmetry import parse_symmetry

        parse_symmetry(config.symmetry)
        like = self._pointed("inputLike")
        config.check_noise()
        self._check_mask(config)
        if config.ctf and like is not None:
            convert.check_particles(like, forms.label_of(self.CONFIG, "like"), ctf=True)

    def _check_mask(self, config: Config) -> None:
        """Raise if the mask does not fit the images of the given particles."""
        from cryoposes_plugin.commands.plausibility import check_diameter

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
        outputs: Dict[str, Any] = {"outputModel": pose_model(self._run_file(MODEL_NAME))}
        if Path(self._run_file(PARTICLES_NAME)).exists():
            outputs["outputParticles"] = self._create_particles()
        self._define(**outputs)

    def _result_summary(self, metrics: Dict[str, Any]) -> List[str]:
        lines = [
            f"{text}: {metrics[key]}."
            for key, text in (("steps", "Training steps"), ("images_seen", "Training images"))
            if key in metrics
        ]
        error = self._validation_error_deg()
        if error is not None:
            lines.append(f"Median angular error on held-out images: {error:.2f}°.")
        if "share_of_wrong_labels" in metrics:
            share = 100 * metrics["share_of_wrong_labels"]
            lines.append(f"{share:.1f} % of the given poses seem to be wrong.")
        validation = metrics.get("validation", {})
        if "median_distance_error_deg" in validation:
            lines.append(
                "The network gives distances between images, for `recover`. Median error on "
                f"held-out pairs: {validation['median_distance_error_deg']:.2f}°."
            )
        return lines or ["The training has finished."]

    def _validation_error_deg(self):
        return self.outputModel.getValidationErrorDeg() if hasattr(self, "outputModel") else None

    def _methods(self) -> List[str]:
        error = self._validation_error_deg()
        return (
            []
            if error is None
            else [
                "A network was trained to estimate poses (Cryoposes); its median error on "
                f"held-out images is {error:.1f}°."
            ]
        )
