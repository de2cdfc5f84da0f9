"""The `train` command: from maps, particles with poses, or both, to a model folder."""

from __future__ import annotations

import dataclasses
import logging
from typing import TYPE_CHECKING, Any, Dict, Optional

from ...core.io.error_log import not_fatal
from ...core.io.names import MODEL_NAME, PARTICLES_NAME
from ...core.io.particle_files import write_particle_results
from ...core.io.state_files import PARENT, REDO, damaged, read_json
from ...core.memory import one_sentence
from ...core.particles.batches import look_at_images
from ...core.particles.contrast import warn_of_map
from ...core.scores import WRONG_LABEL
from ...core.training import step_budget
from ..imaging_inputs import write_densities
from ..run_directory import RunDirectory
from .config import TrainConfig
from .inputs import Plan, log_measured_noise, make_plan, summary
from .strategy import strategy_of

if TYPE_CHECKING:
    from .assembly import Assembly

logger = logging.getLogger(__name__)


def check(config: TrainConfig) -> None:
    """Raise every error that can be found before any long computation."""
    config.validate()
    strategy_of(config)
    plan = make_plan(config)
    for table in (plan.like, plan.labelled, plan.junk):
        if table is not None:
            look_at_images(table)
    for path, volume in zip(config.volume, plan.volumes):
        warn_of_map(path, volume)


def run(config: TrainConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write model/, history.csv, learning_curve.png and report.html, and particles.star if labels may
    be wrong; returns the metrics.

    An interrupted run resumes from its checkpoint. On the same machine, with the same versions and
    number of threads, the weights are those of an uninterrupted run with the same seed and number
    of steps.
    """
    started = step_budget.clock()
    import keras

    from ...core.training.trainer import Duration
    from . import report
    from .assembly import assemble, write_model

    config = _settled(config, run)
    plan = make_plan(config)
    log_measured_noise(plan)
    write_densities(run, plan.volumes)
    keras.utils.set_random_seed(config.seed % 2**32)
    assembly = assemble(config, plan, strategy_of(config))
    duration = Duration(_number_of_steps(config, plan), config.minutes, started)
    with one_sentence(_no_memory(plan)):
        done = assembly.trainer.train(run, duration, config.checkpoint_minutes)
    if config.follows():
        return {}

    evaluation, card = write_model(assembly, run.file(MODEL_NAME), done)
    for sentence in card.warnings:
        logger.warning("%s", sentence)
    metrics = {
        **summary(plan),
        **done,
        **_write_labels(assembly, run),
        "validation": card.validation,
        "learned_nothing": card.learned_nothing,
    }
    with not_fatal(run.path, "its report"):
        report.write(run, assembly.task, evaluation, metrics)
    return metrics


def _settled(config: TrainConfig, run: RunDirectory) -> TrainConfig:
    """The config with the model that its library gives, the same one when the run is resumed."""
    if not config.model_library:
        return config
    path = run.file(PARENT)
    if not path.exists():
        parent = make_plan(config).parent
        run.write_json(PARENT, {"folder": None if parent is None else str(parent.folder)})
    folder = read_json(path, REDO).get("folder")
    if not isinstance(folder, (str, type(None))):
        raise damaged(path, "it does not name a folder")
    return dataclasses.replace(config, model_library=None, from_model=folder)


def _write_labels(assembly: Assembly, run: RunDirectory) -> Dict[str, Any]:
    """Write the particles with the probability that their label is wrong, if labels are doubted."""
    from ...core.training.label_errors import wrong_labels
    from ...core.training.sources import LabelledSource
    from ...core.training.tasks import polar_architecture

    table, source = assembly.plan.labelled, assembly.held_out
    doubted = assembly.plan.recipe.label_errors == "estimated"
    if table is None or not doubted or not isinstance(source, LabelledSource):
        return {}

    polar = polar_architecture(assembly.network)
    wrong, share = wrong_labels(assembly.trainer.network, polar, source, assembly.plan.group)
    scores = {**table.scores, WRONG_LABEL: wrong}
    write_particle_results(run, PARTICLES_NAME, table.replace(scores=scores))
    logger.info("train: %.1f %% of the given poses seem to be wrong.", 100.0 * share)
    return {"share_of_wrong_labels": share}


def _no_memory(plan: Plan) -> str:
    """Training does not halve a batch that does not fit: pairs of images, noise and batch
    normalisation would change, and with them the model.
    """
    batch, box = plan.recipe.batch_size, plan.model_grid.box_size_px
    return (
        f"A batch of {batch} images of {box} px does not fit into the memory; give a smaller "
        "--batch-size, such as "
        f"{batch // 2}, or a smaller --model-box-size-px."
    )


def _number_of_steps(config: TrainConfig, plan: Plan) -> Optional[int]:
    """Number of steps as configured, or None if minutes decide."""
    if config.steps is not None or config.epochs is None:
        return config.steps
    images = config.images_per_epoch if plan.volumes else len(plan.learned_from)
    return max(1, round(config.epochs * images / plan.recipe.batch_size))
