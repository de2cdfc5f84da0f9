"""What an error of the defocus costs, and whether refining the defocus brings it back.

    python benchmarks/defocus.py --map MAP.mrc --snr 0.4 --number 1000 --folder OUT

Simulates images; gives the refinement the true poses and a defocus that is wrong by a normal error;
refines with the defocus fixed and with it refined, and with the true defocus beside; reconstructs.
Prints the errors of poses and defocus, what the refinement expects them to be, and where the FSC
with the map, in a sphere of 80 % of the box, falls below 0.5 and below 0.143.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from optics import resolutions, run

from cryoposes_plugin.core.fourier.ctf import with_defocus_changed
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.scores import BASIN_ERROR, DEFOCUS_ERROR


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--map", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--number", type=int, default=1000)
    parser.add_argument("--snr", type=float, default=0.4)
    parser.add_argument("--error-angstrom", type=float, default=300.0)
    parser.add_argument("--working-box-px", type=int, help="Of the refinement; default: its own.")
    arguments = parser.parse_args()

    images = arguments.folder / "images"
    run(
        "simulate", images, "--volume", arguments.map, "--number", arguments.number,
        "--snr", arguments.snr, "--seed", 1,
    )  # fmt: skip
    truth = read_particles(images / "particles.star")
    rng = np.random.default_rng(2)
    wrong = rng.normal(0, arguments.error_angstrom, len(truth))
    write_particles(
        images / "wrong.star", truth.replace(ctf=with_defocus_changed(truth.ctf, wrong))
    )

    prior = ("--defocus-prior-angstrom", arguments.error_angstrom)
    box = ("--working-box-px", arguments.working_box_px) if arguments.working_box_px else ()
    for name, star, options in (
        ("true defocus", "particles.star", ()),
        ("wrong defocus", "wrong.star", ()),
        ("wrong, refined", "wrong.star", prior),
    ):
        folder = arguments.folder / name.replace(", ", "_").replace(" ", "_")
        run(
            "refine", folder / "refined", "--particles", images / star, "--volume", arguments.map,
            *options, *box,
        )  # fmt: skip
        refined = folder / "refined" / "particles.star"
        run("reconstruct", folder / "map", "--particles", refined)
        print(
            f"{name}: {figures(truth, refined)}; FSC 0.5 and 0.143 at {{:.2f}} {{:.2f}} Å".format(
                *resolutions(folder / "map" / "volume.mrc", arguments.map)
            ),
            flush=True,
        )


def figures(truth, refined: Path) -> str:
    """Root mean square errors, made and expected."""
    found = read_particles(refined)
    error = np.rad2deg(angular_distance_rad(found.rotations, truth.rotations))
    expected = found.scores[BASIN_ERROR]
    moved = np.linalg.norm(found.shifts_px - truth.shifts_px, axis=1) * truth.pixel_size_angstrom
    defocus = found.ctf.defocus_u_angstrom - truth.ctf.defocus_u_angstrom
    told = (
        f" (expected {root(found.scores[DEFOCUS_ERROR]):.0f})"
        if DEFOCUS_ERROR in found.scores
        else ""
    )
    return (
        f"median {np.median(error):.3f}°, rms {root(error):.3f}° (expected {root(expected):.3f}°), "
        f"shift {np.median(moved):.3f} Å, defocus {root(defocus):.0f}{told} Å"
    )


def root(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


if __name__ == "__main__":
    main()
