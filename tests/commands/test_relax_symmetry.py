"""`cryoposes relax-symmetry` and `expand-symmetry`: mates of simulated particles with one subunit
that differs, and the sentences for wrong input.
"""

import json

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.expand_symmetry.config import ExpandSymmetryConfig
from cryoposes_plugin.commands.expand_symmetry.run import check as check_expansion
from cryoposes_plugin.commands.relax_symmetry.config import RelaxSymmetryConfig
from cryoposes_plugin.commands.relax_symmetry.run import check
from cryoposes_plugin.core.errors import ConfigError, InputError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.subgroups import cosets
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.scores import (
    EXPECTED_ERROR,
    MATE,
    MATE_PROBABILITIES,
    MATE_PROBABILITY,
)

pytest.importorskip("tensorflow")
from cryoposes_plugin.core.pseudosymmetry.split_maps import group_average

from ..particle_sets import mate_probabilities_of

NUMBER, BOX, PIXEL = 300, 32, 6.0
MATES = cosets("C4", "C1")


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """(folder, true particles, mates of their poses in modulo.star); broken.mrc has a ball on one of
    four subunits, c4.mrc has none.
    """
    folder = tmp_path_factory.mktemp("relax")
    symmetric = group_average(make_phantom(BOX, PIXEL).data, MATES.group)
    z, y, x = np.indices(symmetric.shape) - BOX // 2
    ball = np.exp(-((x - 8) ** 2 + (y - 3) ** 2 + (z - 2) ** 2) / 8.0)
    broken = symmetric + 6 * symmetric.std() * ball.astype(np.float32)
    write_volume(folder / "c4.mrc", symmetric, PIXEL)
    write_volume(folder / "broken.mrc", broken, PIXEL)
    words = ["--number", NUMBER, "--snr", 0.5, "--shift-px", 1, "--seed", 3]
    words += ["--volume", folder / "broken.mrc", "--output", folder / "sim"]
    assert main(["simulate", *map(str, words)]) == 0
    true = read_particles(folder / "sim/particles.star", require=("poses",))
    mate = np.random.default_rng(5).integers(4, size=NUMBER)
    modulo = true.replace(rotations=true.rotations @ MATES.representatives[mate])
    write_particles(folder / "modulo.star", modulo)
    return folder, true


def relaxed(folder, name, *words):
    given = ["--particles", folder / "modulo.star", "--pseudo-symmetry", "C4"]
    words = [*given, *words, "--output", folder / name, "--threads", 1]
    assert main(["relax-symmetry", *map(str, words)]) == 0
    table = read_particles(folder / name / "particles.star", ("poses",))
    return table, json.loads((folder / name / "metrics.json").read_text())


@pytest.fixture(scope="module")
def from_volume(scene):
    return relaxed(scene[0], "volume", "--volume", scene[0] / "broken.mrc")


@pytest.fixture(scope="module")
def from_images(scene):
    words = ["--asymmetry-from", "images", "--search-resolution-angstrom", 24, "--starts", 1]
    return relaxed(scene[0], "images", "--volume", scene[0] / "c4.mrc", *words)


def share_right(table, true, turn=None):
    turned = table.rotations if turn is None else table.rotations @ turn
    return np.mean(angular_distance_rad(turned, true.rotations) < np.deg2rad(20))


def test_the_volume_tells_the_mates(scene, from_volume):
    table, _ = from_volume
    right = share_right(table, scene[1])
    assert right > 0.9
    assert table.scores[MATE_PROBABILITY].mean() == pytest.approx(right, abs=0.06)


def test_columns_agree_with_each_other(from_volume):
    table, metrics = from_volume
    probability = mate_probabilities_of(table.extra[MATE_PROBABILITIES])
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-3)
    np.testing.assert_array_equal(probability.argmax(axis=1), table.scores[MATE])
    assert metrics["expected_share_of_right_mates"] == pytest.approx(
        table.scores[MATE_PROBABILITY].mean(), abs=1e-6
    )


def test_the_expected_error_counts_wrong_mates(from_volume):
    table, _ = from_volume
    doubtful = table.scores[MATE_PROBABILITY] < 0.9
    least = 90 * np.sqrt(1 - table.scores[MATE_PROBABILITY][doubtful])
    assert (table.scores[EXPECTED_ERROR][doubtful] > 0.99 * least).all()


