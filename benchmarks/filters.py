"""What filters and weights do to a map: FSC with the truth, shell by shell.

    python benchmarks/filters.py --map MAP.mrc --model MODEL --snr 0.1 0.05 --folder OUT [--refine]

Images of the map are simulated, and their poses estimated by a network that was trained on it. Then
maps are made of all particles, of the best 75 % by each score, and weighted. The experiment of
Chung 2023 has the poses of the network alone; with --refine, poses are refined against the map as
well. Maps are made from images of the same particles with other noise (--same-noise: from the same
images): noise that was aligned to a map is similar to that map, and the FSC with it would count that
in favour of wrong poses. With --particles, images and true poses are taken from a STAR file (with
--same-noise alone).
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Dict, Iterator, Optional, Tuple

import numpy as np

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.reconstruct.config import (
    BY_BOTH,
    BY_COVARIANCE,
    BY_PROBABILITY,
    ReconstructConfig,
)
from cryoposes_plugin.commands.reconstruct.inputs import mask_diameter
from cryoposes_plugin.commands.reconstruct.weighting import weights_of
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.evaluation.errors import angular_errors_deg
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.io.ids import join_tables
from cryoposes_plugin.core.io.mrc import read_volume, write_stack
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.particles.grids import common_grid
from cryoposes_plugin.core.particles.halves import draw_half_sets
from cryoposes_plugin.core.particles.images import ParticleImages
from cryoposes_plugin.core.reconstruction.fourier_method import fourier_maps
from cryoposes_plugin.core.reconstruction.particles import ReconstructionParticles
from cryoposes_plugin.core.scores import RANKING, cost, score_named
from cryoposes_plugin.core.types import ParticleTable, Volume

KEPT = 0.75
#: Practically without noise.
CLEAN_SNR = 1e6


def main() -> None:
    arguments = parse()
    truth = read_volume(arguments.map)
    shells = np.arange(2, truth.box_size_px // 2, max(1, truth.box_size_px // 32))
    resolutions = truth.box_size_px * truth.pixel_size_angstrom / shells
    head = ["SNR", "poses", "map of", "particles", *(f"{r:.1f} Å" for r in resolutions), "sum"]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for snr in arguments.snr:
        for *names, curve in rows(arguments, snr, truth):
            values = [f"{curve[s]:.3f}" for s in shells] + [f"{curve[1:].sum():.2f}"]
            print("| " + " | ".join([f"{snr:g}", *names, *values]) + " |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True, help="Volume (MRC) that the images are made of.")
    parser.add_argument("--model", required=True, help="Network that was trained on it.")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.05])
    parser.add_argument("--number", type=int, default=2000)
    parser.add_argument("--symmetry", default="C1")
    parser.add_argument("--refine", action="store_true", help="Refined poses as well.")
    parser.add_argument("--same-noise", action="store_true")
    parser.add_argument("--particles", help="Use these, with true poses, whatever their SNR.")
    parser.add_argument(
        "--folder", type=Path, required=True, help="Runs are left and resumed here."
    )
    return parser.parse_args()


def rows(arguments, snr: float, truth: Volume) -> Iterator[Tuple[str, str, str, np.ndarray]]:
    """Kind of poses, what the map is of, how many particles, and FSC with the truth."""
    folder = arguments.folder / f"snr{snr:g}"
    given, fresh = arguments.particles, None
    if given is None:
        given, fresh = noisy_sets(arguments, snr, folder)
    volumes: Dict[str, Optional[str]] = {"network": None}
    if arguments.refine:
        volumes["refined"] = str(Path(arguments.map).resolve())
    for kind, volume in volumes.items():
        config = InferConfig(particles=str(given), model=arguments.model, volume=volume)
        run_command(config, folder / kind)
        star = folder / kind / "particles.star"
        table = read_particles(star, ("poses",))
        errors = errors_deg(table, read_particles(given, ("poses",)), arguments.symmetry)
        images = table
        if fresh is not None and not arguments.same_noise:
            images = with_images_of(table, read_particles(fresh))
        for name, chosen, weighted in choices(str(star), table, truth):
            curve = curve_of(images, chosen, weighted, truth, arguments.symmetry)
            wrong = 100 * (errors[chosen] > 15).mean()
            yield kind, f"{name} ({wrong:.0f} % off by > 15°)", str(int(chosen.sum())), curve


def noisy_sets(arguments, snr: float, folder: Path) -> Tuple[Path, Path]:
    """STAR files of the same particles with two draws of white noise."""
    # Corners without noise are no measure of grey values.
    config = SimulateConfig(
        volume=(arguments.map,), number=arguments.number, snr=CLEAN_SNR, normalise=False
    )
    run_command(config, folder / "clean")
    table = read_particles(folder / "clean/particles.star")
    images = ParticleImages(table).read(np.arange(len(table)))
    sigma = np.sqrt(images.var(axis=(1, 2)).mean() / snr)
    found = []
    for seed, name in enumerate(("given", "fresh")):
        noise = np.random.default_rng(seed).standard_normal(images.shape, dtype=np.float32)
        stack, star = folder / f"{name}.mrcs", folder / f"{name}.star"
        write_stack(stack, images + sigma * noise, table.optics[0].pixel_size_angstrom)
        write_particles(star, table.replace(stack_paths=(str(stack.resolve()),)))
        found.append(star)
    return found[0], found[1]


def errors_deg(table: ParticleTable, true: ParticleTable, symmetry: str) -> np.ndarray:
    """(N,) angles from the true orientations."""
    ours, theirs = join_tables(table, true)
    errors = np.empty(len(table))
    errors[ours] = angular_errors_deg(
        table.rotations[ours], true.rotations[theirs], symmetry_rotations(symmetry)
    )
    return errors


def with_images_of(table: ParticleTable, other: ParticleTable) -> ParticleTable:
    """The table with the images that the particles of the same id have in another one."""
    place = np.searchsorted(other.ids, table.ids)
    return table.replace(
        stack_paths=other.stack_paths,
        stack_index=other.stack_index[place],
        slice_index=other.slice_index[place],
    )


def choices(star: str, table: ParticleTable, truth: Volume):
    """What maps are made of: name, (N,) bool chosen, weights."""
    everything = np.ones(len(table), dtype=bool)
    yield "all", everything, None
    for name in RANKING:
        if name in table.scores:
            costs = cost(name, table.scores[name])
            best = np.zeros(len(table), dtype=bool)
            best[np.argsort(costs, kind="stable")[: round(KEPT * len(table))]] = True
            yield f"best 75 % by {score_named(name).label}", best, None
    for choice in (BY_PROBABILITY, BY_COVARIANCE, BY_BOTH):
        config = ReconstructConfig(particles=star, weights=choice)
        try:
            found = weights_of(config, table, truth, mask_diameter(config, common_grid(table)))
        except InputError:
            continue
        yield f"all, weighted by {choice}", everything, found


def curve_of(
    images: ParticleTable, chosen: np.ndarray, weights, truth: Volume, symmetry: str
) -> np.ndarray:
    """FSC of the map with the truth."""
    table = images.take(chosen)
    particles = ReconstructionParticles.on_common_grid(table, draw_half_sets(table.ids, 0))
    particles = dataclasses.replace(particles, weights=weights)
    return fourier_shell_correlation(fourier_maps(particles, symmetry).full, truth.data)


if __name__ == "__main__":
    main()
