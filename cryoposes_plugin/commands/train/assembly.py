"""A training run put together from its config and plan, and the model that it leaves."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import keras
import numpy as np
import tensorflow as tf

from ...core.geometry.view_weights import view_weights
from ...core.io.provenance import digest_path, package_versions
from ...core.models.coarse_map import coarse_map
from ...core.models.model_card import ModelCard
from ...core.models.model_folder import read_network, write_network
from ...core.models.pose_model import PoseModel
from ...core.models.preprocessing import Preprocessing
from ...core.networks.build import build_network
from ...core.particles.images import ResampledImages
from ...core.training import components
from ...core.training.augmentation import Augmentation
from ...core.training.chance import too_few_steps
from ...core.training.error_laws import calibrate_errors
from ...core.training.labels import Evaluation
from ...core.training.replicas import ReplicatedTrainer
from ...core.training.sources import LabelledSource, MixedSource, SimulatedSource, Source
from ...core.training.tasks import Task, task_of
from ...core.training.trainer import Trainer
from ...core.training.validation import Validation
from .config import TrainConfig
from .inputs import Plan, common_state, snr_of_network_images, summary
from .parent import map_shape, turn_of_maps

#: Errors are calibrated on this many times the validation images, if they can be simulated, but on
#: no more than one in so many of the training's images.
_MORE_IMAGES, _SHARE_OF_TRAINING = 4, 8
#: Share of wrong labels before any is known, and share of junk in a batch.
_USUAL_WRONG, _JUNK_SHARE = 0.1, 0.1


@dataclass(frozen=True)
class Assembly:
    """The parts of a training run, made fresh; the trainer loads the state of a checkpoint into
    them.

    network : description of the network, as in a model card. turn : R (3, 3), if the network gives
    poses A of another frame than the map's, where they are A R. held_out : source of the images that
    are not trained on.
    """

    config: TrainConfig
    plan: Plan
    task: Task
    preprocessing: Preprocessing
    network: Dict[str, Any]
    turn: Optional[np.ndarray]
    held_out: Source
    trainer: Trainer

    def validation(self, network: keras.Model) -> Validation:
        """Evaluates a network on the held-out images."""
        return _validation(self.config, self.plan, self.task, self.held_out, network)


def assemble(
    config: TrainConfig, plan: Plan, strategy: Optional[tf.distribute.Strategy] = None
) -> Assembly:
    """Make network, optimizer, objective, sources and validation of a run.

    strategy : by which the network has replicas; None: it has none.
    """
    with nullcontext() if strategy is None else strategy.scope():
        return _assembled(config, plan, strategy)


def _assembled(
    config: TrainConfig, plan: Plan, strategy: Optional[tf.distribute.Strategy]
) -> Assembly:
    recipe = plan.recipe
    preprocessing = Preprocessing(
        *plan.model_grid,
        plan.mask_diameter_angstrom,
        _ctf_correction(config, plan),
    )
    description = components.network_description(
        recipe, plan.model_grid.box_size_px, plan.mask_radius_px
    )
    if plan.parent is not None:
        description = plan.parent.card.network
    network = build_network(description, components.compute_dtype(recipe.network))
    if plan.parent is not None:
        network.set_weights(read_network(plan.parent.folder)[1].get_weights())
    optimizer = components.make_optimizer(recipe)

    turn = None if plan.parent is None else turn_of_maps(plan.parent, plan.volumes)
    simulated = _simulated(config, plan, preprocessing, turn)
    labelled = _labelled(config, plan, preprocessing, turn)
    junk = _junk(config, plan, preprocessing)
    training, held_out = _sources(config, simulated, labelled, junk)

    task = task_of(recipe, plan.group)
    projector = None if simulated is None else simulated.model
    objective = task.objective(description, training.typical_shift_px(), projector)
    validation = _validation(config, plan, task, held_out, network)
    parts = (network, optimizer, objective, training, validation, recipe)
    trainer = Trainer(*parts) if strategy is None else ReplicatedTrainer(*parts, strategy=strategy)
    return Assembly(config, plan, task, preprocessing, description, turn, held_out, trainer)


def write_model(
    assembly: Assembly, folder: Path, done: Dict[str, Any]
) -> Tuple[Evaluation, ModelCard]:
    """Write the trained network, in float32, with its card.

    done : steps, images and rate of the training. Returns the network's evaluation on held-out
    images, and its card.
    """
    config, plan, task = assembly.config, assembly.plan, assembly.task
    network = build_network(assembly.network)
    network.set_weights(assembly.trainer.network.get_weights())
    evaluation = assembly.validation(network).evaluate()
    figures = {**task.summary(evaluation), **task.chance(evaluation, config.seed)}

    by_time = config.steps is None and config.epochs is None
    warnings = [task.learned_nothing(figures), too_few_steps(done["steps"]) if by_time else None]
    training = {
        **summary(plan),
        "orientations": config.orientations,
        **done,
        "warnings": [sentence for sentence in warnings if sentence],
        **_atomic_model_options(config),
    }
    if plan.parent is not None:
        training["parents"] = plan.parent.provenance()
    card = ModelCard(
        preset=config.preset,
        box_size_px=plan.model_grid.box_size_px,
        pixel_size_angstrom=plan.model_grid.pixel_size_angstrom,
        mask_diameter_angstrom=plan.mask_diameter_angstrom,
        ctf_correction=assembly.preprocessing.ctf_correction,
        image_state=plan.simulated_state if plan.volumes else plan.labelled_state,
        symmetry=config.symmetry,
        network=assembly.network,
        training=training,
        validation=figures,
        gives=task.gives,
        data_digests={Path(path).name: digest_path(path) for path in config.input_paths()},
        seed=config.seed,
        versions=package_versions(),
        map_shape=map_shape(plan.volumes),
    )
    errors = error_calibration(assembly, PoseModel(card, network), done["images_seen"])
    frame = {} if assembly.turn is None else {"turn": assembly.turn.tolist()}
    card = dataclasses.replace(card, error_calibration=errors, frame=frame)
    one = plan.volumes[0] if len(plan.volumes) == 1 else None
    coarse = None if one is None else coarse_map(one, card.field_of_view_angstrom)
    write_network(folder, card, network, coarse)
    return evaluation, card


def error_calibration(assembly: Assembly, model: PoseModel, images_seen: int) -> Dict[str, Any]:
    """What the held-out images tell of the errors of a network's poses, as in a model card; empty
    if they are too few or their SNR is unknown.

    Simulated images are limited to a share of those of the training, to take little time.
    """
    config, plan = assembly.config, assembly.plan
    snr = snr_of_network_images(plan, config.seed) if assembly.task.gives == "poses" else None
    if snr is None:
        return {}
    number = assembly.validation(model.network).number
    if assembly.held_out.simulates:
        number = min(_MORE_IMAGES * number, images_seen // _SHARE_OF_TRAINING)
    found = calibrate_errors(model, assembly.held_out, snr, number, plan.group)
    return {} if found is None else found.to_dict()


def _ctf_correction(config: TrainConfig, plan: Plan) -> str:
    """A network that saw no CTF must not have phases flipped for it later."""
    if plan.parent is not None:
        return plan.recipe.ctf_correction
    labelled_ctf = plan.labelled is not None and plan.labelled.ctf is not None
    return plan.recipe.ctf_correction if config.ctf or labelled_ctf else "none"


def _atomic_model_options(config: TrainConfig) -> Dict[str, Any]:
    """How atomic models were made into maps, so that `infer` can make the same map."""
    if config.resolution_angstrom is None:
        return {}
    return {"resolution_angstrom": config.resolution_angstrom, "assembly": config.assembly}


def _validation(
    config: TrainConfig, plan: Plan, task: Task, held_out: Source, network: keras.Model
) -> Validation:
    number = config.validation_number
    if plan.held_out is not None:
        number = int(plan.held_out.sum())
    return Validation(network, held_out, number, task)


def _simulated(
    config: TrainConfig, plan: Plan, preprocessing: Preprocessing, turn: Optional[np.ndarray]
) -> Optional[SimulatedSource]:
    if plan.noise is None:
        return None
    return SimulatedSource(
        config.seed,
        config.imaging(),
        plan.volumes,
        plan.grid,
        preprocessing,
        plan.noise.amplitude,
        plan.simulated_state,
        plan.like,
        turn,
    )


def _labelled(
    config: TrainConfig, plan: Plan, preprocessing: Preprocessing, turn: Optional[np.ndarray]
) -> Optional[Tuple[LabelledSource, LabelledSource]]:
    """Sources of the particles to learn from, and of the held-out ones."""
    table = plan.labelled
    if table is None or table.rotations is None or plan.held_out is None:
        return None
    rows = plan.learned_from
    weights = view_weights(table.rotations[rows], plan.group) if config.even_views else None
    if turn is not None:
        table = table.replace(rotations=table.rotations @ turn.T)
    images = ResampledImages(table, *plan.model_grid)
    trust = 1.0 - _USUAL_WRONG if plan.recipe.label_errors == "estimated" else 1.0

    common = (preprocessing, plan.labelled_state)
    augmentation = _augmentation(config)
    return (
        LabelledSource(config.seed, images, rows, *common, augmentation, weights, trust),
        LabelledSource(config.seed, images, np.flatnonzero(plan.held_out), *common, None),
    )


def _junk(
    config: TrainConfig, plan: Plan, preprocessing: Preprocessing
) -> Optional[LabelledSource]:
    if plan.junk is None:
        return None
    return LabelledSource(
        config.seed,
        ResampledImages(plan.junk, *plan.model_grid),
        np.arange(len(plan.junk)),
        preprocessing,
        common_state(plan.junk, "--junk"),
        _augmentation(config),
        trust=0.0,
    )


def _augmentation(config: TrainConfig) -> Augmentation:
    return Augmentation(
        config.augment_rotation,
        config.augment_mirror,
        config.augment_shift_px,
        config.augment_noise,
    )


def _sources(
    config: TrainConfig,
    simulated: Optional[SimulatedSource],
    labelled: Optional[Tuple[LabelledSource, LabelledSource]],
    junk: Optional[LabelledSource],
) -> Tuple[Source, Source]:
    """The source to learn from, and that of held-out images: labelled ones if there are any."""
    share = config.simulated_share
    shared: List[Tuple[Optional[Source], float]] = [
        (simulated, share),
        (labelled and labelled[0], 1.0 - share),
    ]
    particles = [(source, part) for source, part in shared if source is not None]
    held_out = labelled[1] if labelled else particles[0][0]
    training = particles[0][0] if len(particles) == 1 else MixedSource(*zip(*particles))
    if junk is not None:
        training = MixedSource([training, junk], [1.0 - _JUNK_SHARE, _JUNK_SHARE])
    return training, held_out
