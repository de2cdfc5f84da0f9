"""The training loop: compiled steps, progress, validation, checkpoints, and resuming where a killed run stood."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import tensorflow as tf

from ..gate import integer
from ..io.run_directory import RunDirectory
from ..io.run_state import REDO, read_json
from ..progress import Progress
from . import schedules
from .checkpoint import load_checkpoint, save_checkpoint, state_variables
from .history import History
from .session import Session

logger = logging.getLogger(__name__)

CHECKPOINT_NAME, STATE_NAME = "checkpoint.npz", "training_state.json"
#: The learning rate rises over this many steps, whatever the length of the training.
WARM_UP_STEPS = 50
#: The rate is measured from the step on that follows tracing and first-touch costs ...
_FIRST_MEASURED_STEP = 5
#: ... to this one, or until this share of the time is gone; but however short the time, so many steps are made.
_LAST_MEASURED_STEP = 40
_MEASURING_SHARE = 0.2
_FEWEST_STEPS = 8
#: Part of the time that is left for validation, checkpoints and writing the model.
_RESERVE = 0.06
_VALIDATIONS = 12
#: Steps between rows of the history, at most.
_LONGEST_CHAPTER = 100


@dataclass(frozen=True)
class Length:
    """How long to train: a number of steps, or the minutes since `started` (`time.monotonic`) that fix one."""

    steps: Optional[int]
    minutes: Optional[float]
    started: float


class Trainer:
    """Trains the network of a session, in batches of one size."""

    def __init__(self, session: Session, batch_size: int):
        self.session, self.batch_size = session, batch_size
        self.network, self.optimizer = session.network, session.optimizer
        self.peak, self.schedule = session.config.chosen("learning_rate"), session.config.preset_values.schedule
        self.optimizer.build(self.network.trainable_variables)
        self.variables = state_variables(self.network, self.optimizer)

    def train(self, run: RunDirectory, length: Length, checkpoint_minutes: float) -> Dict[str, Any]:
        """Train to the end, from the last checkpoint if the run holds one; returns steps, images and rate."""
        course = _Course(run, length, self.batch_size, load_checkpoint(run.file(CHECKPOINT_NAME), self.variables) or 0)
        saved = time.monotonic()
        while not course.finished:
            course.count(self._step(course.step, course.total))
            if course.ends_chapter:
                validated = self.session.validate() if course.is_validated else None
                course.end_chapter(self._learning_rate(course.step - 1, course.total), validated)
            due = time.monotonic() - saved >= 60 * checkpoint_minutes and course.total is not None
            if due or course.finished:
                course.end_chapter(self._learning_rate(course.step - 1, course.total), None)
                course.history.write()
                save_checkpoint(run.file(CHECKPOINT_NAME), self.variables, course.step)
                saved = time.monotonic()
        images = course.step * self.batch_size
        return {"steps": course.step, "images_seen": images, "images_per_second": course.rate}

    def _learning_rate(self, step: int, total: Optional[int]) -> float:
        return self.peak * schedules.learning_rate_factor(self.schedule, step, total or WARM_UP_STEPS, WARM_UP_STEPS)

    def _step(self, step: int, total: Optional[int]) -> Dict[str, tf.Tensor]:
        drawn = self.session.training.arrays(self.batch_size, step)
        self.optimizer.learning_rate.assign(self._learning_rate(step, total))
        fraction = schedules.fraction_done(step, total or WARM_UP_STEPS, WARM_UP_STEPS)
        arrays = {name: tf.constant(value) for name, value in drawn.items()}
        return self._compiled_step(arrays, tf.constant(fraction, tf.float32))

    @tf.function(reduce_retracing=True)
    def _compiled_step(self, arrays: Dict[str, tf.Tensor], fraction: tf.Tensor) -> Dict[str, tf.Tensor]:
        images, labels = self.session.training.images(arrays)
        with tf.GradientTape() as tape:
            loss, parts = self.session.objective(self.network(images, training=True), labels, fraction)
            if self.network.losses:
                loss += tf.add_n(self.network.losses)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables))
        return {"loss": loss, **parts}


class _Course:
    """Where a run stands: the step, the number of steps as soon as it is known, history and progress."""

    def __init__(self, run: RunDirectory, length: Length, batch_size: int, done: int):
        self.run, self.length, self.batch_size = run, length, batch_size
        self.step, self.total = done, length.steps or read_total(run)
        self.history = History(run)
        self.history.keep_until(done)
        self._pending: List[Dict[str, tf.Tensor]] = []
        self._measured: List[Tuple[int, float]] = []
        self._progress = self._new_progress()
        if done:
            logger.info("Resuming at step %d of %s.", done, self.total)

    @property
    def finished(self) -> bool:
        return self.total is not None and self.step >= self.total

    @property
    def is_validated(self) -> bool:
        return self.total is not None and (self.step % max(1, self.total // _VALIDATIONS) == 0 or self.finished)

    @property
    def ends_chapter(self) -> bool:
        return self.is_validated or len(self._pending) >= _LONGEST_CHAPTER

    @property
    def rate(self) -> float:
        """Images a second."""
        return self._progress.rate if self._progress else 0.0

    def count(self, losses: Dict[str, tf.Tensor]) -> None:
        """A step was made."""
        self.step += 1
        self._pending.append(losses)
        if self.total is None:
            self._settle_total()
        elif self._progress:
            self._progress.advance(self.batch_size, **self.history.latest())

    def end_chapter(self, learning_rate: float, errors: Optional[Dict[str, float]]) -> None:
        """Write a row of the history for the steps since the last one, if there were any."""
        if self._pending:
            self.history.add(self.step, self._pending, learning_rate, errors)
            self._pending = []

    def _settle_total(self) -> None:
        """Turn minutes into steps, once enough steps are measured."""
        now, minutes = time.monotonic(), self.length.minutes or 0.0
        if self.step >= _FIRST_MEASURED_STEP:
            self._measured.append((self.step, now))
        early = now - self.length.started < 60.0 * minutes * _MEASURING_SHARE
        if self.step < _FEWEST_STEPS or (self.step < _LAST_MEASURED_STEP and early):
            return
        (first, begin), (last, end) = self._measured[0], self._measured[-1]
        left = 60.0 * minutes * (1 - _RESERVE) - (now - self.length.started)
        self.total = self.step + max(0, int(left * (last - first) / (end - begin)))
        self.run.write_json(STATE_NAME, {"total_steps": self.total})
        self._progress = self._new_progress()
        logger.info("train: %d steps fit into %g minutes.", self.total, minutes)

    def _new_progress(self) -> Optional[Progress]:
        if self.total is None:
            return None
        return Progress(self.total * self.batch_size, "images", "train", self.step * self.batch_size)


def read_total(run: RunDirectory) -> Optional[int]:
    """The number of steps that an interrupted run of this folder settled on, if it did."""
    path = run.file(STATE_NAME)
    if not path.exists():
        return None
    return integer(read_json(path, REDO).get("total_steps"), f"{path}: total_steps", REDO, 1)
