"""Local refinement from the same starts: ours, RELION's, and that of any program with a command.

    python benchmarks/peers.py --map MAP.mrc --particles sim/particles.star --number 200 --folder OUT

The particles start from their true poses, turned by a normal angle of 2° about each axis and moved by a
little. Ours is `refine`, start-up and calibration included; RELION's are local searches 1.8° and 0.46°
apart (HEALPix orders 5 and 7) against the map in the grey values of the images. All use the same
images, one after the other, on the cores that this process may use. Another program is given by
`--peer NAME COMMAND`, where {map} stands for the map in the grey values of the images, {starts} for
the STAR file, and {out} for that of the result.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import time
from pathlib import Path

import numpy as np
from against_relion import SEARCHES, in_grey_values_of, run_relion, show
from large_boxes import near

from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles


def main() -> None:
    arguments = parse()
    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    truth = read_particles(arguments.particles, require=("poses",)).take(
        np.arange(arguments.number)
    )
    starts = near(truth, arguments.turned_deg)
    write_particles(folder / "starts.star", starts)
    write_volume(folder / "reference.mrc", *in_grey_values_of(truth, arguments.map))
    print("| | images | images/s | seconds | median error | below 5° |\n|---|---|---|---|---|---|")
    show("the starts", np.inf, starts, truth)
    ours(arguments, truth)
    run_relion(folder, truth, {name: SEARCHES[name] for name in ("local", "fine")}, "starts.star")
    for name, command in arguments.peer:
        peer(folder, name, command, truth)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("map", "particles", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--turned-deg", type=float, default=2.0)
    parser.add_argument("--peer", nargs=2, action="append", default=[], metavar=("NAME", "COMMAND"))
    arguments = parser.parse_args()
    for name in ("map", "particles", "folder"):
        setattr(arguments, name, getattr(arguments, name).resolve())
    return arguments


def ours(arguments: argparse.Namespace, truth) -> None:
    config = RefineConfig(
        particles=str(arguments.folder / "starts.star"),
        volume=str(arguments.map),
        working_box_px=truth.optics[0].box_size_px,
    )
    start = time.monotonic()
    metrics = run_command(config, arguments.folder / "ours")
    seconds = time.monotonic() - start
    found = read_particles(arguments.folder / "ours/particles.star")
    show("refine, start-up and calibration included", seconds, found, truth)
    print(f"refine without them: {metrics['particles_per_second']:.0f} images/s", flush=True)


def peer(folder: Path, name: str, command: str, truth) -> None:
    """Run another program and show what it found."""
    out = folder / f"{name}.star"
    filled = command.format(map=folder / "reference.mrc", starts=folder / "starts.star", out=out)
    start = time.monotonic()
    with open(folder / f"{name}.log", "w") as log:
        subprocess.run(
            shlex.split(filled), cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True
        )
    show(name, time.monotonic() - start, read_particles(out, require=("poses",)), truth)


if __name__ == "__main__":
    main()
