"""The training loop: compiled steps, progress, validation, checkpoints, and resuming where a killed run stood."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

import numpy as np
import tensorflow as tf

from ...commands.train.session import Session
from ..io.folder import Folder
from ..io.state_files import REDO, damaged, read_json
from ..progress import Progress
from ..values import integer
from . import pace, schedules
from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint, state_variables
from .history import History

logger = logging.getLogger(__name__)

CHECKPOINT_NAME, STATE_NAME = "checkpoint.npz", "training_state.json"
#: The learning rate rises over this many steps, whatever the length of the training.
WARM_UP_STEPS = 50
_VALIDATIONS = 12
#: Steps between rows of the history, at most.
_LONGEST_CHAPTER = 100


@dataclass(frozen=True)
class Length:
    """How long to train: a number of steps, or the minutes since `started` (`pace.clock`) that it is to take."""

    steps: Optional[int]
    minutes: Optional[float]
    started: float


class Trainer:
    """Trains the network of a session, in batches of one size."""

    def __init__(self, session: Session, batch_size: int):
        self.session, self.batch_size = session, batch_size
        self.network, self.optimizer = session.network, session.optimizer
        self.peak, self.schedule = (
            session.config.chosen("learning_rate"),
            session.config.preset_values.schedule,
        )
        self.optimizer.build(self.network.trainable_variables)
        self.variables = state_variables(self.network, self.optimizer)

    def train(self, run: Folder, length: Length, checkpoint_minutes: float) -> Dict[str, Any]:
        """Train to the end, from the last checkpoint if the run holds one; returns steps, images and rate."""
        checkpoint = load_checkpoint(run.file(CHECKPOINT_NAME), self.variables)
        course = _Course(run, length, self.batch_size, checkpoint or Checkpoint())
        saved = pace.clock()
        while not course.finished:
            course.count(self._step(course.step, course.total))
            if course.ends_chapter:
                validated = self._validate(course) if course.is_validated else None
                course.end_chapter(self._learning_rate(course.step - 1, course.total), validated)
            due = pace.clock() - saved >= 60 * checkpoint_minutes and course.total is not None
            if due or course.finished:
                course.history.write()
                save_checkpoint(run.file(CHECKPOINT_NAME), self.variables, course.checkpoint())
                saved = pace.clock()
        images = course.step * self.batch_size
        return {"steps": course.step, "images_seen": images, "images_per_second": course.rate}

    def _validate(self, course: _Course) -> Dict[str, float]:
        begin = pace.clock()
        errors = self.session.validate()
        course.validation_took(pace.clock() - begin)
        return errors

    def _learning_rate(self, step: int, total: Optional[int]) -> float:
        return self.peak * schedules.learning_rate_factor(
            self.schedule, step, total or WARM_UP_STEPS, WARM_UP_STEPS
        )

    def _step(self, step: int, total: Optional[int]) -> Dict[str, tf.Tensor]:
        drawn = self.session.training.arrays(self.batch_size, step)
        self.optimizer.learning_rate.assign(self._learning_rate(step, total))
        fraction = schedules.fraction_done(step, total or WARM_UP_STEPS, WARM_UP_STEPS)
        arrays = {name: tf.constant(value) for name, value in drawn.items()}
        return self._compiled_step(arrays, tf.constant(fraction, tf.float32))

    @tf.function(reduce_retracing=True)
    def _compiled_step(
        self, arrays: Dict[str, tf.Tensor], fraction: tf.Tensor
    ) -> Dict[str, tf.Tensor]:
        images, labels = self.session.training.images(arrays)
        with tf.GradientTape() as tape:
            loss, parts = self.session.objective(
                self.network(images, training=True), labels, fraction
            )
            if self.network.losses:
                loss += tf.add_n(self.network.losses)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables))
        return {"loss": loss, **parts}


class _Course:
    """Where a run stands: the step, the number of steps as soon as it is known, history and progress."""

    def __init__(self, run: Folder, length: Length, batch_size: int, done: Checkpoint):
        self.run, self.batch_size, self.step = run, batch_size, done.step
        self.pace = pace.Pace(length.steps, length.minutes, read_record(run))
        self.history = History(run, done.history)
        self._begin = length.started - done.seconds
        self._pending: List[Mapping[str, Any]] = done.losses()
        self._validation_timed = False
        self._progress = self._new_progress()
        if done.step:
            logger.info("Resuming at step %d of %s.", done.step, self.total)

    @property
    def total(self) -> Optional[int]:
        return self.pace.total(self.step)

    @property
    def finished(self) -> bool:
        return self.total is not None and self.step >= self.total

    @property
    def is_validated(self) -> bool:
        if self.total is None:
            return False
        now, before = (_VALIDATIONS * step // self.total for step in (self.step, self.step - 1))
        return self.finished or now > before

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
        if self.pace.count(self.step, self._seconds()):
            self.run.write_json(STATE_NAME, {"total_steps": self.total, "record": self.pace.record})
            if self._progress is None:
                logger.info(
                    "train: %d steps fit into the time; their number follows the rate.", self.total
                )
        if self._progress:
            self._progress.total = (self.total or 0) * self.batch_size
            self._progress.advance(self.batch_size, **self.history.latest())
        else:
            self._progress = self._new_progress()

    def validation_took(self, seconds: float) -> None:
        """The first one of a process is traced, as that of the finished network will be."""
        if not self._validation_timed:
            self.pace.validation_took(seconds)
        self._validation_timed = True

    def end_chapter(self, learning_rate: float, errors: Optional[Dict[str, float]]) -> None:
        """Write a row of the history for the steps since the last one."""
        self.history.add(self.step, self._pending, learning_rate, errors)
        self._pending = []

    def checkpoint(self) -> Checkpoint:
        names = self._pending[0] if self._pending else ()
        pending = {name: np.array([float(part[name]) for part in self._pending]) for name in names}
        return Checkpoint(self.step, self._seconds(), self.history.text(), pending)

    def _seconds(self) -> float:
        """Since the run began, the time between its processes left out."""
        return pace.clock() - self._begin

    def _new_progress(self) -> Optional[Progress]:
        if self.total is None:
            return None
        return Progress(
            self.total * self.batch_size, "images", "train", self.step * self.batch_size
        )


def read_record(run: Folder) -> pace.Record:
    """The numbers of steps that an interrupted run of this folder settled on, and from which steps on."""
    path = run.file(STATE_NAME)
    if not path.exists():
        return []
    state = read_json(path, REDO)
    entries = state.get("record", [[0, state.get("total_steps")]])
    if not isinstance(entries, list) or any(
        not isinstance(entry, list) or len(entry) != 2 for entry in entries
    ):
        raise damaged(path, "its record is no list of pairs")
    what = f"{path}: record"
    return [
        (integer(since, what, REDO, 0), integer(total, what, REDO, 1)) for since, total in entries
    ]
