"""The compiled slices and inner products, against sums in double precision and TensorFlow's."""

import itertools
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import scipy.fft

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.errors import ResourceError
from cryoposes_plugin.core.fourier.gridding import padded_for_interpolation
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.fourier_volumes import fourier_volume
from cryoposes_plugin.core.imaging.padding import padded_size
from cryoposes_plugin.core.likelihood import half_volume
from cryoposes_plugin.core.likelihood.arrays import ImageArrays, PoseArrays
from cryoposes_plugin.core.likelihood.half_volume import HalfVolume
from cryoposes_plugin.core.likelihood.on_gpu import PackedVolume
from cryoposes_plugin.core.likelihood.packed_nodes import layers_of, packed_nodes
from cryoposes_plugin.core.maps.phantom import make_phantom

BOX, PADDING, POSES = 24, 2.0, 30
#: All points of the box: more than one block, and no whole number of blocks.
ALL = len(FourierPoints(BOX))
#: Of the compiled engine, whose nodes are halves, and of TensorFlow's, whose are floats.
ROUNDING = {HalfVolume: 2.0**-11, PackedVolume: 3e-6}


@pytest.fixture(scope="module")
def points():
    return FourierPoints(BOX)


@pytest.fixture(scope="module")
def density():
    return make_phantom(BOX, 6.0).data


@pytest.fixture(scope="module")
def poses():
    """Rotations, among them the identity, whose points lie on nodes; shifts; rows of images."""
    rng = np.random.default_rng(1)
    rotations = np.concatenate([np.eye(3)[None], random_rotations(POSES - 1, rng)])
    return PoseArrays(rotations, rng.normal(0, 2, (POSES, 2)), rng.integers(0, 5, POSES))


@pytest.fixture(scope="module")
def images(points):
    rng = np.random.default_rng(2)
    return ImageArrays(*rng.standard_normal((3, 5, len(points))).astype(np.float32))


