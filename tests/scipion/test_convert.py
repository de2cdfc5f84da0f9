"""Scipion sets <-> tables: nothing is lost, nothing is joined by position."""

import dataclasses

import numpy as np
import pytest

from cryoposes_plugin.core import conventions
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.covariances import covariance_of_texts, covariance_texts
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.particles.images import ParticleImages
from cryoposes_plugin.core.scores import BASIN_ERROR, COVARIANCE, POSE_SOURCE

from .project import BOX, PIXEL, make_table, new_set

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from pwem.objects import Transform

from cryoposes_plugin.protocols.protocol_base import ProtCryoposesBase
from cryoposes_plugin.scipion import convert, results

IDS = [11, 4, 907, 5, 23, 42, 1000003]


@pytest.fixture
def table(tmp_path, rng):
    return make_table(tmp_path, IDS, rng)


def make_set(table, path):
    particles = new_set(path)
    results.create_particles(particles, table)
    particles.write()
    return particles


def by_id(table, ids):
    return table.take([int(np.flatnonzero(table.ids == i)[0]) for i in ids])


def test_a_set_made_of_a_table_gives_the_table_back(table, tmp_path):
    particles = make_set(table, tmp_path / "set.sqlite")
    back = convert.particles_to_table(particles, tmp_path / "converted.mrcs")
    assert sorted(back.ids) == sorted(IDS)
    back = by_id(back, table.ids)
    assert angular_distance_rad(back.rotations, table.rotations).max() < 1e-7
    np.testing.assert_allclose(back.shifts_px, table.shifts_px, atol=1e-9)
    for name in (
        "defocus_u_angstrom",
        "defocus_v_angstrom",
        "defocus_angle_deg",
        "phase_shift_deg",
        "voltage_kv",
        "spherical_aberration_mm",
        "amplitude_contrast",
    ):
        np.testing.assert_allclose(getattr(back.ctf, name), getattr(table.ctf, name), rtol=1e-9)
    np.testing.assert_array_equal(back.random_subset, table.random_subset)
    for name, values in table.scores.items():
        np.testing.assert_allclose(back.scores[name], values, rtol=1e-9)
    assert list(back.extra["cryoposesPoseSource"]) == ["truth"] * len(IDS)
    assert list(back.extra["rlnMicrographName"]) == list(table.extra["rlnMicrographName"])
    np.testing.assert_array_equal(
        ParticleImages(back).read(np.arange(7)), ParticleImages(table).read(np.arange(7))
    )


def test_the_bfactor_of_the_images_is_that_of_the_particles(table, tmp_path):
    bfactor = np.linspace(40, 100, len(IDS))
    table = table.replace(ctf=dataclasses.replace(table.ctf, bfactor_angstrom2=bfactor))
    back = by_id(
        convert.particles_to_table(make_set(table, tmp_path / "set.sqlite"), tmp_path / "c.mrcs"),
        table.ids,
    )
    np.testing.assert_allclose(back.ctf.bfactor_angstrom2, bfactor, rtol=1e-9)


def test_a_growing_set_is_empty_where_a_later_table_lacks_a_column(table, tmp_path):
    """Scipion writes attributes by position: those that follow must not move up."""
    particles, output = make_set(table, tmp_path / "set.sqlite"), new_set(tmp_path / "out.sqlite")
    names = ("cryoposesJunkProbability", "cryoposesTrace")
    whole = table.replace(
        scores={name: np.arange(7.0) + 10 * k for k, name in enumerate(names)},
        extra={**table.extra, COVARIANCE: covariance_texts(np.tile(np.eye(5), (7, 1, 1)))},
    )
    lacking = whole.take([3, 4, 5, 6]).replace(
        scores={"cryoposesTrace": np.arange(3.0, 7) + 10}, extra=table.take([3, 4, 5, 6]).extra
    )
    for part in (whole.take([0, 1, 2]), lacking):
        ids = ",".join(map(str, part.ids))
        scores, texts = tuple(part.scores), (COVARIANCE, POSE_SOURCE)
        results.append_particles(
            output, particles, part, True, scores, texts, where=f"id IN ({ids})"
        )
    output.write()
    found = {item.getObjId(): item.clone() for item in output}
    given = [found[identity]._cryoposesJunkProbability.get() for identity in IDS]
    assert given == [0, 1, 2, None, None, None, None]
    assert [found[identity]._cryoposesTrace.get() for identity in IDS] == list(range(10, 17))
    assert {found[identity]._cryoposesPoseSource.get() for identity in IDS} == {"truth"}
    assert [found[i]._cryoposesCovariance.get() is None for i in IDS] == [False] * 3 + [True] * 4


