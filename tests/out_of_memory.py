"""TensorFlow's own error where memory is not enough: it is asked once for more than any address
space holds.

It tries for ten seconds before it gives up; the tests raise what it raised then.
"""

from functools import lru_cache

import tensorflow as tf


@lru_cache(maxsize=1)
def refusal() -> tf.errors.ResourceExhaustedError:
    try:
        tf.zeros([2**50])
    except tf.errors.ResourceExhaustedError as error:
        return error.with_traceback(None)
    raise RuntimeError("TensorFlow gave 2^52 bytes")
