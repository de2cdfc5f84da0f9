"""Types, ranges and size of a network's description in a model card, checked before anything is
built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Tuple, Union

from ..errors import InputError
from ..values import integer, real, shown, truth
from .choices import FEATURE_DISTANCES, FILTER_BANKS, POOLINGS, REPRESENTATIONS

if TYPE_CHECKING:
    from .banjac2021 import BanjacArchitecture
    from .cryoforum2023 import CryoforumArchitecture
    from .lian2022 import LianArchitecture
    from .polar import PolarArchitecture

_REMEDY = "give the model folder as `train` wrote it"
_LONGEST_LIST, _LARGEST_WIDTH = 16, 8192

_INTEGERS = {
    "box_size_px": (8, 2048),
    "angles": (8, 1024),
    "bins": (4, 1024),
    "radii": (2, 1024),
    "templates": (1, 4096),
    "width": (1, 4096),
    "blocks": (0, 64),
    "taps": (1, 31),
    "views": (1, 16384),
    "filters": (1, 64),
    "heads": (1, 64),
    "features": (1, 4096),
}
_REALS = {
    "outer_radius_px": (0.5, 2048),
    "concentration": (1e-3, 1e6),
    "dropout": (0, 0.95),
    "l2": (0, 100),
}
_CHOICES = {
    "representation": REPRESENTATIONS,
    "pooling": POOLINGS,
    "filter_bank": FILTER_BANKS,
    "distance": FEATURE_DISTANCES,
}
_PAIRS = {"stem": ((1, 31), (1, 4096)), "blocks": ((1, _LONGEST_LIST), (1, 4096))}
_WIDTHS = ("doubles", "middle", "dense")
_KNOWN = {"kind", "shift", *_INTEGERS, *_REALS, *_CHOICES, *_PAIRS, *_WIDTHS}


def check_network(values: Any, what: str) -> None:
    """InputError for an entry of a network's description that no network of this program has."""
    if not isinstance(values, dict):
        raise InputError(f"{what} is {shown(values)}, not a description of a network; {_REMEDY}.")
    for name, value in values.items():
        if name not in _KNOWN:
            raise InputError(
                f"{what} has {shown(name)}, which no network of this version has; {_REMEDY}."
            )
        _check_entry(name, value, f"{what}: {name}")


def _check_entry(name: str, value: Any, what: str) -> None:
    if name in _PAIRS and isinstance(value, (list, tuple)):
        for part in _listed(value, what):
            if not isinstance(part, (list, tuple)) or len(part) != 2:
                raise InputError(
                    f"{what} has {shown(part)} in the place of a pair of numbers; {_REMEDY}."
                )
            for number, limits in zip(part, _PAIRS[name]):
                integer(number, what, _REMEDY, *limits)

    elif name in _WIDTHS:
        for number in _listed(value, what):
            integer(number, what, _REMEDY, 1, _LARGEST_WIDTH)

    elif name in _CHOICES:
        if value not in _CHOICES[name]:
            raise InputError(
                f"{what} is {shown(value)}, not one of {', '.join(_CHOICES[name])}; {_REMEDY}."
            )
    elif name in _INTEGERS:
        integer(value, what, _REMEDY, *_INTEGERS[name])
    elif name in _REALS:
        real(value, what, _REMEDY, *_REALS[name])
    elif name == "shift":
        truth(value, what, _REMEDY)


def _listed(value: Any, what: str) -> Tuple:
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) <= _LONGEST_LIST:
        raise InputError(
            f"{what} is {shown(value)}, not a list of 1 to {_LONGEST_LIST}; {_REMEDY}."
        )
    return tuple(value)


def least_weights(kind: str, architecture: Any) -> int:
    """Number of weights of the large layers of a checked network, a lower limit of what it has."""
    count: Callable[[Any], int] = _COUNTS[kind]
    return count(architecture)


def _polar(architecture: PolarArchitecture) -> int:
    templates = 2 * (architecture.angles // 2 + 1) * architecture.radii * architecture.templates
    blocks = architecture.blocks * (architecture.taps + 1) * architecture.width**2
    return (
        templates
        + architecture.templates * architecture.width
        + blocks
        + architecture.width * architecture.views
    )


def _convolutions(architecture: Union[BanjacArchitecture, CryoforumArchitecture]) -> int:
    stem = _chain([(kernel, channels) for kernel, channels in architecture.stem], 1)
    return stem + _chain(
        [(3, channels) for channels in architecture.doubles for _ in (0, 1)],
        architecture.stem[-1][1],
    )


def _lian(architecture: LianArchitecture) -> int:
    blocks = _chain(
        [(3, channels) for number, channels in architecture.blocks for _ in range(number)], 1
    )
    middle = _chain([(3, channels) for channels in architecture.middle], architecture.blocks[-1][1])
    side = architecture.box_size_px >> (len(architecture.blocks) + len(architecture.middle) + 1)
    return (
        blocks
        + middle
        + _chain(
            [(1, width) for width in architecture.dense],
            max(side, 1) ** 2 * architecture.middle[-1],
        )
    )


def _chain(layers: Iterable[Tuple[int, int]], channels: int) -> int:
    """Number of weights of consecutive convolutions (kernel, channels)."""
    total = 0
    for kernel, following in layers:
        total += kernel**2 * channels * following
        channels = following
    return total


_COUNTS: Dict[str, Callable[[Any], int]] = {
    "polar": _polar,
    "polar-distance": _polar,
    "cryoforum": _convolutions,
    "banjac": _convolutions,
    "lian": _lian,
}
