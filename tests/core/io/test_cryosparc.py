"""cryoSPARC's .cs files: the conventions against csparc2star, and that nothing is lost on the way
through.
"""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core import conventions
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.cryosparc.dataset import read_dataset, to_records, write_dataset
from cryoposes_plugin.core.io.ids import join
from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.particle_files import (
    columns_not_modelled,
    read_particles,
    stack_paths,
    write_particles,
)
from cryoposes_plugin.core.io.star_labels import CLASS_NUMBER, MICROGRAPH_NAME
from cryoposes_plugin.core.particles.images import ParticleImages
from cryoposes_plugin.core.scores import EXPECTED_ERROR, POSE_SOURCE

from ...particle_sets import make_particles

T20S, DNA = "cs/t20s_j209_000_particles.cs", "cs/cryosparc_P12_J24_001_particles.cs"
NUMBER, BOX = 12, 16

#: Of pyem's csparc2star: file, uid, angles (degrees), origins (Å), defocus U (Å) and angle
#: (degrees), half set.
PYEM = [
    (
        *(T20S, 11740578382051368150, (-171.140005, 90.135846, -63.624412)),
        *((6.051697, 7.888073), 12920.996094, 263.758109, 1),
    ),
    (
        *(T20S, 18300173516300948535, (5.028317, 106.497594, 113.071169)),
        *((5.050037, -4.382263), 17772.916016, 255.928718, 1),
    ),
    (
        *(DNA, 15494748553812943456, (-157.808487, 118.790972, 34.6833)),
        *((33.436409, -5.392968), 45591.371094, -78.131094, 2),
    ),
    (
        *(DNA, 2601904955171077498, (-131.149001, 121.784622, -111.964422)),
        *((-10.702969, 24.475782), 22815.318359, 6.5544, 2),
    ),
]


@pytest.fixture
def project(tmp_path, rng):
    """A project of cryoSPARC: black protein in J1/extract, and J2/particles.cs."""
    (tmp_path / "J1/extract").mkdir(parents=True)
    (tmp_path / "J2").mkdir()
    images = rng.normal(size=(NUMBER, BOX, BOX)).astype(np.float32)
    write_stack(tmp_path / "J1/extract/a.mrc", images, 4.0)
    stack = tmp_path / "J1/extract/a.mrc"
    table = make_particles(stack, NUMBER, BOX, 4.0, random_subset=np.arange(NUMBER) % 2 + 1)
    path = tmp_path / "J2/particles.cs"
    write_particles(path, table)
    change(path, **{"blob/path": np.full(NUMBER, b"J1/extract/a.mrc")}, **{"blob/sign": -1.0})
    return path


def change(path, drop=(), **columns):
    """Replace, add and drop fields of a .cs file."""
    records = read_dataset(path)
    kept = {name: records[name] for name in records.dtype.names if name not in drop}
    for name, values in columns.items():
        kept[name] = np.broadcast_to(values, np.shape(values) or len(records)).copy()
        if kept[name].dtype == np.float64:
            kept[name] = kept[name].astype(np.float32)
    write_dataset(path, to_records(kept))


def sentence(path, **options):
    with pytest.raises(InputError) as caught:
        read_particles(path, **options)
    return str(caught.value)


# ---- conventions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("file, uid, angles, origin, defocus, defocus_angle, subset", PYEM)
def test_real_particles_are_read_as_by_csparc2star(
    shared_data, file, uid, angles, origin, defocus, defocus_angle, subset
):
    table = read_particles(shared_data / file)
    row = int(np.flatnonzero(table.ids.view(np.uint64) == np.uint64(uid))[0])
    expected = conventions.euler_deg_to_rotations(np.array([angles]))[0]
    np.testing.assert_allclose(table.rotations[row], expected, atol=3e-8)
    found = conventions.shifts_px_to_origin_angstrom(
        table.shifts_px[[row]], table.pixel_size_angstrom[[row]]
    )
    np.testing.assert_allclose(found[0], origin, atol=4e-6)
    assert table.ctf.defocus_u_angstrom[row] == pytest.approx(defocus, abs=1e-6)
    assert table.ctf.defocus_angle_deg[row] == pytest.approx(defocus_angle, abs=1e-6)
    assert table.random_subset[row] == subset


