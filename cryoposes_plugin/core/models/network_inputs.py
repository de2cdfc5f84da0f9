"""What a network in use is given: images and packed CTFs as tensors, and one trace for batches of
any size.
"""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.ctf import pack_ctf
from ..types import CtfTable

Tensors = Tuple[tf.Tensor, Optional[tf.Tensor]]


def network_inputs(
    images: np.ndarray, ctf: Optional[CtfTable], image_state: str, box_size_px: int
) -> Tensors:
    """Images (B, D, D) float32 and packed CTFs (B, 8) or None.

    Parameters
    ----------
    images : (B, D, D).
    ctf : of the images, or None.
    image_state : the CTF of images that are not "raw" is corrected already, and left out.
    box_size_px : of the network.

    Raises
    ------
    ValueError
        For images of another box.
    """
    if images.ndim != 3 or images.shape[1:] != (box_size_px, box_size_px):
        raise ValueError(
            f"expected images of shape (B, {box_size_px}, {box_size_px}), received {images.shape}"
        )
    packed = None if ctf is None or image_state != "raw" else tf.constant(pack_ctf(ctf))
    return tf.constant(images, tf.float32), packed


def traced_for_any_batch(
    function: tf.types.experimental.GenericFunction,
    tensors: Sequence[Optional[tf.Tensor]],
    *others: tf.TensorSpec,
) -> tf.types.experimental.GenericFunction:
    """The function, traced once for these arguments with any number of rows, so that no remainder
    needs a new trace.

    others : specifications of further arguments, which have no rows.
    """
    rows: List[Optional[tf.TensorSpec]] = [
        None if a is None else tf.TensorSpec((None, *a.shape[1:]), a.dtype) for a in tensors
    ]
    function.get_concrete_function(*rows, *others)
    return function
