"""Rows of Scipion's sets: what is read and written at once is what Scipion does item by item."""

import contextlib
import sqlite3

import numpy as np
import pytest

from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.scores import DEFOCUS_CHANGE, POSE_SOURCE

from .project import make_table, new_set

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from pwem import objects
from pwem.objects import ALIGN_2D, ALIGN_3D, ALIGN_NONE, ALIGN_PROJ, Acquisition
from pyworkflow.object import Boolean, CsvList, Float, Integer, String

from cryoposes_plugin.scipion import convert, results, set_rows

IDS = [11, 4, 907, 5, 23, 42, 1000003]


class SetOfParticles(objects.SetOfParticles):
    """A set whose methods are its own, so that its items are taken one by one."""

    def append(self, image):
        super().append(image)

    def iterItems(self, *args, **kwargs):
        return super().iterItems(*args, **kwargs)


@pytest.fixture
def table(tmp_path, rng):
    return make_table(tmp_path, IDS, rng)


def others(item):
    """Attributes that the program knows, or not, in all of Scipion's classes."""
    item._rlnBeamTiltX = Float(0.25 if item.getObjId() % 2 else None)
    item._rlnGroupName = String(f"a group {item.getObjId()}, größer")
    item._rlnClassNumber = Integer(item.getObjId() % 3)
    item._xmipp_flip = Boolean(item.getObjId() % 2 == 0)
    item._list = CsvList()
    item._list.set([1, item.getObjId()])
    item.setObjLabel("a label" if item.getObjId() > 20 else "")
    item.setObjComment("with 'quotes'")


def without_ctf(item):
    item._ctfModel = None


def without_pose(item):
    item._transform = None


def without_micrograph(item):
    item._coordinate = None
    item.setMicId(None)


def unnamed_micrographs(item):
    item.getCoordinate().setMicName(None if item.getObjId() % 2 else "mic.mrc")


def acquisition(voltage, magnification=1e4):
    values = dict(sphericalAberration=2, amplitudeContrast=0.1)
    return Acquisition(magnification=magnification, voltage=voltage, **values)


def own_acquisition(item):
    item.setAcquisition(acquisition(200 + item.getObjId() % 2 * 100))


def half_with_acquisition(item):
    item.setAcquisition(acquisition(200, 1e4 if item.getObjId() % 2 else None))


def disabled(item):
    item.setEnabled(item.getObjId() > 5)


CHANGES = {
    "plain": (),
    "others": (others,),
    "no CTF": (without_ctf,),
    "no pose": (without_pose,),
    "no micrograph": (without_micrograph, others),
    "unnamed micrographs": (unnamed_micrographs,),
    "own acquisition": (own_acquisition, others),
    "disabled": (disabled,),
}


def made_set(table, path, changes, alignment=ALIGN_PROJ):
    """A set written item by item, and read again from its file."""
    given, particles = new_set(path.with_suffix(".0.sqlite")), new_set(path)
    results.create_particles(given, table)
    particles.copyInfo(given)
    particles.setAlignment(ALIGN_NONE if without_pose in changes else alignment)
    particles.setHasCTF(without_ctf not in changes)
    for item in given.iterItems():
        item = item.clone()
        for change in changes:
            change(item)
        particles.append(item)
    particles.write()
    particles.close()
    return opened(path)


def opened(path, kind=objects.SetOfParticles):
    particles = kind(filename=str(path))
    particles.loadAllProperties()
    return particles


