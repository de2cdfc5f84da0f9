"""The training loop: compiled steps, progress, validation, checkpoints, and resuming an interrupted
run.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import keras
import numpy as np
import tensorflow as tf

from ..io.folder import Folder
from ..io.state_files import REDO, damaged, read_json
from ..progress import Progress
from ..values import integer
from . import schedules, step_budget
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint, state_variables
from .history import History
from .labels import PoseLabels
from .objectives import Objective, Outputs
from .recipe import Recipe
from .sources import Arrays, Source
from .validation import Validation

logger = logging.getLogger(__name__)

CHECKPOINT_NAME, STATE_NAME = "checkpoint.npz", "training_state.json"
#: The learning rate rises over this many steps, however long the training is.
WARM_UP_STEPS = 50
_VALIDATIONS = 12
#: Largest number of steps between two rows of the history.
_STEPS_PER_ROW = 100


@dataclass(frozen=True)
class Duration:
    """How long to train: a number of steps, or minutes since `started`, a time of
    `step_budget.clock`.
    """

    steps: Optional[int]
    minutes: Optional[float]
    started: float


class Trainer:
    """Trains a network in batches of one size.

    Parameters
    ----------
    network : the network, with fresh weights.
    optimizer : its optimizer; the learning rate is set at each step.
    objective : what is minimised, see `objectives`.
    source : of the training images.
    validation : evaluates the network on held-out images in the course of the training.
    recipe : batch size, peak and schedule of the learning rate.
    """

    #: Copies of the network that share each batch; the optimizer adds their gradients.
    replicas = 1

    def __init__(
        self,
        network: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        objective: Objective,
        source: Source,
        validation: Validation,
        recipe: Recipe,
    ):
        self.network, self.optimizer, self.objective = network, optimizer, objective
        self.source, self.validation, self.recipe = source, validation, recipe
        optimizer.build(network.trainable_variables)
        self.variables = state_variables(network, optimizer)

    def train(self, run: Folder, duration: Duration, checkpoint_minutes: float) -> Dict[str, Any]:
        """Train to the end, from the last checkpoint if the run holds one.

        Returns the numbers of steps and images, and the rate in images per second.
        """
        state = RunState(
            run,
            duration,
            self.recipe.batch_size,
            self.validation.task.figures,
            self._begin(run),
        )
        saved = step_budget.clock()

        while not self._ends(state):
            state.count(self._step(state.step, state.total))
            if state.row_is_due:
                figures = self._validate(state) if state.validation_is_due else None
                state.add_row(self._learning_rate(state.step - 1, state.total), figures)

            elapsed = step_budget.clock() - saved
            due = elapsed >= 60 * checkpoint_minutes and state.total is not None
            if due or state.finished:
                state.history.write()
                save_checkpoint(run.file(CHECKPOINT_NAME), self.variables, state.checkpoint())
                saved = step_budget.clock()

        images = state.step * self.recipe.batch_size
        return {"steps": state.step, "images_seen": images, "images_per_second": state.rate}

    def _begin(self, run: Folder) -> Checkpoint:
        """Set the variables as a run left them; returns what it has done."""
        return load_checkpoint(run.file(CHECKPOINT_NAME), self.variables) or Checkpoint()

    def _ends(self, state: RunState) -> bool:
        return state.finished

    def _validate(self, state: RunState) -> Optional[Dict[str, float]]:
        begin = step_budget.clock()
        figures = self.validation.figures()
        state.validation_took(step_budget.clock() - begin)
        return figures

    def _learning_rate(self, step: int, total: Optional[int]) -> float:
        return self.recipe.learning_rate * schedules.learning_rate_factor(
            self.recipe.schedule, step, total or WARM_UP_STEPS, WARM_UP_STEPS
        )

    def _step(self, step: int, total: Optional[int]) -> Dict[str, tf.Tensor]:
        arrays = self._arrays(step)
        self.optimizer.learning_rate.assign(self._learning_rate(step, total))
        fraction = schedules.fraction_done(step, total or WARM_UP_STEPS, WARM_UP_STEPS)
        return self._compiled_step(arrays, tf.constant(fraction, tf.float32))

    def _arrays(self, step: int) -> Dict[str, tf.Tensor]:
        return as_tensors(self.source.arrays(self.recipe.batch_size, step))

    @tf.function(reduce_retracing=True)
    def _compiled_step(
        self, arrays: Dict[str, tf.Tensor], fraction: tf.Tensor
    ) -> Dict[str, tf.Tensor]:
        return self._learn(self.source, arrays, fraction)

    def _learn(
        self, source: Source, arrays: Dict[str, tf.Tensor], fraction: tf.Tensor
    ) -> Dict[str, tf.Tensor]:
        """Make images and learn from them; returns the loss and its parts."""
        images, labels = source.images(arrays)

        with tf.GradientTape() as tape:
            outputs, labels = self._whole_batch(self.network(images, training=True), labels)
            loss, parts = self.objective(outputs, labels, fraction)
            if self.network.losses:
                loss += tf.add_n(self.network.losses)
            own_loss = loss / self.replicas

        gradients = tape.gradient(own_loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables))
        return {"loss": loss, **parts}

    def _whole_batch(self, outputs: Outputs, labels: PoseLabels) -> Tuple[Outputs, PoseLabels]:
        """Outputs and labels of the images of all replicas."""
        return outputs, labels


class RunState:
    """State of a run: its step, the total number of steps as soon as it is known, history and
    progress.
    """

    def __init__(
        self,
        run: Folder,
        duration: Duration,
        batch_size: int,
        figures: Sequence[str],
        done: Checkpoint,
    ):
        self.run, self.batch_size, self.step = run, batch_size, done.step
        self.budget = step_budget.StepBudget(duration.steps, duration.minutes, read_record(run))
        self.history = History(run, figures, done.history)
        self._begin = duration.started - done.seconds
        self._pending: List[Mapping[str, Any]] = done.losses()
        self._validation_timed = False
        self._progress = self._new_progress()
        if done.step:
            logger.info("Resuming at step %d of %s.", done.step, self.total)

    @property
    def total(self) -> Optional[int]:
        return self.budget.total(self.step)

    @property
    def finished(self) -> bool:
        return self.total is not None and self.step >= self.total

    @property
    def validation_is_due(self) -> bool:
        if self.total is None:
            return False
        now, before = (_VALIDATIONS * step // self.total for step in (self.step, self.step - 1))
        return self.finished or now > before

    @property
    def row_is_due(self) -> bool:
        return self.validation_is_due or len(self._pending) >= _STEPS_PER_ROW

    @property
    def rate(self) -> float:
        """Images per second."""
        return self._progress.rate if self._progress else 0.0

    def count(self, losses: Dict[str, tf.Tensor]) -> None:
        """Count a step with its losses."""
        self.step += 1
        self._pending.append(losses)
        if self.budget.count(self.step, self._seconds()):
            self.run.write_json(
                STATE_NAME, {"total_steps": self.total, "record": self.budget.record}
            )
            if self._progress is None:
                logger.info(
                    "train: %d steps fit into the time; the number is revised if the rate changes.",
                    self.total,
                )

        if self._progress:
            self._progress.total = (self.total or 0) * self.batch_size
            self._progress.advance(self.batch_size, **self.history.latest())
        else:
            self._progress = self._new_progress()

    def follow(self, total: Optional[int]) -> None:
        """Go on to this total number of steps, which another process has found."""
        self.budget.record[:] = [] if total is None else [(0, total)]

    def validation_took(self, seconds: float) -> None:
        """Count the first validation of a process, which is traced, as that of the finished network
        will be.
        """
        if not self._validation_timed:
            self.budget.validation_took(seconds)
        self._validation_timed = True

    def add_row(self, learning_rate: float, errors: Optional[Dict[str, float]]) -> None:
        """Add a row to the history for the steps since the last one."""
        self.history.add(self.step, self._pending, learning_rate, errors)
        self._pending = []

    def checkpoint(self) -> Checkpoint:
        """What is saved beside the variables."""
        names = self._pending[0] if self._pending else ()
        pending = {name: np.array([float(part[name]) for part in self._pending]) for name in names}
        return Checkpoint(self.step, self._seconds(), self.history.text(), pending)

    def _seconds(self) -> float:
        """Time since the run began, without the time between its processes."""
        return step_budget.clock() - self._begin

    def _new_progress(self) -> Optional[Progress]:
        if self.total is None:
            return None
        return Progress(
            self.total * self.batch_size, "images", "train", self.step * self.batch_size
        )


def as_tensors(arrays: Arrays) -> Dict[str, tf.Tensor]:
    """The arrays of a batch as tensors."""
    return {name: tf.constant(value) for name, value in arrays.items()}


def read_record(run: Folder) -> step_budget.Record:
    """Totals of steps of an interrupted run in this folder, with the steps from which they hold."""
    path = run.file(STATE_NAME)
    if not path.exists():
        return []
    state = read_json(path, REDO)
    entries = state.get("record")
    if not isinstance(entries, list) or any(
        not isinstance(entry, list) or len(entry) != 2 for entry in entries
    ):
        raise damaged(path, "its record is not a list of pairs")
    what = f"{path}: record"
    return [
        (integer(since, what, REDO, 0), integer(total, what, REDO, 1)) for since, total in entries
    ]
