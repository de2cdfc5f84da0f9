"""Values and gradients at exact ties: equal eigenvalues, no distance, a half turn, vectors of
zeros.

The ties are made of numbers that no processor rounds. The right gradient is a closed form, or the
finite difference in float64 of what has no kink there.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core.imaging.forward_model import ForwardModel
from cryoposes_plugin.core.models import feature_distances
from cryoposes_plugin.core.networks import circular_layers, layers, representations, safe_gradients
from cryoposes_plugin.core.networks.bingham_normaliser import log_normaliser
from cryoposes_plugin.core.recovery import minibatch
from cryoposes_plugin.core.refinement.levenberg_marquardt import profile
from cryoposes_plugin.core.training import losses, objectives
from cryoposes_plugin.core.training.labels import PoseLabels
from cryoposes_plugin.core.training.recipe import LOSSES, REPRESENTATION_OF_LIKELIHOOD

#: Rotations in which no entry is rounded: none, half turns about the axes, and a turn by a third.
EXACT = [np.diag(d) for d in ([1.0, 1, 1], [1.0, -1, -1], [-1.0, 1, -1], [-1.0, -1, 1])] + [
    np.eye(3)[[1, 2, 0]]
]


def value_and_gradient(function, point, dtype=tf.float64):
    variable = tf.Variable(point, dtype=dtype)
    with tf.GradientTape() as tape:
        value = function(tf.convert_to_tensor(variable))
    gradient = tape.gradient(value, variable, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return value.numpy(), tf.convert_to_tensor(gradient).numpy()


@pytest.mark.parametrize("dtype, tolerance", [(tf.float64, 1e-7), (tf.float32, 1e-6)])
@pytest.mark.parametrize("k", [0.0, 2.0, -3.0, 4096.0])
def test_all_eigenvalues_equal(k, dtype, tolerance):
    """exp(-k) whatever the quaternion: log Z = -k, and its gradient -E[q q^T] = -I / 4."""
    value, gradient = value_and_gradient(lambda m: log_normaliser(m)[0], k * np.eye(4)[None], dtype)
    assert value == pytest.approx(-k, abs=tolerance)
    np.testing.assert_allclose(gradient[0], -0.25 * np.eye(4), atol=tolerance)


@pytest.mark.parametrize(
    "values", [(1, 1, 4, 4), (0, 3, 3, 3), (0, 0, 0, 5), (0, 2, 2, 7), (0, 0, 2, 5), (0, 1, 8, 8)]
)
def test_some_eigenvalues_equal(values, rng):
    form, change = np.diag(np.array(values, float))[None], rng.standard_normal((4, 4))
    change, step = change + change.T, 1e-4
    _, gradient = value_and_gradient(lambda m: log_normaliser(m)[0], form)
    plus, minus = (
        float(log_normaliser(tf.constant(form + sign * step * change))[0]) for sign in (1, -1)
    )
    assert (plus - minus) / (2 * step) == pytest.approx(np.sum(gradient[0] * change), abs=1e-6)
    same = np.equal.outer(values, values) & ~np.eye(4, dtype=bool)
    diagonal = np.diag(gradient[0])
    np.testing.assert_allclose(np.subtract.outer(diagonal, diagonal)[same], 0, atol=1e-7)


def test_likelihoods_that_prefer_nothing():
    """At F = 0 the gradient of -log p(A) is E[A] - A = -A; at M = 0 it is q q^T - I / 4."""
    rotations, q = np.stack(EXACT), np.array([[0.5, -0.5, 0.5, 0.5]])
    _, fisher = value_and_gradient(
        lambda f: tf.reduce_sum(
            log_normaliser(-representations.davenport_matrices(f))
            - tf.reduce_sum(f * tf.constant(rotations), axis=(1, 2))
        ),
        np.zeros_like(rotations),
    )
    np.testing.assert_allclose(fisher, -rotations, atol=1e-7)
    _, bingham = value_and_gradient(
        lambda m: losses.bingham_loss(m, tf.constant(q))[0], np.zeros((1, 4, 4))
    )
    np.testing.assert_allclose(bingham[0], np.outer(q, q) - 0.25 * np.eye(4), atol=1e-7)


def test_the_scaled_bessel_function_falls_from_zero():
    value, gradient = value_and_gradient(safe_gradients.scaled_bessel_i0, 0.0)
    assert (value, gradient) == (1.0, -1.0)
    _, gradient = value_and_gradient(safe_gradients.scaled_bessel_i0, 0.7)
    ahead, behind = (
        float(tf.math.bessel_i0e(tf.constant(0.7 + h, tf.float64))) for h in (1e-5, -1e-5)
    )
    assert gradient == pytest.approx((ahead - behind) / 2e-5, abs=1e-9)


@pytest.mark.parametrize(
    "cosine, expected", [(1.0, 0.0), (-1.0, np.pi), (1 + 1e-9, 0.0), (-1 - 1e-9, np.pi)]
)
def test_an_angle_at_its_ends(cosine, expected):
    value, gradient = value_and_gradient(safe_gradients.angle, cosine)
    assert value == expected
    assert gradient == 0
    near = np.cos(abs(expected - 1e-4))
    assert value_and_gradient(safe_gradients.angle, near)[1] == pytest.approx(
        -1 / np.sqrt(1 - near**2), rel=1e-6
    )


def test_a_length_and_a_direction_of_nothing():
    points = np.array([[0.0, 0, 0], [3, 0, -4]])
    value, gradient = value_and_gradient(safe_gradients.length, points)
    np.testing.assert_array_equal(value, [0, 5])
    np.testing.assert_allclose(gradient, [[0, 0, 0], [0.6, 0, -0.8]])
    value, gradient = value_and_gradient(safe_gradients.unit, points)
    np.testing.assert_allclose(value, gradient * 0 + [[0, 0, 0], [0.6, 0, -0.8]])
    assert not gradient[0].any()
    _, along = value_and_gradient(lambda x: safe_gradients.unit(x)[1, 0], points)
    np.testing.assert_allclose(along[1], (np.array([1, 0, 0]) - 0.6 * np.array([0.6, 0, -0.8])) / 5)


@pytest.mark.parametrize("truth", EXACT, ids=range(len(EXACT)))
@pytest.mark.parametrize(
    "distance, of_angle",
    [
        (losses.geodesic_distance, lambda d: d),
        (losses.chordal_distance, lambda d: 2 * np.sqrt(2) * np.sin(d / 2)),
        (losses.quaternion_loss, lambda d: np.sin(d / 2) ** 2),
    ],
)
def test_distances_of_equal_rotations_and_of_half_turns(distance, of_angle, truth):
    """On the rotations: no slope at 0 and at pi, where it would depend on the side; and the right
    one elsewhere.
    """

    def of(vectors, base=truth):
        turned = tf.matmul(representations.axis_angle_rotations(vectors), tf.constant(truth[None]))
        return tf.reduce_sum(distance(turned, tf.constant(base[None])))

    half_turn = np.diag([-1.0, -1, 1]) @ truth
    value, gradient = value_and_gradient(of, np.zeros((1, 3)))
    assert value == pytest.approx(0, abs=1e-12)
    assert np.abs(gradient).max() < 1e-9
    value, gradient = value_and_gradient(lambda v: of(v, half_turn), np.zeros((1, 3)))
    assert value == pytest.approx(of_angle(np.pi))
    assert np.abs(gradient).max() < 1e-9
    for angle in (1e-3, 2.0, np.pi - 1e-3):
        value, gradient = value_and_gradient(of, [[0, angle, 0]])
        assert value == pytest.approx(of_angle(angle), rel=1e-6)
        slope = (of_angle(angle + 1e-6) - of_angle(angle - 1e-6)) / 2e-6
        assert gradient[0, 1] == pytest.approx(slope, abs=1e-5)


def test_pairs_of_equal_rotations_and_of_half_turns():
    rotations = np.stack([EXACT[0], EXACT[0], EXACT[1], EXACT[4]])
    weights = tf.constant(np.triu(np.ones((4, 4)), 1) / 6)
    value, gradient = value_and_gradient(
        lambda r: losses.rotation_pair_loss(r, tf.constant(rotations), weights), rotations
    )
    assert value == 0
    assert not gradient.any()
    same = np.repeat(rotations[:1], 4, axis=0)
    value, gradient = value_and_gradient(
        lambda r: losses.rotation_pair_loss(r, tf.constant(rotations), weights), same
    )
    assert value == pytest.approx((2 * np.pi + 3 * 2 * np.pi / 3) / 6)
    assert not gradient.any()


@pytest.mark.parametrize(
    "kind, of_cosine", [("cosine", lambda c: 2 * np.arccos(c)), ("trace", None)]
)
def test_equal_opposite_and_empty_features(kind, of_cosine):
    of_cosine = of_cosine or (lambda c: np.arccos(np.clip(0.5 * (3 * c - 1), -1, 1)))
    features = np.array([[3.0, 0, -4], [3, 0, -4], [6, 0, -8], [-3, 0, 4], [0, 0, 0], [0, 0, 0]])
    value, gradient = value_and_gradient(
        lambda f: feature_distances.pairs_of_batch(kind, f), features
    )
    cosines = [[1, 1, 1, -1, 0, 0]] * 3 + [[-1, -1, -1, 1, 0, 0]] + [[0] * 6] * 2
    np.testing.assert_allclose(value, of_cosine(np.array(cosines, float)), atol=1e-7)
    assert np.abs(gradient).max() < 1e-6


def test_equal_and_empty_features_by_their_difference():
    features = np.array([[3.0, 0, -4], [3, 0, -4], [0, 0, 0], [0, 0, 0]])
    value, gradient = value_and_gradient(
        lambda f: feature_distances.pairs_of_batch("euclidean", f), features
    )
    np.testing.assert_array_equal(
        value, np.array([[0, 0, 5, 5], [0, 0, 5, 5], [5, 5, 0, 0], [5, 5, 0, 0]])
    )
    direction = np.array([0.6, 0, -0.8])
    np.testing.assert_allclose(
        gradient, 4 * np.array([direction, direction, -direction, -direction])
    )


@pytest.mark.parametrize("name", list(representations.NUMBERS))
def test_numbers_that_are_all_zero_mean_no_rotation(name):
    zeros = np.zeros((2, representations.NUMBERS[name]))
    value, gradient = value_and_gradient(lambda x: representations.rotations_of(name, x), zeros)
    np.testing.assert_allclose(value, np.broadcast_to(np.eye(3), (2, 3, 3)), atol=1e-9)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() <= 1
    assert np.isfinite(
        value_and_gradient(lambda x: representations.bingham_matrices_of(name, x), zeros)[1]
    ).all()


@pytest.mark.parametrize(
    "matrix", [np.zeros((3, 3)), np.diag([1.0, 1, -1]), np.diag([1.0, 0, 0]), np.diag([2.0, 0, -1])]
)
def test_the_nearest_rotation_where_it_jumps(matrix):
    value, gradient = value_and_gradient(representations.nearest_rotations, matrix[None])
    np.testing.assert_allclose(value[0] @ value[0].T, np.eye(3), atol=1e-12)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() < 10


@pytest.mark.parametrize(
    "numbers", [(2, 0, 0, 5, 0, 0), (0, 0, 0, 0, 3, 0), (1, 2, 2, 0, 0, 0), (1, 2, 2, -2, -4, -4)]
)
def test_two_vectors_along_a_line_give_a_rotation(numbers):
    value, gradient = value_and_gradient(representations.gram_schmidt_rotations, [numbers])
    np.testing.assert_allclose(value[0] @ value[0].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(value[0]) == pytest.approx(1)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() < 10


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("representation", list(representations.NUMBERS))
@pytest.mark.parametrize("style", ["single", "siamese+auxiliary"])
def test_a_network_that_gives_zeros_learns_from_any_loss(loss, representation, style):
    """As for a blank image: outputs of zeros, truths that are equal, half turns and none; float32
    as in training.
    """
    representation = REPRESENTATION_OF_LIKELIHOOD.get(loss, representation)
    config = TrainConfig(
        volume=("a",),
        preset="cryoforum2023",
        representation=representation,
        loss=loss,
        training_style=style,
    )
    objective = objectives.encoder_objective(config.recipe(), None, None)
    rotations = tf.constant(np.stack(EXACT), tf.float32)
    labels = PoseLabels(rotations, tf.zeros((5, 2)), tf.ones(5))

    def total(numbers):
        outputs = {
            "rotations": representations.rotations_of(representation, numbers),
            "bingham_matrices": representations.bingham_matrices_of(representation, numbers),
        }
        return objective(outputs, labels, tf.constant(0.5))[0]

    value, gradient = value_and_gradient(
        total, np.zeros((5, 1, representations.NUMBERS[representation])), tf.float32
    )
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() < 10


def test_reprojections_of_equal_rotations_pull_nowhere(asymmetric_volume):
    model = ForwardModel([asymmetric_volume], 24, 10.0)
    rotations = tf.constant(np.stack(EXACT), tf.float32)
    value, gradient = value_and_gradient(
        lambda r: losses.reprojection_loss(model, r, rotations), rotations, tf.float32
    )
    assert value == 0
    assert not gradient.any()


def test_the_rectifier_at_zero_has_the_slope_of_a_side():
    """And elsewhere it is Keras' own."""
    mine, keras_own = (
        layer(alpha_initializer=keras.initializers.Constant(0.25))
        for layer in (layers.PReLU, keras.layers.PReLU)
    )
    points = np.array([[-2.0, -0.1, 0.0, 0.1, 3.0]], np.float32)
    (value, gradient), (expected, slope) = (
        value_and_gradient(f, points, tf.float32) for f in (mine, keras_own)
    )
    np.testing.assert_array_equal(value, expected)
    np.testing.assert_array_equal(gradient, [[0.25, 0.25, 1, 1, 1]])
    np.testing.assert_array_equal(np.delete(gradient, 2), np.delete(slope, 2))


