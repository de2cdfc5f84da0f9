"""A training whose loss is kept at every step, for comparisons.

`python -m tests.replicas LOSSES DEVICES train ...` runs the program and writes the losses of the
steps that this process has made to LOSSES, a text. DEVICES is 1, or a number of logical CPUs that
stand for the GPUs of `--distribute gpus`.
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.train import strategy
from cryoposes_plugin.core.training.trainer import RunState


def devices(number):
    """Logical CPUs instead of GPUs."""
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * number
    )
    mirrored = tf.distribute.MirroredStrategy([f"CPU:{k}" for k in range(number)])
    strategy._strategy = lambda distribute: mirrored


def kept(losses):
    """Write the loss of each step as it is counted."""
    count = RunState.count

    def counted(self, parts):
        with open(losses, "a") as out:
            out.write(f"{self.step} {float(parts['loss']):.9g}\n")
        count(self, parts)

    RunState.count = counted


if __name__ == "__main__":
    kept(sys.argv[1])
    if int(sys.argv[2]) > 1:
        devices(int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
