"""Fourier inversion against exact projections and written-out sums; half sets; CGLS against least
squares.
"""

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError, ResourceError
from cryoposes_plugin.core.fourier.ctf import ctf_values
from cryoposes_plugin.core.fourier.slices import FINE_RADIUS_PX, SliceSampler, ctf_weighted
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.geometry.subgroups import operations
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.particles.halves import draw_half_sets, half_sets
from cryoposes_plugin.core.reconstruction import cgls as cgls_module
from cryoposes_plugin.core.reconstruction.fourier_inversion import (
    PRIOR_SSNR,
    FourierGrid,
    Inversion,
)
from cryoposes_plugin.core.reconstruction.particles import ReconstructionParticles
from cryoposes_plugin.core.reconstruction.symmetry_on_grid import split_group

from ...exact_projections import (
    ExactProjector,
    ctf_table,
    exact_projections,
    particle_set,
    transfer_of,
)
from ...particle_sets import make_particles

BOX, PIXEL = 32, 5.0


@pytest.fixture(scope="module")
def volume(asymmetric_volume):
    return asymmetric_volume.data[8:40, 8:40, 8:40]


def inserted(images, rotations, shifts=None, ctf=None, state="raw", symmetry="C1", padding=2):
    sampler, grid = SliceSampler(BOX), FourierGrid(BOX, padding, symmetry)
    samples = sampler.transform(images, np.zeros((len(images), 2)) if shifts is None else shifts)
    values = (
        None if ctf is None else ctf_values(*sampler.frequencies(PIXEL), ctf).astype(np.float32)
    )
    grid.insert(*ctf_weighted(samples, values, state), rotations, sampler)
    return grid


def reconstructed(*arguments, **more):
    return Inversion(inserted(*arguments, **more)).volume()


def whole_sums(inversion):
    """(3, 2R+1, 2R+1, R+1) [z, y, x], y and z from -R; zero at the nodes that are not kept."""
    radius = inversion.padding * inversion.box_size_px // 2
    middle = len(inversion.starts) // 2
    out = np.zeros((3, 2 * radius + 1, 2 * radius + 1, radius + 1), np.float32)
    ends = np.append(inversion.starts.ravel()[1:], len(inversion.sums)).reshape(
        inversion.starts.shape
    )
    for z in range(-radius, radius + 1):
        for y in range(-radius, radius + 1):
            start, end = inversion.starts[middle + z, middle + y], ends[middle + z, middle + y]
            number = min(end - start, radius + 1)
            line = inversion.sums[start : start + number].T
            out[:, z + radius, y + radius, :number] = line
    return out


