"""`cryoposes mirror`: files there and back, and the sentences for what it cannot use."""

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.particles.hand import rotations_of_other_hand

from ..exact_projections import particle_set

BOX, PIXEL, NUMBER = 12, 5.0, 7
NAMES = ("volume", "half1", "half2", "mask")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("given"), np.random.default_rng(3)
    for name in NAMES:
        write_volume(folder / f"{name}.mrc", rng.random((BOX,) * 3).astype(np.float32), PIXEL)
    write_volume(folder / "wide.mrc", rng.random((16,) * 3).astype(np.float32), PIXEL)
    images = rng.normal(size=(NUMBER, BOX, BOX)).astype(np.float32)
    star, table = particle_set(
        folder, images, random_rotations(NUMBER, rng), rng.normal(0, 1, (NUMBER, 2)), PIXEL
    )
    return folder, star, table


def mirror(output, *options):
    return main(["mirror", "--output", str(output), *map(str, options)])


def of_folder(folder):
    return [word for name in NAMES for word in (f"--{name}", folder / f"{name}.mrc")]


def test_everything_is_mirrored_and_comes_back(given, tmp_path):
    folder, star, table = given
    assert mirror(tmp_path / "once", *of_folder(folder), "--particles", star) == 0
    once = read_particles(tmp_path / "once/particles.star")
    expected = rotations_of_other_hand(table.rotations, "z")
    np.testing.assert_allclose(once.rotations, expected, atol=1e-6)
    np.testing.assert_allclose(once.shifts_px, table.shifts_px, atol=1e-5)

    again = ("--particles", tmp_path / "once/particles.star")
    assert mirror(tmp_path / "twice", *of_folder(tmp_path / "once"), *again) == 0
    for name in NAMES:
        first, once, twice = (
            read_volume(path / f"{name}.mrc").data
            for path in (folder, tmp_path / "once", tmp_path / "twice")
        )
        np.testing.assert_array_equal(once[1:], first[:0:-1])
        np.testing.assert_array_equal(twice, first)
    twice = read_particles(tmp_path / "twice/particles.star")
    np.testing.assert_allclose(twice.rotations, table.rotations, atol=1e-6)
    assert (tmp_path / "twice/report.html").exists()


@pytest.mark.parametrize(
    "options, sentence",
    [
        ((), "there is nothing to mirror"),
        (("--half1", "half1.mrc"), "--half2 is missing; give both half maps, or none"),
        (("--volume", "volume.mrc", "--mask", "wide.mrc"), "wide.mrc has 16 px of 5 Å and"),
    ],
)
def test_sentences(given, tmp_path, monkeypatch, caplog, options, sentence):
    monkeypatch.chdir(given[0])
    assert mirror(tmp_path / "out", *options) == 2
    assert sentence in caplog.text
    assert not (tmp_path / "out").exists()
