"""The junk of a simulation: images that are made in place of those of particles."""

from __future__ import annotations

from typing import Callable, List, Sequence, Tuple

import numpy as np

from ...core.geometry.sampling import random_rotations
from ...core.image_kinds import EDGE, NOISE, OFF_CENTRE, OTHER, OVERLAP
from ...core.imaging.draws import junk_generator
from ...core.imaging.junk import (
    displaced,
    edge,
    other_molecule,
    way,
    whole_step,
    with_spectrum_of,
)
from ...core.maps.size import radius_of_gyration_px
from ...core.types import Volume

KINDS = (NOISE, OTHER, OVERLAP, OFF_CENTRE, EDGE)
#: Number of other molecules; a phantom needs a box of this size.
OTHER_MOLECULES, SMALLEST_BOX_PX = 3, 16
#: Distances of a neighbour, and of a particle off centre, in radii of gyration. Not those of the
#: decoys by which junk is told (`core.trust.twin`), which would make it too easy.
_NEIGHBOUR, _OFF = (1.2, 2.4), (0.9, 1.8)


def other_molecules(volumes: Sequence[Volume], seed: int) -> List[Volume]:
    """Made-up molecules, each of the size and with the power spectrum of one of the volumes.

    `seed` is that of the simulation.
    """
    found, rng = [], junk_generator(seed)
    for number in range(OTHER_MOLECULES):
        volume = volumes[number % len(volumes)]
        pixel, radius = volume.pixel_size_angstrom, radius_of_gyration_px(volume.data)
        density = other_molecule(volume.box_size_px, pixel, radius, rng)
        found.append(Volume(with_spectrum_of(volume.data, density), pixel))
    return found


def off_centre_px(
    kind: np.ndarray, radius_px: np.ndarray, box_size_px: int, seed: int
) -> np.ndarray:
    """(N, 2) by how much each particle far off centre is displaced; 0 for other images.

    Parameters
    ----------
    kind : (N,) of the images of a simulation.
    radius_px : (N,) radii of gyration of the particles.
    box_size_px : of the images.
    seed : of the simulation.
    """
    displacement = np.zeros((len(kind), 2))
    for row in np.flatnonzero(kind == OFF_CENTRE):
        there = way(_OFF, radius_px[row], junk_generator((seed, int(row))))
        displacement[row] = whole_step(box_size_px, *there)
    return displacement


def with_junk(
    signal: np.ndarray,
    kind: np.ndarray,
    rows: np.ndarray,
    radius_px: np.ndarray,
    seeds: Sequence[Tuple[int, int]],
    project: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """Noise-free images (B, D, D) of which those of junk show what their kind says.

    Parameters
    ----------
    signal : (B, D, D) of particles, and of other molecules.
    kind, rows : (B,) kinds, and numbers of the images in the simulation.
    radius_px : (B,) radii of gyration of the particles.
    seeds : of what each image shows: that of the simulation, and the number of an image.
    project : images of given rows (b,) at other rotations (b, 3, 3).
    """
    out = signal.copy()
    random = {int(i): junk_generator(seeds[i]) for i in np.flatnonzero(kind != OTHER)}
    beside = np.flatnonzero(kind == OVERLAP)
    if len(beside):
        rotations = np.concatenate([random_rotations(1, random[int(i)]) for i in beside])
        for i, neighbour in zip(beside, project(rows[beside], rotations)):
            out[i] += displaced(neighbour, _NEIGHBOUR, radius_px[i], random[int(i)])

    for i in np.flatnonzero(kind == OFF_CENTRE):
        out[i] = displaced(signal[i], _OFF, radius_px[i], random[int(i)])
    for i in np.flatnonzero(kind == EDGE):
        out[i] = signal[i].std() * edge(signal.shape[-1], random[int(i)])
    out[kind == NOISE] = 0
    return out
