"""Rotations from pairwise distances: time, error after registration over O(4), and loss, as
markdown tables.

    python benchmarks/recovery.py exact                   # exact distances
    python benchmarks/recovery.py noise --number 1650 # Banjac et al. 2021, Fig. 7: errors of
    variance 0 to 0.8 python benchmarks/recovery.py starts # Banjac 2020, Table 1: where the
    mini-batch method starts python benchmarks/recovery.py distributions # Banjac et al. 2021, Fig.
    13: other than uniform orientations python benchmarks/recovery.py large --number 100000 # time
    and memory

Distances carry Gaussian errors that are not clipped, and whose variance the method is not told.
Errors `per image`: half of the variance is common to all distances of an image.
"""

import argparse
import resource
import time

import numpy as np
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.conventions import quaternions_to_rotations, rotations_to_quaternions
from cryoposes_plugin.core.evaluation.orthogonal4 import register_orthogonal4
from cryoposes_plugin.core.geometry import sampling
from cryoposes_plugin.core.recovery.minibatch import minibatch_rotations
from cryoposes_plugin.core.recovery.pairs import landmark_pairs, pairs_from_arrays
from cryoposes_plugin.core.recovery.solve import as_recovery, recover_rotations

DISTRIBUTIONS = {
    "uniform": sampling.random_rotations,
    "Euler-uniform": sampling.euler_uniform,
    "half sphere": sampling.hemisphere,
    "quarter sphere": lambda n, rng: sampling.hemisphere(n, rng, octants=2),
    "one preferred view (kappa 5)": lambda n, rng: sampling.preferred(n, rng, np.eye(3)[2:], 5.0),
}


