"""`simulate` against RELION's own projector and reconstruction: angles, origins, CTF, image states,
hand.
"""

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.io.mrc import read_volume, write_volume

pytestmark = pytest.mark.oracle

pytest.importorskip("tensorflow")


@pytest.fixture
def simulate(tmp_path, asymmetric_volume):
    """simulate(name, *options) -> folder of the run; the map is map.mrc in the same folder."""
    write_volume(
        tmp_path / "map.mrc", asymmetric_volume.data, asymmetric_volume.pixel_size_angstrom
    )

    def run(name, *options):
        arguments = [
            "simulate",
            "--volume",
            tmp_path / "map.mrc",
            "--output",
            tmp_path / name,
            *options,
        ]
        assert main([str(a) for a in arguments]) == 0
        return tmp_path / name

    return run


def correlations(a, b):
    a, b = (x.reshape(len(x), -1) - x.mean(axis=(1, 2))[:, None] for x in (a, b))
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


ASTIGMATIC = (
    "--astigmatism-angstrom",
    3000,
    "--defocus-range-angstrom",
    8000,
    25000,
    "--shift-px",
    3,
)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (("--no-ctf", "--shift-px", 3), ()),
        (ASTIGMATIC, ("--ctf",)),
        ((*ASTIGMATIC, "--phase-shift-deg", 70, "--bfactor-angstrom2", 150), ("--ctf",)),
        ((*ASTIGMATIC, "--image-state", "phase-flipped"), ("--ctf", "--ctf_phase_flip")),
    ],
    ids=["poses", "astigmatic CTF", "phase plate and B-factor", "phase-flipped"],
)
def test_images_equal_those_of_relion_project(simulate, relion, ours, theirs):
    run = simulate("run", "--number", 12, *ours)
    relion(
        "relion_project",
        "--i",
        run.parent / "map.mrc",
        "--ang",
        run / "particles.star",
        "--o",
        run / "theirs",
        *theirs,
        cwd=run,
    )
    our_images, their_images = (
        mrcfile.read(run / "particles.mrcs"),
        mrcfile.read(run / "theirs.mrcs"),
    )
    assert correlations(our_images, their_images).min() > 0.999
    assert correlations(our_images, their_images[::-1]).max() < 0.95
    if theirs:
        # in absolute terms too: the amplitude, and the sign of the CTF
        assert (our_images * their_images).sum() / (their_images**2).sum() == pytest.approx(
            1, abs=0.03
        )


def mirrored(volume):
    """Mirrored in z about the voxel D // 2."""
    return np.roll(volume[::-1], 1, axis=0)


def correlation(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.mark.parametrize("state", ["raw", "phase-flipped", "ctf-premultiplied"])
def test_relion_reconstruct_gives_back_the_map_and_its_hand(simulate, relion, state):
    run = simulate("run", "--number", 600, "--snr", 1, "--image-state", state)
    flag = ("--ctf_phase_flipped",) if state == "phase-flipped" else ()
    relion(
        "relion_reconstruct",
        "--i",
        run / "particles.star",
        "--o",
        run / "back.mrc",
        "--ctf",
        *flag,
        cwd=run,
    )
    back, truth = read_volume(run / "back.mrc").data, read_volume(run.parent / "map.mrc").data
    assert correlation(back, truth) > 0.8
    assert correlation(back, truth) > correlation(back, mirrored(truth)) + 0.2
