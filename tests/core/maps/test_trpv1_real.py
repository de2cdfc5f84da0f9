"""Ten real TRPV1 particles with poses, shifts and CTF of a refinement: our conventions put the map
on top of them.

Correlations are taken up to 20 Å inside a circle of 100 Å radius, where wrong conventions stand out
most, and over the whole band up to Nyquist inside the particle's own circle of 75 Å; over the whole
box, most of it background, they are 0.20 and 0.08.
"""

import numpy as np
import pytest

from cryoposes_plugin.core import conventions
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.particles.images import ParticleImages

pytestmark = pytest.mark.oracle

pytest.importorskip("tensorflow")


#: (finest resolution, radius of the circle), Å; the pixels of 4.88 Å end at 9.76 Å.
COARSE, UP_TO_NYQUIST = (20.0, 100.0), (9.77, 75.0)


def in_band_and_circle(images, pixel_size_angstrom, band):
    """(N, D, D) -> (N, pixels in the circle) of the low-passed images."""
    resolution, radius = band
    box = images.shape[-1]
    frequency = np.hypot(np.fft.fftfreq(box)[:, None], np.fft.rfftfreq(box)) / pixel_size_angstrom
    low = np.fft.irfft2(np.fft.rfft2(images) * (frequency <= 1 / resolution), s=images.shape[1:])
    axis = (np.arange(box) - box // 2) * pixel_size_angstrom
    return low[:, np.hypot(axis[:, None], axis) <= radius]


@pytest.fixture(scope="module")
def trpv1(shared_data):
    """(images, correlations(rotations, shifts_px, ctf=True) -> (10,), particle table, volume)."""
    from cryoposes_plugin.core.imaging.forward_model import ForwardModel, pack_ctf

    table = read_particles(
        shared_data / "images/trpv1_exp_10_poses_ctf.star", require=("poses", "ctf", "subset")
    )
    images = ParticleImages(table).read(np.arange(10))
    volume = read_volume(shared_data / "maps/trpv1_C4_exp_48_4.88A.mrc")
    model = ForwardModel([volume], 48, volume.pixel_size_angstrom)

    def correlations(rotations, shifts_px, ctf=True, band=COARSE):
        packed = pack_ctf(table.ctf) if ctf else None
        projections = model.images(
            np.zeros(10, np.int32),
            rotations.astype(np.float32),
            shifts_px.astype(np.float32),
            packed,
        )
        pairs = zip(
            *(
                in_band_and_circle(a, volume.pixel_size_angstrom, band)
                for a in (images, projections.numpy())
            )
        )
        return np.array([np.corrcoef(a, b)[0, 1] for a, b in pairs])

    return images, correlations, table, volume


def test_the_map_correlates_at_the_poses_and_not_elsewhere(trpv1, rng):
    _, correlations, table, _ = trpv1
    at_poses = correlations(table.rotations, table.shifts_px)
    assert at_poses.mean() >= 0.3
    assert at_poses.min() > 0.2
    elsewhere = np.mean(
        [correlations(random_rotations(10, rng), table.shifts_px).mean() for _ in range(10)]
    )
    assert elsewhere < 0.25


def test_the_unfiltered_particle_correlates_too(trpv1, rng):
    _, correlations, table, _ = trpv1
    assert correlations(table.rotations, table.shifts_px, band=UP_TO_NYQUIST).mean() >= 0.3
    elsewhere = [
        correlations(random_rotations(10, rng), table.shifts_px, band=UP_TO_NYQUIST).mean()
        for _ in range(10)
    ]
    assert np.mean(elsewhere) < 0.16


@pytest.mark.parametrize(
    "wrong", ["inverse rotation", "shift of the other sign", "no CTF", "mirrored map"]
)
def test_every_other_convention_is_worse(trpv1, wrong):
    _, correlations, table, _ = trpv1
    right = correlations(table.rotations, table.shifts_px).mean()
    rotations, shifts, ctf = table.rotations, table.shifts_px, True
    if wrong == "inverse rotation":
        rotations = np.swapaxes(rotations, 1, 2)
    elif wrong == "shift of the other sign":
        shifts = -shifts
    elif wrong == "no CTF":
        ctf = False
    else:
        rotations = conventions.opposite_hand(rotations)
    assert correlations(rotations, shifts, ctf).mean() < right - (
        0.02 if wrong == "no CTF" else 0.05
    )


def test_the_shifts_are_found_again_from_the_images(trpv1):
    from cryoposes_plugin.core.refinement.shift_finder import ShiftFinder

    images, _, table, volume = trpv1
    finder = ShiftFinder(volume, 48, volume.pixel_size_angstrom, 8.0, batch_size=10)
    found, _ = finder.find(images, table.rotations, table.ctf, "raw")
    assert np.median(np.linalg.norm(found.shifts_px - table.shifts_px, axis=1)) < 0.7
