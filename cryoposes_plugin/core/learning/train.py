"""The `train` command: from maps, particles with poses, or both, to a model folder."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any, Callable, Dict, Tuple

import numpy as np

from ..config import TrainConfig
from ..io.run_directory import RunDirectory, digest_path, package_versions
from .plan import Plan, make_plan, summary

logger = logging.getLogger(__name__)

MODEL_NAME, CURVE_NAME = "model", "learning_curve.png"
#: Share of the labelled particles that is never learned from, at most.
_LARGEST_VALIDATION_SHARE = 0.2
_VALIDATION_BATCH = 250


def check(config: TrainConfig) -> None:
    """Raise what can be known to be wrong before any long work."""
    config.validate()
    make_plan(config)


def run(config: TrainConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write model/, history.csv, learning_curve.png and report.html; returns the metrics.

    Resumes from the run's checkpoint. On one machine, with the same versions and number of threads, the weights are those
    of an uninterrupted run of the same seed and number of steps.
    """
    started = time.monotonic()
    import keras

    from .trainer import Length, Trainer

    plan = make_plan(config)
    keras.utils.set_random_seed(config.seed % 2**32)
    session = _Session(config, plan)
    trainer = Trainer(session.network, session.optimizer, session.objective, session.training, config.batch_size, session.peak)
    length = Length(_number_of_steps(config, plan), config.minutes)
    done = trainer.train(run, length, session.validate_network, config.checkpoint_minutes, started)
    model = session.model(done)
    errors, figures = session.validate_model(model)
    model = type(model)(dataclasses.replace(model.card, validation=errors), model.network)
    model.save(run.file(MODEL_NAME))
    metrics = {**summary(plan), **done, "validation": errors}
    _report(run, metrics, figures)
    return metrics


def _number_of_steps(config: TrainConfig, plan: Plan):
    """As configured, or None where minutes decide."""
    if config.steps is not None:
        return config.steps
    if config.epochs is None:
        return None
    labelled = 0 if plan.labelled is None else len(plan.labelled) - validation_number(config, len(plan.labelled))
    images = config.images_per_epoch if plan.volumes else labelled
    return max(1, round(config.epochs * images / config.batch_size))


def validation_number(config: TrainConfig, labelled: int) -> int:
    """How many labelled particles are kept apart."""
    return max(1, min(config.validation_number, int(_LARGEST_VALIDATION_SHARE * labelled)))


class _Session:
    """Network, losses and data of one training run."""

    def __init__(self, config: TrainConfig, plan: Plan):
        import tensorflow as tf

        from . import presets
        from .preprocessing import Preprocessing

        self.config, self.plan, self.presets = config, plan, presets
        grid = plan.grid
        self.preprocessing = Preprocessing(grid.model_box_size_px, grid.model_pixel_size_angstrom,
                                           plan.mask_diameter_angstrom, config.ctf_correction)
        self.network_config = presets.network_config(config, grid.model_box_size_px, plan.mask_radius_px)
        self.network = presets.build_network(self.network_config, presets.compute_dtype(config.preset))
        self.optimizer = presets.make_optimizer(config)
        self.peak = presets.peak_learning_rate(config)
        group = None if len(plan.group) == 1 else tf.constant(plan.group, tf.float32)
        self.objective = presets.make_objective(config, self.network_config, group)
        self.training, self.validation = self._sources()
        self.number = validation_number(config, len(plan.labelled)) if plan.labelled is not None else config.validation_number
        self.in_training = self._validation(self.network)

    def _sources(self):
        """(source to learn from, source of images kept apart: labelled ones if there are any)."""
        from .augmentation import Augmentation
        from .data import LabelledSource, MixedSource, SimulatedSource

        config, plan = self.config, self.plan
        sources, validation = [], None
        if plan.volumes:
            sources.append(SimulatedSource(config, plan.volumes, plan.grid, self.preprocessing, plan.noise_variance,
                                           plan.simulated_state, plan.like))
            validation = sources[0]
        if plan.labelled is not None:
            from ..io.particles import ResampledImages

            images = ResampledImages(plan.labelled, plan.grid.model_box_size_px, plan.grid.model_pixel_size_angstrom)
            order = np.random.default_rng(config.seed).permutation(len(plan.labelled))
            apart = validation_number(config, len(order))
            augmentation = Augmentation(config.augment_rotation, config.augment_mirror, config.augment_shift_px,
                                        config.augment_noise)
            common = (self.preprocessing, plan.labelled_state)
            sources.append(LabelledSource(config.seed, images, np.sort(order[apart:]), *common, augmentation))
            validation = LabelledSource(config.seed, images, np.sort(order[:apart]), *common, None)
        return (sources[0] if len(sources) == 1 else MixedSource(sources)), validation

    def _validation(self, network):
        from .validation import Validation

        return Validation(network, self.validation, self.number, _VALIDATION_BATCH)

    def validate_network(self) -> Dict[str, float]:
        """Errors of the network as it stands."""
        from .validation import error_summary

        return error_summary(*self.in_training.predict(), self.plan.group)

    def model(self, done: Dict[str, Any]):
        """The trained network in float32, with its card."""
        from .model_card import ModelCard
        from .pose_model import PoseModel

        config, plan = self.config, self.plan
        network = self.presets.build_network(self.network_config)
        network.set_weights(self.network.get_weights())
        inputs = {str(path): digest_path(path) for path in config.input_paths()}
        state = plan.simulated_state if plan.volumes else plan.labelled_state
        card = ModelCard(
            preset=config.preset, box_size_px=plan.grid.model_box_size_px,
            pixel_size_angstrom=plan.grid.model_pixel_size_angstrom, mask_diameter_angstrom=plan.mask_diameter_angstrom,
            ctf_correction=config.ctf_correction, image_state=state, symmetry=config.symmetry, network=self.network_config,
            training={**summary(plan), "ctf": config.ctf, **done},
            data_digests={Path(p).name: d for p, d in inputs.items()}, seed=config.seed, versions=package_versions())
        return PoseModel(card, network)

    def validate_model(self, model) -> Tuple[Dict[str, float], Callable]:
        """Errors of the model as it will be used, and a function that draws them."""
        from .validation import error_summary

        prediction, rotations = self._validation(model.network).predict()

        def figures():
            from ..evaluation import plots
            from ..geometry.symmetry import symmetric_distance_rad
            from ..uncertainty.bingham import trace

            degrees = np.rad2deg(symmetric_distance_rad(prediction.rotations, rotations, self.plan.group))
            return {
                "Errors on images kept apart.": plots.error_histogram(degrees),
                "Error against uncertainty.": plots.error_against_uncertainty(trace(prediction.bingham), degrees),
            }

        return error_summary(prediction, rotations, self.plan.group), figures


def _report(run: RunDirectory, metrics: Dict[str, Any], figures: Callable) -> None:
    from ..evaluation import plots
    from ..evaluation.report import write_report
    from .history import History

    history = History(run)
    median = history.column("median_error_deg")
    measured = np.isfinite(median)
    steps = history.column("step")
    curve = plots.learning_curve(steps, history.column("loss"), steps[measured], median[measured])
    with run.atomic(CURVE_NAME) as part:
        curve.savefig(part, format="png", dpi=150)
    write_report(run.file("report.html"), "Training", lead="A network that estimates poses, and its errors on images that it "
                 "never saw.", numbers=metrics, figures={"Course of the training.": curve, **figures()})
