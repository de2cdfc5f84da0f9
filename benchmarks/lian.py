"""The experiment of Lian 2022 (tables 3 and 4) in small: the weight w of the label loss, from 0 (the
reprojection loss alone) to 1, for particles with D7 and D2.

    python benchmarks/lian.py --map groel.mrc --symmetry D7 --steps 400 --folder OUT

As in the paper, images are projections without noise, CTF and shifts; the network starts at random
and not from ImageNet. Prints the reprojection RMSE (eq. 16) of the network's poses on images that
it never saw, as a share of the root mean square projection, and their median error modulo the
group. The last row is the default network, trained as long as the first of the others took.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from poses import errors_deg, reprojection_rmse

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.io.particle_files import read_particles


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True, help="Volume (MRC).")
    parser.add_argument("--symmetry", required=True)
    parser.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.1, 0.5, 0.8, 1.0])
    parser.add_argument("--steps", type=int, default=300, help="Training steps of 24 images.")
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--box", type=int, default=40, help="Box of the images, cut to this [px].")
    parser.add_argument("--model-box", type=int, default=24)
    parser.add_argument("--number", type=int, default=500, help="Images to estimate.")
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()

    pixel = read_volume(arguments.map).pixel_size_angstrom
    plain = dict(
        volume=(arguments.map,),
        box_size_px=arguments.box,
        pixel_size_angstrom=pixel,
        noise_variance=0.0,
        ctf=False,
        shift_distribution="none",
    )
    run_command(SimulateConfig(number=arguments.number, seed=11, **plain), arguments.folder / "sim")
    common = dict(symmetry=arguments.symmetry, model_box_size_px=arguments.model_box, **plain)
    print("| w | reprojection RMSE | median error | images | training [s] |\n|---|---|---|---|---|")

    seconds = []
    for weight in arguments.weights:
        config = TrainConfig(
            preset="lian2022",
            regression_weight=weight,
            learning_rate=arguments.learning_rate,
            steps=arguments.steps,
            **common,
        )
        seconds.append(row(arguments, f"{weight:g}", config))
    row(arguments, "default network", TrainConfig(minutes=seconds[0] / 60, **common))


def row(arguments: argparse.Namespace, name: str, config: TrainConfig) -> float:
    """Train, estimate, print; the seconds that the training took."""
    folder = arguments.folder / name.replace(" ", "_")
    trained = run_command(config, folder / "net")
    star = arguments.folder / "sim/particles.star"
    run_command(InferConfig(model=str(folder / "net/model"), particles=str(star)), folder / "poses")
    found, truth = read_particles(folder / "poses/particles.star"), read_particles(star)
    error = errors_deg(found, truth, symmetry_rotations(arguments.symmetry))
    rmse = reprojection_rmse(arguments.map, found.rotations, truth.rotations)
    print(
        f"| {name} | {rmse:.4f} | {np.median(error):.1f}° | {trained['images_seen']:,} | "
        f"{trained['seconds']:.0f} |",
        flush=True,
    )
    return trained["seconds"]


if __name__ == "__main__":
    main()