@pytest.fixture(scope="module")
def exact(density, points, poses):
    """(B, P) complex128: the trilinear interpolation, written out."""
    size = padded_size(BOX, PADDING)
    half = fourier_volume(density, size).astype(np.complex128)
    q = (size / BOX) * np.einsum("bca,pc->bpa", poses[0][:, :2], points.frequencies)
    side = np.where(q[..., :1] < 0, -1.0, 1.0)
    below = np.floor(q * side).astype(int)
    beyond = q * side - below
    values = np.zeros(q.shape[:2], complex)
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.where(corner, beyond, 1 - beyond).prod(axis=-1)
        x, y, z = np.moveaxis(below + corner, -1, 0)
        values += weight * half[(z + size // 2) % size, (y + size // 2) % size, x]
    return np.where(side[..., 0] < 0, values.conj(), values)


@pytest.mark.parametrize("box, size", [(16, 32), (24, 50)])
def test_the_transform_is_that_of_the_padded_volume(box, size):
    volume = np.random.default_rng(3).standard_normal((box,) * 3).astype(np.float32)
    whole = scipy.fft.rfftn(padded_for_interpolation(volume, size).astype(np.float64))
    whole = scipy.fft.fftshift(whole, axes=(0, 1))
    np.testing.assert_allclose(fourier_volume(volume, size), whole, atol=1e-6 * np.abs(whole).max())


@pytest.mark.parametrize("size", [48, 50])
def test_every_node_that_a_point_needs_is_stored(size, density):
    layers = layers_of(size)
    whole = fourier_volume(density, size)
    packed = packed_nodes(density, size, layers)
    half = np.arange(size + 1) - size // 2
    z, y, x = np.meshgrid(half, half, half[size // 2 :], indexing="ij")
    # Within a node along each axis of a point of the ball.
    inner = [np.maximum(np.abs(a) - 1, 0) for a in (z, y, x)]
    needed = inner[0] ** 2 + inner[1] ** 2 + inner[2] ** 2 < (size // 2) ** 2
    z, y, x = (a[needed] for a in (z + size // 2, y + size // 2, x))
    place = layers.start[z >> 1] + (y >> 1) * layers.step[z >> 1] + 8 * (z & 1) + 4 * (y & 1)
    place += 16 * (x >> 2) + (x & 3)
    table = packed.table[place]
    parts = [(table >> 16).astype(np.uint16), (table & 0xFFFF).astype(np.uint16)]
    real, imaginary = (packed.unit * part.view(np.float16).astype(np.float64) for part in parts)
    expected = whole[z % size, y % size, x]
    atol = 1e-6 * np.abs(expected).max()
    np.testing.assert_allclose(real, expected.real, rtol=2.0**-11, atol=atol)
    np.testing.assert_allclose(imaginary, expected.imag, rtol=2.0**-11, atol=atol)


@pytest.mark.parametrize("engine", [HalfVolume, PackedVolume])
@pytest.mark.parametrize("number", [1, 100, 128, ALL])
def test_slices_are_the_interpolation(engine, number, density, points, poses, exact):
    found = engine(density, PADDING, points.frequencies).slices(poses[0], number)
    np.testing.assert_allclose(
        found, exact[:, :number], atol=ROUNDING[engine] * np.abs(exact).max()
    )


@pytest.mark.parametrize("engine", [HalfVolume, PackedVolume])
@pytest.mark.parametrize("number", [1, 128, ALL])
def test_products_of_model_and_image(engine, number, density, points, poses, images, exact):
    rotations, shifts, particle = poses
    gram = engine(density, PADDING, points.frequencies).gram(poses, images, number)
    real, imaginary, modulation = (a[particle, :number].astype(np.float64) for a in images)
    phase = np.exp(-2j * np.pi / BOX * (shifts @ points.frequencies[:number].T))
    model = modulation * phase * exact[:, :number]
    image = real + 1j * imaginary
    for row, column, products in (
        (5, 5, np.abs(model) ** 2),
        (5, 6, (model.conj() * image).real),
        (6, 6, np.abs(image) ** 2),
    ):
        scale = (np.abs(model) ** 2 + np.abs(image) ** 2).sum(axis=1)
        np.testing.assert_allclose(
            gram[:, row, column] / scale, products.sum(axis=1) / scale, atol=ROUNDING[engine]
        )


def test_both_engines_give_the_same_derivatives(density, points, poses, images):
    """But where a point lies on a node, where the interpolation has a kink: at the identity."""
    compiled, tensors = (
        engine(density, PADDING, points.frequencies).gram(poses, images, ALL)[1:]
        for engine in (HalfVolume, PackedVolume)
    )
    length = np.sqrt(np.einsum("bii->bi", tensors))
    difference = np.abs(compiled - tensors) / (length[:, :, None] * length[:, None])
    assert difference.max() < 2 * ROUNDING[HalfVolume]


def test_products_are_symmetric_and_positive(density, points, poses, images):
    gram = HalfVolume(density, PADDING, points.frequencies).gram(poses, images, ALL)
    np.testing.assert_array_equal(gram, np.swapaxes(gram, 1, 2))
    length = np.sqrt(np.einsum("bii->bi", gram))
    scaled = gram / (length[:, :, None] * length[:, None])
    assert np.linalg.eigvalsh(scaled).min() > -1e-5


def test_no_poses_and_no_points(density, points, poses, images):
    volume = HalfVolume(density, PADDING, points.frequencies)
    none = PoseArrays(*(a[:0] for a in poses))
    assert volume.gram(none, images, 10).shape == (0, 7, 7)
    np.testing.assert_array_equal(volume.gram(poses, images, 0), 0.0)


def test_code_just_compiled_and_code_read_from_disk_give_the_same_bits(tmp_path):
    """Else a run that was killed would go on with other numbers."""
    script = f"""
        import hashlib
        import numpy as np
        from cryoposes_plugin.core.fourier.points import FourierPoints
        from cryoposes_plugin.core.geometry.sampling import random_rotations
        from cryoposes_plugin.core.likelihood.arrays import ImageArrays, PoseArrays
        from cryoposes_plugin.core.likelihood.half_volume import HalfVolume
        rng = np.random.default_rng(0)
        points = FourierPoints({BOX})
        volume = rng.standard_normal(({BOX},) * 3).astype(np.float32)
        images = rng.standard_normal((3, 50, len(points))).astype(np.float32)
        poses = PoseArrays(random_rotations(50, rng), rng.normal(size=(50, 2)), np.arange(50))
        work = HalfVolume(volume, 2.0, points.frequencies)
        found = work.gram(poses, ImageArrays(*images), len(points)), work.slices(poses[0], len(points))
        print(*(hashlib.sha256(array.tobytes()).hexdigest() for array in found))
    """
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    compiled, read = (
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    )
    assert list((tmp_path / "cache").rglob("*.nbc"))
    assert compiled == read


def test_a_grid_whose_nodes_cannot_be_counted_is_refused(density, points, monkeypatch):
    monkeypatch.setattr(half_volume, "_MOST_NODES", 1000)
    with pytest.raises(ResourceError, match="smaller working box"):
        HalfVolume(density, PADDING, points.frequencies)
