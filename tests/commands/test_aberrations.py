"""Beam tilt, aberrations and anisotropic magnification from the STAR file to poses and maps, beside
RELION's own reconstruction.
"""

import dataclasses

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.fourier.ctf import ctf_values
from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import (
    columns_not_modelled,
    read_particles,
    write_particles,
)
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.particles.images import ResampledImages

from ..exact_projections import exact_projections

pytest.importorskip("tensorflow")

PIXEL = 1.5
#: Close to focus: a small box holds no more of the delocalised signal.
NEAR_FOCUS = ("--defocus-range-angstrom", "1500", "3000")
EFFECTS = (
    *NEAR_FOCUS,
    "--beam-tilt-mrad",
    "3",
    "-2",
    "--magnification-anisotropy",
    "0.06",
    "--odd-zernike",
    *("0", "0", "20", "0", "0", "-15"),
    "--even-zernike",
    *("0", "-2", "1", "3", "10", "-15", "8", "20", "-12"),
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """A map of sharp points, at a pixel size at which aberrations matter."""
    rng = np.random.default_rng(5)
    box = 48
    z, y, x = np.indices((box,) * 3) - box // 2
    data = np.zeros((box,) * 3, np.float32)
    for cx, cy, cz in rng.normal(0, 5, (40, 3)):
        data += np.exp(-((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2) / 2)
    path = tmp_path_factory.mktemp("truth") / "map.mrc"
    write_volume(path, data, PIXEL)
    return path


@pytest.fixture(scope="module")
def images(truth, tmp_path_factory):
    """simulate(name, number, *options) -> folder, made once."""
    folder = tmp_path_factory.mktemp("images")

    def simulate(name, number, *options):
        if not (folder / name).exists():
            command("simulate", folder / name, "--volume", truth, "--number", number, *options)
        return folder / name

    return simulate


def command(name, output, *options):
    assert main([str(a) for a in (name, "--output", output, *options)]) == 0
    return output


def agreement(found, truth):
    """FSC to the truth in three bands of shells up to 0.85 Nyquist."""
    data = read_volume(truth).data
    mask = soft_sphere(len(data), 0.4 * len(data))
    curve = fourier_shell_correlation(found * mask, data * mask)
    return [curve[a:b].mean() for a, b in ((3, 8), (8, 14), (14, 21))]


def without_columns(star, folder):
    table = read_particles(star)
    optics = tuple(dataclasses.replace(group, extra={}) for group in table.optics)
    write_particles(folder / "ignored.star", table.replace(optics=optics))
    return folder / "ignored.star"


def test_corrected_images_of_a_simulation_are_exact_projections(images, truth):
    run = images("few", 6, *EFFECTS, "--no-normalise")
    table = read_particles(run / "particles.star")
    corrected = ResampledImages(table, 48, PIXEL).read(np.arange(6))
    f = np.fft.fftfreq(48, PIXEL)
    ctf = ctf_values(*np.meshgrid(f, f), table.ctf)
    expected = exact_projections(read_volume(truth).data, table.rotations, table.shifts_px, ctf)
    band = np.hypot(*np.meshgrid(f, f)) * 2 * PIXEL < 0.85
    a, b = (np.fft.fft2(i)[:, band] for i in (corrected, expected))
    assert np.real(np.vdot(a, b)) > 0.99 * np.linalg.norm(a) * np.linalg.norm(b)


def test_our_map_and_relions_are_those_of_unaberrated_images(images, truth, relion, tmp_path):
    run = images("many", 250, *EFFECTS)
    star = run / "particles.star"
    relion("relion_reconstruct", "--i", star, "--o", tmp_path / "relion.mrc", "--ctf", cwd=run)
    command("reconstruct", tmp_path / "ours", "--particles", star)
    theirs = agreement(read_volume(tmp_path / "relion.mrc").data, truth)
    ours = agreement(read_volume(tmp_path / "ours" / "volume.mrc").data, truth)
    assert min(theirs) > 0.95
    assert np.subtract(ours, theirs).min() > -0.02

    ignored = without_columns(star, run)
    command("reconstruct", tmp_path / "ignored", "--particles", ignored)
    assert agreement(read_volume(tmp_path / "ignored" / "volume.mrc").data, truth)[2] < 0.5


def test_even_aberrations_are_those_of_relion_project(images, truth, relion):
    run = images("even", 6, *NEAR_FOCUS, *EFFECTS[EFFECTS.index("--even-zernike") :])
    map_and_poses = ("--i", truth, "--ang", run / "particles.star", "--angpix", PIXEL)
    relion("relion_project", *map_and_poses, "--o", run / "theirs", "--ctf", cwd=run)
    ours, theirs = mrcfile.read(run / "particles.mrcs"), mrcfile.read(run / "theirs.mrcs")
    for a, b in zip(ours, theirs):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.995


def test_refined_displacements_are_those_of_corrected_images(images, truth, tmp_path):
    effects = EFFECTS[: EFFECTS.index("--even-zernike")]
    star = images("noisy", 60, *effects, "--snr", "1", "--shift-px", "3") / "particles.star"
    run = command("refine", tmp_path / "run", "--particles", star, "--volume", truth)
    found, given = read_particles(run / "particles.star"), read_particles(star)
    assert np.median(np.linalg.norm(found.shifts_px - given.shifts_px, axis=1)) < 0.1
    assert columns_not_modelled(found) == []


def test_astra_is_refused_with_aberrations(truth, tmp_path):
    from cryoposes_plugin.commands.simulate.config import SimulateConfig
    from cryoposes_plugin.commands.simulate.inputs import read_inputs

    config = SimulateConfig(volume=(str(truth),), projector="astra", beam_tilt_mrad=(1.0, 0.0))
    with pytest.raises(ConfigError, match="choose the projector 'fourier'"):
        read_inputs(config)
