"""Whether a volume is the mirror of what a network was trained on: the network's poses then fit the mirror better."""

from __future__ import annotations

from typing import Optional

import numpy as np

from ...core.refinement.hand import HandTest, compare_hands
from ...core.refinement.levenberg_marquardt import Poses
from ...core.refinement.refinement import Refinement
from ...core.refinement.results import Results
from ...core.types import Volume

#: Poses that the refinement leaves nearer than this, in the median, belong to the volume.
_LEAST_MOVED_DEG = 10.0
#: The mirror must explain so many times as much as the volume.
_TIMES_THE_GAIN = 1.5
#: Half turns that make of the mirror in z those in x and in y.
_HALF_TURNS = {"z": np.diag([1.0, 1, 1]), "x": np.diag([-1.0, 1, -1]), "y": np.diag([1.0, -1, -1])}


def mirror_sentence(
    path,
    volume: Volume,
    refinement: Refinement,
    results: Results,
    network: np.ndarray,
    moved_deg: np.ndarray,
    seed: int,
) -> Optional[str]:
    """What there is to say where the network's orientations (N, 3, 3) fit the volume's mirror; None otherwise.

    Tested on a sample of the largest optics group, at the refined shifts, if orientations moved far: moved_deg (N,).
    The mirror that they fit best must explain clearly more than the volume does.
    """
    if np.median(moved_deg) < _LEAST_MOVED_DEG:
        return None
    rows = refinement.sample(int(np.bincount(refinement.table.optics_index).argmax()), seed)
    tests = {
        axis: _test(volume, refinement, results, rows, network[rows] @ turn)
        for axis, turn in _HALF_TURNS.items()
    }
    axis = max(tests, key=lambda name: tests[name].mirror_gain)
    mirror, gain = tests[axis].mirror_gain, tests["z"].gain
    if tests[axis].verdict != "opposite" or mirror < _TIMES_THE_GAIN * gain:
        return None
    return (
        f"Volume {path} seems to be the mirror (in {axis}) of what the network was trained on: the network's poses fit "
        f"its mirror better (mean likelihood gain {mirror:.1f}, and {gain:.1f} with the volume). The poses were "
        "searched for in the volume and have its hand; is that meant?"
    )


def _test(
    volume: Volume,
    refinement: Refinement,
    results: Results,
    rows: np.ndarray,
    rotations: np.ndarray,
) -> HandTest:
    """Of rows of one optics group at these rotations."""
    return compare_hands(
        volume,
        refinement.points,
        refinement.grid.pixel_size_angstrom,
        refinement.observe(rows),
        Poses(np.arange(len(rows)), rotations, results.refined.shifts_px[rows]),
        refinement.spectra[refinement.table.optics_index[rows[0]]].last_shell,
    )
