"""MRC files that the program would not write."""

import warnings

import mrcfile
import numpy as np


def write_stack_as_it_is(path, images, pixel_size_angstrom: float) -> None:
    """(N, D, D) -> float32 stack, NaN and infinity included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(np.ascontiguousarray(images, dtype=np.float32))
            mrc.set_image_stack()
            mrc.voxel_size = pixel_size_angstrom
