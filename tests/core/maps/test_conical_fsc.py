"""FSC in cones against masks of Fourier space that are known."""

import numpy as np
import pytest
from scipy import fft

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.fourier.shells import shell_index
from cryoposes_plugin.core.maps.conical_fsc import fsc_in_cones
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation

BOX = 32


def noise(seed):
    return np.random.default_rng(seed).standard_normal((BOX,) * 3).astype(np.float32)


def frequencies():
    """Unit vectors along every frequency of `rfftn`, (3, D, D, D // 2 + 1) as x, y, z, and shells."""
    k = np.fft.fftfreq(BOX, 1 / BOX)
    z, y, x = np.meshgrid(k, k, np.arange(BOX // 2 + 1), indexing="ij")
    return np.stack([x, y, z]) / np.maximum(np.sqrt(x**2 + y**2 + z**2), 1), shell_index(BOX)


def test_a_map_with_itself_is_equally_good_in_all_directions():
    found = fsc_in_cones(noise(0), noise(0))
    assert found.ratio == pytest.approx(1, abs=1e-6)
    assert np.nanmin(found.curves) == pytest.approx(1, abs=1e-5)


def test_two_noises_have_no_direction():
    assert fsc_in_cones(noise(0), noise(1)).ratio < 0.5


def test_one_cone_of_a_right_angle_is_the_whole_shell():
    first, second = noise(0) + noise(2), noise(1) + noise(2)
    found = fsc_in_cones(first, second, 3, 91.0)
    whole = fourier_shell_correlation(first, second)
    np.testing.assert_allclose(found.curves[:, 1:], np.tile(whole[1:], (3, 1)), atol=1e-5)


def test_areas_count_shells_squared_up_to_where_each_cone_ends():
    """Halves that share shells 1 to 12 near z and 1 to 6 elsewhere: the areas of cones along z and
    across are the sums of s^2 up to 12 and 6.
    """
    direction, shells = frequencies()
    upto = np.where(np.abs(direction[2]) > np.cos(np.deg2rad(30)), 12, 6)
    common = fft.rfftn(noise(3)) * (shells <= upto)
    halves = [
        fft.irfftn(common + fft.rfftn(noise(seed)) * (shells > upto), s=(BOX,) * 3)
        for seed in (4, 5)
    ]
    found = fsc_in_cones(*halves)
    along, across = np.abs(found.axes[:, 2]).argmax(), np.abs(found.axes[:, 2]).argmin()
    assert _resolution(found.curves[along]) == pytest.approx(13, abs=1)
    assert _resolution(found.curves[across]) == pytest.approx(7, abs=1)
    expected = sum(s**2 for s in range(4, 7)) / sum(s**2 for s in range(4, 13))
    assert found.ratio == pytest.approx(expected, rel=0.35)


def _resolution(curve):
    return int(np.flatnonzero(curve <= 0.143)[0])


def test_half_maps_of_different_boxes_are_refused():
    with pytest.raises(InputError, match="32 and 16 voxels"):
        fsc_in_cones(noise(0), noise(1)[:16, :16, :16])
