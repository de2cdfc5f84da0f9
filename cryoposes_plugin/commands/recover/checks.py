"""What `recover` requires of a set of particles. Scipion's GUI imports it, so it must work with
Python 3.8.
"""

from __future__ import annotations

from ...core.errors import InputError

_FEWEST_PARTICLES = 50


def check_enough_particles(what: str, number: int) -> None:
    """InputError where particles, named by `what`, are too few for distances between each other."""
    if number < _FEWEST_PARTICLES:
        raise InputError(
            f"{what}: this set has {number} particles, and distances between fewer than "
            f"{_FEWEST_PARTICLES} do not determine poses; give more particles, or a --volume."
        )
