"""STAR files: round trips, joins by id, what passes through, and what is refused."""

import dataclasses
import re

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io import particle_files
from cryoposes_plugin.core.io.ids import join_tables
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.particle_files import read_particles, stack_paths, write_particles
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable


def make_table(folder, rng, n=7):
    stack = folder / "stack.mrcs"
    write_stack(stack, rng.normal(size=(n, 8, 8)), 2.0)
    optics = (
        OpticsGroup("first", 2.0, 8, 300.0, 2.7, 0.1, "raw", {"rlnBeamTiltX": "0.25"}),
        OpticsGroup(
            "second", 2.0, 8, 200.0, 0.01, 0.07, "ctf-premultiplied", {"rlnBeamTiltX": "-1.5"}
        ),
    )
    index = np.arange(n) % 2
    ctf = CtfTable(
        rng.uniform(5e3, 2e4, n),
        rng.uniform(5e3, 2e4, n),
        rng.uniform(0, 90, n),
        rng.uniform(0, 90, n),
        np.array([300.0, 200.0])[index],
        np.array([2.7, 0.01])[index],
        np.array([0.1, 0.07])[index],
        rng.uniform(0, 50, n),
    )
    return ParticleTable(
        ids=rng.permutation(1000)[:n] + 1,
        stack_paths=(stack,),
        stack_index=np.zeros(n, int),
        slice_index=rng.permutation(n),
        optics=optics,
        optics_index=index,
        rotations=random_rotations(n, rng),
        shifts_px=rng.normal(size=(n, 2)),
        ctf=ctf,
        random_subset=rng.integers(1, 3, n),
        scores={"cryoposesTrace": -rng.uniform(1, 9, n)},
        extra={"rlnMicrographName": np.array([f"mic{i}.mrc" for i in range(n)], dtype=object)},
    )


def test_everything_survives_a_round_trip(tmp_path, rng):
    table = make_table(tmp_path, rng)
    write_particles(tmp_path / "p.star", table)
    found = read_particles(tmp_path / "p.star", require=("poses", "ctf", "subset"))
    np.testing.assert_array_equal(found.ids, table.ids)
    np.testing.assert_array_equal(found.slice_index, table.slice_index)
    np.testing.assert_array_equal(found.random_subset, table.random_subset)
    assert angular_distance_rad(found.rotations, table.rotations).max() < 1e-7
    np.testing.assert_allclose(found.shifts_px, table.shifts_px, atol=1e-6)
    for name in (
        "defocus_u_angstrom",
        "defocus_angle_deg",
        "phase_shift_deg",
        "voltage_kv",
        "amplitude_contrast",
        "bfactor_angstrom2",
    ):
        np.testing.assert_allclose(getattr(found.ctf, name), getattr(table.ctf, name), atol=1e-5)
    assert found.optics == table.optics
    np.testing.assert_array_equal(
        found.extra["rlnMicrographName"], table.extra["rlnMicrographName"]
    )
    np.testing.assert_allclose(
        found.scores["cryoposesTrace"], table.scores["cryoposesTrace"], rtol=1e-8
    )
    assert found.explicit_ids


def test_subsets_and_shuffled_sets_are_joined_by_id(tmp_path, rng):
    table = make_table(tmp_path, rng)
    shuffled = table.take(rng.permutation(len(table))[:5])
    rows, others = join_tables(table, shuffled)
    assert len(rows) == 5
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(table.ids[rows], shuffled.ids[others])
    np.testing.assert_array_equal(table.rotations[rows], shuffled.rotations[others])


def test_without_ids_the_image_name_joins(tmp_path, rng):
    table = make_table(tmp_path, rng).replace(explicit_ids=False)
    other = table.take([4, 2]).replace(ids=np.array([1, 2]))
    rows, others = join_tables(table, other)
    np.testing.assert_array_equal(rows, [2, 4])
    np.testing.assert_array_equal(others, [1, 0])


