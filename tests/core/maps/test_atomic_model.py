"""Density of atomic models: closed form for one atom, and a map of the 70S ribosome made elsewhere."""

import gzip

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.errors import ConfigError, InputError
from cryoposes_plugin.core.io.mrc import read_volume
from cryoposes_plugin.core.maps.atomic_model import AtomicModel, is_atomic_model

#: Electron form factor of carbon, five Gaussians (Peng et al. 1996; International Tables C,
#: 4.3.2.2).
_A = np.array([0.0893, 0.2563, 0.7570, 1.0487, 0.3575])
_B = np.array([0.2465, 1.7100, 6.4094, 18.6113, 50.2523])
_ATOM = "ATOM  {0:5d}  CA  ALA {2}{0:4d}    {1[0]:8.3f}{1[1]:8.3f}{1[2]:8.3f}  1.00 20.00           C  \n"
_BIOMT = """REMARK 350 BIOMOLECULE: 1
REMARK 350 APPLY THE FOLLOWING TO CHAINS: A
REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000
REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000
REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000
REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000        0.00000
"""


def write_pdb(path, positions, head=""):
    lines = [_ATOM.format(i + 1, p, "A") for i, p in enumerate(positions)]
    path.write_text(head + "".join(lines) + "END\n")
    return path


def test_one_atom_is_a_sum_of_gaussians_at_the_centre(tmp_path):
    resolution, box, pixel = 12.0, 24, 2.0
    found = AtomicModel(write_pdb(tmp_path / "a.pdb", [(7.0, -3.0, 11.0)])).density(
        resolution, box, pixel
    )
    axis = (np.arange(box) - box // 2) * pixel
    squared = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    width = (_B + 4 * resolution**2)[:, None, None, None]
    expected = (
        _A[:, None, None, None]
        * (4 * np.pi / width) ** 1.5
        * np.exp(-4 * np.pi**2 * squared / width)
    ).sum(0)
    np.testing.assert_allclose(found.data, expected, atol=3e-3 * expected.max())
    assert found.pixel_size_angstrom == pixel


def test_axes_are_those_of_the_file_and_gzip_and_assemblies_are_read(tmp_path):
    positions = [(0.0, 0.0, 0.0)] * 3 + [(16.0, 0.0, 0.0)]  # centre of mass at x = 4
    text = write_pdb(tmp_path / "a.pdb", positions, _BIOMT).read_bytes()
    (tmp_path / "a.ent.gz").write_bytes(gzip.compress(text))
    data = AtomicModel(tmp_path / "a.ent.gz").density(8.0, 32, 2.0).data
    assert data[16, 16, 22] == pytest.approx(data[16, 16, 14] / 3, rel=0.05)
    assert data[22, 16, 16] < 0.05 * data.max()
    # the assembly's second copy is turned by 180° about z: x -> -x
    both = AtomicModel(tmp_path / "a.ent.gz", "1").density(8.0, 48, 2.0).data
    assert both[24, 24, 32] == pytest.approx(both[24, 24, 16], rel=1e-3)
    assert both[24, 24, 24] == both.max()


def test_the_ribosome_agrees_with_a_map_made_elsewhere(shared_data):
    reference = read_volume(shared_data / "maps/ribosome70S_C1_64_5.64A.mrc")
    found = AtomicModel(shared_data / "models/tth70S_EFTu.pdb.gz").density(
        12.0, 64, reference.pixel_size_angstrom
    )
    assert np.corrcoef(found.data.ravel(), reference.data.ravel())[0, 1] > 0.995


def test_what_cannot_be_is_said(tmp_path, caplog):
    assert [is_atomic_model(n) for n in ("a.pdb", "b.CIF.gz", "c.mrc", "d.mrc.gz")] == [
        True,
        True,
        False,
        False,
    ]
    (tmp_path / "empty.cif").write_text("data_nothing\n")
    with pytest.raises(InputError, match="holds no atoms"):
        AtomicModel(tmp_path / "empty.cif")
    path = write_pdb(tmp_path / "a.pdb", [(0, 0, 0), (80, 0, 0)], _BIOMT)
    with pytest.raises(ConfigError, match="no such biological assembly; it has 1"):
        AtomicModel(path, "7")
    with pytest.raises(
        ConfigError, match="is 100 Å wide and the box is 64 Å; give --box-size-px 50"
    ):
        AtomicModel(path).density(10.0, 32, 2.0)
    arguments = [
        "simulate",
        "--volume",
        str(path),
        "--number",
        "4",
        "--output",
        str(tmp_path / "run"),
    ]
    for more, sentence in (
        ([], "give the resolution of its density with --resolution-angstrom"),
        (["--resolution-angstrom", "12"], "has no pixel size; give --pixel-size-angstrom"),
    ):
        assert main([*arguments, *more]) == 2
        assert sentence in caplog.text


def test_a_model_is_projected_in_a_box_that_it_fills_to_two_thirds(tmp_path):
    pytest.importorskip("tensorflow")
    from cryoposes_plugin.core.io.particle_files import read_particles

    path = write_pdb(tmp_path / "a.pdb", [(0, 0, 0), (60, 0, 0), (0, 40, 0), (0, 0, 30)])
    numbers = [
        "--resolution-angstrom",
        "12",
        "--pixel-size-angstrom",
        "4",
        "--number",
        "4",
        "--no-ctf",
    ]
    assert (
        main(["simulate", "--volume", str(path), *numbers, "--output", str(tmp_path / "run")]) == 0
    )
    radius = AtomicModel(path).radius_angstrom
    box = int(read_particles(tmp_path / "run/particles.star").box_size_px[0])
    assert box % 2 == 0
    assert 0 <= box * 4 - 3 * radius < 8