def test_the_acquisition_of_real_particles(shared_data):
    (group,) = read_particles(shared_data / DNA).optics
    assert (group.pixel_size_angstrom, group.box_size_px, group.sign) == (2.95, 180, -1)
    assert (group.voltage_kv, group.spherical_aberration_mm) == (200.0, 2.0)
    assert group.amplitude_contrast == 0.07


@pytest.mark.parametrize("suffix", [".cs", ".star"])
def test_poses_come_back_within_a_hundred_thousandth_of_a_degree(tmp_path, rng, suffix):
    number = 5000
    table = make_particles(tmp_path / "a.mrcs", number, rotations=random_rotations(number, rng))
    write_particles(tmp_path / f"a{suffix}", table)
    found = read_particles(tmp_path / f"a{suffix}")
    turn = Rotation.from_matrix(found.rotations @ table.rotations.transpose(0, 2, 1))
    assert np.rad2deg(turn.magnitude()).max() < 1e-5
    np.testing.assert_allclose(found.shifts_px, table.shifts_px, atol=1e-6)


def test_shifts_are_in_pixels_of_the_alignment(project):
    before = read_particles(project)
    change(project, **{"alignments3D/psize_A": 8.0})
    np.testing.assert_allclose(read_particles(project).shifts_px, 2 * before.shifts_px, rtol=1e-6)


def test_a_moved_particle_is_written_in_pixels_of_the_alignment(project, tmp_path):
    change(project, **{"alignments3D/psize_A": 8.0})
    table = read_particles(project)
    moved = table.replace(shifts_px=table.shifts_px + [1.0, -2.0])
    write_particles(tmp_path / "moved.cs", moved)
    before, after = read_dataset(project), read_dataset(tmp_path / "moved.cs")
    difference = after["alignments3D/shift"] - before["alignments3D/shift"]
    np.testing.assert_allclose(difference, np.tile([-0.5, 1.0], (NUMBER, 1)), atol=1e-6)


def test_the_images_are_multiplied_by_their_sign(project):
    table = read_particles(project)
    rows = np.arange(NUMBER)
    white = dataclasses.replace(table.optics[0], sign=1)
    stored = ParticleImages(table.replace(optics=(white,))).read(rows)
    np.testing.assert_array_equal(ParticleImages(table).read(rows), -stored)


def test_a_star_file_keeps_the_sign(project, tmp_path):
    write_particles(tmp_path / "p.star", read_particles(project))
    assert read_particles(tmp_path / "p.star").optics[0].sign == -1


def test_the_beam_tilt_is_that_of_relion(project):
    """Its sine is the field over the spherical aberration: 1 mrad of 2.7 mm is 27,000 Å."""
    tilt = 2.7e7 * np.sin([1e-3, -5e-4])
    change(project, **{"ctf/tilt_A": np.tile(tilt, (NUMBER, 1))})
    table = read_particles(project)
    assert float(table.optics[0].extra["rlnBeamTiltX"]) == pytest.approx(1.0, rel=1e-6)
    assert float(table.optics[0].extra["rlnBeamTiltY"]) == pytest.approx(-0.5, rel=1e-6)


@pytest.mark.parametrize("field", ["ctf/trefoil_A", "ctf/anisomag", "ctf/shift_A", "ctf/tetra_A"])
def test_what_is_not_modelled_is_named(project, field):
    assert columns_not_modelled(read_particles(project)) == []
    change(project, **{field: np.full((NUMBER, 2), 0.02)})
    assert columns_not_modelled(read_particles(project)) == [field]


