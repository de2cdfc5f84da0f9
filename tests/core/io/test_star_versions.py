"""STAR files with the columns of RELION 3.1, 4 and 5; 3.0 is in test_star. Written by hand after the
files of these versions.
"""

import numpy as np
import pytest

from cryoposes_plugin.core import conventions
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.io.particle_files import read_particles

OPTICS = """
data_optics

loop_
_rlnOpticsGroupName #1
_rlnOpticsGroup #2
_rlnMicrographOriginalPixelSize #3
_rlnVoltage #4
_rlnSphericalAberration #5
_rlnAmplitudeContrast #6
_rlnImagePixelSize #7
_rlnImageSize #8
_rlnImageDimensionality #9
_rlnCtfDataAreCtfPremultiplied #10
opticsGroup1            1     0.885000   200.000000     1.400000     0.100000     3.540000           64            2            0

"""
PARTICLES = """
data_particles

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnImageName #3
_rlnMicrographName #4
_rlnOpticsGroup #5
_rlnDefocusU #6
_rlnDefocusV #7
_rlnDefocusAngle #8
_rlnAngleRot #9
_rlnAngleTilt #10
_rlnAnglePsi #11
_rlnOriginXAngst #12
_rlnOriginYAngst #13
_rlnClassNumber #14
_rlnRandomSubset #15
{more}
  614.0 1292.0 000001@Extract/a.mrcs Motion/a.mrc 1 10864.1 10575.8 77.99 -30.0 80.0 120.0 3.54 -7.08 1 2 {values}
"""
#: Version -> the comment at the top of each block, and further columns and their values.
VERSIONS = {
    "3.1": ("# version 30001\n", {"rlnCtfBfactor": "0.0", "rlnPhaseShift": "0.0"}),
    "4": (
        "# version 30001\n",
        {"rlnNrOfSignificantSamples": "3", "rlnLogLikeliContribution": "1e5"},
    ),
    "5": ("\n# version 50001\n", {"rlnAutopickFigureOfMerit": "0.7", "rlnIceThickness": "1.2"}),
}


def star_of(path, version, optics=OPTICS, more=None):
    head, columns = VERSIONS[version]
    columns = {**columns, **(more or {})}
    labels = "\n".join(f"_{label} #{16 + i}" for i, label in enumerate(columns))
    particles = PARTICLES.format(more=labels, values=" ".join(columns.values()))
    path.write_text(head + optics + head + particles + "\n\n")
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_particles_of_each_version_are_read(tmp_path, version):
    table = read_particles(star_of(tmp_path / "p.star", version), ("poses", "ctf", "subset"))
    expected = conventions.euler_deg_to_rotations(np.array([[-30.0, 80.0, 120.0]]))
    np.testing.assert_allclose(table.rotations, expected, atol=1e-12)
    np.testing.assert_allclose(table.shifts_px, [[-1.0, 2.0]])
    assert (table.optics[0].pixel_size_angstrom, table.optics[0].voltage_kv) == (3.54, 200.0)
    assert (table.ctf.defocus_u_angstrom[0], table.random_subset[0]) == (10864.1, 2)
    assert set(VERSIONS[version][1]) - {"rlnCtfBfactor", "rlnPhaseShift"} <= set(table.extra)


def test_particles_of_tilt_series_of_relion_5_are_refused(tmp_path):
    """Its subtomogram job writes stacks of tilts, with the name of the tilt series."""
    optics = OPTICS.replace(
        "data_optics", "data_general\n\n_rlnTomoSubTomosAre2DStacks 1\n\ndata_optics"
    )
    more = {
        "rlnTomoName": "TS_01",
        "rlnTomoParticleName": "TS_01/1",
        "rlnTomoVisibleFrames": "[1,1]",
    }
    with pytest.raises(InputError, match="give images of single particles"):
        read_particles(star_of(tmp_path / "p.star", "5", optics, more))


def test_a_tilt_series_alone_is_told(tmp_path):
    path = star_of(tmp_path / "p.star", "5", more={"rlnTomoName": "TS_01"})
    with pytest.raises(
        InputError, match="_rlnTomoName is 'TS_01', so these are particles of a tilt"
    ):
        read_particles(path)
