"""A map of any shape on a cubic grid of a given box, its centre of mass on the voxel D // 2.

    python benchmarks/prepare_map.py 5j0n_C1_69x57x75_3.667A.mrc --box 116 --output 5j0n_116.mrc

With `--pixel` the map is also resampled to that pixel size, with `--low-pass` cut at a resolution.
"""

from __future__ import annotations

import argparse

import mrcfile
import numpy as np
import scipy.fft
import scipy.ndimage

from cryoposes_plugin.core.fourier.filters import low_pass
from cryoposes_plugin.core.fourier.resampling import resample_volume
from cryoposes_plugin.core.io.mrc import write_volume


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("map")
    parser.add_argument("--box", type=int, required=True)
    parser.add_argument("--pixel", type=float, help="Å; default: the map's")
    parser.add_argument("--low-pass", type=float, help="Å")
    parser.add_argument("--output", required=True)
    arguments = parser.parse_args()
    with mrcfile.open(arguments.map, permissive=True) as file:
        data, pixel = file.data.astype(np.float64), float(file.voxel_size.x)
    wanted = arguments.pixel or pixel
    wide = max(round(arguments.box * wanted / pixel), *data.shape)
    data = resample_volume(centred(data, wide), pixel, arguments.box, wanted)
    if arguments.low_pass:
        data = low_pass(data, wanted, arguments.low_pass)
    write_volume(arguments.output, data, wanted)


def centred(data: np.ndarray, box: int) -> np.ndarray:
    """(D, D, D) with the centre of mass of what is positive at D // 2."""
    data = in_box(data, box)
    mass = np.array(scipy.ndimage.center_of_mass(np.maximum(data, 0)))
    shifted = scipy.ndimage.fourier_shift(scipy.fft.fftn(data), box // 2 - mass)
    return scipy.fft.ifftn(shifted).real


def in_box(data: np.ndarray, box: int) -> np.ndarray:
    """(box, box, box): padded with zeros or cut so that voxel n // 2 of each axis comes to box //
    2.
    """
    cut = tuple(
        slice(max(n // 2 - box // 2, 0), max(n // 2 - box // 2, 0) + min(n, box))
        for n in data.shape
    )
    data = data[cut]
    before = [box // 2 - n // 2 for n in data.shape]
    return np.pad(data, [(b, box - n - b) for b, n in zip(before, data.shape)])


if __name__ == "__main__":
    main()
