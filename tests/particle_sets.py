"""Small particle sets for tests."""

import numpy as np

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable


def make_ctf(number: int, defocus_angstrom: float = 15000.0) -> CtfTable:
    """300 kV, Cs 2.7 mm, amplitude contrast 0.1, defocus spread by 20 %, a little astigmatism."""
    u = defocus_angstrom * np.linspace(0.9, 1.1, number)
    constants = [np.full(number, v) for v in (30.0, 0.0, 300.0, 2.7, 0.1, 0.0)]
    return CtfTable(u, u - 300.0, *constants)


def make_particles(
    stack,
    number: int,
    box_size_px: int = 32,
    pixel_size_angstrom: float = 5.0,
    seed: int = 3,
    **changes,
):
    """A table over one stack, with non-consecutive ids, poses and CTF."""
    rng = np.random.default_rng(seed)
    optics = OpticsGroup("test", pixel_size_angstrom, box_size_px, 300.0, 2.7, 0.1)
    values = dict(
        ids=rng.permutation(10 * number)[:number].astype(np.int64) + 1,
        stack_paths=(stack,),
        stack_index=np.zeros(number, dtype=np.int64),
        slice_index=np.arange(number),
        optics=(optics,),
        optics_index=np.zeros(number, dtype=np.int64),
        rotations=random_rotations(number, rng),
        shifts_px=rng.normal(0, 1.5, (number, 2)),
        ctf=make_ctf(number),
    )
    return ParticleTable(**{**values, **changes})


def mate_probabilities_of(texts):
    """(N, n) numbers of the texts of `cryoposesMateProbabilities`."""
    return np.array([[float(word) for word in text.split("/")] for text in texts])
