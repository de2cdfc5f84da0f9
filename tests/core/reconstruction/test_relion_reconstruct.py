"""Our reconstruction beside relion_reconstruct, on the same files: no shell worse, and the same
map.
"""

import numpy as np
import pytest

from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.particles.halves import half_sets
from cryoposes_plugin.core.reconstruction.fourier_method import fourier_maps
from cryoposes_plugin.core.reconstruction.particles import ReconstructionParticles

from ...exact_projections import ctf_table, exact_projections, particle_set, transfer_of

pytestmark = pytest.mark.oracle

NUMBER, PIXEL = 800, 5.0


def images_of(volume, rng, snr, state="raw", number=NUMBER):
    rotations, shifts, ctf = (
        random_rotations(number, rng),
        rng.normal(0, 1.5, (number, 2)),
        ctf_table(number, rng),
    )
    transfer = transfer_of(ctf, volume.shape[0], PIXEL)
    images = exact_projections(
        volume, rotations, shifts, np.abs(transfer) if state == "phase-flipped" else transfer
    )
    images += rng.normal(0, np.sqrt(images.var(axis=(1, 2)).mean() / snr), images.shape).astype(
        np.float32
    )
    return images, rotations, shifts, ctf


def ours(star, symmetry="C1"):
    table = read_particles(star, ("poses",))
    particles = ReconstructionParticles.on_common_grid(table, half_sets(table, 0)[0])
    return fourier_maps(particles, symmetry, threads=1).full


def theirs(relion, folder, star, *options):
    relion("relion_reconstruct", "--i", star, "--o", "relion.mrc", *options, cwd=folder)
    return read_volume(folder / "relion.mrc").data


@pytest.mark.parametrize(
    "snr, state, options",
    [
        (1.0, "raw", ("--ctf",)),
        (0.1, "raw", ("--ctf",)),
        (1.0, "phase-flipped", ("--ctf", "--ctf_phase_flipped")),
    ],
)
def test_no_shell_is_worse_than_relions(
    relion, asymmetric_volume, rng, tmp_path, snr, state, options
):
    volume = asymmetric_volume.data
    images, rotations, shifts, ctf = images_of(volume, rng, snr, state)
    star, _ = particle_set(tmp_path, images, rotations, shifts, PIXEL, ctf, state)
    mine, other = ours(star), theirs(relion, tmp_path, star, *options)
    mask = soft_sphere(volume.shape[0], 0.375 * volume.shape[0])
    up_to = int(0.8 * volume.shape[0] / 2) + 1
    ours_fsc, their_fsc = (
        fourier_shell_correlation(v * mask, volume * mask)[1:up_to] for v in (mine, other)
    )
    assert (ours_fsc - their_fsc).min() > -0.02
    assert ours_fsc[:8].min() > (0.98 if snr == 1 else 0.9)
    # The same scale and sign, not the same shape alone: amplitudes of the shells that hold the
    # signal.
    low = fourier_shell_correlation(mine * mask, other * mask)[1:10]
    assert low.min() > 0.98
    power = [np.abs(np.fft.rfftn(v * mask)[1:6, 1:6, 1:6]).mean() for v in (mine, other)]
    assert power[0] == pytest.approx(power[1], rel=0.1)


@pytest.mark.parametrize("symmetry", ["C3", "D2", "O", "I2"])
def test_symmetry_is_imposed_about_relions_axes(relion, asymmetric_volume, rng, tmp_path, symmetry):
    volume = asymmetric_volume.data
    images, rotations, shifts, ctf = images_of(volume, rng, 10.0, number=100)
    star, _ = particle_set(tmp_path, images, rotations, shifts, PIXEL, ctf)
    mine, other = ours(star, symmetry), theirs(relion, tmp_path, star, "--ctf", "--sym", symmetry)
    mask = soft_sphere(volume.shape[0], 0.375 * volume.shape[0])
    assert np.corrcoef((mine * mask).ravel(), (other * mask).ravel())[0, 1] > 0.97