def content(path):
    """All that is in the file of a set, but the times."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        (names,) = zip(*[(c[1],) for c in database.execute("PRAGMA table_info(Objects)")])
        names = ", ".join(name for name in names if name != "creation")
        properties = dict(database.execute("SELECT * FROM Properties").fetchall())
        assert path.name in properties.pop("_mapperPath")
        return {
            "Objects": database.execute(f"SELECT {names} FROM Objects ORDER BY id").fetchall(),
            "Classes": database.execute("SELECT * FROM Classes").fetchall(),
            "Properties": properties,
        }


def same_tables(a, b):
    for name in ("ids", "stack_index", "slice_index", "optics_index"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in ("rotations", "shifts_px", "random_subset"):
        assert (getattr(a, name) is None) == (getattr(b, name) is None)
        if getattr(a, name) is not None:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert (a.stack_paths, a.optics) == (b.stack_paths, b.optics)
    assert (a.ctf is None) == (b.ctf is None)
    for name, values in vars(a.ctf).items() if a.ctf is not None else ():
        np.testing.assert_array_equal(values, getattr(b.ctf, name))
    assert list(a.scores) == list(b.scores)
    assert list(a.extra) == list(b.extra)
    for name, values in {**a.scores, **a.extra}.items():
        assert list(values) == list({**b.scores, **b.extra}[name]), name


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_columns_hold_what_the_items_hold(table, tmp_path, changes):
    particles = made_set(table, tmp_path / "set.sqlite", changes)
    columns = set_rows.read_columns(particles, lambda label: True)
    items = [item.clone(copyEnable=True) for item in particles.iterItems()]
    assert columns[set_rows.ID].values.tolist() == sorted(IDS)
    assert columns[set_rows.ENABLED].values.tolist() == [item.isEnabled() for item in items]
    for label in items[0].getObjDict():
        if label.endswith("_matrix"):
            expected = [item.getTransform().getMatrix() for item in items]
            np.testing.assert_array_equal(columns[label].values, expected)
            continue
        values = [item.getObjDict()[label] for item in items]
        assert columns[label].known.tolist() == [value is not None for value in values], label
        known = np.flatnonzero(columns[label].known)
        kept = columns[label].values[known].tolist()
        assert kept == [values[k] for k in known], label


@pytest.mark.parametrize("alignment", [ALIGN_NONE, ALIGN_2D, ALIGN_3D, ALIGN_PROJ])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_the_table_is_that_of_the_items(table, tmp_path, changes, alignment):
    particles = made_set(table, tmp_path / "set.sqlite", changes, alignment)
    one_by_one = opened(tmp_path / "set.sqlite", SetOfParticles)
    for ids in (None, [4, 5, 42]):
        ours, theirs = (convert.particles_to_table(p, None, ids) for p in (particles, one_by_one))
        same_tables(ours, theirs)
        expected = [k for k in sorted(ids or IDS) if disabled not in changes or k > 5]
        assert ours.ids.tolist() == expected


def test_unnamed_micrographs_are_named_by_their_ids(table, tmp_path):
    particles = made_set(table, tmp_path / "set.sqlite", (unnamed_micrographs,))
    names = convert.particles_to_table(particles, None).extra["rlnMicrographName"]
    numbers = {item.getObjId(): item.getMicId() for item in particles.iterItems()}
    expected = [f"micrograph_{numbers[k]:06d}.mrc" if k % 2 else "mic.mrc" for k in sorted(IDS)]
    assert list(names) == expected


def test_particles_without_an_acquisition_have_that_of_the_set(table, tmp_path):
    """Scipion's own iteration would give the set the values of its particles."""
    particles = made_set(table, tmp_path / "set.sqlite", ())
    for item in list(particles.getSubset(7)):
        half_with_acquisition(item)
        particles.update(item)
    particles.write()
    particles = opened(tmp_path / "set.sqlite")
    particles.getAcquisition().opticsGroupInfo.set(None)
    back = convert.particles_to_table(particles, None)
    voltages = np.array([group.voltage_kv for group in back.optics])[back.optics_index]
    assert voltages.tolist() == [200.0 if k % 2 else 300.0 for k in sorted(IDS)]


def given_result(table, rng):
    """Poses, scores and texts of some of the particles, in another order."""
    new = table.take(rng.permutation(7)[:5])
    scores = {"cryoposesTrace": rng.normal(size=5), DEFOCUS_CHANGE: np.array([1, np.nan, 2, 3, 4])}
    return new.replace(rotations=random_rotations(5, rng), scores=scores)


@pytest.mark.parametrize("poses", [True, False], ids=["new poses", "scores alone"])
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_result_set_is_that_of_the_items(table, tmp_path, rng, changes, poses):
    given, new = made_set(table, tmp_path / "set.sqlite", changes), given_result(table, rng)
    found = []
    for name, kind in (("rows", objects.SetOfParticles), ("items", SetOfParticles)):
        output = kind(filename=str(tmp_path / f"{name}.sqlite"))
        missing = results.update_particles(
            output, given, new, poses, tuple(new.scores), (POSE_SOURCE,), subset=True
        )
        assert (missing, output.getSize(), output._idCount) == (2, 5, max(new.ids))
        output.write()
        output.close()
        found.append(content(tmp_path / f"{name}.sqlite"))
    assert found[0] == found[1]
    assert [row[0] for row in found[0]["Objects"]] == sorted(new.ids)


