"""RELION reads what we write, whatever people call their files, and we read what RELION writes of
it.
"""

import shutil
import subprocess

import numpy as np
import pytest

from cryoposes_plugin.core.io.star_grammar import read_star, text_table, write_star

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(
        shutil.which("relion_star_handler") is None, reason="RELION is not installed"
    ),
]

NAMES = [
    "data_1.mrc",
    "_m.mrc",
    "#3",
    ";x",
    "loop_",
    "'a",
    "it's mine.mrc",
    'say "a"',
    "Grün/显微镜 1.mrc",
    "",
    "$1",
]


@pytest.mark.parametrize("first", ["rlnMicrographName", "rlnImageName"])
def test_names_survive_relion(tmp_path, first):
    """In the first column, where RELION looks for labels and comments, and behind it."""
    images = [f"{i + 1:06d}@my data/p.mrcs" for i in range(len(NAMES))]
    columns = {
        "rlnMicrographName": NAMES,
        "rlnImageName": images,
        "rlnOpticsGroup": ["1"] * len(NAMES),
    }
    columns["rlnDefocusU"] = np.char.mod("%.1f", np.arange(len(NAMES)) + 1.0).tolist()
    columns = {first: columns[first], **columns}
    optics = {
        "rlnOpticsGroup": ["1"],
        "rlnOpticsGroupName": ["data_set 1"],
        "rlnVoltage": ["300"],
        "rlnSphericalAberration": ["2.7"],
        "rlnAmplitudeContrast": ["0.1"],
        "rlnImagePixelSize": ["2.0"],
        "rlnImageSize": ["8"],
        "rlnImageDimensionality": ["2"],
    }
    write_star(
        tmp_path / "p.star",
        [text_table("optics", optics, "p"), text_table("particles", columns, "p")],
    )
    command = [
        "relion_star_handler",
        "--i",
        "p.star",
        "--o",
        "q.star",
        "--select",
        "rlnDefocusU",
        "--minval",
        "2",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    found_optics, found = read_star(tmp_path / "q.star")
    assert list(found_optics.columns["rlnOpticsGroupName"]) == ["data_set 1"]
    assert [list(found.columns[label]) for label in ("rlnMicrographName", "rlnImageName")] == [
        NAMES[1:],
        images[1:],
    ]
