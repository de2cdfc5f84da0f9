"""Poses and a volume by ASPIRE (PyPI: aspire), for benchmarks/initial_volume_peers.py.

    ASPIRE_PYTHON benchmarks/aspire_poses.py particles.star METHOD NUMBER NEIGHBOURS OUT.npz

Run by the Python that has ASPIRE, which need not have anything of ours. METHOD is one of METHODS;
the images have their phases flipped and their noise whitened, and are averaged over that many
neighbours of their classes (0: not at all). The file has the rotations (N, 3, 3) from the volume's
frame to the image's, the volume (box, box, box), indexed [z, y, x], of ASPIRE's mean estimator from
these poses, and the CPU minutes that poses and volume took.
"""

from __future__ import annotations

import sys
import time

import numpy as np
from aspire.abinitio import CLSync3N, CLSyncVoting, CommonlineIRLS, CommonlineLUD
from aspire.classification import TopClassSelector
from aspire.denoising import LegacyClassAvgSource
from aspire.reconstruction import MeanEstimator
from aspire.source import RelionSource

METHODS = {
    "sync3n": (CLSync3N, {"S_weighting": True, "J_weighting": True}),
    "voting": (CLSyncVoting, {}),
    "lud": (CommonlineLUD, {"alpha": 2 / 3}),
    "irls": (CommonlineIRLS, {"alpha": 2 / 3}),
}
#: Of the box, about four standard deviations of the shifts.
_MAX_SHIFT = 0.1
_LINES = 180


def main(star: str, method: str, number: int, neighbours: int, target: str) -> None:
    start = time.process_time()
    images = RelionSource(star, data_folder="/")
    source = images.phase_flip().whiten().cache()
    if neighbours:
        source = LegacyClassAvgSource(source, neighbours, class_selector=TopClassSelector()).cache()
    source, images = source[:number], images[:number]
    estimator, options = METHODS[method]
    orientation = estimator(source, n_theta=_LINES, max_shift=_MAX_SHIFT, shift_step=1, **options)
    orientation.estimate_rotations()
    orientation.estimate_shifts()
    found = time.process_time() - start
    rotations = np.swapaxes(orientation.rotations, 1, 2).copy()
    posed = images.update(rotations=rotations, offsets=orientation.shifts)
    volume = MeanEstimator(posed).estimate()
    np.savez(
        target,
        rotations=rotations,
        volume=-volume.asnumpy()[0],
        minutes=(found / 60, (time.process_time() - start - found) / 60),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
