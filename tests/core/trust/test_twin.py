"""The twin of a refined set: its noise and signal are those of the set, its decoys are what their
names say.
"""

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("sklearn")

from cryoposes_plugin.core.evaluation.calibration import chi_square, rotation_differences_rad
from cryoposes_plugin.core.fourier.points import FourierPoints
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.image_kinds import EDGE, NOISE, OFF_CENTRE, OVERLAP, PARTICLE
from cryoposes_plugin.core.io.folder import Folder
from cryoposes_plugin.core.io.mrc import read_stack, write_stack
from cryoposes_plugin.core.particles.grids import working_grid
from cryoposes_plugin.core.refinement.fit_statistics import NAMES, OCTAVES, octaves
from cryoposes_plugin.core.refinement.multi_start import Settings
from cryoposes_plugin.core.refinement.refinement import Refinement, refine_all
from cryoposes_plugin.core.refinement.starts import GivenStarts
from cryoposes_plugin.core.trust.judge import Judge, error_bound_deg
from cryoposes_plugin.core.trust.twin import DECOYS, noise_deviations, simulate_twin

from ...particle_sets import make_particles
from ..refinement.scene import BOX, NUMBER, PIXEL, Scene


@pytest.fixture(scope="module")
def scene():
    return Scene()


@pytest.fixture(scope="module")
def refined(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    write_stack(folder / "set.mrcs", (scene.clean + scene.noise).astype(np.float32), PIXEL)
    table = make_particles(folder / "set.mrcs", NUMBER, BOX, PIXEL).replace(
        rotations=scene.rotations, shifts_px=scene.shifts, ctf=scene.ctf
    )
    starts = GivenStarts(scene.rotations, scene.shifts)
    refinement = Refinement(
        table,
        scene.volume,
        working_grid(table, None),
        starts,
        np.eye(3)[None],
        Settings(search_shift_px=0.0),
        judged=True,
    )
    run = Folder(folder)
    return refinement, refine_all(refinement, run, 256, 0), run


@pytest.fixture(scope="module")
def twin(refined):
    refinement, results, folder = refined
    return simulate_twin(refinement, results, folder, 0, 3.0, 40)


@pytest.fixture(scope="module")
def images(twin):
    return read_stack(twin.table.stack_paths[0])


def test_the_twin_has_particles_and_each_kind_of_junk(twin):
    assert set(np.unique(twin.kind)) == {PARTICLE, *DECOYS}


def test_most_decoys_are_of_the_kinds_that_resemble_particles(twin):
    number = {kind: np.count_nonzero(twin.kind == kind) for kind in DECOYS}
    assert number[OVERLAP] == 128
    assert sum(number.values()) == 256


def test_noise_decoys_have_the_power_of_the_noise(scene, twin, images):
    of_noise = images[twin.kind == NOISE]
    assert of_noise.std() == pytest.approx(scene.deviation, rel=0.04)


def test_particles_have_the_power_of_the_set(scene, twin, images):
    of_set = scene.clean.var() + scene.deviation**2
    assert images[twin.is_particle].var() == pytest.approx(of_set, rel=0.06)


def test_a_neighbour_adds_signal_outside_the_particle(scene, twin, images):
    y, x = np.indices((BOX, BOX)) - BOX // 2
    outside = np.hypot(x, y) > 1.6 * scene.radius
    power = {k: (images[twin.kind == k][:, outside] ** 2).mean() for k in (PARTICLE, OVERLAP)}
    assert power[OVERLAP] > 1.05 * power[PARTICLE]


def test_a_particle_off_centre_leaves_the_centre(scene, twin, images):
    y, x = np.indices((BOX, BOX)) - BOX // 2
    inside = np.hypot(x, y) < 0.4 * scene.radius
    level = {k: images[twin.kind == k][:, inside].mean() for k in (PARTICLE, OFF_CENTRE)}
    assert level[OFF_CENTRE] < 0.6 * level[PARTICLE]


def test_an_edge_separates_two_levels(twin, images):
    smooth = images[twin.kind == EDGE].reshape(-1, BOX // 10, 10, BOX // 10, 10).mean(axis=(2, 4))
    plain = images[twin.kind == NOISE].reshape(-1, BOX // 10, 10, BOX // 10, 10).mean(axis=(2, 4))
    assert np.ptp(smooth, axis=(1, 2)).mean() > 3 * np.ptp(plain, axis=(1, 2)).mean()


def test_the_same_seed_gives_the_same_twin(refined, images):
    refinement, results, folder = refined
    again = simulate_twin(refinement, results, folder, 0, 3.0, 40)
    np.testing.assert_array_equal(read_stack(again.table.stack_paths[0]), images)


@pytest.fixture(scope="module")
def judged(refined):
    refinement, results, folder = refined

    def starts_of(table):
        return GivenStarts(np.asarray(table.rotations), np.asarray(table.shifts_px))

    judge = Judge(refinement, starts_of, folder, 256, 0)
    estimate = judge.estimate(results)
    return estimate, judge.judged(refinement.table, results)


def test_a_set_of_particles_alone_is_not_called_junk(judged):
    assert (judged[0].probability > 0.5).mean() < 0.02


def test_decoys_are_called_junk(judged):
    estimate = judged[0]
    decoys = estimate.twin_kind != PARTICLE
    # with the shares of a set without junk
    assert np.median(estimate.twin_probability[decoys]) > np.quantile(
        estimate.twin_probability[~decoys], 0.98
    )


def test_the_bound_covers_nine_errors_in_ten(scene, refined, judged):
    error = np.rad2deg(angular_distance_rad(refined[1].refined.rotations, scene.rotations))
    assert (error <= judged[1].table.scores["cryoposesErrorBound90Deg"]).mean() == pytest.approx(
        0.9, abs=0.08
    )


def test_chi_square_of_the_errors_has_its_expectation(scene, refined, judged):
    covariance = judged[1].results.refined.covariance
    own = refined[1].refined
    turns = rotation_differences_rad(own.rotations, scene.rotations, np.eye(3)[None])
    found = {
        name: chi_square(turns, value[:, :3, :3]).values.mean()
        for name, value in (("before", own.covariance), ("after", covariance))
    }
    assert abs(np.log(found["after"] / 3)) < abs(np.log(found["before"] / 3)) + 0.1
    assert found["after"] == pytest.approx(3, rel=0.2)


def test_scores_are_those_of_the_covariance(judged):
    variance = np.einsum("bii->bi", judged[1].results.refined.covariance)
    scores = judged[1].table.scores
    np.testing.assert_allclose(
        scores["cryoposesBasinErrorDeg"], np.rad2deg(np.sqrt(variance[:, :3].sum(axis=1)))
    )
    np.testing.assert_allclose(
        scores["cryoposesExpectedShiftErrorAngstrom"], PIXEL * np.sqrt(variance[:, 3:].sum(axis=1))
    )


def test_the_bound_of_sure_poses_is_the_quantile_of_the_ratios():
    ratio = np.linspace(0.01, 1.0, 99)
    bound = error_bound_deg(np.array([2.0]), np.zeros(1), ratio)
    assert bound == pytest.approx([2.0 * ratio[89]])


def test_a_pose_that_is_wrong_in_one_case_of_twenty_has_a_wider_bound():
    ratio = np.linspace(0.01, 1.0, 99)
    # 0.9 of all is 0.9 / 0.95 of the right ones
    bound = error_bound_deg(np.array([2.0]), np.array([0.05]), ratio)
    assert bound == pytest.approx([2.0 * 0.95], abs=0.021)


def test_a_pose_that_is_wrong_in_one_case_of_five_has_no_bound():
    assert error_bound_deg(np.array([2.0]), np.array([0.2]), np.ones(50)).tolist() == [180.0]


def statistics_of_noise(spread, number=4000):
    """Residual powers of images whose noise differs by exp(spread * normal) at low frequencies."""
    rng = np.random.default_rng(3)
    points = FourierPoints(64)
    columns = [NAMES.index(f"log_residual_power_{low}") for low, _ in OCTAVES]
    statistics = np.zeros((number, len(NAMES)))
    sampling = rng.standard_normal((number, len(OCTAVES))) / np.sqrt(octaves(points).sum(axis=1))
    statistics[:, columns] = sampling + spread * rng.standard_normal((number, 1))
    return points, statistics


def test_equal_noise_has_no_deviations():
    points, statistics = statistics_of_noise(0.0)
    assert not noise_deviations(points, statistics).any()


def test_the_spread_of_the_noise_is_found_beside_that_of_sampling():
    points, statistics = statistics_of_noise(0.3)
    at_middle_of_octaves = noise_deviations(points, statistics)[:, [3, 6, 11]]
    np.testing.assert_allclose(at_middle_of_octaves.std(axis=0), 0.3, rtol=0.06)


def test_the_noise_of_high_frequencies_does_not_differ():
    points, statistics = statistics_of_noise(0.3)
    assert not noise_deviations(points, statistics)[:, 24:].any()