def relative_error(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


# Slices


def test_samples_are_one_of_each_friedel_pair_inside_the_nyquist_disk():
    sampler = SliceSampler(BOX)
    pairs = set(zip(sampler.kx.tolist(), sampler.ky.tolist()))
    assert len(pairs) == len(sampler)
    for x in np.arange(-16.5, 17, 0.5):
        for y in np.arange(-16.5, 17, 0.5):
            radius = np.hypot(x, y)
            wanted = radius < FINE_RADIUS_PX if (x % 1 or y % 1) else radius < 16
            assert ((x, y) in pairs) + ((-x, -y) in pairs) == (
                0 if not wanted else 2 if radius == 0 else 1
            )
    # The cells of samples and mates cover the disk.
    ramp = np.maximum(np.hypot(sampler.kx, sampler.ky), 0.25)
    assert 2 * (sampler.density_weight / ramp).sum() == pytest.approx(np.pi * 16**2, rel=0.02)
    assert np.hypot(SliceSampler(BOX, 7.5).kx, SliceSampler(BOX, 7.5).ky).max() < 7.5
    assert np.hypot(SliceSampler(BOX, 3).kx, SliceSampler(BOX, 3).ky).max() < 3


@pytest.mark.parametrize("radius", [None, 9.7, 3.3])
def test_samples_against_the_sum_over_pixels(rng, radius):
    image, shift = rng.standard_normal((1, BOX, BOX)).astype(np.float32), np.array([[1.3, -0.7]])
    sampler = SliceSampler(BOX, radius)
    y, x = np.mgrid[:BOX, :BOX] - 16.0
    for i in rng.integers(len(sampler), size=40):
        phase = sampler.kx[i] * (x - shift[0, 0]) + sampler.ky[i] * (y - shift[0, 1])
        expected = (image[0] * np.exp(-2j * np.pi * phase / BOX)).sum()
        assert sampler.transform(image, shift)[0, i] == pytest.approx(expected, abs=1e-3)


def test_shift_is_undone():
    images = np.zeros((2, BOX, BOX), np.float32)
    images[0, 16, 16] = 1
    images[1, 16 - 2, 16 + 3] = 1
    samples = SliceSampler(BOX).transform(images, np.array([[0, 0], [3, -2]]))
    np.testing.assert_allclose(samples, 1, atol=2e-6)


@pytest.mark.parametrize(
    "state, times, divided",
    [("raw", -0.5, 0.25), ("phase-flipped", 0.5, 0.25), ("ctf-premultiplied", 1, 0.25)],
)
def test_weights_of_the_image_states(state, times, divided):
    samples, ctf = np.full((1, 3), 2 + 1j, np.complex64), np.full((1, 3), -0.5, np.float32)
    numerator, weight = ctf_weighted(samples, ctf, state)
    np.testing.assert_allclose(numerator, times * samples)
    np.testing.assert_allclose(weight, divided)


def test_premultiplied_images_without_ctf_are_refused():
    with pytest.raises(InputError, match="have no CTF"):
        ctf_weighted(np.ones((1, 3), np.complex64), None, "ctf-premultiplied")


# Insertion


def test_sums_against_a_loop_over_samples_mates_and_corners(rng):
    box, padding, radius = 8, 2, 8
    sampler, grid = SliceSampler(box), FourierGrid(box, padding)
    rotations = random_rotations(3, rng)
    numerator = (
        rng.standard_normal((3, len(sampler))) + 1j * rng.standard_normal((3, len(sampler)))
    ).astype(np.complex64)
    weight = rng.uniform(0.5, 2, (3, len(sampler))).astype(np.float32)
    grid.insert(numerator, weight, rotations, sampler)
    expected = np.zeros((3, 2 * radius + 1, 2 * radius + 1, radius + 1))
    for a, values, weights in zip(rotations, numerator, weight):
        for kx, ky, v, w in zip(
            sampler.kx,
            sampler.ky,
            values * sampler.density_weight,
            weights * sampler.density_weight,
        ):
            for sign in (1, -1):
                point = sign * padding * (a.T @ [kx, ky, 0])
                base = np.floor(point).astype(int)
                for corner in np.ndindex(2, 2, 2):
                    x, y, z = node = base + corner
                    kernel = np.prod(1 - np.abs(point - node))
                    if 0 <= x <= radius and max(abs(y), abs(z)) <= radius:
                        expected[:, z + radius, y + radius, x] += kernel * np.array(
                            [v.real, sign * v.imag, w]
                        )
    np.testing.assert_allclose(whole_sums(Inversion(grid)), expected, atol=2e-5)


def test_batches_and_a_single_image_add_up(volume, rng):
    rotations = random_rotations(7, rng)
    images = exact_projections(volume, rotations)
    whole = Inversion(inserted(images, rotations))
    parts, second = (
        Inversion(inserted(images[part], rotations[part])) for part in (slice(1), slice(1, 7))
    )
    parts.add(second)
    largest = np.abs(whole.sums).max(axis=0)
    np.testing.assert_allclose(parts.sums / largest, whole.sums / largest, atol=1e-5)
    assert relative_error(parts.volume(), whole.volume()) < 1e-4
    assert np.isfinite(reconstructed(images[:1], rotations[:1])).all()


# Inversion


@pytest.mark.oracle
@pytest.mark.parametrize("padding, lowest", [(1, 0.9), (2, 0.97), (3, 0.97)])
def test_exact_projections_give_the_volume_back(volume, rng, padding, lowest):
    rotations, shifts = random_rotations(1500, rng), rng.normal(0, 2, (1500, 2))
    images = exact_projections(volume, rotations, shifts)
    found = reconstructed(images, rotations, shifts, padding=padding)
    curve = fourier_shell_correlation(found, volume)
    # The test's map is so smooth that at 0.8 of Nyquist its amplitudes are 0.004 of those at the
    # centre.
    assert curve[1:14].min() > lowest
    assert curve[1:11].min() > lowest + 0.025
    scale = np.vdot(found, volume) / np.vdot(volume, volume)
    assert scale == pytest.approx(1, abs=0.05 if padding == 1 else 0.02)
    mirrored = fourier_shell_correlation(found[::-1], volume)
    assert mirrored[3:10].max() < 0.7


def test_ctf_is_corrected_alike_in_every_state_of_the_images(volume, rng):
    number = 500
    rotations, shifts, ctf = (
        random_rotations(number, rng),
        rng.normal(0, 1, (number, 2)),
        ctf_table(number, rng),
    )
    transfer = transfer_of(ctf, BOX, PIXEL)
    found = {}
    for state, carried in (
        ("raw", transfer),
        ("phase-flipped", np.abs(transfer)),
        ("ctf-premultiplied", transfer**2),
    ):
        found[state] = reconstructed(
            exact_projections(volume, rotations, shifts, carried), rotations, shifts, ctf, state
        )
        assert fourier_shell_correlation(found[state], volume)[1:11].min() > 0.98
    # Equal but for what the CTF's tails, cut or wrapped at the box, carry.
    assert relative_error(found["phase-flipped"], found["raw"]) < 5e-3
    assert relative_error(found["ctf-premultiplied"], found["raw"]) < 0.1
    wrong = reconstructed(
        exact_projections(volume, rotations, shifts, np.abs(transfer)),
        rotations,
        shifts,
        ctf,
        "raw",
    )
    assert fourier_shell_correlation(wrong, volume)[1:14].min() < 0.5


def test_the_prior_hardly_filters_and_fills_nothing_in(volume, rng):
    rotations = random_rotations(3, rng)
    inversion = Inversion(inserted(exact_projections(volume, rotations), rotations))
    k = np.arange(-BOX, BOX + 1) / 2
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + k[BOX:] ** 2)
    shell = (radius > 9.5) & (radius < 10.5)
    assert inversion.wiener_term()[10] == pytest.approx(
        whole_sums(inversion)[2][shell].mean() / PRIOR_SSNR, rel=0.02
    )
    # Most voxels were seen by none of the three images; they are zero, and the map stays of the
    # size of the true one.
    assert np.linalg.norm(inversion.volume()) < np.linalg.norm(volume)


