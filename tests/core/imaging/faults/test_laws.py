"""The moments of what is drawn, and the closed forms of what is done with it."""

import numpy as np
import pytest
from scipy import stats

from cryoposes_plugin.core.conventions import viewing_directions
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging import draws
from cryoposes_plugin.core.imaging.faults import (
    damage,
    duplicates,
    ice,
    neighbours,
    picks,
    spectrum,
    spread,
    views,
)
from cryoposes_plugin.core.imaging.noise import coloured_noise
from cryoposes_plugin.core.imaging.settings import PoseDistribution
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.particles.grids import Grid
from cryoposes_plugin.core.types import OpticsGroup, ParticleTable, Volume

N = 20000


def test_contrast_is_log_normal_of_mean_one():
    scales = spread.draw_scales(0.3, N, 1)
    assert stats.kstest(np.log(scales), stats.norm(-0.045, 0.3).cdf).pvalue > 0.01
    assert scales.mean() == pytest.approx(1, abs=0.01)


def test_bfactors_and_defoci_have_their_laws():
    more = spread.draw_bfactors(100.0, N, 1)
    assert stats.kstest(more, stats.halfnorm(0, 100).cdf).pvalue > 0.01
    errors = spread.draw_defocus_errors(250.0, N, 1)
    assert stats.kstest(errors, stats.norm(0, 250).cdf).pvalue > 0.01
    assert abs(np.corrcoef(more, errors)[0, 1]) < 0.03


def test_misplaced_centres_are_a_share_at_exponential_distances():
    moved = picks.draw_misplacements(0.1, 4.0, N, 1)
    distance = np.hypot(*moved.T)
    off = distance > 0
    assert off.mean() == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / N))
    assert stats.kstest(distance[off], stats.expon(0, 4).cdf).pvalue > 0.01
    angles = np.arctan2(*moved[off].T) / (2 * np.pi) % 1
    assert stats.kstest(angles, "uniform").pvalue > 0.01


def test_preferred_views_replace_a_share_of_the_rotations(rng):
    given = random_rotations(N, rng)
    kappa = 8.0
    law = PoseDistribution(preferred_directions_deg=(0.0, 90.0), preferred_concentration=kappa)
    rotations, lies = views.with_preferred_views(given, 0.4, law, 1)
    assert (rotations[~lies] == given[~lies]).all()
    assert lies.mean() == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / N))
    towards = viewing_directions(rotations[lies])[:, 0]
    assert towards.mean() == pytest.approx(1 / np.tanh(kappa) - 1 / kappa, abs=0.01)


def test_volumes_are_shown_in_the_given_shares():
    shown = draws.draw_volumes(3, 101, 0, (5.0, 0.0, 2.5))
    assert np.bincount(shown, minlength=3).tolist() == [67, 0, 34]
    assert (np.diff(shown) != 0).sum() > 20


def test_thickness_belongs_to_the_micrograph_and_takes_contrast_away():
    micrograph = np.repeat(np.arange(2000), 3)
    thickness = ice.draw_thickness(500.0, micrograph, 1)
    assert (thickness.reshape(-1, 3) == thickness[::3, None]).all()
    assert stats.kstest(thickness[::3], stats.uniform(250, 500).cdf).pvalue > 0.01
    left = ice.transmitted(np.array([0.0, 3000.0, 2400.0]), np.array([300.0, 300.0, 200.0]))
    assert left == pytest.approx([1, np.exp(-1), np.exp(-1)])