class Truth:
    """Rotations and the distances between them, with errors."""

    def __init__(self, number, seed, variance=0.0, per_image=False, distribution="uniform"):
        self.rng = np.random.default_rng(seed)
        self.rotations = DISTRIBUTIONS[distribution](number, self.rng)
        self.q = rotations_to_quaternions(self.rotations)
        share = 0.5 if per_image else 0.0
        self.independent_rad = np.sqrt((1 - share) * variance)
        self.offset = self.rng.normal(0, np.sqrt(share * variance / 2), number)

    def distance(self, i, j):
        """Of index arrays that broadcast, radians."""
        cosine = (
            np.einsum("na,na->n", self.q[i], self.q[j])
            if i.shape == j.shape
            else self.q[i.ravel()] @ self.q[j.ravel()].T
        )
        d = 2 * np.arccos(np.minimum(np.abs(cosine), 1.0))
        if self.independent_rad or self.offset.any():
            d += self.offset[i] + self.offset[j] + self.rng.normal(0, self.independent_rad, d.shape)
        return d

    def all_pairs(self):
        i, j = np.triu_indices(len(self.q), 1)
        return pairs_from_arrays(i.astype(np.int32), j.astype(np.int32), self.distance(i, j))

    def random_pairs(self, distances_a_particle):
        n = len(self.q)
        i, j = self.rng.integers(0, n, (2, n * distances_a_particle // 2))
        i, j = np.minimum(i, j)[i != j], np.maximum(i, j)[i != j]
        key = np.unique(i * n + j)
        return pairs_from_arrays(key // n, key % n, self.distance(key // n, key % n), number=n)

    def error_rad(self, recovery):
        return register_orthogonal4(recovery.rotations, self.rotations).mean_residual_rad


def timed(function, *arguments, **options):
    """Result, seconds of the clock and of the processor."""
    clock, processor = time.monotonic(), time.process_time()
    result = function(*arguments, **options)
    return result, time.monotonic() - clock, time.process_time() - processor


def table(*columns):
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))


def row(*cells):
    print(
        "| " + " | ".join(f"{c:.4g}" if isinstance(c, float) else str(c) for c in cells) + " |",
        flush=True,
    )


def exact(arguments):
    table("particles", "distances", "pairs", "error [rad]", "time [s]", "CPU [s]")
    for number in arguments.number or [5000]:
        truth = Truth(number, arguments.seed)
        for name, pairs in (
            ("400 landmarks", landmark_pairs(truth.distance, number, 400, arguments.seed)),
            ("100 a particle, at random", truth.random_pairs(100)),
            ("all pairs", truth.all_pairs()),
        ):
            result, clock, processor = timed(recover_rotations, pairs)
            row(number, name, len(pairs), truth.error_rad(result), clock, processor)


def noise(arguments):
    table(
        "particles",
        "variance",
        "errors",
        "method",
        "seeds",
        "error [rad]",
        "worst seed",
        "loss [rad]",
        "time [s]",
        "CPU [s]",
    )
    for number in arguments.number or [1650]:
        for variance in arguments.variance:
            for per_image in (False, True) if variance else (False,):
                for method in ("spectral", "minibatch"):
                    seeds = arguments.seeds if method == "spectral" else min(arguments.seeds, 1)
                    runs = [
                        one_noisy(number, variance, per_image, method, arguments, seed)
                        for seed in range(seeds)
                    ]
                    if runs:
                        errors, losses, clock, processor = np.array(runs).T
                        kind = "per image" if per_image else "independent"
                        means = [float(v.mean()) for v in (losses, clock, processor)]
                        row(
                            number,
                            variance,
                            kind,
                            method,
                            seeds,
                            float(errors.mean()),
                            float(errors.max()),
                            *means,
                        )


def one_noisy(number, variance, per_image, method, arguments, seed):
    truth = Truth(number, seed, variance, per_image)
    pairs = truth.all_pairs()
    if method == "spectral":
        result, clock, processor = timed(recover_rotations, pairs)
    else:
        fit, clock, processor = timed(minibatch_rotations, pairs, seed, steps=arguments.steps)
        result = as_recovery(fit)
    return truth.error_rad(result), result.loss_rad, clock, processor


def starts(arguments):
    table(
        "start",
        "variance",
        "loss before [rad^2]",
        "loss after",
        "error before [rad]",
        "error after",
        "CPU [s]",
    )
    number = (arguments.number or [1000])[0]
    for variance in arguments.variance:
        truth = Truth(number, arguments.seed, variance)
        pairs = truth.all_pairs()
        for name, start in starting_points(truth):
            before = as_recovery(minibatch_rotations(pairs, start=start, steps=0))
            fit, _, processor = timed(
                minibatch_rotations, pairs, start=start, steps=arguments.steps
            )
            after = as_recovery(fit)
            errors = truth.error_rad(before), truth.error_rad(after)
            row(name, variance, before.loss_rad2, after.loss_rad2, *errors, processor)
        result, _, processor = timed(recover_rotations, pairs)
        row(
            "(spectral method)",
            variance,
            "",
            result.loss_rad2,
            "",
            truth.error_rad(result),
            processor,
        )


def starting_points(truth):
    number = len(truth.q)
    yield "random", truth.rng.standard_normal((number, 4))
    yield "true", truth.q
    for degrees in (5, 10):
        axes = truth.rng.standard_normal((number, 3))
        turns = Rotation.from_rotvec(
            np.deg2rad(degrees) * axes / np.linalg.norm(axes, axis=1, keepdims=True)
        )
        yield (
            f"true + {degrees}°",
            rotations_to_quaternions(turns.as_matrix() @ quaternions_to_rotations(truth.q)),
        )


def distributions(arguments):
    table("orientations", "particles", "variance", "error [rad]", "loss [rad]", "CPU [s]")
    for number in arguments.number or [1650]:
        for distribution in DISTRIBUTIONS:
            for variance in arguments.variance:
                truth = Truth(number, arguments.seed, variance, distribution=distribution)
                result, _, processor = timed(recover_rotations, truth.all_pairs())
                row(
                    distribution,
                    number,
                    variance,
                    truth.error_rad(result),
                    result.loss_rad,
                    processor,
                )


def large(arguments):
    table(
        "particles",
        "distances",
        "pairs",
        "variance",
        "error [rad]",
        "loss [rad]",
        "time [s]",
        "CPU [s]",
        "peak [GiB]",
    )
    for number in arguments.number or [20000]:
        for variance in arguments.variance:
            truth = Truth(number, arguments.seed, variance)
            if arguments.landmarks:
                name = f"{arguments.landmarks} landmarks"
                pairs = landmark_pairs(truth.distance, number, arguments.landmarks, arguments.seed)
            else:
                name, pairs = (
                    f"{arguments.distances} a particle, at random",
                    truth.random_pairs(arguments.distances),
                )
            result, clock, processor = timed(recover_rotations, pairs)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            error = truth.error_rad(result)
            row(number, name, len(pairs), variance, error, result.loss_rad, clock, processor, peak)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    subparsers = parser.add_subparsers(dest="what", required=True)
    for function, variance in (
        (exact, [0.0]),
        (noise, [0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8]),
        (starts, [0.0, 0.8]),
    ):
        add(subparsers, function, variance)
    for function, variance in ((distributions, [0.0, 0.8]), (large, [0.8])):
        add(subparsers, function, variance)
    arguments = parser.parse_args()
    arguments.function(arguments)


def add(subparsers, function, variance):
    parser = subparsers.add_parser(function.__name__)
    parser.set_defaults(function=function)
    parser.add_argument("--number", type=int, nargs="+", help="particles")
    parser.add_argument(
        "--variance",
        type=float,
        nargs="+",
        default=variance,
        help="of the distances' errors, rad^2",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5, help="runs of the spectral method (noise)")
    parser.add_argument("--steps", type=int, default=20000, help="of the mini-batch method")
    parser.add_argument(
        "--landmarks", type=int, default=0, help="measure against so many landmarks (large)"
    )
    parser.add_argument("--distances", type=int, default=200, help="distances a particle (large)")


if __name__ == "__main__":
    main()
