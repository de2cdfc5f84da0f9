"""How many images the twin of a run has, see `trust.twin`.

Told before a run starts as well, so that nothing here needs a library that only computing needs.
"""

from __future__ import annotations

from typing import Dict

from .image_kinds import EDGE, NOISE, OFF_CENTRE, OTHER, OVERLAP, PARTICLE, SCRAMBLED

#: Fewer particles are not judged.
FEWEST_PARTICLES = 64
#: Most decoys of a kind whose proportion is 1.
DECOYS_OF_KIND = 80
#: The kinds of decoys, and how many of each there are in proportion: the more a kind resembles
#: particles, the more of the junk that is kept is of this kind, and must be counted well.
PROPORTIONS = {NOISE: 0.75, OTHER: 1.0, OVERLAP: 4.0, OFF_CENTRE: 1.25, SCRAMBLED: 0.5, EDGE: 0.5}

#: Numbers of images: a share of the set, within limits.
_PARTICLES, _FEWEST_OF_KIND = (120, 400), 25
_SHARE_OF_SET, _SHARE_OF_KIND = 1.0, 0.2


def twin_numbers(number: int, most_of_kind: int = DECOYS_OF_KIND) -> Dict[str, int]:
    """Images of each kind in the twin of a set of so many particles.

    most_of_kind : largest number of decoys of a kind whose proportion is 1.
    """
    fewest, most = _PARTICLES
    particles = int(min(max(_SHARE_OF_SET * number, fewest), most))
    each = int(min(max(_SHARE_OF_KIND * number, _FEWEST_OF_KIND), most_of_kind))
    return {PARTICLE: particles, **{k: round(share * each) for k, share in PROPORTIONS.items()}}