@pytest.mark.parametrize(
    "layer",
    [layers.GeneralisedMeanPooling, circular_layers.RootMeanSquareNorm, layers.UnitRange],
    ids=lambda c: c.__name__,
)
def test_layers_on_padded_zeros(layer):
    shape = {
        "GeneralisedMeanPooling": (2, 4, 4, 3),
        "RootMeanSquareNorm": (2, 4, 3),
        "UnitRange": (2, 4, 4),
    }
    value, gradient = value_and_gradient(layer(), np.zeros(shape[layer.__name__]), tf.float32)
    assert np.abs(value).max() <= 1e-6
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "second, angle", [((1, 0, 0, 0), 0), ((-1, 0, 0, 0), 0), ((0, 1, 0, 0), np.pi)]
)
def test_recovered_quaternions_that_are_equal_opposite_or_perpendicular(second, angle):
    """(d - 2 arccos |<p, q>|)^2 of one pair; q and -q are one rotation, and nothing pulls where d
    is met.
    """
    q = np.array([[1.0, 0, 0, 0], second])
    ends = np.array([0]), np.array([1])
    loss, gradient = minibatch.loss_and_gradient(q, *ends, np.array([angle]), np.ones(1))
    assert loss == 0
    assert not gradient.any()
    loss, gradient = minibatch.loss_and_gradient(q, *ends, np.array([1.0]), np.ones(1))
    assert loss == pytest.approx((1 - angle) ** 2)
    assert np.isfinite(gradient).all()
    if angle:
        # Two shortest ways lead there: the gradient is that of one of them.
        moved = q - 1e-5 * gradient
        assert minibatch.loss_and_gradient(moved, *ends, np.array([1.0]), np.ones(1))[0] < loss


def test_a_model_without_signal_or_overlap_gives_no_step():
    images = np.eye(7)
    images[5, 5] = 0.0
    for gram in (images, np.eye(7)):
        gain, scale, gradient, normal = profile(gram[None])
        assert gain == scale == 0
        assert not gradient.any()
        assert not normal.any()
