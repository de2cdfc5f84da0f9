"""Reconstruction beside relion_reconstruct: FSC against the map that the images were made from, and
wall time.

    python benchmarks/reconstruction.py --map MAP.mrc [--number 5000] [--repeats 3] [--folder DIR]

Makes four sets of images with true uniform poses (noise-free without and with CTF, SNR 1 and 0.1
with CTF and shifts), and reconstructs each with both programs, process start-up included. FSCs go
up to 0.8 of Nyquist: without a mask, and with both maps inside one soft sphere of 75 % of the box.
RELION is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

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


def timed(command: Sequence) -> Tuple[float, float]:
    """(wall, CPU) seconds of a command that must succeed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fastest(command: Sequence, output: Path, repeats: int) -> Tuple[float, float]:
    times = []
    for _ in range(repeats):
        if output.is_dir():
            shutil.rmtree(output)
        times.append(timed(command))
    return min(times)


def curves(volume: np.ndarray, truth: np.ndarray) -> List[np.ndarray]:
    """FSC with the truth up to 0.8 of Nyquist: unmasked, masked."""
    box = truth.shape[0]
    mask = soft_sphere(box, 0.375 * box)
    shells = slice(1, int(0.4 * box) + 1)
    return [fourier_shell_correlation(volume * m, truth * m)[shells] for m in (np.float32(1), mask)]


def measure(name: str, options: Sequence[str], arguments, folder: Path, truth: np.ndarray) -> str:
    simulated, ours, theirs = folder / "simulated", folder / "ours", folder / "relion.mrc"
    timed(
        [
            *PROGRAM,
            "simulate",
            "--volume",
            arguments.map,
            "--number",
            arguments.number,
            *options,
            "--output",
            simulated,
        ]
    )
    star = simulated / "particles.star"
    wall, cpu = fastest(
        [*PROGRAM, "reconstruct", "--particles", star, "--output", ours], ours, arguments.repeats
    )
    mine = curves(read_volume(ours / "volume.mrc").data, truth)
    row = f"{name:20s} {mine[0].min():9.4f} {mine[1].min():9.4f} {wall:8.2f} {cpu:8.2f}"
    other = relion(star, theirs, "--no-ctf" not in options, arguments.repeats)
    if other is None:
        return row
    seconds, cpu_seconds = other
    its = curves(read_volume(theirs).data, truth)
    differences = [(a - b).min() for a, b in zip(mine, its)]
    return (
        f"{row} {its[0].min():9.4f} {its[1].min():9.4f} {seconds:8.2f} {cpu_seconds:8.2f} "
        f"{differences[0]:+10.4f} {differences[1]:+10.4f}"
    )


def relion(star: Path, output: Path, ctf: bool, repeats: int) -> Optional[Tuple[float, float]]:
    if shutil.which("relion_reconstruct") is None:
        return None
    command = ["relion_reconstruct", "--i", star, "--o", output, *(["--ctf"] if ctf else [])]
    return fastest(command, output, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--map", required=True, type=lambda p: Path(p).resolve(), help="MRC map to simulate from"
    )
    parser.add_argument("--number", type=int, default=5000, help="images a set")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the fastest counts")
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    arguments = parser.parse_args()
    truth = read_volume(arguments.map)
    print(
        f"{arguments.map.name}: {truth.box_size_px} px of {truth.pixel_size_angstrom:.4g} Å, "
        f"{arguments.number} images"
    )
    print(f"{'':20s} {'ours':>37s} {'relion_reconstruct':>37s} {'ours - RELION, worst':>21s}")
    columns = f"{'lowest':>9s} {'masked':>9s} {'wall s':>8s} {'CPU s':>8s} "
    print(f"{'images':20s} {columns}{columns}{'unmasked':>10s} {'masked':>10s}")
    for name, options in SETS.items():
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            print(measure(name, options, arguments, Path(folder), truth.data), flush=True)


if __name__ == "__main__":
    main()
