"""A training whose batches are shared out among replicas of the network: on the GPUs of a machine, and
in processes on several machines.

Each replica makes its own images of the (seed, step) batch. The objective is that of the whole
batch, whose outputs are gathered, so that but for the rounding the training is that of one replica.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from ..errors import ResourceError
from ..imaging.draws import BatchShare
from ..io.folder import Folder
from .checkpoint import Checkpoint
from .labels import PoseLabels
from .objectives import Outputs
from .trainer import Duration, RunState, Trainer, as_tensors

#: What collective operations raise if another process has ended.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
#: Name that Keras gives to the state of the random numbers of a dropout layer.
_SEED = "seed_generator_state"


class ReplicatedTrainer(Trainer):
    """Trains the replicas of a network that was made in the scope of `strategy`.

    The first process, the chief, alone resumes from the run's folder and validates. Others follow
    it; what they write into their folder is of no use.

    Dropout draws other masks than in a training without replicas.
    """

    def __init__(self, *parts: Any, strategy: tf.distribute.Strategy):
        """parts : those of `Trainer`; the replicas divide the batch."""
        super().__init__(*parts)
        self.strategy, self.replicas = strategy, strategy.num_replicas_in_sync
        number = self.recipe.batch_size
        self.sources = [
            self.source.sharing(BatchShare(number, k, self.replicas)) for k in range(self.replicas)
        ]
        self._own = [int(k) for k in self._local(self._of_each(tf.constant))]
        self._by_time = False

    @property
    def is_chief(self) -> bool:
        return 0 in self._own

    @property
    def has_followers(self) -> bool:
        """Whether there are other processes."""
        return len(self._own) < self.replicas

    def train(self, run: Folder, duration: Duration, checkpoint_minutes: float) -> Dict[str, Any]:
        """See `Trainer.train`; ResourceError if another process has ended."""
        self._by_time = duration.steps is None
        try:
            return super().train(run, duration, checkpoint_minutes)
        except _LOST as error:
            if not self.has_followers:
                raise
            raise ResourceError(
                "Another process of the training has ended or cannot be reached; start all of them "
                "again with the same command to resume from the last checkpoint."
            ) from error

    def _begin(self, run: Folder) -> Checkpoint:
        checkpoint = super()._begin(run)
        if self.has_followers:
            own = [variable.numpy() for variable in self.variables]
            *values, step = self._from_chief([*own, np.array(checkpoint.step)])
            for variable, value in zip(self.variables, values):
                variable.assign(value)
            checkpoint = checkpoint if self.is_chief else Checkpoint(step=int(step))

        for variable in (v for v in self.variables if v.name == _SEED):
            seed = variable.numpy()
            for replica, component in zip(self._own, self._local(variable.value)):
                component.assign(seed + np.array([replica, 0], seed.dtype))
        return checkpoint

    def _ends(self, state: RunState) -> bool:
        if self._by_time and self.has_followers:
            (total,) = self._from_chief([np.array(state.total or 0)])
            if not self.is_chief:
                state.follow(int(total) or None)
        return super()._ends(state)

    def _validate(self, state: RunState) -> Optional[Dict[str, float]]:
        return super()._validate(state) if self.is_chief else None

    def _arrays(self, step: int) -> Dict[str, tf.Tensor]:
        number = self.recipe.batch_size
        return self._of_each(lambda replica: as_tensors(self.sources[replica].arrays(number, step)))

    @tf.function(reduce_retracing=True)
    def _compiled_step(
        self, arrays: Dict[str, tf.Tensor], fraction: tf.Tensor
    ) -> Dict[str, tf.Tensor]:
        losses = self.strategy.run(self._learn_own, (arrays, fraction))
        return {name: self._local(values)[0] for name, values in losses.items()}

    def _learn_own(self, arrays: Dict[str, tf.Tensor], fraction: tf.Tensor) -> Dict[str, tf.Tensor]:
        replica = tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group)
        return self._learn(self.sources[int(replica)], arrays, fraction)

    def _whole_batch(self, outputs: Outputs, labels: PoseLabels) -> Tuple[Outputs, PoseLabels]:
        def of_all(own: tf.Tensor) -> tf.Tensor:
            # A copy, as arguments are on no device.
            context = tf.distribute.get_replica_context()
            whole = context.all_gather(tf.identity(own), axis=0)
            return tf.ensure_shape(whole, (self.recipe.batch_size, *own.shape[1:]))

        # One by one: the gradient of all_gather takes no tensors of several shapes.
        return tf.nest.map_structure(of_all, outputs), tf.nest.map_structure(of_all, labels)

    def _from_chief(self, arrays: Sequence[np.ndarray]) -> List[np.ndarray]:
        """The chief's arrays in every process, by way of float64."""
        sent = [tf.constant(array, tf.float64) for array in arrays]
        others = [tf.zeros_like(tensor) for tensor in sent]
        sums = self._sums(self._of_each(lambda replica: others if replica else sent))
        return [self._local(s)[0].numpy().astype(a.dtype) for s, a in zip(sums, arrays)]

    @tf.function(reduce_retracing=True)
    def _sums(self, values: List[tf.Tensor]) -> List[tf.Tensor]:
        def total(own: List[tf.Tensor]) -> List[tf.Tensor]:
            copies = [tf.identity(value) for value in own]
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, copies)

        return self.strategy.run(total, (values,))

    def _of_each(self, values: Callable[[int], Any]) -> Any:
        """The values of each replica of this process, by its number among all."""
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values(context.replica_id_in_sync_group)
        )

    def _local(self, values: Any) -> Tuple[Any, ...]:
        """The values of the replicas of this process, one by one."""
        return self.strategy.experimental_local_results(values)
