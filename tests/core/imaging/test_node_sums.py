import numpy as np
import pytest

from cryoposes_plugin.core.compiled import compiled
from cryoposes_plugin.core.imaging.node_sums import sum_of_nodes


@compiled
def added(table, first, line, plane, wx, wy, wz):
    return sum_of_nodes(table, first, line, plane, wx, wy, wz)


def test_the_nodes_around_a_point_are_added_with_the_weights_of_their_axes(rng):
    nodes = (rng.normal(size=(6, 5, 7)) + 1j * rng.normal(size=(6, 5, 7))).astype(np.complex64)
    weights = rng.normal(size=(3, 4)).astype(np.float32)
    first, line, plane = (np.uint64(2 * n) for n in (35 + 7 + 3, 7, 35))
    along = [tuple(w) for w in weights]
    found = added(nodes.ravel().view(np.float32), first, line, plane, *along)
    expected = np.einsum("zyx,x,y,z", nodes[1:5, 1:5, 3:7], *weights)
    assert complex(*found) == pytest.approx(complex(expected), rel=1e-5)