def test_sets_with_nothing_in_common_are_refused(tmp_path, rng):
    table = make_table(tmp_path, rng)
    with pytest.raises(
        InputError, match=r"share no image .rlnImageName., though 7 ids are in both"
    ):
        join_tables(table, table.replace(stack_paths=(tmp_path / "other.mrcs",)))


def test_duplicate_ids_are_refused(tmp_path, rng):
    with pytest.raises(InputError, match="occurs 2 times"):
        make_table(tmp_path, rng).take([0, 1, 1])


STAR_30 = """
data_

loop_
_rlnImageName #1
_rlnAngleRot #2
_rlnAngleTilt #3
_rlnAnglePsi #4
_rlnOriginX #5
_rlnOriginY #6
_rlnDefocusU #7
_rlnDefocusV #8
_rlnDefocusAngle #9
_rlnVoltage #10
_rlnSphericalAberration #11
_rlnAmplitudeContrast #12
_rlnMagnification #13
_rlnDetectorPixelSize #14
_someoneElse #15
000002@stack.mrcs 10 20 30 1.5 -2 10000 11000 45 300 2.7 0.1 25000 5.0 hello
000001@stack.mrcs 10 20 30 1.5 -2 10000 11000 45 200 2.7 0.1 25000 5.0 there
"""


def test_relion_30_is_read(tmp_path, rng):
    write_stack(tmp_path / "stack.mrcs", rng.normal(size=(2, 8, 8)), 2.0)
    (tmp_path / "old.star").write_text(STAR_30)
    table = read_particles(tmp_path / "old.star", require=("poses", "ctf"))
    np.testing.assert_array_equal(table.slice_index, [1, 0])
    np.testing.assert_allclose(table.pixel_size_angstrom, 2.0)
    np.testing.assert_allclose(table.shifts_px, [[-1.5, 2.0]] * 2)
    np.testing.assert_allclose(table.ctf.voltage_kv, [300, 200])
    np.testing.assert_array_equal(table.box_size_px, [8, 8])
    assert list(table.extra["someoneElse"]) == ["hello", "there"]
    assert not table.explicit_ids


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("_rlnImageName", "_rlnNoImageName", "no column _rlnImageName"),
        (
            "_rlnAngleTilt",
            "_rlnNoTilt",
            "no column _rlnAngleTilt: the particles have no orientations",
        ),
        ("_rlnDefocusV", "_rlnNoV", "no column _rlnDefocusV: the particles have no CTF"),
        (
            " 10 20 30 ",
            " 10 nonsense 30 ",
            "_rlnAngleTilt of particle 1 is 'nonsense', which is not a number",
        ),
        (" 10 20 30 ", " 10 nan 30 ", "_rlnAngleTilt of particle 1 is nan"),
        ("000002@stack", "two@stack", "write it as 000001@stack.mrcs"),
        ("_rlnVoltage", "_rlnNoVoltage", "has defocus values but no voltage; add the acquisition"),
        ("_rlnMagnification", "_rlnNoMagnification", "its particles have no pixel size"),
        ("hello", "", "row 1 of data_ (line 20) has 14 values, but the table has 15 columns"),
    ],
)
def test_a_broken_star_is_one_sentence(tmp_path, rng, old, new, sentence):
    write_stack(tmp_path / "stack.mrcs", rng.normal(size=(2, 8, 8)), 2.0)
    (tmp_path / "old.star").write_text(STAR_30.replace(old, new))
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_particles(tmp_path / "old.star", require=("poses", "ctf"))


def test_an_empty_star_is_one_sentence(tmp_path):
    (tmp_path / "empty.star").write_text(
        "\ndata_particles\n\nloop_\n_rlnImageName #1\n_rlnAngleRot #2\n"
    )
    with pytest.raises(InputError, match="empty.star"):
        read_particles(tmp_path / "empty.star")


