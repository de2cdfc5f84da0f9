"""Images and maps tell whether protein is white, and nothing is said without clear evidence."""

import numpy as np
import pytest

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.particles.contrast import (
    contrast_sentences,
    image_contrast,
    map_sentence,
)
from cryoposes_plugin.core.particles.grey_values import GreyValues
from cryoposes_plugin.core.types import Volume

from ...exact_projections import ctf_table, exact_projections, particle_set, transfer_of

BOX, PIXEL, NUMBER = 32, 6.0, 60


@pytest.fixture(scope="module")
def volume(asymmetric_volume):
    return asymmetric_volume.data[8:40, 8:40, 8:40]


def images_of(volume, snr, state="raw"):
    """(N, D, D) float32 and their CTFs."""
    rng = np.random.default_rng(4)
    rotations, ctf = random_rotations(NUMBER, rng), ctf_table(NUMBER, rng)
    transfer = transfer_of(ctf, BOX, PIXEL)
    images = exact_projections(volume, rotations, rng.normal(0, 1, (NUMBER, 2)), transfer)
    images = images / images.std() * np.sqrt(snr) + rng.normal(0, 1, images.shape)
    factor = {"raw": 1.0, "phase-flipped": np.sign(transfer), "ctf-premultiplied": transfer}[state]
    return np.fft.ifft2(np.fft.fft2(images) * factor).real.astype(np.float32), ctf


def contrast_of(folder, images, ctf, state="raw"):
    _, table = particle_set(folder, images, None, None, PIXEL, ctf, state)
    grey = GreyValues(table, lambda rows: images[rows].copy())
    return image_contrast(table, grey, 0), contrast_sentences(table, grey)


@pytest.mark.parametrize("state", ["raw", "phase-flipped", "ctf-premultiplied"])
@pytest.mark.parametrize("snr", [1.0, 0.05])
def test_the_sign_of_the_protein_is_told_by_the_images(volume, tmp_path, state, snr):
    images, ctf = images_of(volume, snr, state)
    white, nothing = contrast_of(tmp_path, images, ctf, state)
    black, (sentence,) = contrast_of(tmp_path, 900 - 30 * images, ctf, state)
    assert white.significance > 5
    assert white.effect > 0.5
    assert nothing == []
    np.testing.assert_allclose(black.effect, -white.effect, rtol=1e-3)
    assert "Protein seems to be black" in sentence
    assert f"{-black.significance:.0f} standard errors" in sentence


def test_noise_tells_nothing(volume, tmp_path):
    images, ctf = images_of(volume, 0.0)
    found, sentences = contrast_of(tmp_path, images, ctf)
    assert abs(found.significance) < 5
    assert not found.clear
    assert sentences == []


def test_a_hollow_particle_is_white_too(tmp_path):
    axis = np.arange(BOX) - BOX // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    shell = np.exp(-(((radius - 0.4 * BOX) / 1.5) ** 2)).astype(np.float32)
    found, _ = contrast_of(tmp_path, *images_of(shell, 0.5))
    assert found.effect > 0.5


def test_a_map_is_said_to_be_negative(volume):
    assert map_sentence("a.mrc", Volume(volume, PIXEL)) is None
    assert map_sentence("a.mrc", Volume(5 - volume, PIXEL)).startswith(
        "Protein seems to be negative in volume a.mrc"
    )
    noise = np.random.default_rng(1).normal(size=(BOX,) * 3).astype(np.float32)
    assert map_sentence("a.mrc", Volume(-noise, PIXEL)) is None
