"""Runs shared out among workers, beside the same runs of one process.

    python benchmarks/workers.py --map MAP.mrc --box-size-px 64 --number 4000 --folder OUT

Simulates images with CTF and shifts, refines perturbed poses and reconstructs: each in one process
on one core, by two workers on two cores, in three chunks one after the other, and by two workers of
which one is killed with SIGKILL in the middle of the refinement. Prints the seconds, the rates in
the chunks, and the largest differences from the one process: of poses in degrees, of images and of
half maps relative to their maximum.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import Stack, read_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles

WAYS = {"one": ("--threads", 1), "two": ("--threads", 2, "--workers", 2)}
#: Root mean square of the turns of the poses to refine, and of their shifts.
_TURNED_DEG, _MOVED_PX = 5.0, 0.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("map", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--box-size-px", type=int, default=64)
    parser.add_argument("--number", type=int, default=4000)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument(
        "--commands", nargs="+", default=("simulate", "refine", "reconstruct"), metavar="COMMAND"
    )
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    words = words_of(arguments)
    print("| command | way | s | images/s of the chunks | differs by |\n|---|---|---|---|---|")
    for command in ("simulate", "refine", "reconstruct"):
        measured(arguments.folder, command, "one", words[command], WAYS["one"])
        if command == "simulate":
            write_perturbed(arguments.folder)
        if command not in arguments.commands:
            continue
        measured(arguments.folder, command, "two", words[command], WAYS["two"])
        for chunk in ("2/3", "3/3", "1/3"):
            run(command, words[command], arguments.folder / command / "chunks", "--chunk", chunk)
        measured(arguments.folder, command, "chunks", words[command], ())
    if "refine" in arguments.commands:
        output = arguments.folder / "refine/killed"
        start = time.monotonic()
        process = subprocess.Popen(program("refine", words["refine"], output, *WAYS["two"]))
        kill_a_worker(output)
        process.wait()
        report(arguments.folder, "refine", "killed", time.monotonic() - start)


def words_of(arguments: argparse.Namespace) -> dict:
    """Options of each command."""
    folder = arguments.folder
    return {
        "simulate": (
            *("--volume", arguments.map, "--number", arguments.number, "--snr", arguments.snr),
            *("--box-size-px", arguments.box_size_px, "--shift-px", 1.5),
        ),
        "refine": (
            "--particles",
            folder / "near.star",
            "--volume",
            folder / "simulate/one/volume.mrc",
        ),
        "reconstruct": ("--particles", folder / "simulate/one/particles.star"),
    }


def program(command: str, words: tuple, output: Path, *more: object) -> list:
    start = [sys.executable, "-m", "cryoposes_plugin", command]
    return [str(w) for w in (*start, *words, *more, "--output", output)]


def run(command: str, words: tuple, output: Path, *more: object) -> None:
    subprocess.run(program(command, words, output, *more), check=True, stderr=subprocess.DEVNULL)


def measured(folder: Path, command: str, way: str, words: tuple, more: tuple) -> None:
    start = time.monotonic()
    run(command, words, folder / command / way, *more)
    report(folder, command, way, time.monotonic() - start)


def report(folder: Path, command: str, way: str, seconds: float) -> None:
    output = folder / command / way
    metrics = json.loads((output / "metrics.json").read_text())
    rate = metrics.get("particles_per_second") or metrics.get("images_per_second") or 0.0
    found = "" if way == "one" else difference(command, folder / command / "one", output)
    print(f"| {command} | {way} | {seconds:.1f} | {rate:.0f} | {found} |", flush=True)


def difference(command: str, one: Path, other: Path) -> str:
    if command == "refine":
        a, b = (read_particles(run / "particles.star") for run in (one, other))
        return f"{np.rad2deg(angular_distance_rad(a.rotations, b.rotations)).max():.2g}°"
    if command == "simulate":
        a, b = (Stack(run / "particles.mrcs") for run in (one, other))
        rows = np.arange(len(a))
        parts = [(a.read(r), b.read(r)) for r in np.array_split(rows, 1 + len(rows) // 1000)]
        return f"{max(np.abs(x - y).max() / np.abs(x).max() for x, y in parts):.2g}"
    pairs = [[read_volume(run / f"half{h}.mrc").data for run in (one, other)] for h in (1, 2)]
    return f"{max(np.abs(x - y).max() / np.abs(x).max() for x, y in pairs):.2g}"


def write_perturbed(folder: Path) -> None:
    """near.star: the simulated particles at poses that are to be refined."""
    table, rng = read_particles(folder / "simulate/one/particles.star"), np.random.default_rng(5)
    turns = np.deg2rad(_TURNED_DEG / 3**0.5) * rng.standard_normal((len(table), 3))
    shifts = table.shifts_px + _MOVED_PX / 2**0.5 * rng.standard_normal((len(table), 2))
    rotations = Rotation.from_rotvec(turns).as_matrix() @ table.rotations
    write_particles(folder / "near.star", table.replace(rotations=rotations, shifts_px=shifts))


def kill_a_worker(output: Path) -> None:
    """Kill the worker of the second chunk as soon as it is at work."""
    while not (output / "chunks/poses_2").exists():
        time.sleep(0.05)
    time.sleep(2.0)
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = place.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "2/2" in words and str(output) in words:
            os.kill(int(place.parent.name), signal.SIGKILL)
            print("killed", place.parent.name, file=sys.stderr)


if __name__ == "__main__":
    main()
