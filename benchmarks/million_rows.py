"""Time and memory of particle sets of a million rows, without images.

    python benchmarks/million_rows.py --folder OUT --number 1000000

Writes a STAR file with 30 columns and an estimate of its poses, reads and writes them again, filters,
compares, makes a Scipion set of them, reads that, and makes a result set of it; prints seconds and
the largest memory of each, every step in a process of its own.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.covariances import covariance_of_errors, covariance_texts
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.scores import (
    BASIN_ERROR,
    COVARIANCE,
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    JUNK,
    POSE_SOURCE,
    WRONG_BASIN,
)
from cryoposes_plugin.core.texts import formatted
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable

PER_MICROGRAPH = 200
#: Columns of RELION that the program passes through.
OTHERS = (
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnAutopickFigureOfMerit",
    "rlnCtfMaxResolution",
    "rlnCtfFigureOfMerit",
    "rlnNormCorrection",
    "rlnLogLikeliContribution",
    "rlnMaxValueProbDistribution",
)


def truth_table(folder: Path, number: int) -> ParticleTable:
    rng = np.random.default_rng(0)
    micrograph = np.arange(number) // PER_MICROGRAPH
    names = formatted("mic_%06d.mrc", np.arange(micrograph[-1] + 1))
    scores = {
        EXPECTED_ERROR: rng.uniform(0.1, 5, number),
        EXPECTED_SHIFT_ERROR: rng.uniform(0.1, 2, number),
        BASIN_ERROR: rng.uniform(0.1, 2, number),
        WRONG_BASIN: rng.uniform(0, 0.2, number),
        JUNK: rng.beta(0.1, 1, number),
    }
    extra = {label: formatted("%.6f", rng.uniform(0, 4000, number)) for label in OTHERS}
    extra["rlnMicrographName"] = names[micrograph]
    extra["rlnClassNumber"] = formatted("%d", rng.integers(1, 4, number))
    extra[POSE_SOURCE] = np.full(number, "refined:0123456789abcdef", dtype=object)
    errors = np.deg2rad(scores[BASIN_ERROR]), scores[EXPECTED_SHIFT_ERROR]
    extra[COVARIANCE] = covariance_texts(covariance_of_errors(*errors))
    ones = np.ones(number)
    return ParticleTable(
        ids=np.arange(1, number + 1),
        stack_paths=tuple(folder / "stacks" / f"{name}s" for name in names),
        stack_index=micrograph,
        slice_index=np.arange(number) % PER_MICROGRAPH,
        optics=(OpticsGroup("opticsGroup1", 1.2, 256, 300.0, 2.7, 0.1),),
        optics_index=np.zeros(number, np.int64),
        rotations=random_rotations(number, rng),
        shifts_px=rng.normal(0, 3, (number, 2)),
        ctf=CtfTable(
            rng.uniform(5e3, 2e4, number),
            rng.uniform(5e3, 2e4, number),
            rng.uniform(0, 180, number),
            0 * ones,
            300 * ones,
            2.7 * ones,
            0.1 * ones,
            0 * ones,
        ),
        random_subset=np.arange(number) % 2 + 1,
        scores=scores,
        extra=extra,
    )


def write(folder: Path, number: int) -> None:
    write_particles(folder / "truth.star", truth_table(folder, number))


def estimate(folder: Path, number: int) -> None:
    table = read_particles(folder / "truth.star")
    rng = np.random.default_rng(1)
    turns = Rotation.from_rotvec(rng.normal(0, 0.02, (number, 3))).as_matrix()
    shifts = table.shifts_px + rng.normal(0, 0.3, (number, 2))
    moved = table.replace(rotations=turns @ table.rotations, shifts_px=shifts)
    write_particles(folder / "estimate.star", moved)


def read(folder: Path, number: int) -> None:
    read_particles(folder / "truth.star")


def command(*arguments: object) -> None:
    from cryoposes_plugin.cli.main import main

    status = main([str(a) for a in arguments])
    if status:
        raise SystemExit(status)


def filter_set(folder: Path, number: int) -> None:
    shutil.rmtree(folder / "filter", ignore_errors=True)
    command("filter", "--particles", folder / "estimate.star", "--output", folder / "filter")


def compare(folder: Path, number: int) -> None:
    shutil.rmtree(folder / "compare", ignore_errors=True)
    sets = "--truth", folder / "truth.star", "--estimate", folder / "estimate.star"
    command("compare", *sets, "--output", folder / "compare")


def particle_set(path: Path, new: bool = False):
    from pwem.objects import SetOfParticles

    if new:
        path.unlink(missing_ok=True)
    particles = SetOfParticles(filename=str(path))
    if not new:
        particles.loadAllProperties()
    return particles


def to_scipion(folder: Path, number: int) -> None:
    from cryoposes_plugin.scipion.results import create_particles

    particles = particle_set(folder / "given.sqlite", new=True)
    create_particles(particles, read_particles(folder / "truth.star"))
    particles.write()
    particles.close()


def from_scipion(folder: Path, number: int) -> None:
    from cryoposes_plugin.scipion.convert import particles_to_table

    particles_to_table(particle_set(folder / "given.sqlite"), None)


def result_set(folder: Path, number: int) -> None:
    from cryoposes_plugin.scipion.results import update_particles

    table = read_particles(folder / "estimate.star")
    output = particle_set(folder / "result.sqlite", new=True)
    given, texts = particle_set(folder / "given.sqlite"), (POSE_SOURCE, COVARIANCE)
    update_particles(output, given, table, True, tuple(table.scores), texts)
    output.write()
    output.close()


STEPS = {
    "write": write,
    "read": read,
    "read and write": estimate,
    "filter": filter_set,
    "compare": compare,
    "STAR to Scipion": to_scipion,
    "Scipion to table": from_scipion,
    "result set of Scipion": result_set,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--number", type=int, default=1_000_000)
    parser.add_argument("--step", choices=STEPS, nargs="+", default=list(STEPS))
    parser.add_argument("--here", action="store_true", help="run the steps in this process")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.here:
        for step in arguments.step:
            STEPS[step](arguments.folder, arguments.number)
        return

    print("| step | seconds | CPU seconds | memory [MiB] |\n|---|---|---|---|")
    for step in arguments.step:
        words = ["--folder", arguments.folder, "--number", arguments.number, "--step", step]
        begin = time.monotonic()
        with open(arguments.folder / "log.txt", "w") as log:
            child = subprocess.Popen(
                [sys.executable, __file__, *map(str, words), "--here"], stdout=log, stderr=log
            )
            _, status, used = os.wait4(child.pid, 0)
        if status:
            raise SystemExit(f"{step} failed: see {arguments.folder / 'log.txt'}")
        seconds, cpu = time.monotonic() - begin, used.ru_utime + used.ru_stime
        print(f"| {step} | {seconds:.1f} | {cpu:.1f} | {used.ru_maxrss / 1024:.0f} |", flush=True)


if __name__ == "__main__":
    main()
