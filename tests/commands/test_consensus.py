"""`cryoposes consensus`: what it writes, and the sentences for what it cannot use."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.covariances import (
    covariance_of_errors,
    covariance_texts,
    read_covariance,
)
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.scores import BASIN_ERROR, CONSENSUS, COVARIANCE, WRONG_BASIN

from ..exact_projections import particle_set

BOX, PIXEL, NUMBER = 8, 4.0, 60
ERROR_DEG, ERROR_ANGSTROM = 1.0, 1.5


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Folder with first.star, second.star (particle 0 turned, 1 moved, 2 missing; in another order)
    and bare.star, which has poses alone.
    """
    folder, rng = tmp_path_factory.mktemp("sets"), np.random.default_rng(4)
    images = np.zeros((NUMBER, BOX, BOX), np.float32)
    rotations, shifts = random_rotations(NUMBER, rng), rng.normal(0, 1, (NUMBER, 2))
    errors = np.full(NUMBER, np.deg2rad(ERROR_DEG)), np.full(NUMBER, ERROR_ANGSTROM)
    extra = {COVARIANCE: covariance_texts(covariance_of_errors(*errors))}
    _, table = particle_set(folder, images, rotations, shifts, PIXEL, extra=extra)
    scores = {BASIN_ERROR: np.full(NUMBER, ERROR_DEG), WRONG_BASIN: np.full(NUMBER, 0.02)}
    table = table.replace(scores=scores)
    write_particles(folder / "first.star", table)
    write_particles(folder / "bare.star", table.replace(scores={}, extra={}))

    turn = Rotation.from_rotvec(np.deg2rad([0.0, 0.6, 0.0])).as_matrix() @ rotations
    turn[0] = Rotation.from_rotvec([0.0, 0.5, 0.0]).as_matrix() @ rotations[0]
    moved = shifts.copy()
    moved[1, 0] += 5
    order = rng.permutation(np.arange(NUMBER)[np.arange(NUMBER) != 2])
    other = table.replace(rotations=turn, shifts_px=moved).take(order)
    write_particles(folder / "second.star", other)
    return folder, table


def consensus(folder, output, others, *options):
    paths = ["--particles", folder / "first.star", "--others", *(folder / name for name in others)]
    return main(["consensus", "--output", str(output), *map(str, [*paths, *options])])


def test_what_agrees_what_does_not_and_why(sets, tmp_path):
    folder, first = sets
    assert consensus(folder, tmp_path / "run", ["second.star"]) == 0
    accepted, rejected = (
        read_particles(tmp_path / f"run/{name}.star") for name in ("accepted", "rejected")
    )
    np.testing.assert_array_equal(rejected.ids, first.ids[:3])
    reasons = ["rotations-differ", "shifts-differ", "not-in-all-sets"]
    assert list(rejected.extra[CONSENSUS]) == reasons
    np.testing.assert_allclose(rejected.rotations, first.rotations[:3], atol=1e-6)

    np.testing.assert_array_equal(accepted.ids, first.ids[3:])
    turned = np.rad2deg(angular_distance_rad(accepted.rotations, first.rotations[3:]))
    np.testing.assert_allclose(turned, 0.3, atol=1e-3)
    np.testing.assert_allclose(accepted.scores[BASIN_ERROR], ERROR_DEG, rtol=1e-4)
    covariance = read_covariance(tmp_path / "run/accepted.star", accepted)
    np.testing.assert_allclose(np.trace(covariance[0, 3:, 3:]), ERROR_ANGSTROM**2, rtol=1e-4)

    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    told = [metrics[n] for n in ("agree", "rotations_differ", "shifts_differ", "not_in_all_sets")]
    assert told == [NUMBER - 3, 1, 1, 1]
    assert (tmp_path / "run/report.html").exists()


def test_a_set_without_errors_takes_those_given(sets, tmp_path, caplog):
    folder, first = sets
    assert consensus(folder, tmp_path / "none", ["bare.star"]) == 2
    assert "bare.star has no errors of its poses" in caplog.text
    options = ("--error-deg", 3, "--no-shared-errors")
    assert consensus(folder, tmp_path / "given", ["bare.star", "second.star"], *options) == 0
    accepted = read_particles(tmp_path / "given/accepted.star")
    # Information is added: of 1, 3 and 1 degrees.
    expected = (1 / ERROR_DEG**2 + 1 / 3**2 + 1 / ERROR_DEG**2) ** -0.5
    np.testing.assert_allclose(accepted.scores[BASIN_ERROR], expected, rtol=1e-4)


def test_nothing_in_common_and_frames_that_differ_are_told(sets, tmp_path, caplog):
    folder, first = sets
    turn = Rotation.from_rotvec([0.0, 0.0, 1.0]).as_matrix()
    write_particles(folder / "turned.star", first.replace(rotations=first.rotations @ turn))
    assert consensus(folder, tmp_path / "turned", ["turned.star"]) == 0
    assert "may lie in different frames" in caplog.text
    caplog.clear()
    again = ("--registration", "rotation")
    assert consensus(folder, tmp_path / "registered", ["turned.star"], *again) == 0
    metrics = json.loads((tmp_path / "registered/metrics.json").read_text())
    assert metrics["agree"] == NUMBER
    assert metrics["frames"][0]["rotation_deg"] == pytest.approx(np.rad2deg(1.0), abs=1e-3)
    assert "different frames" not in caplog.text
