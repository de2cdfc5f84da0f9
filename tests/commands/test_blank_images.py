"""Blank, constant and pure noise images among particles: never the first by any score that was
written.
"""

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import write_stack, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.scores import RANKING, cost

from ..exact_projections import ctf_table, exact_projections, particle_set, transfer_of

BOX, PIXEL, NUMBER = 32, 6.0, 60
BLANK, NOISE = [3, 17, 30], [21, 22, 23]


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory, asymmetric_volume):
    """60 particles at their true poses, three of them blank or constant and three nothing but
    noise.
    """
    rng = np.random.default_rng(8)
    folder = tmp_path_factory.mktemp("spoilt")
    volume = asymmetric_volume.data[8:40, 8:40, 8:40]
    write_volume(folder / "map.mrc", volume, PIXEL)
    rotations, shifts, ctf = (
        random_rotations(NUMBER, rng),
        rng.normal(0, 1, (NUMBER, 2)),
        ctf_table(NUMBER, rng),
    )
    images = exact_projections(volume, rotations, shifts, transfer_of(ctf, BOX, PIXEL))
    images = images / images.std()
    images[NOISE] = 0
    images += rng.normal(0, 1, images.shape)
    images[BLANK] = np.array([0.0, 7.0, -900.0])[:, None, None]
    star, _ = particle_set(folder, images.astype(np.float32), rotations, shifts, PIXEL, ctf)
    return star


def test_no_score_of_a_refinement_keeps_them_first(spoilt, tmp_path, caplog):
    volume = str(spoilt.parent / "map.mrc")
    assert (
        main(
            [
                "refine",
                "--particles",
                str(spoilt),
                "--volume",
                volume,
                "--output",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    table = read_particles(tmp_path / "out/particles.star")
    assert len(table) == NUMBER
    ranking = [name for name in RANKING if name in table.scores]
    assert {"cryoposesResidual", "cryoposesWrongBasin", "cryoposesExpectedErrorDeg"} <= set(ranking)
    for name in ranking:
        values = cost(name, table.scores[name])
        others = np.delete(values, BLANK + NOISE)
        assert values[BLANK].min() >= others.max(), name
        assert values[NOISE].min() >= others.max(), name
    assert "particle 14 (image 4 of" in caplog.text
    assert "There are 3 images without any contrast" in caplog.text


@pytest.mark.parametrize("command", ["refine", "reconstruct", "iterate", "initial-volume"])
def test_a_set_of_blanks_is_an_error(spoilt, tmp_path, command, caplog):
    star = tmp_path / "blank.star"
    star.write_text(spoilt.read_text().replace(str(spoilt.parent), str(tmp_path)))
    write_stack(tmp_path / "particles.mrcs", np.full((NUMBER, BOX, BOX), 3.0, np.float32), PIXEL)
    volume = (
        ["--volume", str(spoilt.parent / "map.mrc")] if command in ("refine", "iterate") else []
    )
    assert (
        main([command, "--particles", str(star), *volume, "--output", str(tmp_path / "out")]) == 2
    )
    assert "The images are blank" in caplog.text
