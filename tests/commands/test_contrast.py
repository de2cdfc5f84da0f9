"""What the commands say about the contrast of images and maps."""

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import write_volume

from ..core.particles.test_contrast import NUMBER, PIXEL, images_of
from ..exact_projections import particle_set


@pytest.fixture(scope="module")
def volume(asymmetric_volume):
    return asymmetric_volume.data[8:40, 8:40, 8:40]


@pytest.fixture(scope="module")
def inverted(tmp_path_factory, volume):
    """STAR file of inverted particles at their true poses, and the map beside it."""
    rng = np.random.default_rng(4)
    folder = tmp_path_factory.mktemp("inverted")
    images, ctf = images_of(volume, 1.0)
    star, _ = particle_set(
        folder, -images, random_rotations(NUMBER, rng), np.zeros((NUMBER, 2)), PIXEL, ctf
    )
    write_volume(folder / "map.mrc", volume, PIXEL)
    write_volume(folder / "negative.mrc", -volume, PIXEL)
    return star


def test_images_of_the_other_contrast_than_the_map_are_an_error(inverted, tmp_path, caplog):
    volume = str(inverted.parent / "map.mrc")
    assert (
        main(
            [
                "refine",
                "--particles",
                str(inverted),
                "--volume",
                volume,
                "--output",
                str(tmp_path / "out"),
            ]
        )
        == 2
    )
    assert (
        "their contrasts are opposite: the particles are darker than their background"
        in caplog.text
    )


def test_without_a_map_it_is_a_warning(inverted, tmp_path, caplog):
    assert (
        main(["reconstruct", "--particles", str(inverted), "--output", str(tmp_path / "out")]) == 0
    )
    assert "Protein seems to be black in the images of optics group one" in caplog.text


def test_a_negative_map_is_a_warning(inverted, tmp_path, caplog):
    volume = str(inverted.parent / "negative.mrc")
    command = [
        "simulate",
        "--volume",
        volume,
        "--number",
        "2",
        "--snr",
        "1",
        "--output",
        str(tmp_path / "out"),
    ]
    assert main(command) == 0
    assert "Protein seems to be negative in volume" in caplog.text