def test_a_growing_set_says_what_it_cannot_take(table, tmp_path, caplog):
    particles, output = make_set(table, tmp_path / "set.sqlite"), new_set(tmp_path / "out.sqlite")
    for rows, names in (([0, 1], ["Trace"]), ([2, 3], ["Trace", "JunkProbability"])):
        scores = {f"cryoposes{name}": np.zeros(2) for name in names}
        part = table.take(rows).replace(scores=scores)
        where = f"id IN ({part.ids[0]}, {part.ids[1]})"
        results.append_particles(output, particles, part, True, tuple(scores), where=where)
    said = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(said) == 1
    assert "has no cryoposesJunkProbability, because its first particles have none" in said[0]


def test_scores_of_former_poses_end_with_them(table, tmp_path):
    """Numbers that the result does not have would be taken for those of its poses."""
    particles = make_set(
        table.replace(
            scores={
                name: np.arange(7.0) for name in ("cryoposesExpectedErrorDeg", "cryoposesTrace")
            }
        ),
        tmp_path / "set.sqlite",
    )
    new = table.replace(scores={"cryoposesTrace": np.arange(7.0)})
    for poses, kept in ((True, False), (False, True)):
        output = new_set(tmp_path / f"out{poses}.sqlite")
        results.update_particles(output, particles, new, poses=poses, scores=("cryoposesTrace",))
        output.write()
        for item in output:
            assert item.hasAttribute("_cryoposesExpectedErrorDeg") == kept
            assert item.hasAttribute("_cryoposesTrace")


def changed_by_another_program(particles, path):
    """New poses, all else copied, as RELION's protocols do in Scipion."""
    changed = new_set(path)
    changed.copyInfo(particles)
    for item in particles:
        item = item.clone()
        matrix = item.getTransform().getMatrix()
        item.setTransform(Transform(matrix=matrix @ np.diag([-1.0, 1.0, -1.0, 1.0])))
        changed.append(item)
    changed.write()
    return changed


def test_scores_and_pose_source_end_where_another_program_changes_the_poses(
    table, tmp_path, caplog
):
    particles = make_set(table, tmp_path / "set.sqlite")
    assert convert.particles_to_table(particles, tmp_path / "a.mrcs").scores
    back = convert.particles_to_table(
        changed_by_another_program(particles, tmp_path / "b.sqlite"), tmp_path / "b.mrcs"
    )
    assert back.scores == {}
    assert "cryoposesPoseSource" not in back.extra
    assert "another program changed the poses" in caplog.text


@pytest.mark.parametrize("found", [{}, {"cryoposesAngularErrorDeg": np.arange(7.0)}])
def test_a_result_does_not_take_former_scores_along(table, tmp_path, found):
    """As `filter` (nothing new) and `compare` (errors) make their outputs, of the items of the
    input.
    """
    changed = changed_by_another_program(
        make_set(table, tmp_path / "set.sqlite"), tmp_path / "b.sqlite"
    )
    cleaned = convert.particles_to_table(changed, tmp_path / "b.mrcs")
    output = new_set(tmp_path / "out.sqlite")
    new = cleaned.replace(scores={name: values[: len(cleaned)] for name, values in found.items()})
    results.update_particles(output, changed, new, scores=tuple(found))
    output.write()
    ours = {
        name for item in output for name, _ in item.getAttributes() if name.startswith("_cryoposes")
    }
    assert ours == {f"_{name}" for name in found} | ({"_cryoposesScoredPose"} if found else set())
    assert set(convert.particles_to_table(output, tmp_path / "c.mrcs").scores) == set(found)


def test_scipions_transform_is_the_one_of_the_conventions(table, tmp_path):
    particles = make_set(table, tmp_path / "set.sqlite")
    expected = conventions.poses_to_transforms(table.rotations, table.shifts_px)
    for row, identity in enumerate(table.ids):
        np.testing.assert_allclose(
            particles[int(identity)].getTransform().getMatrix(), expected[row], atol=1e-12
        )


