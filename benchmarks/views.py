"""What filters do to the views if one view is ten times as frequent.

    python benchmarks/views.py [--number 20000] [--keep 0.75] [--seeds 3]

Poses: one view per direction, and ten times as many within a cap of `--cap` degrees about the z
axis. The score has noise and depends on the view, as that of real particles does. Prints SCF*
before, after the share, and after the same share of every view, and whether `filter` warns.
"""

from __future__ import annotations

import argparse

import numpy as np

from cryoposes_plugin.commands.filter.config import FilterConfig
from cryoposes_plugin.commands.filter.decision import decide
from cryoposes_plugin.commands.filter.views import views_before_and_after
from cryoposes_plugin.core.conventions import viewing_directions
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.types import OpticsGroup, ParticleTable

SCORE = "cryoposesExpectedErrorDeg"
FREQUENT = 10


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=20_000)
    parser.add_argument("--keep", type=float, default=0.75)
    parser.add_argument("--cap", type=float, default=20.0, help="Degrees.")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    print("| slope | seed | filter | SCF* before | after | change | random choice | warns |")
    print("|---" * 8 + "|")
    for slope in (0.5, 1.0, 3.0):
        for seed in range(arguments.seeds):
            for even in (False, True):
                row(arguments, slope, seed, even)


def row(arguments: argparse.Namespace, slope: float, seed: int, even: bool) -> None:
    """Filter one set and print its row."""
    table = particles(arguments.number, arguments.cap, slope, seed)
    config = FilterConfig(
        particles="set", score=SCORE, keep_quantile=arguments.keep, even_views=even
    )
    accepted = decide(config, table).accepted
    views, warning = views_before_and_after(table, accepted, "C1", seed)
    before, after = views["scf_star_before"], views["scf_star_after"]
    name = "same share of every view" if even else "share"
    print(
        f"| {slope:g} | {seed} | {name} | {before:.3f} | {after:.3f} | "
        f"{100 * (after / before - 1):+.1f} % | {views['scf_star_of_random_choice']:.3f} | "
        f"{'yes' if warning else 'no'} |"
    )


def particles(number: int, cap_deg: float, slope: float, seed: int) -> ParticleTable:
    """Poses with a frequent cap, and a log-normal score that is lower there.

    Parameters
    ----------
    number : of particles.
    cap_deg : half angle of the frequent view.
    slope : fall of the logarithm of the score from the equator to the pole, in standard deviations.
    seed : of poses and scores.
    """
    rng = np.random.default_rng(seed)
    rotations = random_rotations(12 * number, rng)
    height = np.abs(viewing_directions(rotations)[:, 2])
    inside = height > np.cos(np.deg2rad(cap_deg))
    kept = np.flatnonzero(inside | (rng.uniform(size=len(inside)) < 1 / FREQUENT))[:number]
    zeros = np.zeros(len(kept), dtype=np.int64)
    return ParticleTable(
        ids=np.arange(len(kept)),
        stack_paths=("none.mrcs",),
        stack_index=zeros,
        slice_index=zeros,
        optics=(OpticsGroup("one", 4.0, 64),),
        optics_index=zeros,
        rotations=rotations[kept],
        scores={SCORE: np.exp(0.3 * (rng.normal(size=len(kept)) - slope * height[kept]))},
    )


if __name__ == "__main__":
    main()
