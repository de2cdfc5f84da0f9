"""Losses of a small network with batch statistics that learns distances between the images of a batch.

`python -m tests.small_replicas` prints those of one network, and those of two replicas on two logical
CPUs.
"""

import sys
import tempfile
from types import SimpleNamespace

import keras
import numpy as np
import tensorflow as tf

from cryoposes_plugin.commands.train.presets import PRESETS
from cryoposes_plugin.core.imaging.settings import Imaging, PoseDistribution
from cryoposes_plugin.core.io.folder import Folder
from cryoposes_plugin.core.models.preprocessing import Preprocessing
from cryoposes_plugin.core.particles.grids import Grid
from cryoposes_plugin.core.training import objectives, step_budget
from cryoposes_plugin.core.training.history import DISTANCE_FIGURES
from cryoposes_plugin.core.training.replicas import ReplicatedTrainer
from cryoposes_plugin.core.training.sources import SimulatedSource
from cryoposes_plugin.core.training.trainer import Duration, RunState, Trainer
from tests.conftest import make_asymmetric_volume

BOX, PIXEL, BATCH, STEPS = 16, 15.0, 12, 6


def small_network():
    images = keras.Input((BOX, BOX))
    features = keras.layers.Dense(16, activation="silu")(keras.layers.Flatten()(images))
    normalised = keras.layers.BatchNormalization(synchronized=tf.distribute.has_strategy())
    return keras.Model(images, {"features": keras.layers.Dense(6)(normalised(features))})


def parts():
    keras.utils.set_random_seed(1)
    network = small_network()
    recipe = SimpleNamespace(
        batch_size=BATCH, learning_rate=0.02, schedule="one-cycle", feature_distance="cosine"
    )
    recipe.pair_sampling = PRESETS["banjac2021"].recipe.pair_sampling
    source = SimulatedSource(
        3,
        Imaging(PoseDistribution(), None),
        [make_asymmetric_volume()],
        Grid(BOX, PIXEL),
        Preprocessing(BOX, PIXEL, 200.0, "none"),
        np.full((BOX, BOX // 2 + 1), 0.5, np.float32),
        "raw",
    )
    validation = SimpleNamespace(figures=dict, task=SimpleNamespace(figures=DISTANCE_FIGURES))
    objective = objectives.distance_objective(recipe)
    return network, keras.optimizers.Adam(0.02), objective, source, validation, recipe


def replicated():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        return ReplicatedTrainer(*parts(), strategy=strategy)


def losses_of(trainer):
    """The loss of each step."""
    losses, count = [], RunState.count

    def counted(self, step):
        losses.append(float(step["loss"]))
        count(self, step)

    RunState.count = counted
    with tempfile.TemporaryDirectory() as folder:
        duration = Duration(STEPS, None, step_budget.clock())
        trainer.train(Folder(folder), duration, checkpoint_minutes=10)
    RunState.count = count
    return losses


if __name__ == "__main__":
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    for trainer in (Trainer(*parts()), replicated()):
        sys.stdout.write(" ".join(map(str, losses_of(trainer))) + "\n")