def test_results_are_joined_by_id_and_the_missing_are_counted(table, tmp_path, rng):
    particles = make_set(table, tmp_path / "set.sqlite")
    shuffled = table.take(rng.permutation(7)[:5])
    new = shuffled.replace(
        rotations=rng.permutation(shuffled.rotations), scores={"cryoposesTrace": np.arange(5.0)}
    )
    path = tmp_path / "result.star"
    write_particles(path, new)
    output = new_set(tmp_path / "out.sqlite")
    missing = results.update_particles(
        output, particles, read_particles(path), poses=True, scores=("cryoposesTrace",)
    )
    assert missing == 2
    assert output.getSize() == 5
    for row, identity in enumerate(new.ids):
        item, source = output[int(identity)], particles[int(identity)]
        rotations, shifts = conventions.transforms_to_poses(item.getTransform().getMatrix()[None])
        assert angular_distance_rad(rotations, new.rotations[row][None])[0] < 1e-6
        np.testing.assert_allclose(shifts[0], new.shifts_px[row], atol=1e-5)
        assert item.getAttributeValue("_cryoposesTrace") == row
        assert item.getLocation() == source.getLocation()
        assert item.getCTF().getDefocusU() == source.getCTF().getDefocusU()
        assert item.getAttributeValue("_rlnRandomSubset") == source.getAttributeValue(
            "_rlnRandomSubset"
        )
    assert output.hasAlignmentProj()
    assert output.hasCTF()
    assert output.getSamplingRate() == PIXEL


def test_covariances_go_with_their_particles(table, tmp_path, rng):
    """From a result into a set, through a subset of it, and back, whatever the order."""
    particles = make_set(table, tmp_path / "set.sqlite")
    new = table.take(rng.permutation(7))
    root = rng.normal(size=(7, 5, 5))
    covariance = root @ np.swapaxes(root, 1, 2)
    column = {POSE_SOURCE: np.full(7, "refined", object), COVARIANCE: covariance_texts(covariance)}
    new = new.replace(scores={BASIN_ERROR: np.arange(7.0)}, extra={**new.extra, **column})
    write_particles(tmp_path / "result.star", new)
    output = new_set(tmp_path / "out.sqlite")
    found = read_particles(tmp_path / "result.star")
    taken = ProtCryoposesBase._taken(found)
    results.update_particles(output, particles, found, **taken)
    output.write()

    subset = new_set(tmp_path / "subset.sqlite")
    filtered = found.take([5, 1, 2])
    results.update_particles(subset, output, filtered, scores=tuple(found.scores))
    subset.write()
    back = convert.particles_to_table(subset, tmp_path / "c.mrcs")
    place = [int(np.flatnonzero(new.ids == i)[0]) for i in back.ids]
    kept = covariance_of_texts(back.extra[COVARIANCE], back.ids, "the subset")
    np.testing.assert_allclose(kept, covariance[place], rtol=1e-5)

    changed = changed_by_another_program(output, tmp_path / "b.sqlite")
    assert COVARIANCE not in convert.particles_to_table(changed, tmp_path / "b.mrcs").extra


def test_a_result_with_a_stranger_is_refused(table, tmp_path):
    particles = make_set(table.take([0, 1, 2]), tmp_path / "set.sqlite")
    with pytest.raises(InputError, match="not in the input set"):
        results.update_particles(new_set(tmp_path / "out.sqlite"), particles, table)


def test_attributes_that_are_not_ours_pass_through(table, tmp_path):
    from pyworkflow.object import Float, String

    plain = make_set(table, tmp_path / "plain.sqlite")
    particles = new_set(tmp_path / "set.sqlite")
    particles.copyInfo(plain)
    for item in plain:
        new = item.clone()
        new._rlnBeamTiltX = Float(0.25)
        new._rlnGroupName = String("a group")
        particles.append(new)
    back = convert.particles_to_table(particles, tmp_path / "c.mrcs")
    assert set(back.extra["rlnBeamTiltX"]) == {"0.25"}
    assert set(back.extra["rlnGroupName"]) == {"a_group"}
    output = new_set(tmp_path / "out.sqlite")
    results.update_particles(output, particles, back)
    assert {item.getAttributeValue("_rlnBeamTiltX") for item in output} == {0.25}


