"""The networks: exact equivariance of the polar one, shapes and serialisation of both."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.core.conventions import rotations_about_z, rotations_to_quaternions
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad, project_to_so3
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.networks import circular_layers, layers
from cryoposes_plugin.core.networks.cryoforum2023 import (
    CryoforumArchitecture,
    build_cryoforum_encoder,
)
from cryoposes_plugin.core.networks.lian2022 import LianArchitecture, build_lian_encoder
from cryoposes_plugin.core.networks.polar import (
    PolarArchitecture,
    build_polar_encoder,
    network_on_circle,
)
from cryoposes_plugin.core.networks.rotation_grid import (
    bump_moments,
    grid_rotations,
    grid_views,
    turns_about_z,
)
from cryoposes_plugin.core.training import losses

SMALL = PolarArchitecture(
    24, 10.5, angles=32, bins=16, radii=10, templates=24, width=16, blocks=3, views=12
)
BANKS = ("gaussian", "low-pass")
TINY_LIAN = LianArchitecture(16, blocks=((1, 4), (1, 4)), middle=(4, 8), dense=(8,), dropout=0.1)
TINY_CRYOFORUM = CryoforumArchitecture(16, filters=2, stem=((7, 4), (5, 4)), doubles=(4, 4, 4, 8))


@pytest.fixture
def network():
    keras.utils.set_random_seed(3)
    return build_polar_encoder(SMALL)


@pytest.fixture
def on_circle():
    """What follows the polar grid, as a function of arrays."""
    keras.utils.set_random_seed(3)
    polar = keras.Input(batch_shape=(SMALL.angles, None, SMALL.radii))
    model = keras.Model(polar, network_on_circle(polar, SMALL))
    return lambda values: {
        name: output.numpy() for name, output in model(tf.constant(values)).items()
    }


@pytest.mark.parametrize("bins", [1, 5, 8])
def test_turning_the_circle_by_bins_turns_the_prediction(on_circle, rng, bins):
    polar = rng.standard_normal((32, 3, 10)).astype(np.float32)
    before, after = on_circle(polar), on_circle(np.roll(polar, 2 * bins, axis=0))
    angle = 2 * np.pi * bins / 16
    np.testing.assert_allclose(
        after["matrix"], rotations_about_z(angle) @ before["matrix"], atol=2e-6
    )
    # With p the quaternion of the turn, p q = L(p) q: the matrix of p q is L(p) A L(p)^T.
    w, z = np.cos(angle / 2), np.sin(angle / 2)
    left = np.array([[w, 0, 0, -z], [0, w, -z, 0], [0, z, w, 0], [z, 0, 0, w]])
    np.testing.assert_allclose(after["bingham"], left @ before["bingham"] @ left.T, atol=2e-6)
    rolled = np.roll(before["grid"].reshape(3, 16, 12), bins, axis=1)
    np.testing.assert_allclose(after["grid"].reshape(3, 16, 12), rolled, atol=1e-4)
    in_plane = rotations_about_z(angle)[0, :2, :2]
    np.testing.assert_allclose(after["shift"], before["shift"] @ in_plane.T, atol=2e-6)
    assert np.abs(before["shift"]).min() > 1e-4


def test_a_quarter_turn_of_the_image_turns_the_prediction(network, rng):
    images = rng.standard_normal((4, 24, 24)).astype(np.float32)
    # A quarter turn counter-clockwise in (x, y) about D // 2: the value at (x, y) comes from (y,
    # -x).
    index = np.arange(24)
    turned = images[:, (24 - index[None, :]) % 24, index[:, None]]
    before, after = network(images), network(turned)
    quarter = rotations_about_z(np.pi / 2)
    np.testing.assert_allclose(after["matrix"], quarter @ before["matrix"].numpy(), atol=2e-6)
    np.testing.assert_allclose(
        after["shift"], before["shift"].numpy() @ quarter[0, :2, :2].T, atol=2e-6
    )


def test_the_prediction_depends_on_the_image(network, rng):
    images = rng.standard_normal((2, 24, 24)).astype(np.float32)
    outputs = network(images)
    assert np.abs(outputs["matrix"][0] - outputs["matrix"][1]).max() > 1e-3
    assert (np.linalg.eigvalsh(outputs["bingham"]) > 0).all()


def test_grid_of_logits_turns_with_the_bins():
    grid = grid_rotations(16, 12).reshape(16, 12, 3, 3)
    np.testing.assert_allclose(grid[3], rotations_about_z(2 * np.pi * 3 / 16) @ grid[0], atol=1e-6)
    np.testing.assert_allclose(
        grid @ np.swapaxes(grid, -1, -2), np.broadcast_to(np.eye(3), grid.shape), atol=1e-6
    )
    np.testing.assert_allclose(np.linalg.det(grid), 1.0, atol=1e-5)


def test_bumps_shrink_means_as_they_say(rng):
    concentration = 4.0
    rotations = random_rotations(200_000, rng)
    weight = np.exp(concentration * np.trace(rotations, axis1=1, axis2=2))
    quaternions = rotations_to_quaternions(rotations)
    mean = np.average(rotations, axis=0, weights=weight)
    form = np.average(quaternions[:, :, None] * quaternions[:, None, :], axis=0, weights=weight)
    r, s = bump_moments(concentration)
    np.testing.assert_allclose(mean, r * np.eye(3), atol=0.01)
    np.testing.assert_allclose(form, np.diag([s, 0, 0, 0]) + (1 - s) / 4 * np.eye(4), atol=0.01)


def test_a_bump_on_the_grid_gives_its_rotation_back(rng):
    rotations = random_rotations(20, rng)
    grid = (32, 192, 25.0)
    targets = losses.grid_targets(
        tf.constant(rotations, tf.float32), turns_about_z(32), grid_views(192), 25.0
    )
    logits = tf.math.log(targets + 1e-20)
    matrices = circular_layers.GridMean(*grid)(logits).numpy()
    assert np.rad2deg(angular_distance_rad(project_to_so3(matrices), rotations)).max() < 1.5
    np.testing.assert_allclose(np.linalg.norm(matrices, axis=(1, 2)), np.sqrt(3), rtol=0.01)
    forms = circular_layers.GridBingham(*grid)(logits).numpy()
    values, vectors = np.linalg.eigh(forms)
    overlap = np.abs(np.sum(vectors[:, :, 0] * rotations_to_quaternions(rotations), axis=1))
    assert np.rad2deg(2 * np.arccos(np.minimum(overlap, 1))).max() < 1.5
    assert values.min() > 0
    assert (values[:, 1] > 50 * values[:, 0]).all()


def test_polar_resampling_samples_where_it_says():
    y, x = np.mgrid[:32, :32] - 16.0
    plane = (2.0 * x - 3.0 * y + 1.0).astype(
        np.float32
    )  # bilinear interpolation is exact on a plane
    polar = circular_layers.PolarResampling(8, 6, 12.0)(plane[None]).numpy()[:, 0]
    theta = 2 * np.pi * np.arange(8)[:, None] / 8
    radius = 2.0 * (np.arange(6) + 0.5)
    np.testing.assert_allclose(
        polar, 2 * radius * np.cos(theta) - 3 * radius * np.sin(theta) + 1, atol=1e-4
    )


def test_circular_templates_are_a_circular_correlation(rng):
    features = rng.standard_normal((8, 2, 3)).astype(np.float32)
    layer = circular_layers.CircularTemplates(4, 8)
    got = layer(features).numpy()
    real, imaginary = layer.kernel.numpy()
    spectrum = np.fft.rfft(features, axis=0)
    expected = np.fft.irfft(np.einsum("mbc,mck->mbk", spectrum, real + 1j * imaginary), 8, axis=0)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_circular_convolution_by_hand(rng):
    features = rng.standard_normal((8, 1, 2)).astype(np.float32)
    layer = circular_layers.CircularConvolution(1, taps=3, dilation=2)
    got = layer(features).numpy()[:, 0, 0]
    kernel = layer.kernel.numpy().reshape(3, 2)
    expected = [
        sum(features[(a - (tap - 1) * 2) % 8, 0] @ kernel[tap] for tap in range(3))
        for a in range(8)
    ]
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_generalised_mean_lies_between_average_and_maximum(rng):
    features = rng.uniform(0.1, 2, (2, 3, 3, 5)).astype(np.float32)
    layer = layers.GeneralisedMeanPooling()
    layer.build(features.shape)
    power = 1 + np.log1p(np.exp(layer.raw.numpy()))
    assert power == pytest.approx(3.0, rel=1e-5)
    np.testing.assert_allclose(
        layer(features), (features**power).mean(axis=(1, 2)) ** (1 / power), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["gaussian", "low-pass"])
def test_filter_bank_keeps_the_image_and_its_mean(rng, kind):
    images = rng.standard_normal((2, 16, 16)).astype(np.float32) + 1
    bank = layers.FilterBank(3, kind)(images).numpy()
    np.testing.assert_allclose(bank[..., 0], images)
    np.testing.assert_allclose(
        bank.mean(axis=(1, 2)), np.repeat(images.mean(axis=(1, 2))[:, None], 4, 1), atol=1e-5
    )
    assert (np.diff(bank.var(axis=(1, 2)), axis=1) < 0).all()


def test_filter_banks_differ_below_their_edge():
    """A wave at 0.6 of the first cut-off passes the flat filter, and loses a sixth in the Gaussian
    one.
    """
    wave = np.tile(np.cos(2 * np.pi * 0.15 * np.arange(40)), (40, 1)).astype(np.float32)[None]
    passed = {
        kind: layers.FilterBank(1, kind)(wave).numpy()[0, ..., 1].std() / wave.std()
        for kind in BANKS
    }
    assert passed["low-pass"] == pytest.approx(1 / (1 + 0.6**8), rel=1e-3)
    assert passed["gaussian"] == pytest.approx(np.exp(-0.5 * 0.6**2), rel=1e-3)
    np.testing.assert_array_equal(layers.FilterBank(5, "none")(wave), wave[..., None])
    with pytest.raises(ValueError, match="received 'median'"):
        layers.FilterBank(5, "median")


def test_pooling_of_maximum_and_average_puts_them_side_by_side(rng):
    images = rng.standard_normal((2, 16, 16)).astype(np.float32)
    small = dataclasses.replace(TINY_CRYOFORUM, pooling="max+average")
    network = build_cryoforum_encoder(small)
    assert network.get_layer("pooled").output.shape == (None, 16)
    for name, reduce in (("pooling0", np.max), ("pooling1", np.mean)):
        layer = network.get_layer(name)
        features, value = keras.Model(network.input, [layer.input, layer.output])(images)
        np.testing.assert_allclose(
            value, reduce(features.numpy(), axis=(1, 2)), rtol=1e-5, atol=1e-6
        )


def test_lian_encoder_has_the_layers_of_the_paper():
    network = build_lian_encoder(LianArchitecture(128, dense=(8,)))
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [c.filters for c in convolutions] == [64, 64, 128, 128, 256, 256, 256, 512, 2048]
    assert network.get_layer("block2_pool").output.shape[1:] == (16, 16, 256)
    assert network.get_layer("middle1").output.shape[1:] == (4, 4, 2048)
    assert network.get_layer("pool").output.shape[1:] == (2, 2, 2048)
    assert network.output["rotations"].shape[1:] == (1, 3, 3)
    assert "scores" not in network.output


def test_unit_range(rng):
    images = rng.standard_normal((3, 4, 4)).astype(np.float32)
    images[2] = 0
    scaled = layers.UnitRange()(images).numpy()
    np.testing.assert_allclose(np.abs(scaled).max(axis=(1, 2, 3)), [1, 1, 0])
    np.testing.assert_allclose(scaled[0, ..., 0] * np.abs(images[0]).max(), images[0], rtol=1e-5)


@pytest.mark.parametrize(
    "shape, width, stride",
    [
        ((1, 1), 3, 1),
        ((2, 2), 3, 1),
        ((4, 3), 5, 1),
        ((4, 4), 3, 2),
        ((3, 4), 3, 2),
        ((3, 3), 2, 3),
    ],
)
def test_small_maps_are_convolved_as_keras_does(shape, width, stride, rng):
    ours, theirs = (
        kind(7, width, stride, padding="same", activation="relu")
        for kind in (layers.Conv2D, keras.layers.Conv2D)
    )
    images = tf.constant(rng.standard_normal((5, *shape, 6)), tf.float32)
    ours.build(images.shape)
    theirs.build(images.shape)
    theirs.set_weights(ours.get_weights())

    def result_and_gradients(layer):
        with tf.GradientTape() as tape:
            tape.watch(images)
            result = layer(images)
            loss = tf.reduce_sum(tf.sin(result))
        return [result, *tape.gradient(loss, [images, *layer.trainable_variables])]

    for ours_, theirs_ in zip(result_and_gradients(ours), result_and_gradients(theirs)):
        assert ours_.shape == theirs_.shape
        np.testing.assert_allclose(ours_, theirs_, atol=1e-5)


@pytest.mark.parametrize(
    "build, config",
    [
        (build_polar_encoder, SMALL),
        (build_cryoforum_encoder, TINY_CRYOFORUM),
        (
            build_cryoforum_encoder,
            dataclasses.replace(TINY_CRYOFORUM, heads=3, filter_bank="none", pooling="max"),
        ),
        (build_lian_encoder, TINY_LIAN),
    ],
)
def test_networks_survive_saving(build, config, rng, tmp_path):
    network = build(config)
    images = rng.standard_normal((3, config.box_size_px, config.box_size_px)).astype(np.float32)
    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    for name, value in network(images).items():
        np.testing.assert_allclose(loaded(images)[name], value, atol=1e-6)


def test_cryoforum_encoder_has_the_layers_of_the_paper():
    network = build_cryoforum_encoder(CryoforumArchitecture(128))
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [(c.kernel_size[0], c.filters) for c in convolutions] == [
        (7, 32),
        (5, 64),
        (3, 64),
        (3, 64),
        (3, 128),
        (3, 128),
        (3, 256),
        (3, 256),
        (3, 1024),
        (3, 1024),
    ]
    pools = [layer for layer in network.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    assert len(pools) == 6
    assert pools[-1].output.shape[1:] == (2, 2, 1024)
    assert network.get_layer("filters").output.shape[-1] == 6
    assert network.output["bingham_matrices"].shape[1:] == (1, 4, 4)
    assert network.output["rotations"].shape[1:] == (1, 3, 3)


def test_gradients_repeat_to_the_last_bit():
    """TensorFlow sums three and more gradients in the order in which buffers come free: no tensor
    may have so many.
    """
    network = build_polar_encoder(PolarArchitecture(24, 10.0, radii=8))
    images = tf.constant(np.random.default_rng(0).standard_normal((8, 24, 24)), tf.float32)

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            outputs = network(images, training=True)
            loss = tf.add_n([tf.reduce_sum(tf.square(output)) for output in outputs.values()])
        return tape.gradient(loss, network.trainable_variables)

    first = [g.numpy() for g in gradients()]
    for _ in range(150):
        for a, b in zip(first, gradients()):
            np.testing.assert_array_equal(a, b.numpy())
