"""How a training is spread over GPUs and processes, in terms of TensorFlow."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Optional

from ...core.errors import ConfigError, ResourceError
from ...core.memory import first_line
from ...core.values import counted
from .cluster import cluster_of
from .config import TrainConfig

if TYPE_CHECKING:
    import tensorflow as tf


def strategy_of(config: TrainConfig) -> Optional[tf.distribute.Strategy]:
    """The strategy of a training; None for a network without replicas.

    It must be made before TensorFlow computes anything. Raises ConfigError or ResourceError if the
    GPUs or the other processes are missing, or if the batch cannot be shared out.
    """
    if config.distribute == "none":
        return None
    strategy = _strategy(config.distribute)
    batch, replicas = config.recipe().batch_size, strategy.num_replicas_in_sync
    if batch % replicas:
        raise ConfigError(
            f"train: --batch-size is {batch}, which {replicas} GPUs or processes cannot share "
            f"equally; give {batch - batch % replicas or replicas} or another multiple of "
            f"{replicas}."
        )
    return strategy


@lru_cache(maxsize=None)
def _strategy(distribute: str) -> tf.distribute.Strategy:
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    if distribute == "gpus":
        number = len(tf.config.list_logical_devices("GPU"))
        if number < 2:
            raise ConfigError(
                f"train: --distribute is 'gpus', but the program sees {counted(number, 'GPU')}; "
                "leave it out, or make several visible, such as --gpu 0,1."
            )
        return tf.distribute.MirroredStrategy()

    cluster = cluster_of(os.environ)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.place,
        rpc_layer="grpc",
    )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.OpError as error:
        raise ResourceError(
            f"train: this process cannot listen on {cluster.addresses[cluster.place]} "
            f"({first_line(error)}); end what uses the port, or give another one."
        ) from error