def test_exposure_groups_are_optics_groups(project):
    group = np.array([7, 3] * (NUMBER // 2), np.uint32)
    voltage = np.where(group == 7, 300.0, 200.0)
    change(project, **{"ctf/exp_group_id": group, "ctf/accel_kv": voltage})
    table = read_particles(project)
    assert [g.name for g in table.optics] == ["exposureGroup3", "exposureGroup7"]
    np.testing.assert_array_equal(table.ctf.voltage_kv, voltage)


def test_half_sets_begin_with_0(project, tmp_path):
    table = read_particles(project)
    np.testing.assert_array_equal(table.random_subset, np.arange(NUMBER) % 2 + 1)
    write_particles(tmp_path / "b.cs", table.replace(random_subset=3 - table.random_subset))
    split = read_dataset(tmp_path / "b.cs")["alignments3D/split"]
    np.testing.assert_array_equal(split, 1 - np.arange(NUMBER) % 2)


def test_particles_that_were_never_split_have_no_half_sets(project):
    change(project, **{"alignments3D/split": np.zeros(NUMBER, np.uint32)})
    assert read_particles(project).random_subset is None
    assert "have no half sets" in sentence(project, require=("subset",))


def test_the_likeliest_class_has_the_pose(project):
    records = read_dataset(project)
    pose, shift = records["alignments3D/pose"], records["alignments3D/shift"]
    likelier = np.arange(NUMBER) % 3 == 0
    true = read_particles(project)
    drop = [n for n in records.dtype.names if n.startswith("alignments3D/")]
    fields = {}
    for k, chosen in ((0, likelier), (1, ~likelier)):
        group = f"alignments_class_{k}"
        fields[f"{group}/pose"] = np.where(chosen[:, None], pose, 0)
        fields[f"{group}/shift"] = np.where(chosen[:, None], shift, 0)
        fields[f"{group}/class_posterior"] = np.where(chosen, 0.8, 0.2)
    change(project, drop, **fields)
    found = read_particles(project)
    np.testing.assert_array_equal(found.rotations, true.rotations)
    np.testing.assert_allclose(found.shifts_px, true.shifts_px, rtol=1e-6)
    np.testing.assert_array_equal(found.extra[CLASS_NUMBER], np.where(likelier, "1", "2"))


def test_classes_in_one_field_are_the_same(project):
    records = read_dataset(project)
    true = read_particles(project)
    drop = [n for n in records.dtype.names if n.startswith("alignments3D/")]
    fields = {
        "alignments3D_multi/pose": np.stack(
            [0 * records["alignments3D/pose"], records["alignments3D/pose"]], 1
        ),
        "alignments3D_multi/shift": np.stack(
            [0 * records["alignments3D/shift"], records["alignments3D/shift"]], 1
        ),
        "alignments3D_multi/class_posterior": np.tile([0.1, 0.9], (NUMBER, 1)),
    }
    change(project, drop, **fields)
    found = read_particles(project)
    np.testing.assert_array_equal(found.rotations, true.rotations)
    assert set(found.extra[CLASS_NUMBER]) == {"2"}


def test_a_2d_classification_gives_shifts_alone(project):
    records = read_dataset(project)
    drop = [n for n in records.dtype.names if n.startswith("alignments3D/")]
    shift = records["alignments3D/shift"]
    change(project, drop, **{"alignments2D/shift": shift, "alignments2D/pose": np.ones(NUMBER)})
    table = read_particles(project)
    assert table.rotations is None
    np.testing.assert_allclose(table.shifts_px, -shift, rtol=1e-6)
    assert "have no orientations" in sentence(project, require=("poses",))


# ---- nothing is lost --------------------------------------------------------------------------------


def assert_same_records(a, b):
    assert a.dtype == b.dtype
    for name in a.dtype.names:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("file", [T20S, DNA])
def test_real_particles_come_back_to_the_last_bit(shared_data, tmp_path, file):
    write_particles(tmp_path / "same.cs", read_particles(shared_data / file))
    assert_same_records(read_dataset(tmp_path / "same.cs"), read_dataset(shared_data / file))


def test_real_particles_come_back_through_a_star_file(shared_data, tmp_path):
    table = read_particles(shared_data / DNA)
    write_particles(tmp_path / "a.star", table)
    again = read_particles(tmp_path / "a.star")
    np.testing.assert_array_equal(again.ids, table.ids)
    write_particles(tmp_path / "same.cs", again.replace(records=table.records))
    assert_same_records(read_dataset(tmp_path / "same.cs"), read_dataset(shared_data / DNA))


def test_uids_are_not_written_as_ids_of_relion(project, tmp_path):
    """RELION cuts whole numbers after twelve characters; columns of ours it leaves as they are."""
    uid = 2**64 - 1 - 10**17 * np.arange(NUMBER, dtype=np.uint64)
    change(project, uid=uid)
    write_particles(tmp_path / "a.star", read_particles(project))
    text = (tmp_path / "a.star").read_text()
    assert "rlnImageId" not in text
    assert str(2**64 - 1) in text
    np.testing.assert_array_equal(read_particles(tmp_path / "a.star").ids.view(np.uint64), uid)


@pytest.mark.parametrize("text", ["-1", "1e3", "99999999999999999999", "abc"])
def test_a_wrong_uid_in_a_star_file_is_one_sentence(project, tmp_path, text):
    change(project, uid=2**63 + np.arange(NUMBER, dtype=np.uint64))
    write_particles(tmp_path / "a.star", read_particles(project))
    content = (tmp_path / "a.star").read_text().replace(str(2**63 + 1), text)
    (tmp_path / "a.star").write_text(content)
    assert "is not a uid of cryoSPARC" in sentence(tmp_path / "a.star")


def test_only_what_has_changed_is_written(shared_data, tmp_path):
    table = read_particles(shared_data / DNA)
    rotations = table.rotations.copy()
    rotations[5] = rotations[5] @ Rotation.from_rotvec([0.0, 0.0, 1e-4]).as_matrix()
    scores = {EXPECTED_ERROR: np.linspace(0, 9, len(table))}
    write_particles(tmp_path / "new.cs", table.replace(rotations=rotations, scores=scores))
    before, after = table.records, read_dataset(tmp_path / "new.cs")
    changed = [n for n in before.dtype.names if not np.array_equal(before[n], after[n])]
    assert changed == ["alignments3D/pose"]
    rows = np.flatnonzero((before["alignments3D/pose"] != after["alignments3D/pose"]).any(axis=1))
    assert rows.tolist() == [5]
    new = [n for n in after.dtype.names if n not in before.dtype.names]
    assert new == ["cryoposes/ExpectedErrorDeg", "cryoposes/ScoredPose"]


def test_subsets_keep_their_records_in_their_order(shared_data, tmp_path):
    table = read_particles(shared_data / DNA)
    rows = np.array([17, 3, 2000])
    write_particles(tmp_path / "few.cs", table.take(rows))
    assert_same_records(read_dataset(tmp_path / "few.cs"), table.records[rows])


def test_scores_come_back(project, tmp_path):
    table = read_particles(project)
    scores = {EXPECTED_ERROR: np.linspace(1, 5, NUMBER)}
    source = np.full(NUMBER, "network:abc", dtype=object)
    write_particles(tmp_path / "a.cs", table.replace(scores=scores, extra={POSE_SOURCE: source}))
    found = read_particles(tmp_path / "a.cs")
    np.testing.assert_allclose(found.scores[EXPECTED_ERROR], scores[EXPECTED_ERROR], rtol=1e-7)
    assert set(found.extra[POSE_SOURCE]) == {"network:abc"}


def test_scores_of_other_poses_are_left_out(project, tmp_path):
    """As after a refinement in cryoSPARC, which passes on fields that it does not know."""
    path = tmp_path / "a.cs"
    write_particles(path, read_particles(project).replace(scores={EXPECTED_ERROR: np.ones(NUMBER)}))
    assert EXPECTED_ERROR in read_particles(path).scores
    change(path, **{"alignments3D/pose": read_dataset(path)["alignments3D/pose"] + 0.01})
    table = read_particles(path)
    assert table.scores == {}
    write_particles(path, table)
    assert not [n for n in read_dataset(path).dtype.names if n.startswith("cryoposes/")]


def test_cryosparcs_own_library_reads_what_is_written(project, tmp_path):
    dataset = pytest.importorskip("cryosparc.dataset", reason="cryosparc-tools is not installed")
    table = read_particles(project).replace(scores={EXPECTED_ERROR: np.linspace(0, 1, NUMBER)})
    for name, written in (("records.cs", table), ("new.cs", table.replace(records=None))):
        write_particles(tmp_path / name, written)
        found = dataset.Dataset.load(tmp_path / name)
        np.testing.assert_array_equal(found["uid"], table.ids.view(np.uint64))
        np.testing.assert_allclose(found["cryoposes/ExpectedErrorDeg"], np.linspace(0, 1, NUMBER))
        found.save(tmp_path / "theirs.cs")
        again = read_particles(tmp_path / "theirs.cs")
        np.testing.assert_allclose(again.rotations, table.rotations, atol=3e-7)


# ---- passthrough, paths, joins ----------------------------------------------------------------------


def split_off(path, prefix, rng):
    """Move fields to a passthrough file, in another order and with particles more."""
    records = read_dataset(path)
    names = [n for n in records.dtype.names if n.startswith(prefix)]
    more = np.zeros(3, records.dtype)
    more["uid"] = [10**9, 10**9 + 1, 10**9 + 2]
    other = rng.permutation(np.concatenate([records, more]))
    passthrough = path.parent / "passthrough.cs"
    write_dataset(passthrough, to_records({n: other[n] for n in ("uid", *names)}))
    change(path, names)
    return passthrough


@pytest.mark.parametrize("prefix", ["ctf/", "blob/"])
def test_a_passthrough_file_is_joined_by_uid(project, rng, prefix):
    whole = read_particles(project)
    passthrough = split_off(project, prefix, rng)
    table = read_particles(project, ("poses", "ctf"), passthrough=passthrough)
    np.testing.assert_array_equal(table.ids, whole.ids)
    np.testing.assert_array_equal(table.ctf.defocus_u_angstrom, whole.ctf.defocus_u_angstrom)
    np.testing.assert_array_equal(table.slice_index, whole.slice_index)
    assert set(table.records.dtype.names) == set(whole.records.dtype.names)


def test_a_missing_field_is_asked_for(project, rng):
    split_off(project, "blob/", rng)
    assert "has no field blob/path; give with --passthrough" in sentence(project)


def test_a_passthrough_file_of_other_particles_is_refused(project, tmp_path, rng):
    passthrough = split_off(project, "ctf/", rng)
    change(passthrough, uid=np.arange(NUMBER + 3, dtype=np.uint64))
    assert f"of {NUMBER} particles" in sentence(project, passthrough=passthrough)


@pytest.mark.parametrize("name", [b"J1/extract/a.mrc", b">J1/extract/a.mrc"])
def test_paths_start_from_the_project(project, tmp_path, name):
    change(project, **{"blob/path": np.full(NUMBER, name)})
    assert stack_paths(project) == [tmp_path / "J1/extract/a.mrc"]


def test_micrographs_are_known(project):
    names = np.array([b">J1/m1.mrc", b"J1/m2.mrc"] * (NUMBER // 2))
    change(project, **{"location/micrograph_path": names})
    found = read_particles(project).extra[MICROGRAPH_NAME]
    assert found[:2].tolist() == ["J1/m1.mrc", "J1/m2.mrc"]


def test_a_star_file_of_relion_joins_by_image(project, tmp_path, rng):
    """RELION calls stacks .mrcs; its names start from the project too."""
    ours = read_particles(project)
    order = rng.permutation(NUMBER)
    theirs = ours.take(order).replace(
        ids=np.arange(NUMBER), explicit_ids=False, records=None, stack_paths=("J9/extract/a.mrcs",)
    )
    write_particles(tmp_path / "relion.star", theirs)
    read = read_particles(tmp_path / "relion.star")
    found = join(ours, read)
    assert found.how == "file name"
    np.testing.assert_array_equal(order[found.rows_b], found.rows_a)


def test_two_refinements_join_by_uid(project, tmp_path, rng):
    """Of the same particles with other images, as after a change of the box."""
    ours = read_particles(project)
    write_particles(tmp_path / "J2/b.cs", ours.take(rng.permutation(NUMBER)))
    change(tmp_path / "J2/b.cs", **{"blob/path": np.full(NUMBER, b"J7/a.mrc")})
    other = read_particles(tmp_path / "J2/b.cs")
    found = join(ours, other, "id")
    np.testing.assert_array_equal(ours.ids[found.rows_a], other.ids[found.rows_b])
    assert len(found.rows_a) == NUMBER


# ---- files that are not right -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "field, values, words",
    [
        ("blob/sign", 0.0, "blob/sign is 0; it must be 1 or -1"),
        ("blob/shape", np.full((NUMBER, 2), [16, 20]), "blob/shape is 16 x 20 px"),
        ("blob/path", np.full(NUMBER, b""), "blob/path is ''; give the path of a stack"),
        ("blob/idx", -1.0, "blob/idx is -1 to -1"),
        ("blob/psize_A", np.full(NUMBER, np.nan), "blob/psize_A of the particle with uid"),
        ("blob/psize_A", -1.0, "blob/psize_A: the pixel size is -1"),
        ("alignments3D/pose", np.zeros((NUMBER, 2)), "field alignments3D/pose holds (2,) of"),
        ("alignments3D/pose", np.full((NUMBER, 3), np.inf), "is inf; remove the particle"),
        ("alignments3D/split", np.arange(NUMBER, dtype=np.uint32), "half sets are 0 and 1"),
        ("ctf/tilt_A", np.full((NUMBER, 2), 1e9), "more than the spherical aberration"),
        ("uid", np.zeros(NUMBER, np.uint64), f"uid 0 occurs {NUMBER} times"),
        ("uid", np.arange(NUMBER, dtype=np.uint32), "has no field uid of 64-bit numbers"),
    ],
)
def test_what_a_file_cannot_mean_is_one_sentence(project, field, values, words):
    change(project, **{field: values})
    assert words in sentence(project)


def test_a_file_without_particles_is_one_sentence(project):
    write_dataset(project, read_dataset(project)[:0])
    assert "holds no particles" in sentence(project)


def test_a_truncated_file_is_one_sentence(project):
    project.write_bytes(project.read_bytes()[:-5])
    assert "does not fit" in sentence(project)


def test_an_array_of_numbers_is_no_particle_file(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert "has no field uid" in sentence(tmp_path / "a.npy")


def test_pickled_objects_are_refused(tmp_path):
    records = np.zeros(2, [("uid", "<u8"), ("blob/path", "O")])
    np.save(tmp_path / "a.npy", records, allow_pickle=True)
    assert "neither numbers nor text" in sentence(tmp_path / "a.npy")


def test_a_compressed_stream_is_one_sentence(tmp_path):
    (tmp_path / "a.cs").write_bytes(b"\x95CSDAT" + bytes(20))
    assert "is a compressed stream of cryoSPARC" in sentence(tmp_path / "a.cs")


def test_a_pose_that_is_not_finite_is_not_written(project, tmp_path):
    table = read_particles(project)
    shifts = np.full((NUMBER, 2), np.nan)
    with pytest.raises(InputError, match="NaN or infinite"):
        write_particles(tmp_path / "a.cs", table.replace(shifts_px=shifts))
    assert not (tmp_path / "a.cs").exists()