@pytest.mark.parametrize("lone", ["rlnAnglePsi", "rlnOriginXAngst", "rlnOriginX"])
def test_a_lone_old_column_does_not_overwrite_the_poses(tmp_path, rng, lone):
    """RELION's extraction leaves an in-plane angle of the picking, often -999, without the other
    two.
    """
    table = make_table(tmp_path, rng)
    table = table.replace(extra={lone: np.array(["-999"] * len(table), dtype=object)})
    write_particles(tmp_path / "p.star", table)
    found = read_particles(tmp_path / "p.star", require=("poses",))
    assert angular_distance_rad(found.rotations, table.rotations).max() < 1e-7
    np.testing.assert_allclose(found.shifts_px, table.shifts_px, atol=1e-6)
    assert not found.extra


def written(folder, rng, change=lambda text: text, **changes):
    write_particles(folder / "p.star", make_table(folder, rng).replace(**changes))
    text = (folder / "p.star").read_text()
    assert change(text) != text or not changes
    (folder / "p.star").write_text(change(text))
    return folder / "p.star"


def particle_column(label, values):
    """Add a column to the particles, at the end of the rows with an image."""

    def change(text):
        last = max(int(n) for n in re.findall(r"#(\d+)\n", text))
        head, rows = text.rsplit(f" #{last}\n", 1)
        lines = [line for line in rows.split("\n") if "@" in line]
        rows = "".join(f"{line} {value}\n" for line, value in zip(lines, values))
        return f"{head} #{last}\n_{label} #{last + 1}\n{rows}"

    return change


def drop_column(text, label):
    """A loop's column, taken out of header and rows."""
    out, number, labels = [], None, 0
    for line in text.split("\n"):
        if line.startswith("loop_"):
            number, labels = None, 0
        if line.startswith("_"):
            if line.split()[0] == f"_{label}":
                number = labels
                labels += 1
                continue
            labels += 1
        elif number is not None and len(line.split()) == labels:
            words = line.split()
            line = " ".join(words[:number] + words[number + 1 :])
        out.append(line)
    return "\n".join(out)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (
            lambda t: drop_column(t.replace("data_optics", "data_other"), "rlnOpticsGroupName"),
            "has no optics table",
        ),
        (
            lambda t: t.replace("\n2 second", "\n1 second"),
            r"has group 1 \(_rlnOpticsGroup\) 2 times",
        ),
        (
            lambda t: t.replace("\n2 second", "\n3 second"),
            r"particle 2 belongs to optics group 2, but .* no such group",
        ),
        (
            lambda t: t.replace("\n2 second", "\n2.5 second"),
            "row 2 of the optics table is 2.5, which is not a whole",
        ),
        (
            lambda t: (
                t.replace("data_optics", "KEEP", 1)
                .replace("_rlnOpticsGroup #2", "_rlnOther #2")
                .replace("KEEP", "data_optics")
            ),
            "particles have no column _rlnOpticsGroup",
        ),
        (
            lambda t: t.replace("300.000000", "3OO"),
            "_rlnVoltage of optics group first is '3OO', which is not a number",
        ),
        (
            lambda t: t.replace(" 8 2 ", " 16 2 "),
            r"first is 16 px and the images of .*stack.mrcs have 8 px",
        ),
        (lambda t: t.replace(" 8 2 ", " 8 3 "), "so these are subtomograms"),
        (lambda t: t.replace("first 2.000000", "first 0"), "optics group first has pixel size 0.0"),
        (
            lambda t: t + t[t.index("data_particles") :].replace("data_particles", "data_2"),
            "2 tables of particles",
        ),
        (
            lambda t: drop_column(t, "rlnOriginYAngst"),
            "_rlnOriginXAngst without the other origin that belongs",
        ),
        (particle_column("rlnHelicalTubeID", "1111111"), "segments of filaments"),
        (particle_column("rlnTomoParticleName", "1111111"), "particles of a tilt series"),
        (lambda t: "data_general\n_rlnTomoSubTomosAre2DStacks 1\n" + t, "stacks of tilted images"),
        (
            lambda t: re.sub(r"(000004@\S+ \d) \d+", r"\1 1.5", t),
            "_rlnImageId of particle . is 1.5, which is not a whole",
        ),
        (
            lambda t: re.sub(r"(000004@\S+ \d) \d+", r"\1 9223372036854775808", t),
            "is too large a number",
        ),
        (
            lambda t: t.replace("000004@", ""),
            r"particle . is .*stack.mrcs, which holds 7 images; say which one",
        ),
        (lambda t: t.replace("000004@", "99999999999@"), "write it as 000001@stack.mrcs"),
        (lambda t: t.replace("mic3.mrc", "mic 3.mrc"), r"row 4 of data_particles \(line \d+\) has"),
    ],
)
def test_what_a_star_cannot_mean_is_one_sentence(tmp_path, rng, change, sentence):
    with pytest.raises(InputError, match=sentence):
        read_particles(written(tmp_path, rng, change), require=("poses",))


