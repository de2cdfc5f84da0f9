"""Reconstruction beside relion_reconstruct, and beside another version of this program: FSC against
the map that the images were made from, images per second, and peak memory.

    python benchmarks/reconstruction.py --map MAP.mrc [--number 5000] [--repeats 3] [--sets "SNR 0.1"]
        [--before TREE] [--folder DIR]

Makes sets of images with true uniform poses (noise-free without and with CTF, SNR 1 and 0.1 with
CTF and shifts), and reconstructs each with all programs, process start-up included, with two
threads each. FSCs go up to 0.8 of Nyquist: without a mask, and with both maps inside one soft
sphere of 75 % of the box. TREE is a checked-out tree of another version. RELION is left out where
it is not installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation

SETS = {
    "noise-free, no CTF": ("--no-ctf",),
    "noise-free": (),
    "SNR 1": ("--snr", "1"),
    "SNR 0.1": ("--snr", "0.1"),
}
PROGRAM = (sys.executable, "-m", "cryoposes_plugin")


class Cost(NamedTuple):
    """Wall and CPU time in seconds, and peak memory in GB, of a command."""

    wall: float
    cpu: float
    peak: float


def cost(command: Sequence, tree: Optional[Path] = None) -> Cost:
    """What a command costs that must succeed, with the program of a tree."""
    environment = dict(os.environ, **({} if tree is None else {"PYTHONPATH": str(tree)}))
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        words = [str(c) for c in command]
        with subprocess.Popen(words, stdout=log, stderr=log, env=environment) as process:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{' '.join(words)} failed:\n{log.read()[-2000:].decode()}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9)


def fastest(command: Sequence, output: Path, repeats: int, tree: Optional[Path] = None) -> Cost:
    """The lowest cost of some runs.

    Parameters
    ----------
    command, tree : see `cost`.
    output : of the command; removed before each run.
    repeats : number of runs.
    """
    costs = []
    for _ in range(repeats):
        if output.is_dir():
            shutil.rmtree(output)
        costs.append(cost(command, tree))
    return min(costs)


def curves(volume: np.ndarray, truth: np.ndarray) -> List[np.ndarray]:
    """FSC with the truth up to 0.8 of Nyquist: unmasked, masked."""
    box = truth.shape[0]
    mask = soft_sphere(box, 0.375 * box)
    shells = slice(1, int(0.4 * box) + 1)
    return [fourier_shell_correlation(volume * m, truth * m)[shells] for m in (np.float32(1), mask)]


def measure(name: str, arguments, folder: Path, truth: np.ndarray) -> Iterator[str]:
    """A line for each program."""
    simulated, theirs = folder / "simulated", folder / "relion.mrc"
    images = ("--volume", arguments.map, "--number", arguments.number, *SETS[name])
    cost([*PROGRAM, "simulate", *images, "--output", simulated])
    star = simulated / "particles.star"

    found: List[np.ndarray] = []
    trees = {"ours": None, "ours before": arguments.before}
    for program, tree in trees.items():
        if program == "ours" or tree is not None:
            ours = folder / program.replace(" ", "_")
            command = (*PROGRAM, "reconstruct", "--particles", star, "--output", ours)
            spent = fastest([*command, "--threads", "2"], ours, arguments.repeats, tree)
            found, line = described(ours / "volume.mrc", truth, found)
            yield row(name, program, spent, arguments.number, line)
    if shutil.which("relion_reconstruct") is not None:
        ctf = [] if "--no-ctf" in SETS[name] else ["--ctf"]
        command = ("relion_reconstruct", "--i", star, "--o", theirs, *ctf)
        spent = fastest(command, theirs, arguments.repeats)
        _, line = described(theirs, truth, found)
        yield row(name, "relion_reconstruct", spent, arguments.number, line)


def described(
    path: Path, truth: np.ndarray, ours: List[np.ndarray]
) -> Tuple[List[np.ndarray], str]:
    """Our FSCs, and what a line says of these: lowest, and how far below them ours are at worst."""
    found = curves(read_volume(path).data, truth)
    line = "".join(f" {curve.min():9.4f}" for curve in found)
    if not ours:
        return found, line
    return ours, line + "".join(f" {(a - b).min():+10.4f}" for a, b in zip(ours, found))


def row(name: str, program: str, spent: Cost, number: int, line: str) -> str:
    return (
        f"{name:20s} {program:20s} {spent.wall:8.1f} {spent.cpu:8.1f} {number / spent.wall:9.1f} "
        f"{spent.peak:7.2f}{line}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--map", required=True, type=lambda p: Path(p).resolve(), help="MRC map to simulate from"
    )
    parser.add_argument("--number", type=int, default=5000, help="images a set")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the fastest counts")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="of images")
    parser.add_argument("--before", type=Path, help="tree of another version of the program")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    arguments = parser.parse_args()

    truth = read_volume(arguments.map)
    print(
        f"{arguments.map.name}: {truth.box_size_px} px of {truth.pixel_size_angstrom:.4g} Å, "
        f"{arguments.number} images"
    )
    print(f"{'':75s} {'lowest FSC':>19s} {'ours - its, worst':>21s}")
    print(
        f"{'images':20s} {'program':20s} {'wall s':>8s} {'CPU s':>8s} {'images/s':>9s} "
        f"{'peak GB':>7s} {'unmasked':>9s} {'masked':>9s} {'unmasked':>10s} {'masked':>10s}"
    )
    for name in arguments.sets:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            for line in measure(name, arguments, Path(folder), truth.data):
                print(line, flush=True)


if __name__ == "__main__":
    main()
