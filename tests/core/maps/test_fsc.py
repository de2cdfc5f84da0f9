"""FSC: closed forms, the mask's correction, and what an FSC is worth when poses share a reference."""

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.fourier.shells import shell_index
from cryoposes_plugin.core.fourier.slices import SliceSampler, ctf_weighted
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.maps import fsc
from cryoposes_plugin.core.reconstruction.fourier_inversion import FourierGrid, Inversion

from ...exact_projections import exact_projections

BOX = 32


def noise(rng, box=BOX):
    return rng.standard_normal((box,) * 3)


def test_against_the_definition_over_the_whole_of_fourier_space(rng):
    a, b = noise(rng), noise(rng) * 0.3
    b += a
    fa, fb = np.fft.fftn(a), np.fft.fftn(b)
    k = np.fft.fftfreq(BOX, 1 / BOX)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k**2)
    curve = fsc.fourier_shell_correlation(a, b)
    assert curve.shape == (BOX // 2 + 1,)
    for shell in range(BOX // 2 + 1):
        s = np.abs(radius - shell) < 0.5
        expected = (fa[s] * fb[s].conj()).sum().real / np.sqrt(
            (np.abs(fa[s]) ** 2).sum() * (np.abs(fb[s]) ** 2).sum()
        )
        assert curve[shell] == pytest.approx(expected, abs=1e-12)


def test_signal_in_noise_has_the_expected_correlation(rng):
    signal = noise(rng, 48)
    a, b = (signal + 0.5 * noise(rng, 48) for _ in range(2))
    curve = fsc.fourier_shell_correlation(a, b)
    np.testing.assert_allclose(curve[8:], 1 / 1.25, atol=0.06)
    np.testing.assert_allclose(fsc.fourier_shell_correlation(a, -3 * a), -1)
    assert np.abs(fsc.fourier_shell_correlation(noise(rng, 48), noise(rng, 48))[8:]).max() < 0.12


def test_volumes_of_two_grids_are_refused(rng):
    with pytest.raises(InputError, match="32 and 16 voxels"):
        fsc.fourier_shell_correlation(noise(rng), noise(rng, 16))


def test_resolution_is_interpolated_between_shells():
    curve = np.array([1.0, 1.0, 0.8, 0.4, 0.1, 0.3])
    assert fsc.resolution_angstrom(curve, 0.5, 10, 2.0) == pytest.approx(20 / 2.75)
    assert fsc.resolution_angstrom(curve, 0.143, 10, 2.0) == pytest.approx(20 / (3 + 0.257 / 0.3))
    assert fsc.resolution_angstrom(curve, 0.05, 10, 2.0) == 4.0
    assert fsc.resolution_angstrom(np.zeros(6), 0.143, 10, 2.0) == 20.0


def test_phases_are_randomised_beyond_the_shell_alone(rng):
    volume = noise(rng).astype(np.float32)
    scrambled = fsc.randomise_phases(volume, 7, rng)
    before, after = np.fft.rfftn(volume), np.fft.rfftn(scrambled)
    np.testing.assert_allclose(np.abs(after), np.abs(before), rtol=1e-3, atol=1e-2)
    curve = fsc.fourier_shell_correlation(volume, scrambled)
    np.testing.assert_allclose(curve[:7], 1, atol=1e-5)
    assert np.abs(curve[7:]).max() < 0.2


def test_the_correction_takes_the_masks_correlation_away(rng):
    mask = soft_sphere(BOX, 5.0, 2.0)
    constant = np.full((BOX,) * 3, 4.0)
    halves = [constant + 0.5 * noise(rng) for _ in range(2)]
    curves = fsc.half_map_fsc(halves[0], halves[1], 3.0, mask, "said", seed=3)
    # The mask alone, a smooth function in both halves, correlates in the first shells.
    assert curves.masked[3] > 0.5
    assert np.abs(curves.unmasked[3:]).max() < 0.4
    assert curves.randomised_from_shell == 2
    beyond = slice(curves.randomised_from_shell + 2, None)
    masked, randomised = curves.masked[beyond], curves.randomised[beyond]
    np.testing.assert_allclose(curves.corrected[beyond], (masked - randomised) / (1 - randomised))
    assert curves.masked[8] > 0.8
    assert curves.corrected[8] < 0.4
    np.testing.assert_array_equal(curves.corrected[:4], curves.masked[:4])
    again = fsc.half_map_fsc(halves[0], halves[1], 3.0, mask, "said", seed=3)
    np.testing.assert_array_equal(again.corrected, curves.corrected)


def test_equal_halves_reach_nyquist(rng):
    volume = noise(rng)
    curves = fsc.half_map_fsc(volume, volume, 3.0, soft_sphere(BOX, 10.0), "said")
    assert curves.resolution_angstrom("corrected", 0.143) == 6.0
    assert curves.frequency_per_angstrom[-1] == pytest.approx(1 / 6.0)


@pytest.mark.parametrize(
    "first, second, said",
    [
        (None, None, "not recorded"),
        (["truth"], ["truth"], "true ones"),
        (
            ["network:ab"],
            ["network:ab"],
            "Not independent up to the resolution of the common pose source",
        ),
        (["network:ab", "truth"], ["truth", "network:ab"], "come from network:ab"),
        (["network:ab"], ["network:cd"], "different sources"),
    ],
)
def test_what_an_fsc_is_worth_is_said(first, second, said):
    assert said in fsc.independence_statement(first, second)


def test_noise_posed_against_a_map_looks_resolved_and_is_labelled(asymmetric_volume, rng):
    """Einstein from noise: poses from one reference put its signal into both halves."""
    reference = asymmetric_volume.data[8:40, 8:40, 8:40]
    k = shell_index(BOX)
    shared_up_to = 6
    reference = np.fft.irfftn(np.fft.rfftn(reference) * (k <= shared_up_to), s=reference.shape)
    grid = random_rotations(300, rng)
    templates = exact_projections(reference, grid).reshape(300, -1)
    templates /= np.linalg.norm(templates, axis=1, keepdims=True)
    images = rng.standard_normal((3000, BOX, BOX)).astype(np.float32)
    best = np.argmax(images.reshape(3000, -1) @ templates.T, axis=1)
    posed, random = (
        halves_of(images, rotations) for rotations in (grid[best], random_rotations(3000, rng))
    )
    statement = fsc.independence_statement(["reference:ab"], ["reference:ab"])
    mask = soft_sphere(BOX, 10.0)
    curves = fsc.half_map_fsc(*posed, 5.0, mask, statement)
    honest = fsc.half_map_fsc(*random, 5.0, mask, "none")
    assert curves.unmasked[1:shared_up_to].min() > 0.5
    assert curves.unmasked[shared_up_to + 2 :].max() < 0.3
    assert curves.resolution_angstrom("corrected", 0.143) < BOX * 5.0 / (shared_up_to - 1)
    assert honest.unmasked[2:].max() < 0.4
    assert curves.statement.startswith("Not independent")


def halves_of(images, rotations):
    sampler, maps = SliceSampler(BOX), []
    for half in range(2):
        grid, rows = FourierGrid(BOX), np.arange(half, len(images), 2)
        samples = sampler.transform(images[rows], np.zeros((len(rows), 2)))
        grid.insert(*ctf_weighted(samples, None, "raw"), rotations[rows], sampler)
        maps.append(Inversion(grid).volume())
    return maps
