"""The training loop: compiled steps, progress, validation, checkpoints, and resuming where a killed run stood."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

import keras
import numpy as np
import tensorflow as tf

from ..io.run_directory import RunDirectory
from ..progress import Progress
from . import schedules
from .checkpoint import load_checkpoint, save_checkpoint, state_variables
from .history import History
from .presets import Objective

logger = logging.getLogger(__name__)

CHECKPOINT_NAME, STATE_NAME = "checkpoint.npz", "training_state.json"
#: The learning rate rises over this many steps, whatever the length of the training.
WARM_UP_STEPS = 50
#: The rate is measured from the step on that follows tracing and first-touch costs ...
_FIRST_MEASURED_STEP = 5
#: ... to this one, or until this share of the time is gone.
_LAST_MEASURED_STEP = 40
_MEASURING_SHARE = 0.2
#: However short the time, this many steps are made.
_FEWEST_STEPS = 8
#: Part of the time that is left for validation, checkpoints and writing the model.
_RESERVE = 0.06
_VALIDATIONS = 12


@dataclass(frozen=True)
class Length:
    """How long to train: a number of steps, or minutes that fix one."""

    steps: Optional[int]
    minutes: Optional[float]


class Trainer:
    """Trains one network.

    source : gives `arrays(number, step)` and `images(arrays)`, see `data`. validate : called now and then, gives numbers
    of which "median_error_deg" is shown. started : `time.monotonic()` from which --minutes counts.
    """

    def __init__(self, network: keras.Model, optimizer: keras.optimizers.Optimizer, objective: Objective, source,
                 batch_size: int, peak_learning_rate: float):
        self.network, self.optimizer, self.objective, self.source = network, optimizer, objective, source
        self.batch_size, self.peak = batch_size, peak_learning_rate
        optimizer.build(network.trainable_variables)
        self.variables = state_variables(network, optimizer)

    def train(self, run: RunDirectory, length: Length, validate: Callable[[], Dict[str, float]],
              checkpoint_minutes: float, started: float) -> Dict[str, Any]:
        """Train to the end, from the last checkpoint if the run holds one; returns steps, images and rate."""
        history = History(run)
        done = load_checkpoint(run.file(CHECKPOINT_NAME), self.variables) or 0
        history.keep_until(done)
        total = self._known_total(run, length)
        if done:
            logger.info("Resuming at step %d of %s.", done, total)
        clock = _Clock(length, started)
        progress = self._progress(done, total)
        saved, pending = time.monotonic(), []  # type: float, List[Dict[str, tf.Tensor]]
        step = done
        while total is None or step < total:
            pending.append(self._step(step, total))
            step += 1
            if total is None:
                total = clock.total_after(step)
                if total is not None:
                    run.write_json(STATE_NAME, {"total_steps": total})
                    progress = self._progress(step, total)
                    logger.info("%d steps fit into %g minutes.", total, length.minutes)
            ends_chapter = total is not None and (step % max(1, total // _VALIDATIONS) == 0 or step == total)
            if ends_chapter or len(pending) >= 100:
                history.add(step, pending, self._learning_rate(step - 1, total), validate() if ends_chapter else None)
                pending = []
            if progress is not None:
                progress.advance(self.batch_size, **history.latest())
            if total is not None and (time.monotonic() - saved) >= 60 * checkpoint_minutes and step < total:
                self._save(run, step, history, pending)
                pending, saved = [], time.monotonic()
        if step > done:
            self._save(run, step, history, pending)
        return {"steps": step, "images_seen": step * self.batch_size, "images_per_second": progress.rate if progress else 0.0}

    def _progress(self, done: int, total: Optional[int]) -> Optional[Progress]:
        """None until the number of steps is known."""
        if total is None:
            return None
        return Progress(total * self.batch_size, "images", "train", done * self.batch_size)

    def _save(self, run: RunDirectory, step: int, history: History, pending) -> None:
        if pending:
            history.add(step, pending, self._learning_rate(step - 1, step), None)
        history.write()
        save_checkpoint(run.file(CHECKPOINT_NAME), self.variables, step)

    def _known_total(self, run: RunDirectory, length: Length) -> Optional[int]:
        if length.steps is not None:
            return length.steps
        path = run.file(STATE_NAME)
        return read_total(path) if path.exists() else None

    def _learning_rate(self, step: int, total: Optional[int]) -> float:
        return self.peak * schedules.learning_rate_factor(step, total or WARM_UP_STEPS, WARM_UP_STEPS)

    def _step(self, step: int, total: Optional[int]) -> Dict[str, tf.Tensor]:
        arrays = {name: tf.constant(value) for name, value in self.source.arrays(self.batch_size, step).items()}
        self.optimizer.learning_rate.assign(self._learning_rate(step, total))
        fraction = schedules.fraction_done(step, total or WARM_UP_STEPS, WARM_UP_STEPS)
        return self._compiled_step(arrays, tf.constant(fraction, tf.float32))

    @tf.function(reduce_retracing=True)
    def _compiled_step(self, arrays: Dict[str, tf.Tensor], fraction: tf.Tensor) -> Dict[str, tf.Tensor]:
        images, rotations = self.source.images(arrays)
        with tf.GradientTape() as tape:
            loss, parts = self.objective(self.network(images, training=True), rotations, fraction)
            if self.network.losses:
                loss += tf.add_n(self.network.losses)
        gradients = tape.gradient(loss, self.network.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_variables))
        return {"loss": loss, **parts}


class _Clock:
    """Turns minutes into steps: measures the time of the first steps, then says how many there will be."""

    def __init__(self, length: Length, started: float):
        self.length, self.started = length, started
        self.measured: List[Tuple[int, float]] = []

    def total_after(self, step: int) -> Optional[int]:
        """The number of steps of the whole training, or None while it is not known yet."""
        now = time.monotonic()
        if step >= _FIRST_MEASURED_STEP:
            self.measured.append((step, now))
        budget = 60.0 * (self.length.minutes or 0.0)
        if step < _FEWEST_STEPS or (step < _LAST_MEASURED_STEP and now - self.started < _MEASURING_SHARE * budget):
            return None
        (first, begin), (last, end) = self.measured[0], self.measured[-1]
        seconds = (end - begin) / (last - first)
        left = budget * (1 - _RESERVE) - (now - self.started)
        return step + max(0, int(np.floor(left / seconds)))


def read_total(path) -> int:
    """The number of steps that an earlier run of this folder settled on."""
    return int(json.loads(path.read_text())["total_steps"])