def test_the_mates_are_found_without_an_asymmetric_volume(scene, from_images):
    """Up to one operation for all particles: which subunit differs is a choice."""
    table, _ = from_images
    assert max(share_right(table, scene[1], g) for g in MATES.group) > 0.85


def test_the_half_sets_agree_on_the_asymmetry(from_images):
    assert from_images[1]["half_set_correlation"] > 0.5


def test_maps_are_written_from_the_images(scene, from_images):
    assert {"volume.mrc", "half1.mrc", "half2.mrc"} <= {
        path.name for path in (scene[0] / "images").iterdir()
    }


@pytest.mark.parametrize("name", ["c4.mrc", "broken.mrc"])
def test_only_a_volume_with_the_whole_symmetry_is_refused(scene, name):
    config = RelaxSymmetryConfig(
        particles=str(scene[0] / "modulo.star"),
        volume=str(scene[0] / name),
        pseudo_symmetry="C4",
    )
    if name == "broken.mrc":
        check(config)
    else:
        with pytest.raises(InputError, match="has the symmetry C4 itself"):
            check(config)


def test_a_volume_of_the_particles_themselves_is_found_out(scene, from_volume, caplog):
    """At mates drawn at random, their map shows no asymmetry but noise."""
    folder = scene[0]
    words = ["--particles", folder / "modulo.star", "--output", folder / "own"]
    assert main(["reconstruct", *map(str, words)]) == 0
    _, metrics = relaxed(folder, "confirmed", "--volume", folder / "own/volume.mrc")
    assert metrics["correlation_with_particles"] > 0.6
    assert metrics["correlation_with_particles"] > metrics["correlation_allowed"]
    assert "the volume was made of these particles" in metrics["notes"][-1]
    assert "the volume was made of these particles" in caplog.text
    _, true = from_volume
    assert true["correlation_with_particles"] < true["correlation_allowed"]


def test_a_symmetric_volume_tells_nothing(scene):
    folder = scene[0]
    config = RelaxSymmetryConfig(
        particles=str(folder / "modulo.star"),
        volume=str(folder / "c4.mrc"),
        pseudo_symmetry="C4",
        symmetry="C4",
    )
    with pytest.raises(ConfigError, match="no larger than the true symmetry C4"):
        check(config)


@pytest.mark.parametrize(
    "box, factor, sentence",
    [
        (24, 1, "has 24 voxels along each side and the volume has 32"),
        (32, 3, "mask.mrc has values from 0 to 3; give a mask"),
    ],
)
def test_a_mask_that_does_not_fit_is_a_sentence(scene, box, factor, sentence):
    folder = scene[0]
    data = factor * np.eye(box, dtype=np.float32)[None].repeat(box, 0)
    write_volume(folder / "mask.mrc", data, PIXEL)
    config = RelaxSymmetryConfig(
        particles=str(folder / "modulo.star"),
        volume=str(folder / "broken.mrc"),
        pseudo_symmetry="C4",
        focus_mask=str(folder / "mask.mrc"),
    )
    with pytest.raises(InputError, match=sentence):
        check(config)


def test_expansion_writes_the_copies_and_takes_them_back(scene):
    folder = scene[0]
    words = ["--particles", folder / "modulo.star", "--pseudo-symmetry", "C4"]
    assert main(["expand-symmetry", *map(str, words), "--output", str(folder / "ex")]) == 0
    words = ["--particles", folder / "ex/particles.star", "--collapse"]
    assert main(["expand-symmetry", *map(str, words), "--output", str(folder / "co")]) == 0
    given, back = (
        read_particles(p, ("poses",))
        for p in (folder / "modulo.star", folder / "co/particles.star")
    )
    np.testing.assert_array_equal(back.ids, given.ids)
    np.testing.assert_allclose(back.rotations, given.rotations, atol=1e-6)


def test_an_expansion_without_mates_is_a_sentence(scene):
    with pytest.raises(ConfigError, match="C1 has no more mates than C1"):
        check_expansion(ExpandSymmetryConfig(particles=str(scene[0] / "modulo.star")))
