"""Can it be told beforehand what can be reached? The forecast against what a set really gives.

    python benchmarks/forecast.py --map MAP.mrc --model MODEL --snr 0.1 0.05 --folder OUT

A set is simulated by `simulate`, and `forecast` is run on it without poses, with fewer images than
the set has. Then the poses of the whole set are estimated with the same network, and its first N
particles are filtered and reconstructed. Prints what was told and what was found, one row a set
and quantity. An interrupted run continues.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.commands.forecast.config import ForecastConfig
from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.reconstruct.config import ReconstructConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.evaluation.errors import angular_errors_deg
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles

#: Numbers of images that are compared, in those of the set.
SHARES = (0.125, 0.25, 0.5, 1.0)
Found = Dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True)
    parser.add_argument("--model", required=True, help="Network that was trained on the map.")
    parser.add_argument("--symmetry", default="C1")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.05])
    parser.add_argument("--number", type=int, default=4000, help="Images of the set.")
    parser.add_argument("--images", type=int, default=1000, help="Of the forecast.")
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()

    print("| SNR | quantity | told | found |\n|---|---|---|---|")
    for snr in arguments.snr:
        for name, told, found in row_pairs(arguments, snr, arguments.folder / f"snr{snr:g}"):
            print(f"| {snr:g} | {name} | {told:.3g} | {found:.3g} |", flush=True)


def row_pairs(
    arguments: argparse.Namespace, snr: float, folder: Path
) -> Iterator[Tuple[str, float, float]]:
    simulated = SimulateConfig(
        volume=(arguments.map,), number=arguments.number, snr=snr, seed=arguments.seed
    )
    run_command(simulated, folder / "set")
    found = real(arguments, folder)
    told = forecast(arguments, folder)
    for quantity in ("median_error_deg", "root_mean_square_error_deg", "share_beyond_5_deg"):
        yield quantity.replace("_", " "), told[quantity], found[quantity]
    yield "kept share", told["kept_share"], found[arguments.number]["kept_share"]
    curve = told["resolution_by_number"]
    for number in numbers(arguments):
        of_set = found[number]
        for name, key in (
            ("half maps, FSC 0.143", "resolution_corrected_0143_angstrom"),
            ("to the truth, FSC 0.5", "resolution_reference_05_angstrom"),
        ):
            kind = "half_maps_angstrom" if "corrected" in key else "truth_angstrom"
            yield f"Å, {number} images, {name}", curve[str(number)][kind], of_set[key]


def numbers(arguments: argparse.Namespace) -> List[int]:
    return [round(share * arguments.number) for share in SHARES]


def forecast(arguments: argparse.Namespace, folder: Path) -> Found:
    """What is told of the set, whose poses are not known to the forecast."""
    table = read_particles(folder / "set/particles.star")
    star = folder / "without_poses.star"
    if not star.exists():
        write_particles(star, table.replace(rotations=None, shifts_px=None, extra={}))
    config = ForecastConfig(
        particles=str(star),
        volume=arguments.map,
        model=arguments.model,
        symmetry=arguments.symmetry,
        number=arguments.images,
        seed=arguments.seed,
    )
    return run_command(config, folder / "forecast")


def real(arguments: argparse.Namespace, folder: Path) -> Found:
    """What the whole set gives: errors, and by number of images the resolution."""
    truth = folder / "set/particles.star"
    run_command(
        InferConfig(
            model=arguments.model,
            particles=str(truth),
            volume=arguments.map,
            seed=arguments.seed,
        ),
        folder / "poses",
    )
    true, table = read_particles(truth), read_particles(folder / "poses/particles.star")
    group = symmetry_rotations(arguments.symmetry)
    errors = angular_errors_deg(np.asarray(table.rotations), np.asarray(true.rotations), group)
    found: Found = {
        "median_error_deg": float(np.median(errors)),
        "root_mean_square_error_deg": float(np.sqrt((errors**2).mean())),
        "share_beyond_5_deg": float((errors > 5).mean()),
    }
    order = np.random.default_rng(arguments.seed).permutation(len(table))
    for number in numbers(arguments):
        star = folder / f"first_{number}.star"
        if not star.exists():
            write_particles(star, table.take(np.sort(order[:number])))
        found[number] = reconstructed(arguments, star, folder / f"{number}")
    return found


def reconstructed(arguments: argparse.Namespace, star: Path, folder: Path) -> Found:
    folder.mkdir(exist_ok=True)
    kept = run_command(
        FilterConfig(particles=str(star), symmetry=arguments.symmetry), folder / "filter"
    )
    maps = run_command(
        ReconstructConfig(
            particles=str(folder / "filter/accepted.star"),
            symmetry=arguments.symmetry,
            reference=arguments.map,
            seed=arguments.seed,
        ),
        folder / "reconstruction",
    )
    return {**maps, "kept_share": kept["kept_share"]}


if __name__ == "__main__":
    main()