def test_several_optics_groups_survive(tmp_path, rng):
    table = make_table(tmp_path, range(1, 21), rng, groups=3)
    back = convert.particles_to_table(make_set(table, tmp_path / "set.sqlite"), tmp_path / "c.mrcs")
    for row in range(20):
        ours, theirs = table.optics[table.optics_index[row]], back.optics[back.optics_index[row]]
        assert (ours.name, ours.voltage_kv, ours.box_size_px) == (
            theirs.name,
            theirs.voltage_kv,
            theirs.box_size_px,
        )
        assert theirs.spherical_aberration_mm == pytest.approx(ours.spherical_aberration_mm)
        assert theirs.amplitude_contrast == pytest.approx(ours.amplitude_contrast)


def without_groups(particles, path):
    """The set as scipion-em-relion's import leaves it: the optics table, and no particle that says
    its group.
    """
    plain = new_set(path)
    plain.copyInfo(particles)
    for item in particles:
        new = item.clone()
        del new._rlnOpticsGroup
        plain.append(new)
    return plain


def test_groups_that_no_particle_names_count_as_one_if_they_are_alike(tmp_path, rng):
    table = make_table(tmp_path, range(1, 9), rng, groups=2)
    particles = without_groups(make_set(table, tmp_path / "set.sqlite"), tmp_path / "plain.sqlite")
    with pytest.raises(InputError, match="differ in rlnVoltage .200, 300."):
        convert.particles_to_table(particles, tmp_path / "c.mrcs")
    alike = tuple(
        dataclasses.replace(
            o,
            voltage_kv=200.0,
            spherical_aberration_mm=1.4,
            amplitude_contrast=0.07,
            extra={"rlnBeamTiltX": f"0.{i}", "rlnBeamTiltY": "0.5"},
        )
        for i, o in enumerate(table.optics)
    )
    particles = without_groups(
        make_set(table.replace(optics=alike), tmp_path / "set2.sqlite"), tmp_path / "plain2.sqlite"
    )
    (group,) = convert.particles_to_table(particles, tmp_path / "c.mrcs").optics
    assert (group.voltage_kv, group.spherical_aberration_mm, group.amplitude_contrast) == (
        200,
        1.4,
        0.07,
    )
    assert "rlnBeamTiltX" not in group.extra
    assert group.extra["rlnBeamTiltY"] == "0.5"


def test_particles_without_optics_text_are_grouped_by_their_acquisition(table, tmp_path):
    particles = make_set(table, tmp_path / "set.sqlite")
    particles.getAcquisition().opticsGroupInfo.set(None)
    back = convert.particles_to_table(particles, tmp_path / "c.mrcs")
    assert len(back.optics) == 1
    assert back.optics[0].voltage_kv == 300
    assert back.optics[0].pixel_size_angstrom == PIXEL


def test_a_set_without_magnification_keeps_its_acquisition(table, tmp_path):
    """pwem then gives the particles none of their own."""
    particles, plain = make_set(table, tmp_path / "set.sqlite"), new_set(tmp_path / "plain.sqlite")
    plain.copyInfo(particles)
    plain.getAcquisition().setMagnification(None)
    for particle in particles:
        item = particle.clone()
        item._acquisition = None
        plain.append(item)
    plain.write()
    back = convert.particles_to_table(plain, tmp_path / "converted.mrcs")
    assert set(back.ctf.voltage_kv) == {300.0}
    assert sorted(back.ids) == sorted(IDS)


@pytest.mark.parametrize("state", ["raw", "phase-flipped", "ctf-premultiplied"])
def test_the_image_state_survives(tmp_path, rng, state):
    table = make_table(tmp_path, range(1, 5), rng, state=state)
    particles = make_set(table, tmp_path / "set.sqlite")
    assert particles.isPhaseFlipped() == (state == "phase-flipped")
    assert {
        o.image_state for o in convert.particles_to_table(particles, tmp_path / "c.mrcs").optics
    } == {state}


