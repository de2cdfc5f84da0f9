"""Runs shared out among workers, beside the same runs of one process.

    python benchmarks/workers.py --map MAP.mrc --box-size-px 64 --number 4000 --folder OUT

Simulates images with CTF and shifts, refines perturbed poses and reconstructs, each in these ways:

one       one process on one core
two       two workers on two cores
chunks    three chunks one after the other, in any order, and the merge
slurm     the same as the tasks of a Slurm array, whose variables are set
dask      two workers of a Dask cluster on this machine
killed    two workers, of which one is killed with SIGKILL in the middle

Prints the seconds, the rates in the chunks, and the largest differences from the one process: of
poses in degrees, of images and of half maps relative to their maximum. What is in OUT is not done
again, so that commands and ways may be measured one after the other.
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

WAYS = ("one", "two", "chunks", "slurm", "dask", "killed")
COMMANDS = ("simulate", "refine", "reconstruct")
_ONE, _TWO = ("--threads", 1), ("--threads", 2, "--workers", 2)
#: Root mean square of the turns of the poses to refine, and of their shifts.
_TURNED_DEG, _MOVED_PX = 5.0, 0.5
_CHUNKS = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("map", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--box-size-px", type=int, default=64)
    parser.add_argument("--number", type=int, default=4000)
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=COMMANDS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)

    words = words_of(arguments)
    print("| command | way | s | images/s of the chunks | differs by |\n|---|---|---|---|---|")
    for command in arguments.commands:
        if command != "simulate" and not (arguments.folder / "near.star").exists():
            measured(arguments.folder, "simulate", "one", words["simulate"])
            write_perturbed(arguments.folder)
        for way in arguments.ways:
            measured(arguments.folder, command, way, words[command])


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


def run(command: str, words: tuple, output: Path, *more: object, **variables: str) -> None:
    subprocess.run(
        program(command, words, output, *more),
        check=True,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **variables},
    )


def measured(folder: Path, command: str, way: str, words: tuple) -> None:
    output, start = folder / command / way, time.monotonic()
    if (output / "metrics.json").exists():
        return report(folder, command, way, 0.0)
    if way in ("chunks", "slurm"):
        for chunk in (2, 3, 1):
            task = {"ID": chunk, "MIN": 1, "COUNT": _CHUNKS, "STEP": 1} if way == "slurm" else {}
            variables = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in task.items()}
            text = "slurm" if way == "slurm" else f"{chunk}/{_CHUNKS}"
            run(command, words, output, "--chunk", text, **variables)
    if way == "killed":
        process = subprocess.Popen(
            program(command, words, output, *_TWO), stderr=subprocess.DEVNULL
        )
        kill_a_worker(output)
        process.wait()
    elif way == "dask":
        from dask.distributed import LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            more = ("--workers", 2, "--threads", 1, "--dask", cluster.scheduler_address)
            run(command, words, output, *more)
    else:
        run(command, words, output, *{"one": _ONE, "two": _TWO}.get(way, ()))
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
    while not any(output.glob("chunks/*_2")):
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
