"""The weights of `reconstruct`: where they come from, and what is said without their columns."""

import json

import numpy as np
import pytest

from cryoposes_plugin.commands.reconstruct.config import ReconstructConfig
from cryoposes_plugin.commands.reconstruct.inputs import read_inputs
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.core.errors import ConfigError, InputError
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.covariances import covariance_texts
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.reconstruction.weights import blur_of_covariance, blur_of_errors
from cryoposes_plugin.core.scored_pose import scored_poses
from cryoposes_plugin.core.scores import (
    BASIN_ERROR,
    COVARIANCE,
    EXPECTED_SHIFT_ERROR,
    JUNK,
    WRONG_BASIN,
)

from ..exact_projections import particle_set

BOX, PIXEL, NUMBER = 16, 6.0, 24
#: Of a ball that fills the default mask, 75 % of the box.
RADIUS = np.sqrt(3 / 5) * 0.75 * BOX * PIXEL / 2


@pytest.fixture
def refined(tmp_path):
    """Particles with the scores of a refinement, and their table."""
    rng = np.random.default_rng(3)
    images = rng.normal(0, 1, (NUMBER, BOX, BOX)).astype(np.float32)
    scores = {
        BASIN_ERROR: rng.uniform(1, 4, NUMBER),
        EXPECTED_SHIFT_ERROR: rng.uniform(1, 3, NUMBER),
        WRONG_BASIN: rng.uniform(0, 0.5, NUMBER),
        JUNK: rng.uniform(0, 0.5, NUMBER),
    }
    rotations = random_rotations(NUMBER, rng)
    return particle_set(tmp_path, images, rotations, np.zeros((NUMBER, 2)), PIXEL, scores=scores)


def weights(star, choice):
    return read_inputs(ReconstructConfig(particles=str(star), weights=choice)).particles.weights


def test_a_pose_of_junk_is_wrong_and_not_twice(refined):
    star, table = refined
    found = weights(star, "probability")
    expected = 1 - np.maximum(table.scores[WRONG_BASIN], table.scores[JUNK])
    np.testing.assert_allclose(found.probability, expected, atol=1e-5)
    assert not found.blur_angstrom2.any()


def test_expected_errors_count_alike_in_all_directions(refined):
    star, table = refined
    found = weights(star, "covariance")
    errors = np.deg2rad(table.scores[BASIN_ERROR]), table.scores[EXPECTED_SHIFT_ERROR]
    np.testing.assert_allclose(found.blur_angstrom2, blur_of_errors(*errors, RADIUS), rtol=1e-4)
    assert (found.probability == 1).all()


def test_covariances_are_joined_by_id_or_not_used(refined):
    star, table = refined
    rng = np.random.default_rng(8)
    root = rng.normal(0, 1, (NUMBER, 5, 5))
    covariance, mixed = root @ np.swapaxes(root, 1, 2), rng.permutation(NUMBER)
    np.savez(star.parent / "covariance.npz", ids=table.ids[mixed], covariance=covariance[mixed])
    np.testing.assert_allclose(
        weights(star, "both").blur_angstrom2, blur_of_covariance(covariance, RADIUS)
    )
    np.savez(star.parent / "covariance.npz", ids=table.ids + 1, covariance=covariance)
    errors = np.deg2rad(table.scores[BASIN_ERROR]), table.scores[EXPECTED_SHIFT_ERROR]
    np.testing.assert_allclose(
        weights(star, "both").blur_angstrom2, blur_of_errors(*errors, RADIUS), rtol=1e-4
    )


def test_covariances_of_the_column_come_before_those_of_the_file(refined):
    star, table = refined
    root = np.random.default_rng(8).normal(0, 1, (NUMBER, 5, 5))
    covariance = root @ np.swapaxes(root, 1, 2)
    np.savez(star.parent / "covariance.npz", ids=table.ids, covariance=2 * covariance)
    column = {COVARIANCE: covariance_texts(covariance)}
    write_particles(star, table.replace(extra={**table.extra, **column}))
    np.testing.assert_allclose(
        weights(star, "both").blur_angstrom2, blur_of_covariance(covariance, RADIUS), rtol=1e-4
    )


def test_a_covariance_belongs_to_its_pose(refined):
    star, table = refined
    column = {COVARIANCE: covariance_texts(np.tile(np.eye(5), (NUMBER, 1, 1)))}
    table = table.replace(extra={**table.extra, **column})
    write_particles(star, table)
    assert COVARIANCE in read_particles(star).extra

    moved = star.read_text().splitlines()
    text = scored_poses(table)[0]
    turned = text.replace(text.split("/")[2], "7.5", 1)
    star.write_text("\n".join(line.replace(text, turned) for line in moved) + "\n")
    assert COVARIANCE not in read_particles(star).extra
    write_particles(star, table.replace(scores={}))
    assert COVARIANCE not in read_particles(star).extra


def test_a_damaged_covariance_is_named(refined):
    star, table = refined
    texts = covariance_texts(np.tile(np.eye(5), (NUMBER, 1, 1))).astype(object)
    texts[3] = "1/2/nan"
    write_particles(star, table.replace(extra={**table.extra, COVARIANCE: texts}))
    said = f"Particle {table.ids[3]} of .* has {COVARIANCE} = '1/2/nan', not 15 numbers"
    with pytest.raises(InputError, match=said):
        weights(star, "both")


def test_without_errors_of_the_shifts_they_count_as_exact(refined, tmp_path):
    _, table = refined
    kept = {name: v for name, v in table.scores.items() if name != EXPECTED_SHIFT_ERROR}
    images = np.ones((NUMBER, BOX, BOX), np.float32)
    poses = table.rotations, table.shifts_px
    star, _ = particle_set(tmp_path, images, *poses, PIXEL, name="less", scores=kept)
    errors = np.deg2rad(table.scores[BASIN_ERROR]), np.zeros(NUMBER)
    found = weights(star, "covariance").blur_angstrom2
    np.testing.assert_allclose(found, blur_of_errors(*errors, RADIUS), rtol=1e-4)


def test_a_run_tells_how_many_particles_count(refined, tmp_path):
    star, table = refined
    config = ReconstructConfig(particles=str(star), weights="both")
    run_command(config, tmp_path / "out")
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    right = 1 - np.maximum(table.scores[WRONG_BASIN], table.scores[JUNK])
    assert metrics["effective_particles"] == pytest.approx((right**2).sum(), abs=0.1)
    assert metrics["effective_particles_at_resolution"] < metrics["effective_particles"]
    assert metrics["weights_statement"] in (tmp_path / "out/report.html").read_text()


@pytest.mark.parametrize(
    ("missing", "choice", "said"),
    [
        ((WRONG_BASIN, JUNK), "probability", f"neither _{WRONG_BASIN} nor _{JUNK}"),
        ((BASIN_ERROR,), "covariance", f"no column _{BASIN_ERROR}"),
    ],
)
def test_a_weight_without_its_column_is_refused(refined, tmp_path, missing, choice, said):
    _, table = refined
    kept = {name: v for name, v in table.scores.items() if name not in missing}
    star, _ = particle_set(
        tmp_path,
        np.ones((NUMBER, BOX, BOX), np.float32),
        table.rotations,
        table.shifts_px,
        PIXEL,
        name="less",
        scores=kept,
    )
    with pytest.raises(InputError, match=said):
        weights(star, choice)


def test_conjugate_gradients_have_no_weights():
    with pytest.raises(ConfigError, match="not possible with --method cgls"):
        ReconstructConfig(particles="p.star", method="cgls", weights="both").validate()
