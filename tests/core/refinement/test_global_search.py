"""The global search: which poses are doubtful, and what comparing their images with all
orientations finds.
"""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io import state_files
from cryoposes_plugin.core.io.folder import Folder
from cryoposes_plugin.core.particles.grids import working_grid
from cryoposes_plugin.core.refinement import global_search
from cryoposes_plugin.core.refinement import reference_bank as reference_bank_module
from cryoposes_plugin.core.refinement import refinement as refinement_module
from cryoposes_plugin.core.refinement.global_search import doubtful, improved
from cryoposes_plugin.core.refinement.multi_start import Refined, Settings
from cryoposes_plugin.core.refinement.poses import Poses
from cryoposes_plugin.core.refinement.reference_bank import ReferenceBank, SliceTable
from cryoposes_plugin.core.refinement.refinement import Refinement, refine_all
from cryoposes_plugin.core.refinement.scales import ScaleDistribution
from cryoposes_plugin.core.refinement.search_grids import scan_shifts, shift_grid
from cryoposes_plugin.core.refinement.starts import GivenStarts, StartingPoses
from cryoposes_plugin.core.refinement.whitened_images import WhitenedImages

from .scene import BOX, NUMBER, PIXEL


def refined_with(scale, basins=None):
    number = len(scale)
    return Refined(
        rotations=np.tile(np.eye(3), (number, 1, 1)),
        shifts_px=np.zeros((number, 2)),
        gain=np.full(number, 100.0),
        scale=np.asarray(scale, float),
        covariance=np.tile(np.eye(5), (number, 1, 1)),
        basins=np.ones(number, int) if basins is None else np.asarray(basins),
        wrong_basin=np.zeros(number),
        converged=np.ones(number, bool),
    )


def test_low_scales_and_rivals_are_doubtful(rng):
    scale = rng.normal(1, 0.05, 1000)
    scale[:30] = 0.65
    basins = np.ones(1000, int)
    basins[990:] = 2
    rows = doubtful(refined_with(scale, basins))
    assert set(range(30)) <= set(rows)
    assert set(range(990, 1000)) <= set(rows)
    assert len(rows) < 45


def test_a_wide_spread_of_scales_is_no_doubt(rng):
    scale = rng.lognormal(0, 0.2, 1000)
    assert len(doubtful(refined_with(scale))) < 40


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_scales_tell_how_many_poses_are_wrong(share, rng):
    """Wrong poses have some half of the scale; right ones scatter by 20 %."""
    wrong = np.arange(4000) < 4000 * share
    scale = np.where(wrong, rng.lognormal(np.log(0.42), 0.1, 4000), rng.lognormal(0, 0.2, 4000))
    probability = ScaleDistribution(scale).probability_of_wrong
    assert probability.mean() == pytest.approx(share, abs=0.02)
    assert (probability[wrong] < 0.5).sum() < 0.03 * 4000 * share + 1
    assert (probability[~wrong] > 0.5).mean() < 0.01


def test_one_particle_and_none_with_signal_have_scales_too():
    assert ScaleDistribution(np.ones(1)).probability_of_wrong.tolist() == [0.0]
    assert not ScaleDistribution(np.zeros(3)).low.any()


def test_all_that_are_doubtful_are_searched_globally():
    scale = np.r_[np.full(400, 0.5), np.ones(600)]
    assert doubtful(refined_with(scale)).tolist() == list(range(400))


def test_a_pose_at_least_as_likely_counts():
    after = refined_with([1, 1, 1])
    assert improved(np.array([99.0, 100.05, 101.0]), after).tolist() == [True, True, False]


@pytest.fixture(scope="module")
def found_by_bank(scene):
    """Images, the bank, and what it finds about wrong shifts for the first three."""
    images = WhitenedImages(
        scene.likelihood, scene.observed(scene.clean + scene.noise), scene.points, scene.spectra()
    )
    bank = ReferenceBank(scene.likelihood, scene.points, 7.0)
    assert 10.9 < bank.radius <= 11.2
    y, c = images.coefficients
    return images, bank, bank.best(y[:3], c[:3], scene.shifts[:3] + 0.3, 2.0, 20)


def test_gains_of_the_bank_are_those_of_its_poses(found_by_bank):
    images, bank, (poses, gains) = found_by_bank
    at_poses, _ = images.scan(poses, np.zeros((1, 2)), bank.radius)
    np.testing.assert_allclose(gains, at_poses, rtol=2e-4)


@pytest.mark.parametrize("image", range(3))
def test_the_bank_finds_the_best_of_all_orientations_and_shifts(image, scene, found_by_bank):
    images, bank, (poses, gains) = found_by_bank
    number = len(bank.rotations)
    about = np.tile(scene.shifts[image] + 0.3, (number, 1))
    starts = Poses(np.full(number, image), bank.rotations, about)
    everything, _ = images.scan(starts, scan_shifts(2.0, BOX, bank.radius), bank.radius)
    assert gains[poses.particle == image].max() > 0.98 * everything.max()


def test_the_bank_finds_the_true_orientations(scene, found_by_bank):
    _, _, (poses, gains) = found_by_bank
    best = [
        np.flatnonzero(poses.particle == i)[gains[poses.particle == i].argmax()] for i in (0, 1, 2)
    ]
    errors = np.rad2deg(angular_distance_rad(poses.rotations[best], scene.rotations[:3]))
    assert errors.max() < 8


