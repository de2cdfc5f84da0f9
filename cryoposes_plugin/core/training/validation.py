"""Evaluation of a network on held-out images."""

from __future__ import annotations

from typing import Dict, List, Tuple

import keras
import numpy as np
import tensorflow as tf

from .labels import Evaluation, PoseLabels, as_arrays
from .sources import Source
from .tasks import Task

_BATCH_SIZE = 250


class Validation:
    """Evaluates a network on the first `number` images of a source, always the same ones.

    Simulated images are those of steps that training never reaches.
    """

    def __init__(self, network: keras.Model, source: Source, number: int, task: Task):
        self.network, self.source, self.number, self.task = network, source, number, task
        self.batch_size = min(_BATCH_SIZE, number)

    def evaluate(self) -> Evaluation:
        """Predictions and true poses of all images, float64."""
        columns: List[List[np.ndarray]] = []
        truths: List[PoseLabels] = []
        for index in range(-(-self.number // self.batch_size)):
            arrays = self.source.arrays(self.batch_size, self.source.validation_step + index)
            tensors, labels = self._compiled(
                {name: tf.constant(value) for name, value in arrays.items()}
            )
            columns.append([tensor.numpy() for tensor in tensors])
            truths.append(PoseLabels(*(tensor.numpy() for tensor in labels)))

        whole = [np.concatenate(column)[: self.number] for column in zip(*columns)]
        return Evaluation(self.task.prediction(whole), as_arrays(truths, self.number))

    def figures(self) -> Dict[str, float]:
        """Validation figures of the network as it is now."""
        return self.task.summary(self.evaluate())

    @tf.function(reduce_retracing=True)
    def _compiled(self, arrays: Dict[str, tf.Tensor]) -> Tuple[Tuple[tf.Tensor, ...], PoseLabels]:
        images, labels = self.source.images(arrays)
        return self.task.tensors(self.network(images, training=False)), labels
