"""The Fourier projector against the exact (non-uniform) transform of the volume."""

import numpy as np
import pytest

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.maps.phantom import make_phantom

tf = pytest.importorskip("tensorflow")
finufft = pytest.importorskip("finufft")

from cryoposes_plugin.core.imaging.forward_model import ForwardModel  # noqa: E402

pytestmark = pytest.mark.oracle


def exact_projections(volume, rotations):
    """(N, D, D) float64: V^ summed at A^T (kx, ky, 0) for |k| < D / 2, transformed back."""
    d = volume.shape[0]
    kx, ky = np.meshgrid(*[np.arange(-(d // 2), d // 2)] * 2)
    inside = kx**2 + ky**2 < (d / 2) ** 2
    plane = np.stack([kx[inside], ky[inside], np.zeros(inside.sum())], axis=1)
    images = []
    for a in rotations:
        x, y, z = (2 * np.pi / d * plane @ a).T.copy()
        spectrum = np.zeros((d, d), complex)
        spectrum[inside] = finufft.nufft3d2(z, y, x, volume.astype(complex), isign=-1, eps=1e-9)
        images.append(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(spectrum))).real)
    return np.array(images)


def check(volume, rng, number):
    rotations = random_rotations(number, rng)
    model = ForwardModel([volume], volume.box_size_px, volume.pixel_size_angstrom)
    zeros = tf.zeros((number, 2))
    images = model.images(
        tf.zeros(number, tf.int32), tf.constant(rotations, tf.float32), zeros, None
    ).numpy()
    exact = exact_projections(volume.data, rotations)
    axes = (1, 2)
    errors = np.sqrt(((images - exact) ** 2).sum(axes) / (exact**2).sum(axes))
    assert errors.mean() < 2e-2, errors
    # The wrong frames must score badly.
    transposed = exact_projections(volume.data, np.swapaxes(rotations, 1, 2))
    assert (np.sqrt(((images - transposed) ** 2).sum(axes) / (exact**2).sum(axes)) > 0.2).all()


def test_relative_error_on_the_phantom(rng):
    check(make_phantom(64, 5.0), rng, 8)


def test_relative_error_on_asymmetric_blobs(asymmetric_volume, rng):
    check(asymmetric_volume, rng, 8)


@pytest.mark.parametrize("name", ["ribosome70S_C1_64_5.64A", "ribosome80S_4ug0_C1_80_4.0A"])
def test_relative_error_on_ribosomes(shared_data, rng, name):
    """The 80S fills its box to the edge."""
    check(read_volume(shared_data / "maps" / f"{name}.mrc"), rng, 8)
