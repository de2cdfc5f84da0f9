"""Amplitude of an asymmetric part and probabilities of mates, where both are known; fits of images
made with a known mate.
"""

import numpy as np
import pytest

from cryoposes_plugin.core.geometry.subgroups import cosets
from cryoposes_plugin.core.maps.symmetry import turned

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.pseudosymmetry.mates import (
    Amplitude,
    asymmetry_amplitude,
    mate_probabilities,
)
from cryoposes_plugin.core.pseudosymmetry.scored import (
    probability_texts,
)
from cryoposes_plugin.core.pseudosymmetry.split_maps import group_average, split_map
from cryoposes_plugin.core.types import Volume

from ...particle_sets import mate_probabilities_of

NUMBER, MATES = 4000, 4


def gains(amplitude, power, dispersion=1.0, seed=1):
    """Gains at mates that are equally far from each other, in images that hold the asymmetric part
    with this amplitude; and the true mates.
    """
    rng = np.random.default_rng(seed)
    true = rng.integers(MATES, size=NUMBER)
    noise = rng.standard_normal((NUMBER, MATES))
    noise -= noise.mean(axis=1, keepdims=True)
    mean = np.full((NUMBER, MATES), -amplitude * power / (MATES - 1))
    mean[np.arange(NUMBER), true] = amplitude * power
    overlap = mean + np.sqrt(dispersion * power * MATES / (MATES - 1)) * noise
    return 2 * overlap + rng.uniform(100, 200, (NUMBER, 1)), np.full(NUMBER, power), true


@pytest.mark.parametrize("amplitude, dispersion", [(1.0, 1.0), (0.6, 1.0), (0.6, 1.5)])
def test_amplitude_and_dispersion_are_found(amplitude, dispersion):
    gain, power, _ = gains(amplitude, 5.0, dispersion)
    found = asymmetry_amplitude(gain, power)
    assert found[:2] == pytest.approx((amplitude, dispersion), abs=0.07)


@pytest.mark.parametrize("amplitude, dispersion", [(1.0, 1.0), (0.5, 1.0), (0.8, 2.0)])
def test_probabilities_are_the_shares_of_right_mates(amplitude, dispersion):
    gain, power, true = gains(amplitude, 6.0, dispersion)
    found = mate_probabilities(gain, asymmetry_amplitude(gain, power))
    right = found.argmax(axis=1) == true
    sure = found.max(axis=1) > 0.6
    for some in (sure, ~sure):
        error = np.sqrt(0.25 / some.sum())
        assert abs(found.max(axis=1)[some].mean() - right[some].mean()) < 4 * error


@pytest.mark.parametrize("dispersion", [1.0, 2.0])
def test_an_asymmetry_that_is_not_in_the_images_tells_nothing(dispersion):
    gain, power, _ = gains(0.0, 5.0, dispersion)
    found = asymmetry_amplitude(gain, power)
    assert not found.tells_mates_apart
    np.testing.assert_array_equal(mate_probabilities(gain, found), 1 / MATES)


def test_a_certain_amplitude_gives_the_posterior_of_the_likelihood():
    """Two mates whose gains differ by 2 ln 3: three to one."""
    one = mate_probabilities(np.array([[2 * np.log(3), 0.0]]), Amplitude(1.0, 1.0, 1.0, 10.0))
    np.testing.assert_allclose(one, [[0.75, 0.25]])


def test_probabilities_survive_their_texts():
    probability = np.array([[0.25, 0.75, 0.0], [0.5, 0.125, 0.375]])
    np.testing.assert_allclose(
        mate_probabilities_of(probability_texts(probability)), probability, atol=5e-5
    )


@pytest.fixture(scope="module")
def broken():
    """A C4 map with a ball at one place, and the cosets of C1 and of C2."""
    volume = make_phantom(32, 5.0)
    data = group_average(volume.data, cosets("C4", "C1").group)
    z, y, x = np.indices(data.shape) - 16
    ball = np.exp(-((x - 8) ** 2 + y**2 + (z - 2) ** 2) / 8.0).astype(np.float32)
    return Volume(data + 3 * data.std() * ball, 5.0)


def test_the_mean_over_a_group_has_its_symmetry(broken):
    data = group_average(broken.data, cosets("D2", "C1").group)
    inner = slice(4, -3), slice(4, -3), slice(4, -3)  # a turn brings nothing from beyond the box
    for g in cosets("D2", "C1").group:
        np.testing.assert_allclose(turned(data, g, order=3)[inner], data[inner], atol=1e-3)


def test_the_parts_of_a_map_add_up(broken):
    split = split_map(broken, cosets("C4", "C1"))
    np.testing.assert_allclose(split.whole.data, broken.data, atol=1e-5)
    assert group_average(
        split.whole.data - split.symmetric.data, cosets("C4", "C1").group
    ).std() < (1e-3 * broken.data.std())


def test_a_focus_mask_makes_the_rest_symmetric(broken):
    z, y, x = np.indices(broken.data.shape) - 16
    focus = (x > 0).astype(np.float32)
    split = split_map(broken, cosets("C4", "C1"), focus)
    np.testing.assert_array_equal(split.whole.data[x <= 0], split.symmetric.data[x <= 0])
