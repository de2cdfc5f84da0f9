"""Beam tilt, aberrations and magnification in the optics groups of STAR files."""

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.io.star_optics import aberrations_of
from cryoposes_plugin.core.particles.images import ResampledImages
from cryoposes_plugin.core.types import OpticsGroup, ParticleTable

from ...exact_projections import ctf_table

BOX, PIXEL, NUMBER = 16, 1.5, 3
STRETCHED = {
    "rlnMagMat00": "1.020000",
    "rlnMagMat01": "0.01",
    "rlnMagMat10": "-0.005",
    "rlnMagMat11": "0.98",
}
TILTED = {"rlnBeamTiltX": "0.5", "rlnBeamTiltY": "-0.25", "rlnOddZernike": "[0,1,2]"}


@pytest.fixture
def star(tmp_path, rng):
    """star(columns of the optics group) -> path."""
    stack = tmp_path / "particles.mrcs"
    write_stack(stack, rng.normal(size=(NUMBER, BOX, BOX)).astype(np.float32), PIXEL)
    rotations, shifts = random_rotations(NUMBER, rng), rng.normal(0, 3, (NUMBER, 2))
    ctf = ctf_table(NUMBER, rng)

    def write(columns):
        table = ParticleTable(
            ids=np.arange(NUMBER) + 1,
            stack_paths=(stack,),
            stack_index=np.zeros(NUMBER, int),
            slice_index=np.arange(NUMBER),
            optics=(OpticsGroup("one", PIXEL, BOX, 300.0, 2.7, 0.1, extra=columns),),
            optics_index=np.zeros(NUMBER, int),
            rotations=rotations,
            shifts_px=shifts,
            ctf=ctf,
        )
        write_particles(tmp_path / "particles.star", table)
        return tmp_path / "particles.star"

    return write


def test_a_file_is_written_as_it_was_read(star, tmp_path):
    path = star({**TILTED, **STRETCHED, "rlnEvenZernike": "[0,0.5,0,0,1]"})
    write_particles(tmp_path / "again.star", read_particles(path))
    assert (tmp_path / "again.star").read_text() == path.read_text()


def test_displacements_are_those_of_corrected_images(star):
    table = read_particles(star(STRETCHED))
    matrix = np.array([[1.02, 0.01], [-0.005, 0.98]])
    written = read_particles(star({})).shifts_px
    assert table.shifts_px == pytest.approx(written, abs=1e-5)
    assert aberrations_of(table.optics[0]).matrix == pytest.approx(matrix)


def test_even_coefficients_are_part_of_the_ctf(star):
    table = read_particles(star({"rlnEvenZernike": "[0,0.5]"}))
    assert table.ctf.even_zernike.tolist() == [[0.0, 0.5]] * NUMBER
    assert read_particles(star({"rlnEvenZernike": "[0,0]"})).ctf.even_zernike.shape == (NUMBER, 0)


def test_a_beam_tilt_is_added_to_the_odd_coefficients(star):
    odd = aberrations_of(read_particles(star(TILTED)).optics[0]).odd
    tilt = {k: TILTED[k] for k in ("rlnBeamTiltX", "rlnBeamTiltY")}
    alone = aberrations_of(read_particles(star(tilt)).optics[0]).odd
    assert np.subtract(odd, alone) == pytest.approx([0, 1, 2, 0, 0, 0])


@pytest.mark.parametrize(
    "column, text, words",
    [
        ("rlnBeamTiltX", "100", "beam tilt (_rlnBeamTiltX, _rlnBeamTiltY)"),
        ("rlnBeamTiltY", "tilted", "which is not a number"),
        ("rlnOddZernike", "[0,x]", "which is not a list of numbers"),
        ("rlnMagMat00", "0", "relative magnification (_rlnMagMat00 to _rlnMagMat11)"),
        ("rlnMagMat11", "1.5", "it must be 0.8 to 1.25"),
    ],
)
def test_impossible_values_are_refused(star, column, text, words):
    # A singular matrix cannot be written, so the text is put in afterwards.
    path = star({column: "0.987654"})
    path.write_text(path.read_text().replace("0.987654", text))
    with pytest.raises(InputError) as error:
        read_particles(path)
    assert words in str(error.value)


def test_neutral_columns_change_no_byte(star):
    plain = read_particles(star({}))
    neutral = {"rlnBeamTiltX": "0.0", "rlnMagMat00": "1.0", "rlnOddZernike": "[0,0]"}
    changed = read_particles(star(neutral))
    rows = np.arange(NUMBER)
    images = [ResampledImages(t, BOX, PIXEL).read(rows).tobytes() for t in (plain, changed)]
    assert images[0] == images[1]
    assert changed.shifts_px.tobytes() == plain.shifts_px.tobytes()


def test_images_are_corrected_as_they_are_read(star):
    rows = np.arange(NUMBER)
    plain = ResampledImages(read_particles(star({})), BOX, PIXEL).read(rows)
    moved = {"rlnOddZernike": f"[0,{2 * np.pi * PIXEL * 2!r}]"}
    found = ResampledImages(read_particles(star(moved)), BOX, PIXEL).read(rows)
    assert found == pytest.approx(np.roll(plain, 2, axis=2), abs=1e-4)