def test_images_in_other_formats_are_converted(table, tmp_path):
    from pwem.emlib.image import ImageHandler

    table = table.take([0, 1, 2, 3])
    images, handler = ParticleImages(table).read(np.arange(4)), ImageHandler()
    particles = make_set(table, tmp_path / "plain.sqlite")
    handler.convertStack(str(table.stack_paths[0]), str(tmp_path / "a.stk"))
    foreign = new_set(tmp_path / "set.sqlite")
    foreign.copyInfo(particles)
    for item in particles:
        index, filename = item.getLocation()
        if filename.endswith("a.mrcs"):
            item.setLocation(index, str(tmp_path / "a.stk"))
        else:
            single = str(tmp_path / f"single_{index}.mrc")
            handler.convert((index, filename), single)
            item.setLocation(single)
        foreign.append(item.clone())
    back = convert.particles_to_table(foreign, tmp_path / "converted.mrcs")
    assert {p.name for p in back.stack_paths} == {"converted.mrcs"}
    rows = [int(np.flatnonzero(back.ids == i)[0]) for i in table.ids]
    np.testing.assert_array_equal(ParticleImages(back).read(rows), images)


def test_disabled_particles_are_left_out(table, tmp_path):
    plain = make_set(table, tmp_path / "plain.sqlite")
    particles = new_set(tmp_path / "set.sqlite")
    particles.copyInfo(plain)
    for item in plain:
        new = item.clone()
        new.setEnabled(item.getObjId() != 42)
        particles.append(new)
    back = convert.particles_to_table(particles, tmp_path / "c.mrcs")
    assert sorted(back.ids) == sorted(set(IDS) - {42})


@pytest.mark.parametrize(
    "change, needs, said",
    [
        (lambda s: s.setAlignment("None"), dict(poses=True), "no orientations"),
        (lambda s: s.setHasCTF(False), dict(ctf=True), "no CTF"),
        (lambda s: s.getAcquisition().setVoltage(None), {}, "no acquisition"),
        (lambda s: s.setSamplingRate(0), {}, "pixel size"),
        (lambda s: s.setDim((15, 15, 1)), {}, "even box size"),
        (lambda s: s.setIsAmplitudeCorrected(True), {}, "already been CTF-corrected"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(table, tmp_path, change, needs, said):
    particles = make_set(table, tmp_path / "set.sqlite")
    assert convert.particle_problems(particles, "Particles", poses=True, ctf=True) == []
    change(particles)
    problems = convert.particle_problems(particles, "Particles", **needs)
    assert len(problems) == 1
    assert said in problems[0]
    with pytest.raises(InputError, match=said):
        convert.check_particles(particles, "Particles", **needs)


def test_an_empty_set_is_said(tmp_path):
    assert "empty" in convert.particle_problems(new_set(tmp_path / "empty.sqlite"), "Particles")[0]


def test_relion_reads_what_a_set_of_ours_becomes(table, tmp_path):
    """scipion-em-relion's own writer and reader on our set: angles, origins and CTF stay."""
    relion = pytest.importorskip("relion.convert", reason="scipion-em-relion is not installed")
    from pwem.constants import ALIGN_PROJ

    particles = make_set(table, tmp_path / "set.sqlite")
    relion.writeSetOfParticles(particles, str(tmp_path / "relion.star"), alignType=ALIGN_PROJ)
    back = by_id(read_particles(tmp_path / "relion.star"), table.ids)
    assert np.rad2deg(angular_distance_rad(back.rotations, table.rotations)).max() < 1e-4
    np.testing.assert_allclose(back.shifts_px, table.shifts_px, atol=1e-5)
    np.testing.assert_allclose(back.ctf.defocus_v_angstrom, table.ctf.defocus_v_angstrom, rtol=1e-6)
    np.testing.assert_array_equal(back.random_subset, table.random_subset)
    again = new_set(tmp_path / "again.sqlite")
    relion.readSetOfParticles(str(tmp_path / "relion.star"), again, alignType=ALIGN_PROJ)
    third = by_id(convert.particles_to_table(again, tmp_path / "c.mrcs"), table.ids)
    assert np.rad2deg(angular_distance_rad(third.rotations, table.rotations)).max() < 1e-4
    assert third.optics[0].voltage_kv == 300
    assert third.optics[0].box_size_px == BOX