# Symmetry


@pytest.mark.parametrize(
    "name, on_grid, inserted_times",
    [
        ("C1", 1, 1),
        ("C3", 1, 3),
        ("C4", 4, 1),
        ("D2", 4, 1),
        ("D7", 2, 7),
        ("O", 24, 1),
        ("I", 12, 5),
    ],
)
def test_group_is_split_into_what_the_grid_has_and_the_rest(name, on_grid, inserted_times):
    group = symmetry_rotations(name)
    h, cosets = split_group(group)
    assert (len(h), len(cosets)) == (on_grid, inserted_times)
    products = np.einsum("aij,bjk->abik", cosets, h).reshape(-1, 3, 3)
    assert np.abs(products[:, None] - group[None]).max(axis=(2, 3)).min(axis=0).max() < 1e-6


@pytest.mark.parametrize("name", ["C3", "C4", "D2", "T", "O", "I", "C2 in D7", "D2 in T"])
def test_symmetry_equals_inserting_every_equivalent(volume, rng, name):
    rotations, group = random_rotations(6, rng), operations(name)
    images = exact_projections(volume, rotations)
    equivalents = np.einsum("nij,gjk->gnik", rotations, group).reshape(-1, 3, 3)
    expected = reconstructed(np.tile(images, (len(group), 1, 1)), equivalents)
    assert relative_error(reconstructed(images, rotations, symmetry=name), expected) < 1e-4


def test_d2_result_is_symmetric(volume, rng):
    rotations = random_rotations(50, rng)
    found = reconstructed(exact_projections(volume, rotations), rotations, symmetry="D2")
    # The voxel at -16 has no partner at +16.
    inner = found[1:, 1:, 1:]
    for turned in (inner[:, ::-1, ::-1], inner[::-1, :, ::-1], inner[::-1, ::-1]):
        np.testing.assert_allclose(turned, inner, atol=1e-4 * np.abs(inner).max())


# Half sets


def test_half_sets_depend_on_ids_and_seed_alone():
    ids = np.random.default_rng(1).permutation(5000)[:1001]
    subset = draw_half_sets(ids, 3)
    assert sorted(np.bincount(subset)[1:].tolist()) == [500, 501]
    order = np.random.default_rng(2).permutation(len(ids))
    np.testing.assert_array_equal(draw_half_sets(ids[order], 3), subset[order])
    assert 0.4 < (draw_half_sets(ids, 4) == subset).mean() < 0.6
    # Neither neighbours nor parity of the ids decide.
    ordered = draw_half_sets(np.arange(4000), 0)
    assert 0.45 < (ordered[1:] == ordered[:-1]).mean() < 0.55
    assert 0.45 < (ordered[::2] == 1).mean() < 0.55


