"""What `initial-volume` requires of a set of particles. Scipion's GUI imports it, so it must work
with Python 3.8.
"""

from __future__ import annotations

from ...core.errors import InputError

_FEWEST_PARTICLES = 50


def check_enough_particles(what: str, number: int) -> None:
    """Raise InputError if the particles, named by `what`, are too few for an initial volume."""
    if number < _FEWEST_PARTICLES:
        raise InputError(
            f"{what}: an initial volume needs at least {_FEWEST_PARTICLES} particles and this set "
            f"has {number}; give more."
        )
