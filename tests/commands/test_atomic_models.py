"""An atomic model as the volume, from simulation to estimated poses; what was projected is left as
volume.mrc.
"""

import gzip
import json
import logging

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.atomic_model import AtomicModel

_ATOM = (
    "ATOM  {0:5d}  CA  ALA A{0:4d}    {1[0]:8.3f}{1[1]:8.3f}{1[2]:8.3f}  1.00 20.00           C  \n"
)
BOX, PIXEL, RESOLUTION = 24, 8.0, 24.0
GRID = [
    "--resolution-angstrom",
    str(RESOLUTION),
    "--box-size-px",
    str(BOX),
    "--pixel-size-angstrom",
    str(PIXEL),
]
QUICK = ["--steps", "2", "--batch-size", "4", "--validation-number", "10", "--no-ctf", "--snr", "1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """model.pdb.gz, other.pdb, 30 images of the first and a network trained on it."""
    folder = tmp_path_factory.mktemp("atoms")
    for name, seed in (("model", 1), ("other", 2)):
        positions = np.random.default_rng(seed).normal(0, [22, 14, 9], (60, 3))
        text = "".join(_ATOM.format(i + 1, p) for i, p in enumerate(positions)) + "END\n"
        (folder / f"{name}.pdb").write_text(text)
    (folder / "model.pdb.gz").write_bytes(gzip.compress((folder / "model.pdb").read_bytes()))
    model = str(folder / "model.pdb.gz")
    common = ["--volume", model, *GRID, "--snr", "1", "--no-ctf"]
    assert main(["simulate", *common, "--number", "30", "--output", str(folder / "sim")]) == 0
    assert main(["train", "--volume", model, *GRID, *QUICK, "--output", str(folder / "net")]) == 0
    return folder


def infer(folder, volume, out, *more):
    arguments = [
        "--model",
        str(folder / "net/model"),
        "--particles",
        str(folder / "sim/particles.star"),
    ]
    return main(["infer", *arguments, "--volume", str(volume), *more, "--output", str(out)])


def test_what_was_projected_is_left_in_the_folder(folder, tmp_path):
    expected = AtomicModel(folder / "model.pdb.gz").density(RESOLUTION, BOX, PIXEL)
    for run in ("sim", "net"):
        left = read_volume(folder / run / "volume.mrc")
        np.testing.assert_array_equal(left.data, expected.data)
        assert left.pixel_size_angstrom == PIXEL
    both = [str(folder / "sim/volume.mrc"), str(folder / "other.pdb")]
    arguments = ["--volume", *both, *GRID, "--number", "4", "--snr", "1", "--no-ctf"]
    assert main(["simulate", *arguments, "--output", str(tmp_path / "two")]) == 0
    np.testing.assert_array_equal(read_volume(tmp_path / "two/volume_1.mrc").data, expected.data)
    other = AtomicModel(folder / "other.pdb").density(RESOLUTION, BOX, PIXEL)
    np.testing.assert_array_equal(read_volume(tmp_path / "two/volume_2.mrc").data, other.data)


def test_poses_against_the_atomic_model_are_those_against_its_map(folder, tmp_path, caplog):
    assert infer(folder, folder / "model.pdb.gz", tmp_path / "atoms") == 0
    assert "is not the atomic model" not in caplog.text
    assert infer(folder, folder / "net/volume.mrc", tmp_path / "map") == 0
    ours, theirs = (read_particles(tmp_path / name / "particles.star") for name in ("atoms", "map"))
    np.testing.assert_array_equal(ours.rotations, theirs.rotations)
    np.testing.assert_array_equal(ours.shifts_px, theirs.shifts_px)
    assert (tmp_path / "atoms/volume.mrc").exists()
    assert not (tmp_path / "map/volume.mrc").exists()
    assert (tmp_path / "atoms/best_and_worst.png").exists()


def test_another_atomic_model_is_asked_about_and_refine_names_the_map(folder, tmp_path, caplog):
    assert infer(folder, folder / "other.pdb", tmp_path / "other", "--no-refine") == 0
    (question,) = [
        line
        for line in json.loads((tmp_path / "other/metrics.json").read_text())["warnings"]
        if "?" in line
    ]
    assert "other.pdb is not the atomic model that the network was trained on" in question
    caplog.clear()
    arguments = [
        "--particles",
        str(folder / "sim/particles.star"),
        "--volume",
        str(folder / "model.pdb.gz"),
    ]
    with caplog.at_level(logging.ERROR):
        assert main(["refine", *arguments, "--output", str(tmp_path / "refined")]) == 2
    assert "is an atomic model, but a map is needed; give volume.mrc" in caplog.text
