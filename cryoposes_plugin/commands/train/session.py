"""Network, losses and data of one training run, put together from its config and plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np
import tensorflow as tf

from ...core.io.provenance import digest_path, package_versions
from ...core.models.model_card import ModelCard
from ...core.models.model_folder import write_network
from ...core.models.pose_model import Prediction
from ...core.models.preprocessing import Preprocessing
from ...core.networks import build as presets
from ...core.particles.images import ResampledImages
from ...core.training.augmentation import Augmentation
from ...core.training.distance_validation import DistanceValidation, Features, distance_summary
from ...core.training.labels import PoseLabels
from ...core.training.sources import LabelledSource, MixedSource, SimulatedSource
from ...core.training.validation import Validation, error_summary
from ...core.training.verdict import chance_of_distances, chance_of_poses, warnings_of
from .config import TrainConfig
from .inputs import Plan, summary, validation_number

Source = Union[SimulatedSource, LabelledSource, MixedSource]
#: What a network says of images kept apart, and the truth.
Judged = Tuple[Union[Prediction, Features], PoseLabels]


class Session:
    """Everything that trains, made fresh; the state of a checkpoint is loaded into it afterwards."""

    def __init__(self, config: TrainConfig, plan: Plan):
        self.config, self.plan = config, plan
        labelled_ctf = plan.labelled is not None and plan.labelled.ctf is not None
        # a network that saw no CTF must not have phases flipped for it later
        self.ctf_correction = (
            config.chosen("ctf_correction") if config.ctf or labelled_ctf else "none"
        )
        self.preprocessing = Preprocessing(
            *plan.model_grid,
            plan.mask_diameter_angstrom,
            self.ctf_correction,
        )
        self.network_config = presets.network_config(
            config, plan.model_grid.box_size_px, plan.mask_radius_px
        )
        self.network = presets.build_network(
            self.network_config, presets.compute_dtype(config.preset)
        )
        self.optimizer = presets.make_optimizer(config)
        group = None if len(plan.group) == 1 else tf.constant(plan.group, tf.float32)
        simulated, labelled = self._simulated(), self._labelled()
        self.training, self.apart = _sources(simulated, labelled)
        typical_px, projector = (
            self.training.typical_shift_px(),
            None if simulated is None else simulated.model,
        )
        self.objective = presets.make_objective(
            config, self.network_config, group, typical_px, projector
        )
        self._validation = self._validation_of(self.network)

    @property
    def gives_distances(self) -> bool:
        return self.config.preset_values.gives_distances

    def validate(self) -> Dict[str, float]:
        """Errors of the network as it stands."""
        return self.summary(self._validation.predict())

    def summary(self, judged: Judged) -> Dict[str, float]:
        predicted, truth = judged
        if isinstance(predicted, Features):
            return distance_summary(self.config.chosen("feature_distance"), predicted, truth)
        return error_summary(predicted, truth, self.plan.group)

    def finish(self, folder, done: Dict[str, Any]) -> Tuple[Judged, ModelCard]:
        """Write the trained network, in float32, with its card; returns what it says of images kept apart, too."""
        config, plan = self.config, self.plan
        network = presets.build_network(self.network_config)
        network.set_weights(self.network.get_weights())
        judged = self._validation_of(network).predict()
        errors = {**self.summary(judged), **self._chance(judged)}
        by_time = config.steps is None and config.epochs is None
        warnings = warnings_of(errors, done["steps"], by_time)
        card = ModelCard(
            preset=config.preset,
            box_size_px=plan.model_grid.box_size_px,
            pixel_size_angstrom=plan.model_grid.pixel_size_angstrom,
            mask_diameter_angstrom=plan.mask_diameter_angstrom,
            ctf_correction=self.ctf_correction,
            image_state=plan.simulated_state if plan.volumes else plan.labelled_state,
            symmetry=config.symmetry,
            network=self.network_config,
            training={
                **summary(plan),
                "orientations": config.orientations,
                **done,
                "warnings": warnings,
                **self._densities(),
            },
            validation=errors,
            gives="distances" if self.gives_distances else "poses",
            data_digests={Path(path).name: digest_path(path) for path in config.input_paths()},
            seed=config.seed,
            versions=package_versions(),
        )
        write_network(folder, card, network)
        return judged, card

    def _densities(self) -> Dict[str, Any]:
        """How atomic models became maps; `infer` makes the same one of its model."""
        config = self.config
        if config.resolution_angstrom is None:
            return {}
        return {"resolution_angstrom": config.resolution_angstrom, "assembly": config.assembly}

    def _chance(self, judged: Judged) -> Dict[str, float]:
        predicted, truth = judged
        if isinstance(predicted, Features):
            kind = self.config.chosen("feature_distance")
            return chance_of_distances(kind, predicted.features, truth.rotations, self.config.seed)
        return chance_of_poses(
            predicted.rotations, truth.rotations, self.plan.group, self.config.seed
        )

    def _validation_of(self, network) -> Union[Validation, DistanceValidation]:
        labelled = self.plan.labelled
        number = (
            self.config.validation_number
            if labelled is None
            else validation_number(self.config, len(labelled))
        )
        return (DistanceValidation if self.gives_distances else Validation)(
            network, self.apart, number
        )

    def _simulated(self) -> Optional[SimulatedSource]:
        plan = self.plan
        if plan.noise is None:
            return None
        return SimulatedSource(
            self.config.seed,
            self.config.imaging(),
            plan.volumes,
            plan.grid,
            self.preprocessing,
            plan.noise.amplitude,
            plan.simulated_state,
            plan.like,
        )

    def _labelled(self) -> Optional[Tuple[LabelledSource, LabelledSource]]:
        """(to learn from, kept apart)."""
        config, plan = self.config, self.plan
        if plan.labelled is None:
            return None
        images = ResampledImages(plan.labelled, *plan.model_grid)
        order = np.random.default_rng(config.seed).permutation(len(plan.labelled))
        apart = validation_number(config, len(order))
        augmentation = Augmentation(
            config.augment_rotation,
            config.augment_mirror,
            config.augment_shift_px,
            config.augment_noise,
        )
        common = (self.preprocessing, plan.labelled_state)
        return (
            LabelledSource(config.seed, images, np.sort(order[apart:]), *common, augmentation),
            LabelledSource(config.seed, images, np.sort(order[:apart]), *common, None),
        )


def _sources(
    simulated: Optional[SimulatedSource], labelled: Optional[Tuple[LabelledSource, LabelledSource]]
) -> Tuple[Source, Source]:
    """(source to learn from, source of images kept apart: labelled ones if there are any)."""
    training: List[Source] = [
        source for source in (simulated, labelled and labelled[0]) if source is not None
    ]
    apart = labelled[1] if labelled else training[0]
    return (training[0] if len(training) == 1 else MixedSource(training)), apart
