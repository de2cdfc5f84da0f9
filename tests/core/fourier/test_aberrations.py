"""Aberrations and anisotropic magnification: closed forms, and exact slices at stretched
frequencies.
"""

import numpy as np
import pytest

from cryoposes_plugin.core.fourier.aberrations import (
    Aberrations,
    beam_tilt_coefficients,
    correct,
    odd_phase,
    recorded_shifts,
    true_shifts,
)
from cryoposes_plugin.core.fourier.ctf import (
    ctf_values,
    electron_wavelength_angstrom,
    frequency_grid,
    pack_ctf,
    unpack_ctf,
)
from cryoposes_plugin.core.geometry.sampling import random_rotations

from ...exact_projections import ctf_table, exact_projections

PIXEL = 1.5
MATRIX = np.array([[1.03, 0.02], [-0.01, 0.98]])


def magnified(matrix):
    return Aberrations(magnification=tuple(map(tuple, matrix)))


def unit(number, index):
    return tuple(float(i == index) for i in range(number))


@pytest.mark.parametrize(
    "index, form",
    [
        (0, lambda x, y: y),
        (1, lambda x, y: x),
        (2, lambda x, y: 3 * x**2 * y - y**3),
        (3, lambda x, y: (3 * (x**2 + y**2) - 2) * y),
        (4, lambda x, y: (3 * (x**2 + y**2) - 2) * x),
        (5, lambda x, y: x**3 - 3 * x * y**2),
    ],
)
def test_odd_coefficients_are_in_relions_order(rng, index, form):
    x, y = rng.normal(size=(2, 20))
    assert odd_phase(x, y, unit(6, index)) == pytest.approx(form(x, y))


@pytest.mark.parametrize(
    "index, form",
    [
        (0, lambda x, y: 1 + 0 * x),
        (1, lambda x, y: 2 * x * y),
        (2, lambda x, y: 2 * (x**2 + y**2) - 1),
        (3, lambda x, y: x**2 - y**2),
        (4, lambda x, y: 4 * x**3 * y - 4 * x * y**3),
        (6, lambda x, y: 6 * (x**2 + y**2) ** 2 - 6 * (x**2 + y**2) + 1),
        (8, lambda x, y: x**4 - 6 * x**2 * y**2 + y**4),
    ],
)
def test_even_aberrations_are_taken_off_the_phase_of_the_ctf(rng, index, form):
    x, y = rng.uniform(-0.3, 0.3, (2, 20))
    ctf = ctf_table(1, rng)
    quadrature = ctf_values(x, y, ctf.__class__(**{**vars(ctf), "phase_shift_deg": np.full(1, 90)}))
    ctf = ctf.__class__(**{**vars(ctf), "even_zernike": 0.7 * np.array([unit(9, index)])})
    plain = ctf_values(x, y, ctf.__class__(**{**vars(ctf), "even_zernike": np.zeros((1, 0))}))
    phase = 0.7 * form(x, y)
    assert ctf_values(x, y, ctf) == pytest.approx(
        plain * np.cos(phase) - quadrature * np.sin(phase)
    )


def test_packed_coefficients_give_the_same_ctf(rng):
    x, y = frequency_grid(16, PIXEL)
    ctf = ctf_table(3, rng)
    ctf = ctf.__class__(**{**vars(ctf), "even_zernike": rng.normal(size=(3, 9))})
    assert pack_ctf(ctf).shape == (3, 17)
    unpacked = ctf_values(x, y, unpack_ctf(pack_ctf(ctf).astype(np.float64)))
    assert unpacked == pytest.approx(ctf_values(x, y, ctf), abs=1e-3)


def test_a_beam_tilt_is_coma_as_relion_counts_it(rng):
    x, y = rng.uniform(-0.3, 0.3, (2, 20))
    tilt_x, tilt_y = 0.5e-3, -0.2e-3
    wavelength = electron_wavelength_angstrom(300.0)
    expected = -2 * np.pi * 2.7e7 * wavelength**2 * (x**2 + y**2) * (tilt_x * x + tilt_y * y)
    found = odd_phase(x, y, beam_tilt_coefficients((0.5, -0.2), 300.0, 2.7))
    assert found == pytest.approx(expected, abs=1e-9)


