"""From nothing to poses: simulate, train, estimate with refinement, and compare with a refinement
started at the truth.

    python benchmarks/poses.py --map ribosome70S_C1_64_5.64A.mrc --snr 0.4 0.1 0.05 --minutes 15
    --folder OUT

Prints one row of a table for each SNR ("inf": no noise). Errors are absolute: the volume fixes the
frame. The expected error from the normal matrix at the truth, all shells, pose and shift jointly,
stands for the Cramer-Rao bound. The FSC is that of maps reconstructed from the estimated and from
the true poses with the true map, unmasked.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.reconstruct.config import ReconstructConfig
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.fourier.filters import low_pass
from cryoposes_plugin.core.geometry.symmetry import (
    nearest_equivalent,
    symmetric_distance_rad,
    symmetry_rotations,
)
from cryoposes_plugin.core.imaging.forward_model import ForwardModel
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation, resolution_angstrom

COLUMNS = (
    "SNR",
    "SNR in the mask",
    "training images",
    "training [s]",
    "network alone",
    "refined",
    "mean [rad]",
    "network alone, mean [rad]",
    "reprojection RMSE",
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
    "FSC 0.5, estimated",
    "true poses",
    "lowest difference of the FSC",
)


def main() -> None:
    arguments = parse()
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for snr in arguments.snr:
        print("| " + " | ".join(row(arguments, snr)) + " |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True, help="Volume (MRC) that the images are made of.")
    parser.add_argument(
        "--reference", help="Volume (MRC) to train on and refine against; default: the map."
    )
    parser.add_argument("--low-pass", type=float, help="Cut the reference at this resolution [Å].")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.4, 0.1, 0.05])
    parser.add_argument("--number", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument(
        "--steps", type=int, help="Training steps of 128 images instead of minutes."
    )
    parser.add_argument("--symmetry", default="C1")
    parser.add_argument(
        "--test-share",
        type=float,
        default=1.0,
        help="Share of the images, the last, that is estimated.",
    )
    parser.add_argument("--like", help="Particle STAR file whose CTFs the images have.")
    parser.add_argument("--no-ctf", action="store_true")
    parser.add_argument("--shift-px", type=float, default=1.5)
    parser.add_argument("--orientations", default="uniform", help="As of `cryoposes simulate`.")
    parser.add_argument(
        "--particles", help="Estimate these (with true poses) instead of simulated ones."
    )
    parser.add_argument(
        "--learn-share",
        type=float,
        help="Learn from this share of the images, the first, not the map.",
    )
    parser.add_argument("--model", help="A trained model's folder, instead of training.")
    parser.add_argument(
        "--folder", type=Path, required=True, help="Runs are left and resumed here."
    )
    return parser.parse_args()


def row(arguments: argparse.Namespace, snr: float) -> list:
    folder = arguments.folder / f"snr{snr:g}"
    reference, symmetry = reference_of(arguments), arguments.symmetry
    star, in_mask = test_set(arguments, snr, folder)
    model, trained = arguments.model, dict(images_seen=0, seconds=0.0)
    if model is None:
        trained = run_command(
            training_config(arguments, snr, folder, star, reference), folder / "net"
        )
        model = str(folder / "net/model")
    run_command(InferConfig(model=model, particles=star), folder / "network")
    estimated = run_command(
        InferConfig(model=model, particles=star, volume=reference), folder / "poses"
    )
    run_command(RefineConfig(volume=reference, particles=star, symmetry=symmetry), folder / "truth")
    truth = read_particles(star)
    group = symmetry_rotations(symmetry)
    network, refined, best = (
        errors_deg(read_particles(folder / name / "particles.star"), truth, group)
        for name in ("network", "poses", "truth")
    )
    found = read_particles(folder / "poses/particles.star")
    right = refined < 5
    chi = normalised_errors(
        found.rotations, truth.rotations, group, np.load(folder / "poses/covariance.npz")
    )[right]
    expected = read_particles(folder / "truth/particles.star").scores["cryoposesExpectedErrorDeg"]
    return [
        f"{snr:g}",
        "" if in_mask is None else f"{in_mask:.3f}",
        f"{trained['images_seen']:,}",
        f"{trained['seconds']:.0f}",
        f"{np.median(network):.2f}°",
        f"{np.median(refined):.3f}°",
        f"{np.deg2rad(refined.mean()):.4f}",
        f"{np.deg2rad(network.mean()):.4f}",
        f"{reprojection_rmse(arguments.map, found.rotations, truth.rotations):.4f}",
        f"{100 * right.mean():.2f} %",
        f"{np.median(best):.3f}°",
        f"{np.median(refined) / np.median(best):.3f}",
        f"{np.median(expected):.3f}°",
        f"{np.median(chi):.2f}",
        f"{np.quantile(chi, 0.9):.2f}",
        f"{100 * found.scores['cryoposesWrongBasin'].mean():.2f} %",
        f"{100 * (1 - right.mean()):.2f} %",
        f"{estimated['particles_per_second'] or 0:.0f}",
        f"{estimated['seconds']:.0f}",
        *resolutions(folder, star, arguments.map, symmetry),
    ]


def reference_of(arguments: argparse.Namespace) -> str:
    """Path of the volume to train on and refine against."""
    reference = arguments.reference or arguments.map
    if arguments.low_pass is None:
        return reference
    volume, cut = (
        read_volume(reference),
        arguments.folder / f"reference_{arguments.low_pass:g}A.mrc",
    )
    arguments.folder.mkdir(parents=True, exist_ok=True)
    pixel = volume.pixel_size_angstrom
    write_volume(cut, low_pass(volume.data, pixel, arguments.low_pass), pixel)
    return str(cut)


def test_set(arguments: argparse.Namespace, snr: float, folder: Path) -> tuple:
    """(STAR file of the images to estimate, their SNR in the mask)."""
    if arguments.particles:
        return arguments.particles, None
    noise = dict(noise_variance=0.0) if math.isinf(snr) else dict(snr=snr)
    simulated = run_command(
        SimulateConfig(
            volume=(arguments.map,),
            number=arguments.number,
            like=arguments.like,
            **grid_of(arguments.map),
            orientations=arguments.orientations,
            ctf=not arguments.no_ctf,
            shift_px=arguments.shift_px,
            seed=11,
            **noise,
        ),
        folder / "sim",
    )
    star = folder / "sim/particles.star"
    if arguments.test_share < 1:
        table = read_particles(star)
        number = round(arguments.test_share * len(table))
        star = folder / "test.star"
        write_particles(star, table.take(np.arange(len(table) - number, len(table))))
    return str(star), simulated["snr_in_mask"]


def grid_of(path: str) -> dict:
    volume = read_volume(path)
    return dict(box_size_px=volume.box_size_px, pixel_size_angstrom=volume.pixel_size_angstrom)


def training_config(
    arguments: argparse.Namespace, snr: float, folder: Path, star: str, reference: str
) -> TrainConfig:
    common = dict(
        minutes=None if arguments.steps else arguments.minutes,
        steps=arguments.steps,
        ctf=not arguments.no_ctf,
        symmetry=arguments.symmetry,
    )
    if arguments.learn_share:
        table = read_particles(folder / "sim/particles.star")
        learned = folder / "learned.star"
        write_particles(learned, table.take(np.arange(round(arguments.learn_share * len(table)))))
        return TrainConfig(particles=str(learned), **common)
    # The level and the spectrum of the noise of given particles are measured on them.
    given = dict() if arguments.particles else dict(snr=snr)
    noise = dict(noise_variance=0.0) if math.isinf(snr) else given
    return TrainConfig(
        volume=(reference,), like=star, shift_px=arguments.shift_px, **noise, **common
    )


def resolutions(folder: Path, star: str, map_path: str, symmetry: str) -> list:
    """Resolution at FSC 0.5 with the map, from estimated and true poses; the lowest difference of
    their FSC.
    """
    volume = read_volume(map_path)
    curves = []
    for name, particles in (("estimated", str(folder / "poses/particles.star")), ("true", star)):
        run_command(
            ReconstructConfig(particles=particles, symmetry=symmetry), folder / f"map_{name}"
        )
        curves.append(
            fourier_shell_correlation(
                read_volume(folder / f"map_{name}/volume.mrc").data, volume.data
            )
        )
    grid = volume.box_size_px, volume.pixel_size_angstrom
    signal = slice(1, volume.box_size_px // 2)
    return [
        *(
            f"{resolution_angstrom(curve[: volume.box_size_px // 2], 0.5, *grid):.2f} Å"
            for curve in curves
        ),
        f"{(curves[0] - curves[1])[signal].min():+.3f}",
    ]


def errors_deg(estimate, truth, group) -> np.ndarray:
    return np.rad2deg(symmetric_distance_rad(estimate.rotations, truth.rotations, group))


def reprojection_rmse(map_path: str, estimate: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square difference of noise-free projections at estimated and true rotations (Lian
    2022, eq. 16), as a share of the root mean square projection: their own scale of grey values is
    not stated.
    """
    import tensorflow as tf

    volume = read_volume(map_path)
    model = ForwardModel([volume], volume.box_size_px, volume.pixel_size_angstrom)

    def projections(rotations: np.ndarray) -> np.ndarray:
        number = len(rotations)
        rows = tf.constant(rotations, tf.float32)
        return model.images(tf.zeros(number, tf.int32), rows, tf.zeros((number, 2)), None).numpy()

    difference = power = 0.0
    for rows in np.array_split(np.arange(len(truth)), max(1, len(truth) // 250)):
        found, right = projections(estimate[rows]), projections(truth[rows])
        difference, power = difference + ((found - right) ** 2).sum(), power + (right**2).sum()
    return float(np.sqrt(difference / power))


def normalised_errors(estimate, truth, group, saved) -> np.ndarray:
    """(N,) e^T C^-1 e of the rotations: chi-square with three degrees of freedom where the
    covariance is right.
    """
    nearest = nearest_equivalent(truth, estimate, group)
    error = Rotation.from_matrix(nearest @ np.swapaxes(estimate, 1, 2)).as_rotvec()
    return np.einsum("bi,bij,bj->b", error, np.linalg.inv(saved["covariance"][:, :3, :3]), error)


if __name__ == "__main__":
    main()
