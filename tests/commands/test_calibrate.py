"""`cryoposes calibrate`: errors of a known law, two estimates with known covariances, sentences."""

import json

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.transform import Rotation

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.io.particle_files import write_particles
from cryoposes_plugin.core.scores import (
    BASIN_ERROR,
    ERROR_BOUND,
    EXPECTED_ERROR,
    EXPECTED_SHIFT_ERROR,
    JUNK,
    WRONG_BASIN,
)

from ..particle_sets import make_particles

NUMBER, PIXEL = 600, 5.0


@pytest.fixture
def truth(tmp_path):
    return make_particles(tmp_path / "s.mrcs", NUMBER, pixel_size_angstrom=PIXEL)


def estimate(truth, seed, said=1.0):
    """Normal errors, whose root mean square is `said` times larger than the scores say."""
    rng = np.random.default_rng(seed)
    sigma = np.exp(rng.normal(0, 0.4, len(truth)))
    turn = np.deg2rad(sigma)[:, None] * rng.normal(0, 1 / np.sqrt(3), (len(truth), 3))
    error = sigma / said
    return truth.replace(
        rotations=Rotation.from_rotvec(turn).as_matrix() @ truth.rotations,
        shifts_px=truth.shifts_px + rng.normal(0, 1 / np.sqrt(2) / PIXEL, (len(truth), 2)),
        scores={
            EXPECTED_ERROR: error,
            BASIN_ERROR: error,
            EXPECTED_SHIFT_ERROR: np.ones(len(truth)),
            ERROR_BOUND: error * np.sqrt(stats.chi2(3).ppf(0.9) / 3),
            WRONG_BASIN: np.full(len(truth), 0.1),
            JUNK: np.full(len(truth), 0.1),
        },
    )


def with_wrong_poses(particles):
    """The first fifth is wrong; all say so with 0.2 if they are particles, which they are with 0.9."""
    turned = particles.rotations.copy()
    turned[:120] = turned[:120] @ Rotation.from_rotvec([0, 1.0, 0]).as_matrix()
    wrong = {**particles.scores, WRONG_BASIN: np.full(NUMBER, 1 - 0.8 * 0.9)}
    return particles.replace(rotations=turned, scores=wrong)


def calibrate(tmp_path, *arguments, **tables):
    words = ["calibrate", "--output", str(tmp_path / "run"), *arguments]
    for name, table in tables.items():
        write_particles(tmp_path / f"{name}.star", table)
        words += [f"--{name}", str(tmp_path / f"{name}.star")]
    status = main(words)
    return json.loads((tmp_path / "run/metrics.json").read_text()) if status == 0 else status


def test_right_scores_are_called_right(truth, tmp_path):
    metrics = calibrate(tmp_path, particles=estimate(truth, 1), truth=truth)
    assert metrics["verdict"].startswith("The expected errors are right")
    assert metrics["bound_90"]["low"] < 0.9 < metrics["bound_90"]["high"]
    assert 0 < metrics["sparsification_area"] < 0.3
    for name in ("reliability_error.png", "sparsification.png", "report.html"):
        assert (tmp_path / "run" / name).stat().st_size > 2000


def test_too_small_expected_errors_are_named_with_their_factor(truth, tmp_path):
    metrics = calibrate(tmp_path, particles=estimate(truth, 1, said=2.0), truth=truth)
    assert "too small by a factor of up to 2" in metrics["verdict"]
    assert metrics["bound_90"]["share"] < 0.7


def test_covariance_beside_the_particles(truth, tmp_path):
    particles = estimate(truth, 1)
    variance = np.deg2rad(particles.scores[EXPECTED_ERROR]) ** 2 / 3
    covariance = np.eye(5) * np.stack([variance] * 3 + [np.full(NUMBER, 0.5)] * 2, 1)[:, None]
    order = np.random.default_rng(0).permutation(NUMBER)
    np.savez(tmp_path / "covariance.npz", ids=truth.ids[order], covariance=covariance[order] / 4)
    metrics = calibrate(tmp_path, particles=particles, truth=truth)
    assert metrics["rotation_inflation"] == pytest.approx(2, rel=0.06)
    assert metrics["shift_inflation"] == pytest.approx(2, rel=0.08)


def test_particles_without_a_true_pose_are_junk_if_asked(truth, tmp_path):
    particles = estimate(truth, 1)
    junk = np.arange(NUMBER) >= 500
    # Two pieces of junk score better than 50 of the 500 particles.
    values = np.where(junk, 0.9, 0.1)
    values[:50], values[500:502] = 0.3, 0.2
    particles = particles.replace(scores={**particles.scores, JUNK: values})
    metrics = calibrate(
        tmp_path, "--missing-is-junk", particles=particles, truth=truth.take(np.arange(500))
    )
    assert metrics["junk"] == 100
    roc = metrics["areas_particle_against_junk"][f"{JUNK}_roc"]
    assert roc == pytest.approx(1 - 0.02 * 0.1)
    assert metrics["junk_share"]["observed"] == pytest.approx(1 / 6)


