"""The sum over the 4 x 4 x 4 nodes around a point, in vector instructions.

Numba's loops read the real and imaginary parts of the four nodes of a line one by one; here a line
is one vector of eight numbers, which takes a third of the time.
"""

from __future__ import annotations

from typing import Any, List, Tuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_NUMBERS, _INDEX = 8, ir.IntType(32)
_VECTOR = ir.VectorType(ir.FloatType(), _NUMBERS)
_ANY = ir.Constant(_VECTOR, ir.Undefined)
#: The caller gives no `_typing`, which Numba's own annotations do not know.
_built: Any = intrinsic


@_built
def sum_of_nodes(
    _typing: Any, table: Any, first: Any, line: Any, plane: Any, wx: Any, wy: Any, wz: Any
) -> Tuple:
    """In compiled code: (real, imaginary) float32 sum of 64 nodes, each times its three weights.

    Parameters
    ----------
    _typing : given by Numba.
    table : (M,) float32: real and imaginary parts in turn; nodes along x are neighbours.
    first : place of the first node in it, uint64.
    line, plane : uint64 steps to the next node along y and z.
    wx, wy, wz : weights along x, y and z, four float32 each.
    """
    signature = types.UniTuple(types.float32, 2)(table, first, line, plane, wx, wy, wz)
    return signature, _build


def _build(context: Any, builder: Any, signature: Any, arguments: Tuple) -> Any:
    table = context.make_array(signature.args[0])(context, builder, arguments[0])
    at, line, plane = arguments[1:4]
    wx, wy, wz = ([builder.extract_value(w, i) for i in range(4)] for w in arguments[4:])
    along_y, along_z = ([_repeated(builder, w) for w in weights] for weights in (wy, wz))

    of_planes = []
    for _ in along_z:
        of_planes.append(_weighted(builder, _lines(builder, table.data, at, line), along_y))
        at = builder.add(at, plane)
    of_nodes = _weighted(builder, of_planes, along_z)
    parts = [builder.extract_element(of_nodes, _INDEX(i)) for i in range(_NUMBERS)]
    sums = [_weighted(builder, parts[first::2], wx) for first in (0, 1)]
    return cgutils.pack_array(builder, sums)


def _lines(builder: Any, data: Any, at: Any, line: Any) -> List:
    """The vectors of four lines, from `at` on."""
    vectors = []
    for _ in range(4):
        place = builder.bitcast(builder.gep(data, [at]), _VECTOR.as_pointer())
        vectors.append(builder.load(place, align=4))
        at = builder.add(at, line)
    return vectors


def _repeated(builder: Any, value: Any) -> Any:
    """A number as a vector."""
    alone = builder.insert_element(_ANY, value, _INDEX(0))
    return builder.shuffle_vector(alone, _ANY, ir.VectorType(_INDEX, _NUMBERS)([0] * _NUMBERS))


def _weighted(builder: Any, values: List, weights: List) -> Any:
    """Sum of values times weights."""
    total = None
    for value, weight in zip(values, weights):
        term = builder.fmul(value, weight, flags=("fast",))
        total = term if total is None else builder.fadd(total, term, flags=("fast",))
    return total