def test_a_table_without_rows_holds_no_particles(tmp_path, rng):
    text = written(tmp_path, rng, lambda t: t).read_text()
    (tmp_path / "empty.star").write_text(
        "\n".join(line for line in text.split("\n") if "@" not in line) + "\n"
    )
    with pytest.raises(InputError, match="empty.star holds no particles"):
        read_particles(tmp_path / "empty.star")


@pytest.mark.parametrize("label", ["rlnHelicalTubeID", "rlnHelicalTrackLengthAngst"])
def test_helical_columns_of_zeros_are_no_filament(tmp_path, rng, label):
    path = written(tmp_path, rng, particle_column(label, "0000000"))
    assert len(read_particles(path)) == 7


def test_pixel_sizes_of_relion_30_that_nobody_can_tell_apart_are_one_group(tmp_path, rng):
    write_stack(tmp_path / "stack.mrcs", rng.normal(size=(4, 8, 8)), 2.0)
    sizes = ["2.0000000", "2.0000004", "2.01", "2.0000001"]
    rows = "\n".join(f"{i + 1:06d}@{tmp_path}/stack.mrcs {size}" for i, size in enumerate(sizes))
    path = tmp_path / "p.star"
    path.write_text(f"data_\n\nloop_\n_rlnImageName #1\n_rlnImagePixelSize #2\n{rows}\n")
    table = read_particles(path)
    np.testing.assert_array_equal(table.optics_index, [0, 0, 1, 0])
    assert [o.pixel_size_angstrom for o in table.optics] == [2.0, 2.01]


def test_the_old_label_of_the_pixel_size_is_taken_where_there_is_no_other(tmp_path, rng, caplog):
    write_stack(tmp_path / "stack.mrcs", rng.normal(size=(2, 8, 8)), 2.0)
    rows = f"000001@{tmp_path}/stack.mrcs 3.5\n000002@{tmp_path}/stack.mrcs 3.5\n"
    (tmp_path / "old.star").write_text(
        f"data_\n\nloop_\n_rlnImageName #1\n_rlnPixelSize #2\n{rows}"
    )
    assert read_particles(tmp_path / "old.star").optics[0].pixel_size_angstrom == 3.5
    new = written(tmp_path, rng, lambda t: t.replace("_rlnImagePixelSize", "_rlnPixelSize"))
    assert read_particles(new).optics[0].pixel_size_angstrom == 2.0
    assert "the pixel size is that of _rlnPixelSize" in caplog.text
    both = written(
        tmp_path,
        rng,
        lambda t: particle_column("rlnMicrographPixelSize", "1111111")(t).replace(
            "ImagePixel", "Pixel"
        ),
    )
    with pytest.raises(InputError, match="optics group first has no pixel size"):
        read_particles(both)


def test_no_origins_are_zero_and_that_is_said(tmp_path, rng, caplog):
    path = written(
        tmp_path, rng, lambda t: drop_column(drop_column(t, "rlnOriginYAngst"), "rlnOriginXAngst")
    )
    assert not read_particles(path, require=("poses",)).shifts_px.any()
    assert "the origins are taken to be 0" in caplog.text