def test_half_sets_given_drawn_and_wrong(tmp_path):
    table = make_particles(tmp_path / "s.mrcs", 6)
    subset, drawn = half_sets(table, 0)
    assert drawn
    assert sorted(subset) == [1, 1, 1, 2, 2, 2]
    given = np.array([1, 1, 2, 1, 1, 1])
    subset, drawn = half_sets(table.replace(random_subset=given), 0)
    assert not drawn
    assert (subset == given).all()
    assert half_sets(table.replace(random_subset=np.zeros(6, int)), 0)[1]
    with pytest.raises(InputError, match="is in half set 3"):
        half_sets(table.replace(random_subset=np.array([1, 2, 3, 1, 1, 2])), 0)
    with pytest.raises(InputError, match="at least 2"):
        half_sets(table.take([0]), 0)


# CGLS


class Dense:
    def __init__(self, a, b):
        self.a, self.b = a, b

    def right_hand_side(self):
        return self.a.T @ self.b

    def normal(self, x):
        y = self.a @ x
        return self.a.T @ y, float(y @ y)


def test_cgls_against_lstsq(rng):
    a, b = rng.standard_normal((60, 20)), rng.standard_normal(60)
    expected = np.linalg.lstsq(a, b, rcond=None)[0]
    np.testing.assert_allclose(cgls_module.cgls(Dense(a, b), 40), expected, atol=1e-6)
    np.testing.assert_array_equal(cgls_module.cgls(Dense(a, 0 * b), 5), 0)


def test_cgls_is_optimal_in_its_krylov_space_and_stops(rng):
    a, b = rng.standard_normal((30, 12)), rng.standard_normal(30)
    normal, right = a.T @ a, a.T @ b
    basis = np.stack([np.linalg.matrix_power(normal, i) @ right for i in range(4)], axis=1)
    basis = np.linalg.qr(basis)[0]
    expected = basis @ np.linalg.lstsq(a @ basis, b, rcond=None)[0]
    np.testing.assert_allclose(cgls_module.cgls(Dense(a, b), 4), expected, atol=1e-8)
    gradients = []
    cgls_module.cgls(Dense(a, b), 100, on_iteration=lambda k, g: gradients.append(g))
    assert len(gradients) < 30
    assert gradients[-1] < 1e-7


@pytest.mark.parametrize("symmetry", ["C1", "C2"])
def test_imaging_operator_is_symmetric_and_cgls_gives_the_volume_back(
    volume, rng, tmp_path, symmetry
):
    number = 70
    rotations, shifts, ctf = (
        random_rotations(number, rng),
        rng.normal(0, 1, (number, 2)),
        ctf_table(number, rng),
    )
    if symmetry == "C2":
        inner = volume[1:, 1:, 1:]
        volume = (inner + inner[:, ::-1, ::-1]) / 2
        volume = np.pad(volume, ((1, 0),) * 3)
    images = exact_projections(volume, rotations, shifts, transfer_of(ctf, BOX, PIXEL))
    star, _ = particle_set(tmp_path, images, rotations, shifts, PIXEL, ctf)
    half = np.ones(number, np.int64)
    particles = ReconstructionParticles.on_common_grid(read_particles(star, ("poses",)), half)
    projector = ExactProjector(BOX)
    operator = cgls_module.ImagingOperator(particles, np.arange(number), symmetry, 50, projector)
    a, b = rng.standard_normal((2, BOX, BOX, BOX)).astype(np.float32)
    (na, squared), (nb, _) = operator.normal(a), operator.normal(b)
    assert np.vdot(na, b) == pytest.approx(np.vdot(a, nb), rel=1e-3)
    assert np.vdot(na, a) == pytest.approx(squared, rel=1e-4)
    found = cgls_module.cgls(operator, 10)
    assert fourier_shell_correlation(found, volume)[2:9].min() > 0.9


def test_cgls_without_cuda_says_so():
    astra = pytest.importorskip("astra")
    if astra.use_cuda():
        pytest.skip("there is a CUDA device")
    with pytest.raises(ResourceError, match="choose the method 'fourier'"):
        cgls_module.require_astra()
