"""Formulas of memory against the arrays that are allocated."""

import numpy as np
import pytest

from cryoposes_plugin.core import needs
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.imaging.kaiser_bessel import KaiserBesselVolume
from cryoposes_plugin.core.likelihood.half_volume import HalfVolume
from cryoposes_plugin.core.reconstruction.fourier_inversion import FourierGrid


@pytest.mark.parametrize("padding", [2.0, 3.0])
def test_table_of_a_map(padding):
    points = FourierPoints(64)
    half = HalfVolume(np.zeros((64, 64, 64), np.float32), padding, points.frequencies)
    assert needs.map_table_bytes(64, padding) == pytest.approx(half.bytes, rel=0.15)


def test_table_that_a_map_is_projected_from():
    table = KaiserBesselVolume(np.zeros((32, 32, 32), np.float32))._table
    assert needs.projection_table_bytes(32) == table.nbytes


@pytest.mark.parametrize("padding", [1, 2, 3])
def test_sums_of_a_half_set(padding):
    sums = FourierGrid(32, padding).sums
    assert needs.sums_bytes(32, padding) == pytest.approx(sums.nbytes, rel=0.01)


def test_number_of_coefficients():
    assert needs.coefficients(64) == pytest.approx(len(FourierPoints(64)), rel=0.01)


def test_sums_of_one_half_set_wait_from_346_px_on():
    assert [needs.waits_in_file(box, 2) for box in (344, 348)] == [False, True]