@pytest.mark.parametrize("pixel", [1.0661234567, 1e-7, 3.76, 5.641])
def test_a_pixel_size_is_written_with_its_digits(tmp_path, rng, pixel):
    optics = (OpticsGroup("og", pixel, 8),)
    table = make_table(tmp_path, rng).replace(
        ctf=None, optics=optics, optics_index=np.zeros(7, int)
    )
    write_particles(tmp_path / "p.star", table)
    assert read_particles(tmp_path / "p.star").optics[0].pixel_size_angstrom == pytest.approx(
        pixel, rel=1e-8
    )


def test_names_survive(tmp_path, rng):
    """What people call their folders, groups and micrographs."""
    names = ["data_1.mrc", "_m.mrc", "#3", "", "it's mine.mrc", 'say "a"', "Grün/显微镜 1.mrc"]
    folder = tmp_path / "my data #1/it's é显"
    folder.mkdir(parents=True)
    table = make_table(folder, rng).replace(
        extra={"rlnMicrographName": np.array(names, dtype=object)}
    )
    optics = (
        dataclasses.replace(table.optics[0], name="data_set 1"),
        dataclasses.replace(table.optics[1], name="Größe"),
    )
    write_particles(folder / "p.star", table.replace(optics=optics))
    found = read_particles(folder / "p.star")
    assert list(found.extra["rlnMicrographName"]) == names
    assert [o.name for o in found.optics] == ["data_set 1", "Größe"]
    assert found.stack_paths[0].samefile(table.stack_paths[0])


def test_a_number_that_is_not_finite_is_not_written(tmp_path, rng):
    table = make_table(tmp_path, rng)
    with pytest.raises(InputError, match=f"_cryoposesTrace of particle {table.ids[2]} is nan"):
        write_particles(
            tmp_path / "p.star",
            table.replace(scores={"cryoposesTrace": np.array([0, 0, np.nan, 0, 0, 0, 0])}),
        )
    assert not (tmp_path / "p.star").exists()


def test_an_id_of_two_images_is_none(tmp_path, rng, caplog):
    path = written(tmp_path, rng, lambda t: re.sub(r"(@\S+ \d) \d+", r"\1 5", t))
    table = read_particles(path)
    assert not table.explicit_ids
    assert list(table.ids) == [1, 2, 3, 4, 5, 6, 7]
    assert "told apart by their images" in caplog.text
    write_particles(tmp_path / "q.star", table)
    assert set(read_particles(tmp_path / "q.star").extra["rlnImageId"]) == {"5"}


def test_stacks_are_listed_without_the_rest(tmp_path, rng):
    table = make_table(tmp_path, rng)
    write_particles(tmp_path / "p.star", table)
    (path,) = stack_paths(tmp_path / "p.star")
    assert path.samefile(table.stack_paths[0])


def test_a_file_is_read_once_as_long_as_it_stays(tmp_path, rng, monkeypatch):
    table = make_table(tmp_path, rng)
    write_particles(tmp_path / "p.star", table)
    read = []
    real = particle_files.read_star_particles
    monkeypatch.setattr(
        particle_files, "read_star_particles", lambda *a: read.append(a) or real(*a)
    )
    with particle_files.reads_kept():
        read_particles(tmp_path / "p.star").ids[:] = 0
        again = read_particles(tmp_path / "p.star")
        assert (len(read), again.ids.tolist()) == (1, table.ids.tolist())
        assert read_particles(tmp_path / "p.star", ("poses", "ctf")).ctf is not None
        assert len(read) == 1
        write_particles(tmp_path / "p.star", table.replace(ctf=None))
        read_particles(tmp_path / "p.star", ("poses",))
        with pytest.raises(InputError, match="the particles have no CTF"):
            read_particles(tmp_path / "p.star", ("ctf",))
        write_particles(tmp_path / "p.star", table.take([0, 1]))
        assert len(read_particles(tmp_path / "p.star")) == 2