def test_gradients_are_half_shared_and_the_ramp_rises_by_them():
    micrograph = np.repeat(np.arange(N // 2), 2)
    gradients = ice.draw_gradients(0.8, micrograph, 1)
    assert gradients.std() == pytest.approx(0.8, rel=0.03)
    first, second = gradients.reshape(-1, 2, 2).transpose(1, 0, 2).reshape(2, -1)
    assert np.corrcoef(first, second)[0, 1] == pytest.approx(0.5, abs=0.03)
    ramp = ice.ramps(np.array([[2.0, -1.0]]), 16)[0]
    assert ramp.mean() == pytest.approx(0, abs=1e-6)
    assert np.diff(ramp, axis=1) == pytest.approx(2 / 16, abs=1e-6)
    assert np.diff(ramp, axis=0) == pytest.approx(-1 / 16, abs=1e-6)


def test_the_dose_envelope_is_that_of_a_sum_of_weighted_frames():
    frequency, frames, dose = np.array([0.0, 0.02, 0.1, 0.3]), 4000, 50.0
    exposure = (np.arange(frames) + 0.5) / frames * dose
    with np.errstate(divide="ignore"):
        critical = 0.24499 * frequency**-1.6649 + 2.8141
    q = np.exp(-exposure / (2 * critical[:, None]))
    # signal of the weighted sum over its noise, relative to that of an undamaged plain sum
    expected = (q * q).sum(axis=1) / np.sqrt((q * q).sum(axis=1)) / np.sqrt(frames)
    assert damage.dose_envelope(frequency, dose, 300.0) == pytest.approx(expected, rel=1e-6)
    assert damage.critical_dose(0.1, 200.0) == pytest.approx(0.8 * damage.critical_dose(0.1, 300.0))


def test_a_damaged_wave_has_the_amplitude_of_the_envelope():
    box, pixel, k = 24, 2.0, 5
    wave = np.cos(2 * np.pi * k * np.arange(box) / box) * np.ones((box, box, 1))
    left = damage.after_exposure(Volume(wave.astype(np.float32), pixel), 40.0, 300.0)
    gain = damage.dose_envelope(k / (box * pixel), 40.0, 300.0)
    assert left.data == pytest.approx(gain * wave, abs=1e-5)


def test_neighbours_are_a_poisson_process_beyond_the_distance_of_the_picker():
    box, nearest, density = 64, 20.0, 0.3
    found = [neighbours.draw_neighbours(density, nearest, box, 1, row)[0] for row in range(3000)]
    points = np.concatenate(found)
    furthest = box / np.sqrt(2) + nearest / 2
    area = np.pi * (furthest**2 - nearest**2) / box**2
    distance = np.hypot(*points.T)
    assert nearest <= distance.min() <= distance.max() <= furthest
    nobody = np.mean([len(f) == 0 for f in found])
    assert nobody == pytest.approx(np.exp(-density * area), abs=0.03)
    alone = np.concatenate([f for f in found if len(f) == 1])
    squared = (np.hypot(*alone.T) ** 2 - nearest**2) / (furthest**2 - nearest**2)
    assert stats.kstest(squared, "uniform").pvalue > 0.01
    apart = [np.hypot(*(f[0] - f[1])) for f in found if len(f) == 2]
    assert min(apart) >= nearest


def test_neighbours_are_a_function_of_seed_and_image():
    places, rotations = neighbours.draw_neighbours(2.0, 10.0, 64, 3, 17)
    again = neighbours.draw_neighbours(2.0, 10.0, 64, 3, 17)
    assert len(places) == len(rotations) > 0
    assert (again[0] == places).all()
    assert (again[1] == rotations).all()
    assert neighbours.draw_neighbours(0.0, 10.0, 64, 3, 17)[1].shape == (0, 3, 3)


def test_duplicates_show_others_of_their_micrograph_a_few_pixels_off():
    micrograph = np.repeat(np.arange(200), 50)
    found = duplicates.draw_duplicates(0.1, micrograph, 2.0, 1)
    copies = found.rows
    assert len(copies) == 1000
    assert (micrograph[found.source] == micrograph).all()
    assert not np.isin(found.source[copies], copies).any()
    assert not found.step_px[found.source == np.arange(10000)].any()
    assert found.step_px[copies].std() == pytest.approx(np.sqrt(4 + 1 / 12), rel=0.05)
    alone = duplicates.draw_duplicates(0.5, np.arange(10), 2.0, 1)
    assert len(alone.rows) == 0


def test_the_noise_of_a_duplicate_is_that_of_its_source_moved(rng):
    own, source = rng.standard_normal((2, 1, 8, 8))
    found = duplicates.noise_of_duplicates(own, source, np.array([[2, -1]]))[0]
    assert (found[:7, 2:] == source[0, 1:, :6]).all()
    assert (found[7] == own[0, 7]).all()
    assert (found[:, :2] == own[0, :, :2]).all()


GIVEN, WANTED = Grid(48, 3.0), Grid(32, 5.0)


def _profile(frequency):
    """A spectrum with a peak at low frequency; frequencies in 1/Å."""
    return 0.4 + np.exp(-((frequency / 0.03) ** 2))


def _frequencies(grid):
    axis = np.fft.fftfreq(grid.box_size_px, grid.pixel_size_angstrom)
    return np.hypot(axis[:, None], axis)


@pytest.fixture(scope="module")
def background(tmp_path_factory):
    """Background patches of a known spectrum."""
    power = _profile(_frequencies(GIVEN))
    half = np.sqrt(power[:, : GIVEN.box_size_px // 2 + 1])
    path = tmp_path_factory.mktemp("noise") / "noise.mrcs"
    images = coloured_noise(5, np.arange(400), GIVEN.box_size_px, half)
    write_stack(path, images.astype(np.float32), GIVEN.pixel_size_angstrom)
    return ParticleTable(
        ids=np.arange(1, 401),
        stack_paths=(path,),
        stack_index=np.zeros(400, np.int64),
        slice_index=np.arange(400),
        optics=(OpticsGroup("o", GIVEN.pixel_size_angstrom, GIVEN.box_size_px),),
        optics_index=np.zeros(400, np.int64),
    )


def test_noise_has_the_spectrum_of_given_images_on_another_grid(background):
    amplitude = spectrum.noise_amplitude_like(background, WANTED, 0)
    expected = _profile(_frequencies(WANTED))
    expected = expected[:, : WANTED.box_size_px // 2 + 1] / expected.mean()
    assert amplitude**2 == pytest.approx(expected, rel=0.15)
    noise = coloured_noise(1, np.arange(500), WANTED.box_size_px, amplitude)
    assert noise.var() == pytest.approx(1, rel=0.02)


def test_a_known_spectrum_is_put_on_another_grid():
    given = Grid(2 * GIVEN.box_size_px, GIVEN.pixel_size_angstrom)
    found = spectrum.amplitude_on(_profile(_frequencies(given)), given, WANTED) ** 2
    expected = _profile(_frequencies(WANTED))
    expected = expected[:, : WANTED.box_size_px // 2 + 1] / expected.mean()
    assert found == pytest.approx(expected, rel=0.02)
