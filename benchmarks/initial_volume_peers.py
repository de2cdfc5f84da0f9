"""An initial volume by other programs and by ours, from the same images.

    python benchmarks/initial_volume_peers.py --models FILE.pdb ... --folder DIR [--number 500]
    [--searches ours aspire-lud ...] [--cpu-minutes 4] [--aspire-python FILE] [--cryodrgn FILE]
    [--relion FILE]

For each atomic model: images of its density (64 px, CTF, shifts of 1.5 px, white noise at SNR 0.1),
as in benchmarks/initial_volume.py, without their poses; then each search, one after the other, each
on one thread and cut after as many minutes of CPU time as told, which other work on the computer
does not shorten. Ours is not cut. Told are errors of the poses after one rotation and hand, and where
the FSC of the program's own volume with the density falls below 0.5, after the volume was brought
to the density by rotation, displacement and hand alone. Peers live in environments of their own: a
peer that is not given is left out. Searches that are done are found in the folder again.

ASPIRE's volume is that of its mean estimator from its poses, which is counted apart. RELION's initial
model has no poses of all images: they are from one pass of its expectation over all images, with
that model as the reference, counted apart as well. A search that is cut has the last volume and
poses that it wrote.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np
from initial_volume import BOX, SETS, density_of, pose_errors, resolution_of, run

from cryoposes_plugin.core.io.ids import join_tables
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.types import Volume

#: Of ASPIRE: method, images that are posed, neighbours that each is averaged with.
ASPIRE = {
    "aspire-lud": ("lud", 500, 0),
    "aspire-lud-averages": ("lud", 500, 10),
    "aspire-sync3n-averages": ("sync3n", 60, 10),
}
#: As RELION's interface has it, with fewer iterations and smaller batches.
RELION_ITERATIONS = 100
RELION_GRADIENT = (
    "--denovo_3dref --sgd --sgd_ini_iter 25 --sgd_inbetween_iter 50 --sgd_fin_iter 25 "
    "--sgd_ini_subset 50 --sgd_fin_subset 150 --sgd_ini_resol 35 --sgd_fin_resol 15 "
    "--sgd_write_iter 5 --oversampling 1 --healpix_order 1"
).split()
#: Coarser in its search than by default, so that epochs end on a CPU.
CRYODRGN_EPOCHS = 30
CRYODRGN = (
    "--t-ngrid 3 --pretrain 500 --ps-freq 3 --l-start 6 --l-end 16 --base-healpy 1 "
    "--nkeptposes 4 --lr 0.001 --no-amp"
).split()
SEARCHES = ("ours", *ASPIRE, "relion", "cryodrgn")
#: Reach of the peers' searches for shifts, nearly three of their standard deviations.
_SHIFTS_PX = 4
_THREADS = ("OMP", "MKL", "OPENBLAS", "NUMBA")


class Unfinished(Exception):
    """A search that was cut before it had anything."""


class Found(NamedTuple):
    """Rotations of the first images, the volume, and a note on how it ended."""

    rotations: np.ndarray
    volume: np.ndarray
    note: str


class Bench:
    """The images of one density, and what the searches find in them."""

    def __init__(self, model_path: Path, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.name = model_path.name.split(".")[0]
        self.folder = arguments.folder.resolve() / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.density = density_of(model_path)
        self.pixel = self.density.pixel_size_angstrom
        self.star = self.folder / "images.star"
        true = self.folder / "sim/particles.star"
        if not self.star.exists():
            self.simulate(true.parent)
        self.truth = read_particles(true, require=("poses",))
        write_particles(self.star, self.truth.replace(rotations=None, shifts_px=None))

    def simulate(self, folder: Path) -> None:
        write_volume(self.folder / "map.mrc", self.density.data, self.pixel)
        numbers = ["--number", self.arguments.number, "--seed", self.arguments.seed, *SETS["full"]]
        run("simulate", "--volume", self.folder / "map.mrc", "--output", folder, *numbers)

    def search(self, name: str) -> Optional[dict]:
        """What a search found, compared with the truth; None where its program is not given."""
        folder = self.folder / name
        result = folder / "result.json"
        if not result.exists():
            found = getattr(self, name.split("-")[0])(folder)
            if found is None:
                return None
            result.write_text(json.dumps({**self.compare(found), "note": found.note}))
        return json.loads(result.read_text())

    def compare(self, found: Found) -> dict:
        number = len(found.rotations)
        shown = np.ones(number, dtype=bool)
        errors = pose_errors(found.rotations, self.truth.rotations[:number], shown)
        volume = Volume(found.volume.astype(np.float32), self.pixel)
        return {
            "images": number,
            "median_deg": float(np.median(errors)),
            "below_10": float((errors < 10).mean()),
            "resolution": resolution_of(volume, self.density),
        }

    def ours(self, folder: Path) -> Found:
        folder.mkdir(exist_ok=True)
        options = (
            "--particles",
            self.star,
            "--output",
            folder / "run",
            "--starts",
            1,
            "--rounds",
            2,
        )
        minutes, _ = self.cpu_minutes(
            folder,
            [sys.executable, "-m", "cryoposes_plugin", "initial-volume", *options],
            cut=False,
        )
        rotations = self.rotations(folder / "run/particles.star")
        return Found(rotations, read_volume(folder / "run/volume.mrc").data, f"{minutes:.1f}")

    def aspire(self, folder: Path) -> Optional[Found]:
        """Common lines of ASPIRE; the method is the folder's name."""
        if not self.arguments.aspire_python:
            return None
        folder.mkdir(exist_ok=True)
        method, number, neighbours = ASPIRE[folder.name]
        script = Path(__file__).with_name("aspire_poses.py")
        options = (script, self.star, method, number, neighbours, "found.npz")
        minutes, cut = self.cpu_minutes(folder, [self.arguments.aspire_python, *options])
        if cut:
            raise Unfinished(f"nothing after {minutes:.1f} min")
        found = np.load(folder / "found.npz")
        poses, volume = found["minutes"]
        return Found(found["rotations"], found["volume"], f"{poses:.1f} + {volume:.1f}")

    def relion(self, folder: Path) -> Optional[Found]:
        """The initial model by stochastic gradient descent, then one pass over all images."""
        if not self.arguments.relion:
            return None
        folder.mkdir(exist_ok=True)
        common = [self.arguments.relion, "--i", self.star, "--ctf", "--K", "1", "--sym", "C1"]
        common += [
            "--particle_diameter",
            f"{0.9 * BOX * self.pixel:.0f}",
            "--zero_mask",
            "--pad",
            "1",
        ]
        common += ["--flatten_solvent", "--dont_check_norm", "--dont_combine_weights_via_disc"]
        shifts = ["--offset_range", _SHIFTS_PX, "--offset_step", "2"]
        minutes, cut = self.cpu_minutes(
            folder, [*common, *RELION_GRADIENT, *shifts, "--o", "./sgd", "--random_seed", "1"]
        )
        volumes = sorted(folder.glob("sgd_it*_class001.mrc"))
        iteration = volumes[-1].name[6:9]
        again = ["--ref", volumes[-1], "--iter", "1", "--healpix_order", "2", "--oversampling", "1"]
        again += ["--ini_high", f"{4 * self.pixel:.0f}", "--norm", "--scale", "--o", "./poses"]
        pass_minutes, _ = self.cpu_minutes(folder, [*common, *again, *shifts], cut=False)
        ended = f"cut in iteration {int(iteration) + 1} of {RELION_ITERATIONS}, " if cut else ""
        note = f"{ended}{minutes:.1f} + {pass_minutes:.1f}"
        rotations = self.rotations(folder / "poses_it001_data.star")
        return Found(rotations, read_volume(volumes[-1]).data, note)

    def cryodrgn(self, folder: Path) -> Optional[Found]:
        """The neural volume with poses by branch and bound."""
        if not self.arguments.cryodrgn:
            return None
        folder.mkdir(exist_ok=True)
        program = self.arguments.cryodrgn
        self.cpu_minutes(folder, [program, "parse_ctf_star", self.star, "-o", "ctf.pkl"], cut=False)
        options = [self.star, "--ctf", "ctf.pkl", "-o", "out", "--datadir", "/", "--uninvert-data"]
        minutes, cut = self.cpu_minutes(
            folder, [program, "abinit_homo_old", *options, *CRYODRGN, "--t-extent", _SHIFTS_PX]
        )
        epochs = [int(p.name.split(".")[1]) for p in folder.glob("out/reconstruct.*.mrc")]
        if not epochs:
            raise Unfinished(f"no epoch after {minutes:.1f} min")
        with open(folder / f"out/pose.{max(epochs)}.pkl", "rb") as file:
            rotations = pickle.load(file)[0]  # noqa: S301 (the file was made just now)
        ended = f"cut in epoch {max(epochs) + 1} of {CRYODRGN_EPOCHS}, " if cut else ""
        volume = read_volume(folder / f"out/reconstruct.{max(epochs)}.mrc").data
        return Found(rotations, volume, f"{ended}{minutes:.1f}")

    def cpu_minutes(self, folder: Path, command: Sequence, cut: bool = True) -> Tuple[float, bool]:
        """CPU minutes of a command on one thread, and whether it was cut."""
        limit = self.arguments.cpu_minutes if cut else None
        environment = {**os.environ, **{f"{k}_NUM_THREADS": "1" for k in _THREADS}}

        def bound() -> None:
            if limit:
                resource.setrlimit(resource.RLIMIT_CPU, (int(60 * limit), int(60 * limit) + 5))

        before = cpu_seconds()
        with open(folder / f"{Path(command[0]).name}.log", "a") as log:
            code = subprocess.run(
                list(map(str, command)),
                cwd=folder,
                env=environment,
                preexec_fn=bound,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
        cut = limit is not None and code in (-signal.SIGXCPU, -signal.SIGKILL)
        if code and not cut:
            raise Unfinished(f"it failed: see {log.name}")
        return (cpu_seconds() - before) / 60, cut

    def rotations(self, star: Path) -> np.ndarray:
        """(N, 3, 3) of a program's STAR file, in the order of the truth."""
        poses = read_particles(star, require=("poses",))
        rows, true_rows = join_tables(poses, self.truth)
        ordered = np.empty_like(self.truth.rotations)
        ordered[true_rows] = poses.rotations[rows]
        return ordered


def cpu_seconds() -> float:
    """Of all commands so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", type=Path, required=True, help="PDB or mmCIF files")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--searches", nargs="+", choices=SEARCHES, default=SEARCHES)
    parser.add_argument("--number", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cpu-minutes", type=float, default=4.0, help="after which a peer is cut")
    parser.add_argument("--aspire-python", type=Path, help="a Python that has ASPIRE")
    parser.add_argument("--cryodrgn", type=Path, help="the program cryodrgn")
    parser.add_argument("--relion", type=Path, help="the program relion_refine")
    arguments = parser.parse_args()
    print("| model | Å/px | search | images | poses: median, < 10° | FSC 0.5, Å | CPU min |")
    print("|---" * 7 + "|")
    for path in arguments.models:
        bench = Bench(path, arguments)
        for name in arguments.searches:
            show(bench, name)


def show(bench: Bench, name: str) -> None:
    start = f"| {bench.name} | {bench.pixel:.2f} | {name} |"
    try:
        row = bench.search(name)
    except Unfinished as ended:
        print(f"{start} | | | {ended} |", flush=True)
        return
    if row is None:
        print(f"{name} is left out: its program is not given", file=sys.stderr, flush=True)
        return
    print(
        f"{start} {row['images']} | {row['median_deg']:.1f}°, {100 * row['below_10']:.0f} % | "
        f"{row['resolution']:.1f} | {row['note']} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
