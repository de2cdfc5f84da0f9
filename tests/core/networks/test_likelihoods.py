"""The constant of Bingham and matrix Fisher distributions against quadrature, Monte Carlo and
closed forms.
"""

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import tensorflow as tf

from cryoposes_plugin.core.conventions import rotations_to_quaternions
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.networks.bingham_normaliser import log_normaliser
from cryoposes_plugin.core.networks.representations import davenport_matrices
from cryoposes_plugin.core.training import losses


def form_of(values, rng):
    basis = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    return (basis @ np.diag(np.array(values, float)) @ basis.T)[None]


@pytest.mark.parametrize("values", [(0, 1, 2, 3), (2, 2, 2, 2), (-1, -1, 4, 4), (0, 0.1, 6, 9)])
def test_constant_agrees_with_monte_carlo(values, rng):
    quaternions = rng.standard_normal((400_000, 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    form = form_of(values, rng)
    expected = np.exp(-np.einsum("ni,ij,nj->n", quaternions, form[0], quaternions)).mean()
    assert float(log_normaliser(tf.constant(form))[0]) == pytest.approx(np.log(expected), abs=0.01)


@pytest.mark.oracle
@pytest.mark.parametrize("dtype, tolerance", [(tf.float64, 1e-7), (tf.float32, 2e-5)])
@pytest.mark.parametrize("k", [0.0, 0.01, 1.0, 30.0, 2e3])
def test_constant_of_equal_concentrations_in_closed_form(k, dtype, tolerance):
    """tr(F^T R) with F = k I is k (1 + 2 cos t), t of density (1 - cos t) / pi: exp(k) (I0(2k) -
    I1(2k)).
    """
    expected = 3 * k + np.log(scipy.special.ive(0, 2 * k) - scipy.special.ive(1, 2 * k))
    got = float(log_normaliser(-davenport_matrices(tf.constant(k * np.eye(3)[None], dtype)))[0])
    assert got == pytest.approx(expected, abs=tolerance * max(1, 3 * k))


def test_constant_of_a_sharp_peak_is_that_of_a_gaussian(rng):
    """Far from degenerate: Z -> exp(-l1) (pi^1.5 / prod sqrt(l_i - l1)) / (pi^2), both poles
    counted.
    """
    for values in ((1e3, 3e3, 8e3, 2e4), (-5.0, 4e4, 9e4, 2e6)):
        gaps = np.array(values[1:]) - values[0]
        expected = -values[0] + np.log(np.pi**1.5 / np.sqrt(gaps.prod()) / np.pi**2)
        assert float(log_normaliser(tf.constant(form_of(values, rng)))[0]) == pytest.approx(
            expected, abs=2e-3
        )


@pytest.mark.oracle
def test_constant_of_lee_by_adaptive_quadrature(rng):
    s1, s2, s3 = 5.0, 2.0, -1.5
    i0 = scipy.special.i0

    def integrand(u):
        return 0.5 * i0(0.5 * (s1 - s2) * (1 - u)) * i0(0.5 * (s1 + s2) * (1 + u)) * np.exp(s3 * u)

    expected = np.log(scipy.integrate.quad(integrand, -1, 1)[0])
    u, v = random_rotations(2, rng)
    parameters = u @ np.diag([s1, s2, s3]) @ v.T
    assert float(
        log_normaliser(-davenport_matrices(tf.constant(parameters[None])))[0]
    ) == pytest.approx(expected)


@pytest.mark.parametrize("values", [(0, 1, 2, 3), (2, 2, 2, 2), (0, 0, 0, 5e3), (1, 1, 1e4, 1e4)])
def test_gradient_of_the_constant_is_minus_the_second_moment(values, rng):
    """d log Z / dM = -E[q q^T]: trace -1, negative semidefinite; and it agrees with finite
    differences.
    """
    form, change = form_of(values, rng), form_of((0.3, -0.2, 0.1, 0.5), rng)
    variable = tf.Variable(form)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(log_normaliser(tf.convert_to_tensor(variable)))
    gradient = tape.gradient(value, variable).numpy()[0]
    gradient = 0.5 * (gradient + gradient.T)
    assert np.trace(gradient) == pytest.approx(-1.0, abs=1e-6)
    assert np.linalg.eigvalsh(gradient).max() < 1e-9
    step = 1e-4
    plus, minus = (
        float(log_normaliser(tf.constant(form + sign * step * change))[0]) for sign in (1, -1)
    )
    assert (plus - minus) / (2 * step) == pytest.approx(np.sum(gradient * change[0]), abs=1e-6)


def test_the_likelihood_is_a_density(rng):
    """Its mean over the uniform distribution is one, in both forms; and the truth beats another
    rotation.
    """
    parameters = 2.0 * rng.standard_normal((3, 3))
    rotations = random_rotations(200_000, rng)
    form = -davenport_matrices(tf.constant(parameters[None])).numpy()
    fisher = log_normaliser(tf.constant(form)).numpy() - np.einsum(
        "ij,nij->n", parameters, rotations[:50]
    )
    quaternions = rotations_to_quaternions(rotations)
    bingham = losses.bingham_loss(
        tf.constant(np.repeat(form, 50, 0)), tf.constant(quaternions[:50])
    ).numpy()
    np.testing.assert_allclose(fisher, bingham, rtol=1e-6)
    log_density = (
        np.einsum("ij,nij->n", parameters, rotations)
        + fisher[0] * 0
        - log_normaliser(tf.constant(form)).numpy()
    )
    assert np.exp(log_density).mean() == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(-fisher, log_density[:50], rtol=1e-6)
    peak = np.linalg.eigh(form)[1][:, :, 0]
    assert losses.bingham_loss(tf.constant(form), tf.constant(peak)).numpy()[0] < bingham.min()


def test_a_sharper_form_is_better_only_where_it_is_right():
    right, wrong = tf.constant([[1.0, 0, 0, 0]]), tf.constant([[0.6, 0.8, 0, 0]])
    dull, sharp = (tf.linalg.diag(tf.constant([[0.0, k, k, k]])) for k in (2.0, 200.0))
    assert (
        float(losses.bingham_loss(sharp, right)[0]) < float(losses.bingham_loss(dull, right)[0]) < 0
    )
    assert float(losses.bingham_loss(sharp, wrong)[0]) > 50
    assert float(losses.bingham_loss(tf.zeros((1, 4, 4)), wrong)[0]) == pytest.approx(0, abs=1e-5)
