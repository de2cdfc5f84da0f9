"""What one evaluation of the inner products of pose, model and image costs: compiled, and in
TensorFlow on the CPU.

    python benchmarks/likelihood_speed.py --map MAP.mrc --box 64 128 256

The map is resampled to each box of the same width. Random poses are compared with random images at
all points of the box, by one thread. Prints nanoseconds of CPU a point, and the size of the map's
table.
"""

from __future__ import annotations

import os

os.environ.update(TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1", OMP_NUM_THREADS="1")

import argparse
import time
from typing import Union

import numpy as np

from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.fourier.resampling import projected_density
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.padding import choose_padding
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.likelihood.arrays import ImageArrays, PoseArrays
from cryoposes_plugin.core.likelihood.half_volume import HalfVolume
from cryoposes_plugin.core.likelihood.on_gpu import PackedVolume
from cryoposes_plugin.core.types import Volume

#: Points of all poses together, and repetitions, of which the fastest counts.
POINTS, REPETITIONS = 2**20, 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True)
    parser.add_argument("--box", type=int, nargs="+", default=[64, 128])
    arguments = parser.parse_args()

    volume = read_volume(arguments.map)
    width = volume.box_size_px * volume.pixel_size_angstrom
    print("| box | engine | table, MB | ns a point |\n|---|---|---|---|")
    for box in arguments.box:
        pixel = width / box
        density = projected_density(volume, box, pixel)
        padding = choose_padding([Volume(density, pixel)], box, pixel)
        points = FourierPoints(box)
        for name, engine in (("compiled", HalfVolume), ("TensorFlow", PackedVolume)):
            work = engine(density, padding, points.frequencies)
            table = work.bytes / 1e6
            print(f"| {box} px | {name} | {table:.0f} | {nanoseconds(work, len(points)):.0f} |")


def nanoseconds(engine: Union[HalfVolume, PackedVolume], points: int) -> float:
    """CPU time of one point."""
    rng = np.random.default_rng(0)
    number = max(1, POINTS // points)
    poses = PoseArrays(
        random_rotations(number, rng), rng.normal(size=(number, 2)), np.arange(number)
    )
    images = ImageArrays(*rng.standard_normal((3, number, points)).astype(np.float32))
    seconds = []
    for _ in range(REPETITIONS + 1):
        start = time.process_time()
        engine.gram(poses, images, points)
        seconds.append(time.process_time() - start)
    return 1e9 * min(seconds[1:]) / (number * points)


if __name__ == "__main__":
    main()
