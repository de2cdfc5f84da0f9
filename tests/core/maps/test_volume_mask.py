"""Masks from files: what is refused, how soft an edge is, and on which grid a mask lies."""

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.maps.volume_mask import (
    check_mask,
    edge_width_px,
    mask_on_grid,
    masked_volume,
    warn_of_hard_edge,
)
from cryoposes_plugin.core.types import Volume


@pytest.mark.parametrize(
    "data, sentence",
    [
        (np.zeros((16,) * 3), "is empty"),
        (np.ones((16,) * 3), "is 1 everywhere"),
        (3.0 * soft_sphere(16, 5), "has values from 0 to 3;"),
        (soft_sphere(16, 5) - 0.5, "has values from -0.5 to 0.5;"),
    ],
)
def test_what_is_no_mask_is_refused(data, sentence):
    with pytest.raises(InputError, match=f"Mask m.mrc {sentence}"):
        check_mask("m.mrc", Volume(data.astype(np.float32), 2.0))


@pytest.mark.parametrize("edge_px", [2.0, 5.0, 8.0])
def test_width_of_an_edge_is_that_of_its_cosine(edge_px):
    # A cosine from 1 to 0 is between 0.98 and 0.02 over this share of its half period.
    share = 1 - 2 * np.arccos(2 * 0.98 - 1) / np.pi
    found = edge_width_px(soft_sphere(64, 18, edge_px))
    assert found == pytest.approx(share * edge_px, rel=0.08)


def test_a_resampled_mask_may_overshoot():
    mask = soft_sphere(16, 5)
    check_mask("m.mrc", Volume((1.08 * mask - 0.04).astype(np.float32), 2.0))


def test_a_hard_edge_is_warned_of(caplog):
    warn_of_hard_edge("soft.mrc", Volume(soft_sphere(48, 14, 5.0), 2.0))
    assert not caplog.records
    warn_of_hard_edge("hard.mrc", Volume((soft_sphere(48, 14, 5.0) > 0.5).astype(np.float32), 2.0))
    assert "Mask hard.mrc has a hard edge (0.0 voxels wide)" in caplog.text


def test_a_mask_on_another_grid_keeps_centre_and_size():
    fine = Volume(soft_sphere(64, 16, 8), 2.0)
    np.testing.assert_allclose(mask_on_grid(fine, 24, 4.0), soft_sphere(24, 8, 4), atol=0.01)
    assert mask_on_grid(fine, 48, 4.0)[0].max() == 0


def test_a_map_is_masked_above_its_solvent(caplog):
    ball, mask = soft_sphere(32, 6, 3), soft_sphere(32, 10, 4)
    masked = masked_volume(Volume(5 * ball + 7, 3.0), Volume(mask, 3.0))
    np.testing.assert_allclose(masked.data, 5 * ball * mask, atol=1e-5)
    assert not caplog.records
    masked_volume(Volume(5 * ball + 7, 3.0), Volume(np.roll(soft_sphere(32, 4, 3), 12, 0), 3.0))
    assert "leaves out 100 % of the power" in caplog.text
