"""Atomic models that are damaged or make no sense: one sentence, before any grid is made."""

import gzip
import re

import pytest

from cryoposes_plugin.core.errors import ConfigError, InputError
from cryoposes_plugin.core.maps.atomic_model import AtomicModel

_ATOM = "ATOM  {0:5d}  CA  ALA A{0:4d}    {1[0]:>8.8s}{1[1]:>8.8s}{1[2]:>8.8s}{2:>6s}{3:>6s}          {4:>2s}\n"


def pdb(*places, occupancy="1.00", b_factor="20.00", element="C"):
    return (
        "".join(
            _ATOM.format(i, xyz, occupancy, b_factor, element) for i, xyz in enumerate(places, 1)
        )
        + "END\n"
    )


THREE = (("0.0", "0.0", "0.0"), ("9.0", "0.0", "0.0"), ("0.0", "9.0", "3.0"))


def model(tmp_path, content, name="a.pdb"):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return AtomicModel(path)


def test_b_factors_do_not_matter(tmp_path):
    plain = model(tmp_path, pdb(*THREE)).density(8.0, 16, 3.0).data
    wild = model(tmp_path, pdb(*THREE, b_factor="-1e30")).density(8.0, 16, 3.0).data
    assert (plain == wild).all()
    assert plain.max() > plain.min()


@pytest.mark.parametrize(
    "content, sentence",
    [
        ("", "holds no atoms"),
        ("hello\n" * 100, "holds no atoms"),
        (pdb(*THREE, occupancy="0.00"), "all of occupancy 0"),
        (pdb(*THREE, element="X"), "of unknown element"),
        (pdb(*THREE, occupancy="-1.0"), "occupancy -1"),
        (pdb(*THREE, occupancy="nan"), "occupancy nan"),
        (pdb(*THREE, ("nan", "0", "0")), "lies at (nan, 0, 0)"),
        (pdb(*THREE, ("1e9", "0", "0")), "lies at (1e+09, 0, 0)"),
        (pdb(*THREE, ("-99999", "0", "0")), "from its centre, more than 5000 Å"),
        (b"\x83\xa7" + bytes(2000), "is binary"),
        (gzip.compress(pdb(*THREE).encode(), mtime=0)[:-20], "cannot be read"),
        (gzip.compress(b"REMARK 1\n" * (2**25), mtime=0), "more than 256 MiB of text"),
    ],
)
def test_one_sentence(tmp_path, content, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        model(
            tmp_path,
            content,
            "a.pdb.gz" if isinstance(content, bytes) and content[:1] == b"\x1f" else "a.pdb",
        )


def test_other_mmcif_is_no_model(tmp_path):
    with pytest.raises(InputError, match="holds no atoms"):
        model(tmp_path, "data_x\n_cell.length_a 10\n", "a.cif")


def test_a_grid_that_is_too_large(tmp_path):
    with pytest.raises(ConfigError, match="needs a grid of"):
        model(tmp_path, pdb(*THREE)).density(8.0, 2048, 3.0)
