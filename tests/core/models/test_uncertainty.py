"""Bingham statistics against closed forms."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from cryoposes_plugin.core.models.uncertainty import (
    dispersion_coefficients,
    largest_dispersion,
    total_dispersion,
)


def test_known_eigenvalues_give_equations_6_and_7():
    a = np.diag([7.0, 2.0, 3.0, 11.0])
    assert largest_dispersion(a) == pytest.approx(2 - 3)
    assert total_dispersion(a) == pytest.approx(3 * 2 - 3 - 7 - 11)
    np.testing.assert_allclose(dispersion_coefficients(a), [2 - 11, 2 - 7, 2 - 3])


def test_orthogonal_turns_and_multiples_of_the_identity_change_nothing(rng):
    eigenvalues = np.sort(rng.normal(size=(50, 4)) * 30, axis=1)
    frames = ortho_group.rvs(4, size=50, random_state=1)
    a = np.einsum("nij,nj,nkj->nik", frames, eigenvalues, frames) + 13.5 * np.eye(4)
    np.testing.assert_allclose(
        largest_dispersion(a), eigenvalues[:, 0] - eigenvalues[:, 1], atol=1e-10
    )
    np.testing.assert_allclose(
        total_dispersion(a), 4 * eigenvalues[:, 0] - eigenvalues.sum(axis=1), atol=1e-10
    )


def test_no_preference_is_zero_and_sharper_is_more_negative():
    assert total_dispersion(5 * np.eye(4)) == 0
    assert largest_dispersion(np.zeros((4, 4))) == 0
    blunt, sharp = np.diag([0.0, 1, 1, 1]), np.diag([0.0, 9, 9, 9])
    assert total_dispersion(sharp) < total_dispersion(blunt) < 0
    assert largest_dispersion(sharp) < largest_dispersion(blunt) < 0


def test_one_matrix_and_batches_agree(rng):
    a = rng.normal(size=(3, 4, 4))
    a = a + np.swapaxes(a, 1, 2)
    np.testing.assert_allclose(total_dispersion(a), [total_dispersion(m) for m in a])
    assert total_dispersion(a.astype(np.float32)).dtype == np.float64


def test_wrong_shapes_and_nan_are_refused():
    with pytest.raises(ValueError, match=r"\(\.\.\., 4, 4\)"):
        total_dispersion(np.eye(3))
    with pytest.raises(ValueError, match="finite"):
        largest_dispersion(np.full((4, 4), np.nan))
