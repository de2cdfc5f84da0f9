"""The compiled images of a simulation against the exact (non-uniform) transform of the volume."""

import numpy as np
import pytest

from cryoposes_plugin.core.fourier.aberrations import Aberrations
from cryoposes_plugin.core.fourier.ctf import pack_ctf
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.image_model import ImageModel
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.types import Volume

pytest.importorskip("finufft")

from ... import exact_projections as exact

BOX, PIXEL = 40, 5.0


def relative(found, expected):
    """(N,) relative errors of images."""
    axes = (1, 2)
    return np.sqrt(((found - expected) ** 2).sum(axes) / (expected**2).sum(axes))


def filling(box, rng):
    """A volume of noise up to the corners of its box, without its highest frequencies."""
    data = rng.standard_normal((box,) * 3)
    k = np.fft.fftfreq(box)
    r2 = k[:, None, None] ** 2 + k[:, None] ** 2 + k**2
    return np.fft.ifftn(np.fft.fftn(data) * (r2 < 0.16)).real.astype(np.float32)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(5)
    data = filling(BOX, rng)
    data -= np.median(np.concatenate([np.take(data, (0, -1), a).ravel() for a in (0, 1, 2)]))
    rotations, shifts = random_rotations(6, rng), rng.normal(0, 2, (6, 2))
    return data, rotations, shifts, exact.ctf_table(6, rng)


@pytest.fixture(scope="module")
def model(scene):
    return ImageModel([Volume(scene[0], PIXEL)], BOX, PIXEL)


def within_nyquist(box):
    k = np.fft.fftfreq(box, 1 / box)
    return (k[:, None] ** 2 + k**2 < (box / 2) ** 2).astype(float)


@pytest.mark.oracle
def test_images_of_a_map_that_fills_its_box_err_by_a_hundredth_at_most(scene, model):
    data, rotations, shifts, ctf = scene
    transfer = exact.transfer_of(ctf, BOX, PIXEL) * within_nyquist(BOX)
    expected = exact.exact_projections(data, rotations, shifts, transfer)
    found = model.images(np.zeros(6, int), rotations, shifts, pack_ctf(ctf))
    assert relative(found, expected).max() < 1e-2


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["ribosome70S_C1_64_5.64A", "ribosome80S_4ug0_C1_80_4.0A"])
def test_images_of_ribosomes_err_by_four_thousandths_at_most(shared_data, rng, name):
    volume = read_volume(shared_data / "maps" / f"{name}.mrc")
    box, rotations = volume.box_size_px, random_rotations(4, rng)
    model = ImageModel([volume], box, volume.pixel_size_angstrom)
    found = model.images(np.zeros(4, int), rotations, np.zeros((4, 2)))
    data = volume.data - np.median(
        np.concatenate([np.take(volume.data, (0, -1), a).ravel() for a in (0, 1, 2)])
    )
    transfer = np.broadcast_to(within_nyquist(box), (4, box, box))
    expected = exact.exact_projections(data, rotations, transfer=transfer)
    assert relative(found, expected).max() < 4e-3


@pytest.mark.oracle
def test_magnification_moves_the_points_of_the_slice(scene, model):
    data, rotations, shifts, _ = scene
    matrix = ((1.02, 0.01), (0.01, 0.97))
    k = np.fft.fftfreq(BOX, 1 / BOX)
    x, y = np.meshgrid(k, k)
    moved = np.einsum("ij,jyx->iyx", np.array(matrix), np.stack([x, y]))
    inside = within_nyquist(BOX) * ((moved**2).sum(axis=0) < (BOX / 2) ** 2)
    transfer = np.broadcast_to(inside, (6, BOX, BOX))
    expected = exact.exact_projections(data, rotations, shifts, transfer, np.array(matrix))
    stretched = model.with_aberrations(Aberrations(magnification=matrix))
    found = stretched.images(np.zeros(6, int), rotations, shifts)
    assert relative(found, expected).max() < 1e-2


def test_an_odd_aberration_turns_the_phases_of_the_images(scene, model):
    """A coefficient of the first order displaces the particle: exp(i c x) is a step of c / (2 pi)
    Å.
    """
    _, rotations, _, _ = scene
    coefficient = 2 * np.pi * 1.5 * PIXEL
    tilted = model.with_aberrations(Aberrations(odd=(0.0, coefficient)))
    found = tilted.images(np.zeros(6, int), rotations, np.zeros((6, 2)))
    candidates = [
        model.images(np.zeros(6, int), rotations, np.tile(step, (6, 1)))
        for step in ([1.5, 0], [-1.5, 0], [0, 1.5], [0, -1.5])
    ]
    assert min(relative(found, c).max() for c in candidates) < 1e-5


def test_an_image_is_the_same_to_the_last_bit_in_every_batch(scene, model):
    _, rotations, shifts, ctf = scene
    index, packed = np.zeros(6, int), pack_ctf(ctf)
    together = model.images(index, rotations, shifts, packed)
    for row in range(6):
        own = slice(row, row + 1)
        alone = model.images(index[own], rotations[own], shifts[own], packed[own])
        assert alone.tobytes() == together[own].tobytes()


def test_each_image_shows_its_own_volume(scene, model):
    data, rotations, shifts, _ = scene
    two = ImageModel([Volume(data, PIXEL), Volume(2 * data, PIXEL)], BOX, PIXEL)
    index = np.array([0, 1, 0, 1, 1, 0])
    found = two.images(index, rotations, shifts)
    expected = model.images(np.zeros(6, int), rotations, shifts) * (1 + index[:, None, None])
    assert found == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())
