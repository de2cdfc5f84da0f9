import numpy as np
import pytest

from cryoposes_plugin.core.conventions import rotations_to_euler_deg, viewing_directions
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.imaging import draws
from cryoposes_plugin.core.imaging.settings import CtfDistribution, PoseDistribution
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable


def particles(n, pixel=2.0, ctf=True, rotations=None, shifts=None):
    columns = [np.arange(n) + 10.0 * i for i in range(8)]
    return ParticleTable(
        ids=np.arange(n),
        stack_paths=(),
        stack_index=np.zeros(n, int),
        slice_index=np.arange(n),
        optics=(OpticsGroup("a", pixel, 64),),
        optics_index=np.zeros(n, int),
        rotations=rotations,
        shifts_px=shifts,
        ctf=CtfTable(*columns) if ctf else None,
    )


def directions(n=4000, **changes):
    rotations, _ = draws.draw_poses(PoseDistribution(**changes), n, 1)
    assert rotations @ np.swapaxes(rotations, 1, 2) == pytest.approx(
        np.broadcast_to(np.eye(3), (n, 3, 3)), abs=1e-9
    )
    assert np.linalg.det(rotations) == pytest.approx(np.ones(n))
    return viewing_directions(rotations)


@pytest.mark.parametrize("kind", ["uniform", "healpix"])
def test_uniform_views_have_no_mean_and_the_same_spread_along_every_axis(kind):
    views = directions(orientations=kind)
    assert views.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.035)
    assert (views**2).mean(axis=0) == pytest.approx(np.full(3, 1 / 3), abs=0.02)


def test_uniform_rotations_have_the_haar_mean_of_their_angle():
    rotations, _ = draws.draw_poses(PoseDistribution(), 6000, 0)
    angle = np.arccos(np.clip((np.trace(rotations, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert angle.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.03)


def test_views_uniform_in_euler_angles_crowd_the_poles():
    tilt = rotations_to_euler_deg(
        draws.draw_poses(PoseDistribution(orientations="euler"), 4000, 0)[0]
    )[:, 1]
    assert np.histogram(tilt, 6, (0, 180))[0] == pytest.approx(np.full(6, 4000 / 6), abs=100)


def test_half_and_quarter_spheres():
    half, quarter = (
        directions(orientations="half-sphere"),
        directions(orientations="quarter-sphere"),
    )
    assert half[:, 2].min() >= 0
    assert half[:, 2].mean() == pytest.approx(0.5, abs=0.02)
    assert half[:, :2].mean(axis=0) == pytest.approx([0, 0], abs=0.04)
    assert quarter[:, 1:].min() >= 0
    assert quarter.mean(axis=0) == pytest.approx([0, 0.5, 0.5], abs=0.04)


def test_preferred_views_are_von_mises_fisher_about_the_given_directions():
    kappa = 8.0
    views = directions(
        orientations="preferred",
        preferred_directions_deg=(90.0, 90.0),
        preferred_concentration=kappa,
    )
    assert views.mean(axis=0) == pytest.approx([0, 1 / np.tanh(kappa) - 1 / kappa, 0], abs=0.02)
    two = directions(
        orientations="preferred",
        preferred_directions_deg=(0.0, 0.0, 0.0, 180.0),
        preferred_concentration=50.0,
    )
    assert (two[:, 2] > 0).mean() == pytest.approx(0.5, abs=0.03)
    assert np.abs(two[:, 2]).min() > 0.7


@pytest.mark.parametrize(
    "kind, deviation, largest",
    [
        ("gaussian", 2.0, np.inf),
        ("triangular", 2 / np.sqrt(6), 2),
        ("uniform", 2 / np.sqrt(3), 2),
        ("none", 0, 0),
    ],
)
def test_shifts(kind, deviation, largest):
    _, shifts = draws.draw_poses(PoseDistribution(shifts=kind, shift_px=2.0), 5000, 3)
    assert shifts.shape == (5000, 2)
    assert shifts.std(axis=0) == pytest.approx([deviation] * 2, abs=0.05)
    assert shifts.mean(axis=0) == pytest.approx([0, 0], abs=0.1)
    assert np.abs(shifts).max() <= largest


def test_ctfs_are_drawn_in_their_ranges():
    c = draws.draw_ctfs(
        CtfDistribution(
            defocus_range_angstrom=(5000.0, 9000.0),
            astigmatism_angstrom=600.0,
            phase_shift_deg=20.0,
        ),
        3000,
        0,
    )
    mean, difference = (
        (c.defocus_u_angstrom + c.defocus_v_angstrom) / 2,
        c.defocus_u_angstrom - c.defocus_v_angstrom,
    )
    assert mean.min() >= 5000
    assert mean.max() <= 9000
    assert mean.mean() == pytest.approx(7000, abs=100)
    assert difference.min() >= 0
    assert difference.max() <= 600
    assert difference.mean() == pytest.approx(300, abs=20)
    assert np.ptp(c.defocus_angle_deg) > 175
    assert set(c.phase_shift_deg) == {20.0}
    assert set(c.voltage_kv) == {300.0}
    assert set(c.amplitude_contrast) == {0.1}


def test_no_ctf_draws_none():
    assert draws.draw_ctfs(None, 3, 0) is None


def test_ctfs_of_another_set_are_used_equally_often_with_rows_kept_together():
    c = draws.draw_ctfs(CtfDistribution(), 25, 0, like=particles(10))
    counts = np.bincount(c.defocus_u_angstrom.astype(int), minlength=10)
    assert set(counts) == {2, 3}
    assert len(c) == 25
    assert c.voltage_kv - c.defocus_u_angstrom == pytest.approx(np.full(25, 40.0))
    with pytest.raises(InputError, match="no CTF"):
        draws.draw_ctfs(CtfDistribution(), 5, 0, like=particles(3, ctf=False))


def test_volumes_come_in_equal_parts():
    index = draws.draw_volumes(3, 10, 0)
    assert sorted(np.bincount(index)) == [3, 3, 4]
    assert draws.draw_volumes(1, 4, 0).tolist() == [0] * 4


def test_poses_of_another_set_are_repeated_in_order_with_shifts_rescaled(rng):
    rotations = draws.draw_poses(PoseDistribution(), 3, 0)[0]
    table = particles(
        3, pixel=2.0, rotations=rotations, shifts=np.array([[1.0, 0], [0, 2], [3, 3]])
    )
    found, shifts = draws.poses_of_particles(table, 5, 4.0)
    assert (found == rotations[[0, 1, 2, 0, 1]]).all()
    assert shifts.tolist() == [[0.5, 0], [0, 1], [1.5, 1.5], [0.5, 0], [0, 1]]
    with pytest.raises(InputError, match="no poses"):
        draws.poses_of_particles(particles(3), 5, 4.0)


def test_draws_repeat_by_seed_and_step_and_are_independent_of_each_other():
    one, same, other = (
        draws.draw_poses(PoseDistribution(), 4, s) for s in ((7, 1), (7, 1), (7, 2))
    )
    assert (one[0] == same[0]).all()
    assert (one[1] == same[1]).all()
    assert (one[0] != other[0]).any()
    more_shift = draws.draw_poses(PoseDistribution(shift_px=9.0), 4, 7)[0]
    assert (more_shift == draws.draw_poses(PoseDistribution(shifts="none"), 4, 7)[0]).all()


def test_a_sample_is_all_of_a_small_set():
    assert draws.draw_sample(5, 10, 0).tolist() == [0, 1, 2, 3, 4]
    rows = draws.draw_sample(100, 10, 0)
    assert len(np.unique(rows)) == 10
    assert (np.diff(rows) > 0).all()
