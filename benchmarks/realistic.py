"""What each fault of real images costs, alone and all together.

    python benchmarks/realistic.py --map 80S.mrc --snr 0.1 0.05 --noise-like real.star --folder OUT

One row a fault of the preset `realistic` of `simulate` (of the conformations, a slab of the map
that turns). The refinement starts at the true poses, and at poses 4° off with the particle at the
centre of the box. Junk is in the sets and not in the errors. With --model, poses are also estimated
by a network and refined.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.refine.inputs import read_inputs
from cryoposes_plugin.commands.refine.run import make_refinement
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.simulate.presets import PRESETS
from cryoposes_plugin.core.fourier.masks import rising_edge
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.image_kinds import PARTICLE, true_kinds
from cryoposes_plugin.core.io.folder import Folder
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.refinement.refinement import refine_all
from cryoposes_plugin.core.types import ParticleTable

OFF_DEG = 4.0
REALISTIC = PRESETS["realistic"]


def _of_preset(*names: str) -> dict:
    return {name: getattr(REALISTIC, name) for name in names}


FAULTS = {
    "none": {},
    "junk": _of_preset("junk_fraction"),
    "preferred views": _of_preset("preferred_share"),
    "misplaced centres": _of_preset("misplaced_share", "misplaced_angstrom"),
    "duplicates": _of_preset("duplicate_fraction"),
    "neighbours": _of_preset("neighbours"),
    "contrast": _of_preset("scale_spread"),
    "B-factors": _of_preset("bfactor_spread_angstrom2"),
    "defocus": _of_preset("defocus_error_angstrom"),
    "pixel size": _of_preset("pixel_size_error"),
    "ice": _of_preset("ice_thickness_angstrom", "ice_gradient"),
    "exposure": _of_preset("dose_e_per_angstrom2"),
    "tilt, magnification, withheld": {
        **_of_preset("beam_tilt_mrad", "magnification_anisotropy"),
        "withhold_aberrations": True,
    },
    "noise of a real set": {"noise_like": True},
    "a part that moves": {"moving_part": True},
    "realistic": {"preset": "realistic", "withhold_aberrations": True, "noise_like": True},
}
COLUMNS = (
    "fault",
    "SNR",
    "from the truth",
    "within 5°",
    f"from {OFF_DEG:g}° off, centred",
    "within 5°",
    "network, refined",
    "within 5°",
)


def main() -> None:
    arguments = parse()
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS), flush=True)
    for snr in arguments.snr:
        for name in arguments.faults:
            print("| " + " | ".join(row(arguments, name, snr)) + " |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", required=True, help="Volume (MRC), also the reference.")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.05])
    parser.add_argument("--number", type=int, default=600)
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--noise-like", help="Particles (STAR) with the noise to imitate.")
    parser.add_argument("--like", help="Particles (STAR) whose CTFs the images have.")
    parser.add_argument("--model", help="A trained model's folder.")
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    return parser.parse_args()


def row(arguments: argparse.Namespace, name: str, snr: float) -> list:
    folder = arguments.folder / f"{name.replace(' ', '_').replace(',', '')}_{snr:g}"
    options = dict(FAULTS[name])
    if options.pop("noise_like", False):
        options["noise_like"] = arguments.noise_like
    if options.pop("moving_part", False):
        options["moving_part"] = slab(arguments)
    volume, threads = read_volume(arguments.map), arguments.threads
    run_command(
        SimulateConfig(
            volume=(arguments.map,),
            number=arguments.number,
            like=arguments.like,
            box_size_px=volume.box_size_px,
            pixel_size_angstrom=volume.pixel_size_angstrom,
            snr=snr,
            seed=arguments.seed,
            threads=threads,
            **options,
        ),
        folder / "sim",
    )
    star = folder / "sim/particles.star"
    truth = read_particles(star)
    shown = [name, f"{snr:g}"]
    for start, particles in (("truth", star), ("off", off(star, folder / "off.star"))):
        config = RefineConfig(volume=arguments.map, particles=str(particles), threads=threads)
        shown += errors(refined(config, folder / start), truth)
    if arguments.model:
        run_command(
            InferConfig(
                model=arguments.model,
                particles=str(star),
                volume=arguments.map,
                threads=threads,
            ),
            folder / "network",
        )
        found = read_particles(folder / "network/particles.star")
        shown += errors(found.rotations, truth)
    return shown


def refined(config: RefineConfig, folder: Path) -> np.ndarray:
    """(N, 3, 3) rotations: `refine` without the twin that tells junk, and without a report."""
    folder.mkdir(parents=True, exist_ok=True)
    refinement = make_refinement(config, read_inputs(config))
    return refine_all(refinement, Folder(folder), config.batch_size, config.seed).refined.rotations


def slab(arguments: argparse.Namespace) -> str:
    """A mask with a soft edge of the part of the map beyond a quarter of its box, along x."""
    volume, path = read_volume(arguments.map), arguments.folder / "slab.mrc"
    box = volume.box_size_px
    place = (np.arange(box) - box // 2) / box
    mask = np.ones((box, box, 1)) * rising_edge((place - 0.08) / 0.06)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_volume(path, mask.astype(np.float32), volume.pixel_size_angstrom)
    return str(path)


def off(star: Path, path: Path) -> Path:
    """The same particles, turned by 4° about any axis, at the centres of their boxes."""
    table, rng = read_particles(star), np.random.default_rng(3)
    axis = rng.standard_normal((len(table), 3))
    axis *= np.deg2rad(OFF_DEG) / np.linalg.norm(axis, axis=1, keepdims=True)
    turned = Rotation.from_rotvec(axis).as_matrix() @ table.rotations
    write_particles(path, table.replace(rotations=turned, shifts_px=np.zeros((len(table), 2))))
    return path


def errors(rotations: np.ndarray, truth: ParticleTable) -> list:
    """[median error, share within 5°] of the images that show a particle."""
    kinds = true_kinds(truth)
    is_particle = np.ones(len(truth), bool) if kinds is None else kinds == PARTICLE
    error = np.rad2deg(angular_distance_rad(rotations, truth.rotations))[is_particle]
    return [f"{np.median(error):.3f}°", f"{100 * (error < 5).mean():.1f} %"]


if __name__ == "__main__":
    main()
