import numpy as np
import pytest

from cryoposes_plugin.core.errors import ConfigError, InputError, ResourceError
from cryoposes_plugin.core.fourier.ctf import pack_ctf
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.astra_projector import projection_vectors, require_cuda
from cryoposes_plugin.core.types import CtfTable, Volume

tf = pytest.importorskip("tensorflow")

from cryoposes_plugin.core.imaging import padding as grids  # noqa: E402
from cryoposes_plugin.core.imaging.forward_model import ForwardModel, apply_image_state, modulate  # noqa: E402


def blob(box, pixel, at_angstrom, sigma_angstrom=5.0):
    """A Gaussian of integral 1 at (x, y, z) Å from the centre."""
    axis = (np.arange(box) - box // 2) * pixel
    z, y, x = (np.exp(-((axis - at_angstrom[i]) ** 2) / (2 * sigma_angstrom**2)) for i in (2, 1, 0))
    data = z[:, None, None] * y[:, None] * x
    return Volume((data / data.sum()).astype(np.float32), pixel)


def project(model, rotations, shifts=None, ctf=None, index=None, **options):
    n = len(rotations)
    return model.images(
        tf.constant(np.zeros(n) if index is None else index, tf.int32),
        tf.constant(rotations, tf.float32),
        tf.constant(np.zeros((n, 2)) if shifts is None else shifts, tf.float32),
        None if ctf is None else tf.constant(pack_ctf(ctf)),
        **options,
    ).numpy()


def ctf_table(n):
    return CtfTable(*(np.full(n, v) for v in (14000.0, 12000.0, 25.0, 10.0, 300.0, 2.7, 0.1, 30.0)))


def position(images):
    """(N, 2) centre (x, y) of the squared images from pixel D // 2: the squares leave faint ghosts
    out.
    """
    d = images.shape[-1]
    axis = np.arange(d) - d // 2
    weights = images.astype(np.float64) ** 2
    total = weights.sum(axis=(1, 2))
    return np.stack(
        [weights.sum(axis=1) @ axis / total, weights.sum(axis=2) @ axis / total], axis=1
    )


@pytest.mark.parametrize(
    "volume_box, volume_pixel, box, pixel",
    [(48, 2.0, 48, 2.0), (33, 3.0, 48, 2.0), (64, 1.5, 32, 3.0), (49, 2.0, 40, 2.0)],
    ids=["same grid", "odd coarser volume", "finer volume", "odd volume wider than the image"],
)
def test_a_point_at_r_is_seen_at_the_first_two_rows_of_a_times_r_plus_t(
    volume_box, volume_pixel, box, pixel, rng
):
    at = np.array([14.0, -8.0, 11.0])
    model = ForwardModel([blob(volume_box, volume_pixel, at)], box, pixel)
    rotations, shifts = random_rotations(12, rng), rng.uniform(-3, 3, (12, 2))
    images = project(model, rotations, shifts)
    assert images.shape == (12, box, box)
    assert position(images) == pytest.approx((rotations @ at)[:, :2] / pixel + shifts, abs=0.02)


def test_values_are_sums_along_the_beam(asymmetric_volume):
    image = project(ForwardModel([asymmetric_volume], 48, 5.0), np.eye(3)[None])[0]
    total = asymmetric_volume.data.sum(axis=0)
    # Along the axes, where the slice meets the grid, the gridding correction is at its worst.
    assert np.linalg.norm(image - total) < 3e-2 * np.linalg.norm(total)
    assert (image * total).sum() / (total**2).sum() == pytest.approx(1, abs=3e-2)


def test_an_image_does_not_depend_on_its_batch(asymmetric_volume, rng):
    model = ForwardModel([asymmetric_volume], 48, 5.0)
    rotations, shifts = random_rotations(7, rng), rng.normal(size=(7, 2))
    together = project(model, rotations, shifts, ctf_table(7))
    for i in (0, 3, 6):
        alone = project(model, rotations[i : i + 1], shifts[i : i + 1], ctf_table(1))
        assert alone[0] == pytest.approx(together[i], abs=1e-5 * np.abs(together).max())


def test_density_outside_the_image_does_not_fold_back_into_it():
    volume = blob(64, 2.0, (45.0, 0.0, 0.0))
    image = project(ForwardModel([volume], 32, 2.0), np.eye(3)[None])
    assert np.abs(image).max() < 0.02 * volume.data.sum(axis=0).max()


def test_volumes_are_told_apart():
    volumes = [blob(32, 2.0, (10.0, 0, 0)), blob(40, 1.6, (0, -12.0, 0))]
    images = project(ForwardModel(volumes, 32, 2.0), np.stack([np.eye(3)] * 3), index=[1, 0, 1])
    assert position(images) == pytest.approx(np.array([[0, -6], [5, 0], [0, -6]]), abs=0.05)


@pytest.mark.parametrize("neighbours", [4, 2, 1])
def test_the_packing_of_the_table_does_not_matter(monkeypatch, asymmetric_volume, rng, neighbours):
    rotations = random_rotations(5, rng)
    expected = project(ForwardModel([asymmetric_volume], 48, 5.0), rotations)
    plain = 4 * grids.padded_size(48, grids.choose_padding([asymmetric_volume], 48, 5.0)) ** 3
    monkeypatch.setattr(grids, "TABLE_BYTES", neighbours * plain)
    model = ForwardModel([asymmetric_volume], 48, 5.0)
    assert model._projector._volumes.table.shape[1] == 2 * neighbours
    assert project(model, rotations) == pytest.approx(expected, abs=1e-5 * np.abs(expected).max())


def test_a_volume_that_fills_its_box_gets_more_padding():
    centre, edge = blob(32, 2.0, (3.0, 0, 0)), blob(32, 2.0, (26.0, 0, 0))
    assert grids.choose_padding([centre], 32, 2.0) == 2
    assert grids.choose_padding([centre, edge], 32, 2.0) == 4
    assert grids.choose_padding([edge], 64, 2.0) < 4


def test_shift_and_ctf_are_those_of_the_images_own_transform(asymmetric_volume, rng):
    model = ForwardModel([asymmetric_volume], 48, 5.0)
    rotations, shifts = random_rotations(3, rng), rng.normal(size=(3, 2))
    expected = project(model, rotations, shifts, ctf_table(3))
    found = modulate(project(model, rotations), shifts, pack_ctf(ctf_table(3)), 5.0).numpy()
    assert found == pytest.approx(expected, abs=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("state", ["phase-flipped", "ctf-premultiplied"])
def test_image_states_of_the_signal_are_those_reached_from_raw(asymmetric_volume, rng, state):
    model = ForwardModel([asymmetric_volume], 48, 5.0)
    rotations = random_rotations(3, rng)
    raw, expected = (
        project(model, rotations, ctf=ctf_table(3), **o) for o in ({}, {"image_state": state})
    )
    found = apply_image_state(raw, pack_ctf(ctf_table(3)), state, 5.0).numpy()
    assert found == pytest.approx(expected, abs=1e-4 * np.abs(expected).max())
    assert np.abs(found - raw).max() > 0.05 * np.abs(raw).max()


def test_the_gradient_in_the_rotation_is_the_finite_difference(asymmetric_volume, rng):
    model = ForwardModel([asymmetric_volume], 48, 5.0)
    rotation, target = (random_rotations(1, rng) for _ in range(2))
    target = tf.constant(project(model, target))

    def loss(a):
        images = model.images(tf.zeros(1, tf.int32), a, tf.zeros((1, 2)), None)
        return tf.reduce_sum(images * target)

    a = tf.constant(rotation, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = loss(a)
    gradient = tape.gradient(value, a).numpy()
    step = 2e-3 * rng.standard_normal((1, 3, 3))
    difference = float(loss(a + step.astype(np.float32)) - loss(a - step.astype(np.float32))) / 2
    assert (gradient * step).sum() == pytest.approx(difference, rel=0.05)


def test_an_odd_image_box_and_no_volume_are_refused(asymmetric_volume):
    with pytest.raises(ConfigError, match="47"):
        ForwardModel([asymmetric_volume], 47, 5.0)
    with pytest.raises(InputError, match="no volume"):
        ForwardModel([], 48, 5.0)


@pytest.mark.parametrize("box", [32, 33])
def test_astra_vectors_send_a_voxel_to_the_pixel_that_the_convention_names(box, rng):
    """In ASTRA voxel i is at i - (D - 1) / 2 and detector pixel j at d + (j - (D - 1) / 2) u."""
    voxel = rng.integers(0, box, (50, 3))
    rotations = random_rotations(20, rng)
    for a, row in zip(rotations, projection_vectors(rotations, box)):
        ray, d, u, v = row.reshape(4, 3)
        points = voxel - (box - 1) / 2
        # solve point + s ray = d + p u + q v
        s_p_q = np.linalg.solve(np.stack([-ray, u, v], axis=1), (points - d).T)
        pixels = s_p_q[1:].T + (box - 1) / 2
        expected = (voxel - box // 2) @ a.T[:, :2] + box // 2
        assert pixels == pytest.approx(expected, abs=1e-9)


def test_astra_vectors_are_the_rows_of_the_rotation(rng):
    rotations = random_rotations(4, rng)
    vectors = projection_vectors(rotations, 64).reshape(4, 4, 3)
    assert vectors[:, [2, 3, 0]] == pytest.approx(rotations)


def test_astra_without_cuda_is_one_sentence(monkeypatch):
    astra = pytest.importorskip("astra")
    monkeypatch.setattr(astra, "use_cuda", lambda: False)
    with pytest.raises(ResourceError, match="CUDA"):
        require_cuda()