def test_a_linear_phase_moves_an_image(rng):
    image = rng.normal(size=(2, 15, 15)).astype(np.float32)
    along_y, along_x = 2 * np.pi * PIXEL * np.array([3, -2])
    moved = correct(image, Aberrations(odd=(along_y, along_x)), PIXEL)
    assert moved == pytest.approx(np.roll(image, (3, -2), axis=(1, 2)), abs=1e-5)


def test_without_aberrations_the_image_is_the_same_object(rng):
    image = rng.normal(size=(1, 8, 8)).astype(np.float32)
    assert correct(image, Aberrations((0.0, 0.0), (0.3,), ((1.0, 0.0), (0.0, 1.0))), PIXEL) is image


def images_of(volume, rng, matrix, aberrations=None):
    """Exact images with and without magnification and odd phases, and their coarser half band."""
    rotations, shifts = random_rotations(5, rng), rng.normal(0, 3, (5, 2))
    plain = exact_projections(volume, rotations, shifts)
    box = volume.shape[0]
    f = np.fft.fftfreq(box, PIXEL)
    x, y = (v.reshape(box, box) for v in matrix @ np.stack([v.ravel() for v in np.meshgrid(f, f)]))
    factor = np.exp(1j * odd_phase(x, y, aberrations.odd))[None]
    return plain, exact_projections(volume, rotations, shifts, factor, matrix)


def low_band(images, share):
    box = images.shape[-1]
    spectrum = np.fft.fft2(images)
    f = np.fft.fftfreq(box)
    return spectrum[:, np.hypot(*np.meshgrid(f, f)) < 0.5 * share]


@pytest.mark.parametrize("matrix", [MATRIX, np.diag([1.02, 0.98]), np.eye(2)])
def test_corrected_images_are_those_without_aberrations(asymmetric_volume, rng, matrix):
    aberrations = Aberrations((0.5, -1.0, 3.0, 2.0, -4.0, 5.0), (), tuple(map(tuple, matrix)))
    plain, recorded = images_of(asymmetric_volume.data, rng, matrix, aberrations)
    corrected = correct(recorded, aberrations, PIXEL)
    expected, found, wrong = (low_band(i, 0.9) for i in (plain, corrected, recorded))
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert error < 2e-3
    assert np.linalg.norm(wrong - expected) > 0.1 * np.linalg.norm(expected)


def test_a_magnification_and_its_inverse_leave_an_image(asymmetric_volume, rng):
    image = exact_projections(asymmetric_volume.data, random_rotations(2, rng))
    there = correct(image, magnified(MATRIX), PIXEL)
    back = correct(there, magnified(np.linalg.inv(MATRIX)), PIXEL)
    assert np.linalg.norm(low_band(back - image, 0.9)) < 2e-3 * np.linalg.norm(low_band(image, 0.9))


def test_noise_stays_white(rng):
    noise = rng.normal(size=(400, 32, 32)).astype(np.float32)
    odd = beam_tilt_coefficients((2, -1), 300, 2.7)
    stretched = Aberrations(tuple(odd), (), ((1.01, 0.0), (0.0, 0.99)))
    power = (np.abs(np.fft.fft2(correct(noise, stretched, PIXEL))) ** 2).mean(axis=0) / 32**2
    f = np.fft.fftfreq(32)
    inside = np.hypot(*np.meshgrid(f, f)) < 0.45
    assert power[inside].mean() == pytest.approx(1.0, abs=0.01)
    assert power[inside].std() < 0.08


def test_displacements_return_from_the_corrected_frame(rng):
    shifts, matrices = rng.normal(size=(4, 2)), np.stack([MATRIX] * 4)
    there = true_shifts(shifts, matrices)
    assert MATRIX.T @ there[0] == pytest.approx(shifts[0])
    assert recorded_shifts(there, matrices) == pytest.approx(shifts)