def test_a_small_particle_in_a_large_box_does_not_fill_the_memory(scene, monkeypatch):
    monkeypatch.setattr(reference_bank_module, "MOST_COEFFICIENTS", 100 * 36_864)
    bank = ReferenceBank(scene.likelihood, scene.points, 12.0)
    assert bank.radius == pytest.approx(scene.points.radius[99])  # 8, and all orientations up to 5
    found, _ = bank.best(*(a[:1] for a in _coefficients(scene)), scene.shifts[:1], 1.0, 5)
    assert len(found) == 5
    assert np.rad2deg(angular_distance_rad(found.rotations, scene.rotations[:1])).min() < 15


def _coefficients(scene):
    observed = scene.observed(scene.clean + scene.noise)
    return WhitenedImages(scene.likelihood, observed, scene.points, scene.spectra()).coefficients


def test_slices_from_a_table_are_those_that_are_interpolated(scene):
    """Starts on a grid and beside it, mixed: the same gains and shifts as without the table."""
    rng = np.random.default_rng(2)
    images = WhitenedImages(
        scene.likelihood, scene.observed(scene.clean + scene.noise), scene.points, scene.spectra()
    )
    rotations = random_rotations(40, rng)
    particle = np.sort(rng.integers(0, len(images), 60))
    row = np.where(rng.random(60) < 0.7, rng.integers(0, 40, 60), -1)
    starts = Poses(particle, rotations[row], scene.shifts[particle] + 0.2, on_grid=row)
    table, grid = SliceTable(scene.likelihood, rotations), shift_grid(2.0, 1.0)
    for radius in (9.0, 6.0):
        gain, best = images.scan(starts, grid, radius, table)
        expected_gain, expected_best = images.scan(starts, grid, radius)
        np.testing.assert_allclose(gain, expected_gain, rtol=1e-4)
        np.testing.assert_array_equal(best, expected_best)


class _Misled:
    """The true poses as starts, but for some rows, whose starts lie on the far side."""

    def __init__(self, scene, misled):
        rotations = scene.rotations.copy()
        rotations[misled] = rotations[misled] @ np.diag([1.0, -1.0, -1.0])
        self.given = GivenStarts(rotations, scene.shifts)

    grid, score_shapes = None, {}

    def __call__(self, rows):
        poses = self.given(rows).poses
        without = dataclasses.replace(poses, anchor_rotations=None, anchor_shifts_px=None)
        return StartingPoses(without, {})


@pytest.fixture
def refinement(scene, tmp_path):
    """Of the scene's images, from starts that mislead twelve of them."""
    from cryoposes_plugin.core.io.mrc import write_stack
    from cryoposes_plugin.core.types import OpticsGroup, ParticleTable

    write_stack(tmp_path / "particles.mrcs", scene.clean + scene.noise, PIXEL)
    table = ParticleTable(
        ids=np.arange(NUMBER),
        stack_paths=(tmp_path / "particles.mrcs",),
        stack_index=np.zeros(NUMBER, int),
        slice_index=np.arange(NUMBER),
        optics=(OpticsGroup("one", PIXEL, BOX, 300.0, 2.7, 0.1),),
        optics_index=np.zeros(NUMBER, int),
        ctf=scene.ctf,
    )

    def make(search):
        starts = _Misled(scene, MISLED)
        settings = Settings(search_shift_px=1.0)
        grid = working_grid(table)
        everywhere = global_search.settings(2.0) if search else None
        return Refinement(
            table,
            scene.volume,
            grid,
            starts,
            np.eye(3)[None],
            settings,
            global_settings=everywhere,
        )

    return make


MISLED = np.arange(3, NUMBER, 13)


def test_misled_images_are_found_again_and_an_interruption_changes_nothing(
    scene, refinement, tmp_path, monkeypatch
):
    (tmp_path / "a").mkdir()
    first = refine_all(refinement(False), Folder(tmp_path / "a"), NUMBER // 4, 0)
    errors = np.rad2deg(angular_distance_rad(first.refined.rotations, scene.rotations))
    assert (errors[MISLED] > 20).all()
    assert np.median(errors) < 3
    (tmp_path / "b").mkdir()
    whole = refine_all(refinement(True), Folder(tmp_path / "b"), NUMBER // 4, 0)
    errors = np.rad2deg(angular_distance_rad(whole.refined.rotations, scene.rotations))
    assert (errors < 10).all()
    assert set(MISLED) <= set(whole.searched)

    monkeypatch.setattr(state_files, "SAVE_SECONDS", -1.0)
    monkeypatch.setattr(refinement_module, "_SEARCHED_AT_ONCE", 5)
    (tmp_path / "c").mkdir()
    stopped, real = refinement(True), Refinement.search_globally
    calls = []

    def stop_at_the_second(self, rows, spectra):
        calls.append(rows)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, rows, spectra)

    monkeypatch.setattr(Refinement, "search_globally", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        refine_all(stopped, Folder(tmp_path / "c"), NUMBER // 4, 0)
    monkeypatch.setattr(Refinement, "search_globally", real)
    resumed = refine_all(refinement(True), Folder(tmp_path / "c"), NUMBER // 4, 0)
    np.testing.assert_array_equal(resumed.searched, whole.searched)
    np.testing.assert_allclose(resumed.refined.rotations, whole.refined.rotations, atol=1e-5)
