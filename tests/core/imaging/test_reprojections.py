"""The quick reprojections of viewers: against exact projections, with poses, shifts and CTF where
they belong.
"""

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.imaging.reprojections import particles_and_reprojections, project

from ...exact_projections import ctf_table, exact_projections, particle_set, transfer_of

NUMBER = 6


def test_identity_and_a_quarter_turn_are_exact(asymmetric_volume):
    plane = asymmetric_volume.data.sum(axis=0)
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    images = project(asymmetric_volume.data, np.stack([np.eye(3), quarter]))
    np.testing.assert_allclose(images[0], plane, rtol=1e-5, atol=1e-4)
    centre = len(plane) // 2
    for x, y in ((3, 5), (-7, 2), (0, -4)):  # I(x, y) = sum_z V(y, -x, z)
        assert images[1][centre + y, centre + x] == pytest.approx(
            plane[centre - x, centre + y], rel=1e-4, abs=1e-3
        )


@pytest.mark.oracle
@pytest.mark.parametrize("state", ["raw", "phase-flipped"])
def test_particles_lie_beside_their_own_reprojections(asymmetric_volume, tmp_path, rng, state):
    rotations, shifts, ctf = (
        random_rotations(NUMBER, rng),
        rng.normal(0, 4, (NUMBER, 2)),
        ctf_table(NUMBER, rng),
    )
    transfer = transfer_of(ctf, 48, 5.0)
    effect = np.abs(transfer) if state == "phase-flipped" else transfer
    images = exact_projections(asymmetric_volume.data, rotations, shifts, effect)
    _, table = particle_set(tmp_path, images, rotations, shifts, 5.0, ctf, state)
    rows = np.array([4, 1, 2])

    def correlations(table):
        pairs = zip(*particles_and_reprojections(table, asymmetric_volume, rows))
        return np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])

    assert correlations(table).min() > 0.97
    for wrong in (
        table.replace(rotations=np.roll(rotations, 1, axis=0)),
        table.replace(shifts_px=-shifts),
        table.replace(rotations=np.transpose(rotations, (0, 2, 1))),
    ):
        assert correlations(wrong).mean() < 0.9
    with pytest.raises(InputError, match="no poses"):
        particles_and_reprojections(table.replace(rotations=None), asymmetric_volume, rows)
