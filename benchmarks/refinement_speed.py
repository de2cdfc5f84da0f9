"""Images a second of the refinement alone, from the network's output.

    python benchmarks/refinement_speed.py --model NET/model --particles sim/particles.star --map
    MAP.mrc --number 4096

The network's hypotheses are computed first and kept; then all batches are refined against the map,
as `infer` does, on all cores. Prints images a second, and the angular error where the particles
have true poses.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.infer.inputs import read_model_inputs
from cryoposes_plugin.commands.infer.refined import make_refinement
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.models.pose_model import PoseModel
from cryoposes_plugin.core.parallel import in_order, number_of_cores
from cryoposes_plugin.core.particles.batches import batches


class _Kept:
    """Starts that have been computed."""

    score_shapes: dict = {}

    def __init__(self, starts, grid):
        self._starts, self.grid = starts, grid

    def __call__(self, rows):
        return self._starts[rows[0]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("model", "particles", "map"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--number", type=int, default=4096)
    arguments = parser.parse_args()
    os.environ["TF_NUM_INTRAOP_THREADS"] = (
        "1"  # as `cryoposes infer` does: each thread has a batch of its own
    )
    config = InferConfig(model=arguments.model, particles=arguments.particles, volume=arguments.map)
    inputs = read_model_inputs(
        PoseModel.load, config.model, config.particles, config.images_from, config.volume
    )
    refinement = make_refinement(config, inputs, inputs.volume)
    spectra = refinement.calibrate(config.seed)
    parts = batches(
        inputs.table.take(np.arange(min(arguments.number, len(inputs.table)))), config.batch_size
    )
    starts = {rows[0]: refinement.starts(rows) for rows in parts}
    refinement.starts = _Kept(starts, refinement.starts.grid)

    def refine(rows):
        return refinement.refine(rows, spectra).refined.rotations

    refine(parts[0])
    start = time.monotonic()
    found = np.concatenate([rotations for _, rotations in in_order(refine, parts)])
    seconds = time.monotonic() - start
    hypotheses = np.mean(
        [len(start.poses) / len(rows) for start, rows in zip(starts.values(), parts)]
    )
    print(
        f"{len(found) / seconds:.0f} images/s on {number_of_cores()} cores, {hypotheses:.0f} "
        "hypotheses an image"
    )
    if inputs.table.rotations is not None:
        error = np.rad2deg(angular_distance_rad(found, inputs.table.rotations[: len(found)]))
        print(
            f"median {np.median(error):.3f}°, {100 * (error < 5).mean():.2f} % below 5°, before "
            "the global search"
        )


if __name__ == "__main__":
    main()
