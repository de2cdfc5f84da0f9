"""From nothing to poses: simulate, train, estimate with refinement, and compare with a refinement started at the truth.

    python benchmarks/poses.py --map ribosome70S_C1_64_5.64A.mrc --snr 0.4 0.1 0.05 --minutes 15 --folder OUT

Prints one row of a table for each SNR. Errors are absolute: the volume fixes the frame. The expected error from the
normal matrix at the truth, all shells, pose and shift jointly, stands for the Cramer-Rao bound.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cryoposes_plugin.cli.main import run_command
from cryoposes_plugin.core.config import InferConfig, RefineConfig, SimulateConfig, TrainConfig
from cryoposes_plugin.core.geometry.symmetry import nearest_equivalent, symmetric_distance_rad, symmetry_rotations
from cryoposes_plugin.core.io.star import read_particles

COLUMNS = (
    "SNR",
    "SNR in the mask",
    "training images",
    "training [s]",
    "network alone",
    "refined",
    "below 5°",
    "started at the truth",
    "ratio",
    "expected (RMS)",
    "chi-square, median",
    "90 %",
    "wrong basin, predicted",
    "observed",
    "refined images/s",
    "estimate [s]",
)


def main() -> None:
    arguments = parse()
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for snr in arguments.snr:
        print("| " + " | ".join(row(arguments, snr)) + " |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--map", required=True, help="Volume (MRC) that the images are made of.")
    parser.add_argument("--reference", help="Volume (MRC) to train on and refine against; default: the map.")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.4, 0.1, 0.05])
    parser.add_argument("--number", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--steps", type=int, help="Training steps of 128 images instead of minutes.")
    parser.add_argument("--symmetry", default="C1")
    parser.add_argument("--folder", type=Path, required=True, help="Runs are left and resumed here.")
    return parser.parse_args()


def row(arguments: argparse.Namespace, snr: float) -> list:
    folder = arguments.folder / f"snr{snr:g}"
    reference = arguments.reference or arguments.map
    simulated = run_command(
        SimulateConfig(volume=(arguments.map,), number=arguments.number, snr=snr, seed=11), folder / "sim"
    )
    star = str(folder / "sim/particles.star")
    training = TrainConfig(
        volume=(reference,),
        like=star,
        snr=snr,
        minutes=None if arguments.steps else arguments.minutes,
        steps=arguments.steps,
        symmetry=arguments.symmetry,
    )
    trained = run_command(training, folder / "net")
    model = str(folder / "net/model")
    run_command(InferConfig(model=model, particles=star), folder / "network")
    estimated = run_command(InferConfig(model=model, particles=star, volume=reference), folder / "poses")
    run_command(RefineConfig(volume=reference, particles=star, symmetry=arguments.symmetry), folder / "truth")
    truth = read_particles(star)
    group = symmetry_rotations(arguments.symmetry)
    network, refined, best = (
        errors_deg(read_particles(folder / name / "particles.star"), truth, group)
        for name in ("network", "poses", "truth")
    )
    found = read_particles(folder / "poses/particles.star")
    right = refined < 5
    chi = normalised_errors(found.rotations, truth.rotations, group, np.load(folder / "poses/covariance.npz"))[right]
    expected = read_particles(folder / "truth/particles.star").scores["cryoposesExpectedErrorDeg"]
    return [
        f"{snr:g}",
        f"{simulated['snr_in_mask']:.3f}",
        f"{trained['images_seen']:,}",
        f"{trained['seconds']:.0f}",
        f"{np.median(network):.2f}°",
        f"{np.median(refined):.3f}°",
        f"{100 * right.mean():.2f} %",
        f"{np.median(best):.3f}°",
        f"{np.median(refined) / np.median(best):.3f}",
        f"{np.median(expected):.3f}°",
        f"{np.median(chi):.2f}",
        f"{np.quantile(chi, 0.9):.2f}",
        f"{100 * found.scores['cryoposesWrongBasin'].mean():.2f} %",
        f"{100 * (1 - right.mean()):.2f} %",
        f"{estimated['particles_per_second']:.0f}",
        f"{estimated['seconds']:.0f}",
    ]


def errors_deg(estimate, truth, group) -> np.ndarray:
    return np.rad2deg(symmetric_distance_rad(estimate.rotations, truth.rotations, group))


def normalised_errors(estimate, truth, group, saved) -> np.ndarray:
    """(N,) e^T C^-1 e of the rotations: chi-square with three degrees of freedom where the covariance is right."""
    nearest = nearest_equivalent(truth, estimate, group)
    error = Rotation.from_matrix(nearest @ np.swapaxes(estimate, 1, 2)).as_rotvec()
    return np.einsum("bi,bij,bj->b", error, np.linalg.inv(saved["covariance"][:, :3, :3]), error)


if __name__ == "__main__":
    main()