@pytest.mark.parametrize("kept", [0, 10], ids=["coordinates", "no coordinates"])
def test_a_set_of_simulated_images_is_that_of_the_items(table, tmp_path, kept):
    swapped = np.arange(7) % 2 == 0
    u, v = table.ctf.defocus_u_angstrom, table.ctf.defocus_v_angstrom
    table.ctf.defocus_u_angstrom[:], table.ctf.defocus_v_angstrom[:] = (
        np.where(swapped, v, u),
        np.where(swapped, u, v),
    )
    table.ctf.defocus_v_angstrom[-1], table.ctf.bfactor_angstrom2[:] = 0.05, np.arange(7.0)
    extra = {**dict(list(table.extra.items())[kept:]), "rlnClassNumber": np.array(list("1212121"))}
    found = []
    for name, kind in (("rows", objects.SetOfParticles), ("items", SetOfParticles)):
        output = kind(filename=str(tmp_path / f"{name}.sqlite"))
        results.create_particles(output, table.replace(extra=extra))
        output.write()
        output.close()
        found.append(content(tmp_path / f"{name}.sqlite"))
    assert found[0] == found[1]
    assert len(found[0]["Objects"]) == 7


def test_copies_of_several_sets_are_those_of_the_items(table, tmp_path, rng):
    """As of expanded and of merged sets: attributes that not all sets have are left out."""
    sets = [
        made_set(table, tmp_path / "a.sqlite", (others,)),
        made_set(table, tmp_path / "b.sqlite", (own_acquisition,)),
    ]
    rows = [{4: [0, 3, 1], 907: [2]}, {23: [4, 6], 4: [5]}]
    new = table.replace(ids=np.arange(101, 108), rotations=random_rotations(7, rng))
    found = []
    for name, kind in (("rows", objects.SetOfParticles), ("items", SetOfParticles)):
        output = kind(filename=str(tmp_path / f"{name}.sqlite"))
        output.copyInfo(sets[0])
        results.append_copies(output, sets, new, rows, True, ("cryoposesTrace",), (), True)
        output.write()
        output.close()
        found.append(content(tmp_path / f"{name}.sqlite"))
    assert found[0] == found[1]
    assert [row[0] for row in found[0]["Objects"]] == list(range(101, 108))


@pytest.mark.parametrize("kind, made", [(objects.SetOfParticles, 1), (SetOfParticles, 7)])
def test_only_the_first_item_is_made(table, tmp_path, kind, made):
    """Unless the set is of a kind whose methods are not known."""
    given, calls = made_set(table, tmp_path / "set.sqlite", (others,)), []

    def make(item, row):
        calls.append(row)
        return item

    output = kind(filename=str(tmp_path / "out.sqlite"))
    output.copyInfo(given)
    ids, rows = np.array(IDS), np.arange(7)
    missing, found = set_rows.append_copies_of(
        output, given, ids, rows, make, lambda rows: {set_rows.ID: ids[rows].tolist()}
    )
    assert (missing, found.all(), len(calls)) == (0, True, made)
    assert [item.getObjId() for item in output.iterItems()] == sorted(IDS)


def test_scipion_goes_on_with_a_set_of_ours(table, tmp_path, rng):
    """Subset, join and iteration by Scipion's own code."""
    given, output = made_set(table, tmp_path / "set.sqlite", (others,)), new_set(tmp_path / "out")
    results.update_particles(output, given, table, True, ("cryoposesTrace",))
    output.write()
    output.close()
    output = opened(tmp_path / "out")
    assert (output.getSize(), output.getIdSet(), output.getXDim()) == (7, set(IDS), given.getXDim())
    subset = [item.getObjId() for item in output.iterItems(where="_rlnClassNumber=2")]
    assert subset == [k for k in sorted(IDS) if k % 3 == 2]
    joined = new_set(tmp_path / "joined.sqlite")
    joined.copyInfo(output)
    for particles in (output, given):
        for item in particles.iterItems():
            item.cleanObjId()
            joined.append(item)
    assert joined.getSize() == 14
    matrices = [item.getTransform().getMatrix().copy() for item in joined.iterItems()]
    np.testing.assert_allclose(matrices[:7], matrices[7:], atol=1e-12)
