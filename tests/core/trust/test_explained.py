"""The share of signal that is explained, against shares that follow from how images were made."""

import numpy as np
import pytest

from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.trust.explained import band_powers, explained_share, risen_share

BOX, NUMBER = 32, 64
POINTS = FourierPoints(BOX)
LAST = BOX // 2 - 1


@pytest.fixture(scope="module")
def images():
    """(B, P) coefficients of a model near the centre of its images, and of these with noise."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:BOX, :BOX] - BOX / 2
    signal = rng.standard_normal((NUMBER, BOX, BOX)) * np.exp(-(x**2 + y**2) / 50)
    noisy = signal + 0.5 * rng.standard_normal(signal.shape)
    return POINTS.transform(signal), POINTS.transform(noisy)


@pytest.mark.parametrize("amplitude", [0.0, 0.5, 1.0])
def test_a_model_of_another_amplitude_explains_what_it_takes_away(images, amplitude):
    model, observed = images
    share = explained_share(band_powers(POINTS, observed, model, amplitude * model, LAST))
    assert share.share == pytest.approx(1 - (1 - amplitude) ** 2, abs=0.05)


@pytest.mark.parametrize(("before", "after"), [(0.5, 1.0), (1.0, 0.5), (0.8, 0.8)])
def test_a_rise_is_the_difference_of_shares(images, before, after):
    model, observed = images
    powers = [band_powers(POINTS, observed, model, a * model, LAST) for a in (before, after)]
    rise = risen_share(*powers, LAST)
    assert rise.share == pytest.approx((1 - before) ** 2 - (1 - after) ** 2, abs=0.03)


def test_a_rise_is_better_known_than_the_shares(images):
    """The noise that both explanations leave cancels."""
    model, observed = images
    powers = [band_powers(POINTS, observed, model, a * model, LAST) for a in (0.7, 0.9)]
    assert risen_share(*powers, LAST).error < 0.5 * explained_share(powers[1]).error