def test_junk_is_no_wrong_pose_of_a_particle(truth, tmp_path):
    particles = with_wrong_poses(estimate(truth, 1))
    metrics = calibrate(tmp_path, particles=particles, truth=truth)
    assert metrics["wrong_share"]["expected"] == pytest.approx(0.2)
    assert metrics["wrong_share"]["observed"] == pytest.approx(0.2, abs=0.01)
    assert metrics["wrong_brier_score"] == pytest.approx(0.2 * 0.8, abs=0.01)
    assert "say 20 %" in metrics["verdict"]


def test_junk_counts_as_wrong_where_it_is_among_the_images(truth, tmp_path):
    particles = with_wrong_poses(estimate(truth, 1))
    metrics = calibrate(
        tmp_path, "--missing-is-junk", particles=particles, truth=truth.take(np.arange(540))
    )
    assert metrics["wrong_or_junk_share"]["expected"] == pytest.approx(0.28)
    assert metrics["wrong_or_junk_share"]["observed"] == pytest.approx(0.1 + 120 / 600, abs=0.01)
    assert metrics["wrong_share"]["observed"] == pytest.approx(120 / 540, abs=0.01)
    assert (tmp_path / "run/reliability_wrong_or_junk.png").stat().st_size > 2000


def test_the_truth_may_say_which_images_are_junk(truth, tmp_path):
    particles = estimate(truth, 1)
    junk = np.arange(NUMBER) >= 500
    kinds = np.where(junk, "off_centre", "particle").astype(object)
    truth = truth.replace(extra={**truth.extra, "cryoposesTrueKind": kinds})
    lost = np.where(junk[:, None, None], particles.rotations[::-1], particles.rotations)
    values = np.where(junk, 0.9, 0.1)
    particles = particles.replace(rotations=lost, scores={**particles.scores, JUNK: values})
    metrics = calibrate(tmp_path, particles=particles, truth=truth)
    assert metrics["particles"] == 500
    assert metrics["share_below_5_deg"] == pytest.approx(1.0, abs=0.01)
    assert metrics["junk"] == 100
    assert metrics["junk_share"]["expected"] == pytest.approx((500 * 0.1 + 100 * 0.9) / 600)
    assert "17 % are junk; the probabilities of junk say 23 %" in metrics["verdict"]


def test_two_estimates_in_turned_frames_with_right_covariances(truth, tmp_path):
    turn = Rotation.from_rotvec([0.1, 0.4, -0.2]).as_matrix()
    other = estimate(truth, 2)
    other = other.replace(rotations=other.rotations @ turn)
    metrics = calibrate(tmp_path, particles=estimate(truth, 1), other=other)
    assert metrics["common_rotation_deg"] == pytest.approx(
        np.rad2deg(np.linalg.norm([0.1, 0.4, -0.2])), abs=0.2
    )
    assert metrics["rotation_inflation"] == pytest.approx(1, abs=0.06)
    assert metrics["shift_inflation"] == pytest.approx(1, abs=0.08)
    assert "Errors that both estimates share are not tested" in metrics["verdict"]


def test_two_estimates_with_too_small_covariances(truth, tmp_path):
    tables = {"particles": estimate(truth, 1, said=2.0), "other": estimate(truth, 2, said=2.0)}
    metrics = calibrate(tmp_path, **tables)
    assert metrics["rotation_inflation"] == pytest.approx(2, rel=0.06)
    assert "too small" in metrics["verdict"]


def test_shared_wrong_poses_are_predicted_by_the_probabilities(truth, tmp_path):
    metrics = calibrate(
        tmp_path, particles=with_wrong_poses(estimate(truth, 1)), other=estimate(truth, 2)
    )
    assert metrics["share_of_pairs_beyond_5_deg"] == pytest.approx(0.2, abs=0.01)
    # The same images are junk for both.
    assert metrics["expected_share_of_pairs_wrong"] == pytest.approx(1 - 0.9 * 0.8)


def test_sentences(truth, tmp_path, caplog):
    assert calibrate(tmp_path, particles=truth, truth=truth) == 2
    assert "has no column with scores" in caplog.text
    assert calibrate(tmp_path, particles=estimate(truth, 1), other=truth) == 2
    assert "has neither covariance.npz beside it nor a column" in caplog.text
    assert calibrate(tmp_path, particles=truth) == 2
    assert "neither --truth nor --other is given" in caplog.text
    few = truth.take(np.arange(10))
    assert calibrate(tmp_path, particles=estimate(truth, 1), truth=few) == 2
    assert "only 10 particles in common" in caplog.text
