"""The commands on cryoSPARC's particles: black images, a passthrough file, and results that go back
with the same uids, order and untouched fields.
"""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.compare.config import CompareConfig
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.cryosparc.dataset import read_dataset, to_records, write_dataset
from cryoposes_plugin.core.io.mrc import read_stack, read_volume, write_stack, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.scores import EXPECTED_ERROR

pytest.importorskip("tensorflow")

NUMBER, BOX, PIXEL = 40, 32, 5.0
#: What a refinement may change.
POSE_FIELDS = {"alignments3D/pose", "alignments3D/shift"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project: map.mrc, true.star and near.star with white images, and the particles of near.star
    as J2/particles.cs with black images and J2/passthrough.cs with their CTF.
    """
    folder = tmp_path_factory.mktemp("cryosparc")
    write_volume(folder / "map.mrc", make_phantom(BOX, PIXEL).data, PIXEL)
    arguments = f"--volume {folder}/map.mrc --number {NUMBER} --snr 0.5 --shift-px 1 --seed 3"
    assert main(["simulate", *arguments.split(), "--output", str(folder / "sim")]) == 0
    true = read_particles(folder / "sim/particles.star")
    rng = np.random.default_rng(4)
    turns = Rotation.from_rotvec(np.deg2rad(3) * rng.normal(size=(NUMBER, 3))).as_matrix()
    near = true.replace(
        rotations=turns @ true.rotations,
        shifts_px=true.shifts_px + 0.4 * rng.normal(size=(NUMBER, 2)),
        random_subset=np.arange(NUMBER) % 2 + 1,
        ids=rng.integers(-(2**63), 2**63 - 1, NUMBER),
        extra={},
    )
    write_particles(folder / "near.star", near)

    for job in ("J1/extract", "J2"):
        (folder / job).mkdir(parents=True)
    write_stack(folder / "J1/extract/a.mrc", -read_stack(folder / "sim/particles.mrcs"), PIXEL)
    shuffled = near.take(rng.permutation(NUMBER))
    write_particles(folder / "J2/particles.cs", shuffled)
    records = read_dataset(folder / "J2/particles.cs")
    columns = {name: records[name] for name in records.dtype.names}
    columns["blob/path"] = np.full(NUMBER, b"J1/extract/a.mrc")
    columns["blob/sign"] = np.full(NUMBER, -1, np.float32)
    columns["alignments3D/alpha"] = rng.random(NUMBER).astype(np.float32)
    ctf = {name: columns.pop(name)[::-1] for name in list(columns) if name.startswith("ctf/")}
    write_dataset(folder / "J2/passthrough.cs", to_records({"uid": records["uid"][::-1], **ctf}))
    write_dataset(folder / "J2/particles.cs", to_records(columns))
    return folder


@pytest.fixture(scope="module")
def refined(project):
    """The folder of a refinement of the .cs file."""
    given = f"--particles {project}/J2/particles.cs --passthrough {project}/J2/passthrough.cs"
    arguments = ["refine", *given.split(), "--volume", str(project / "map.mrc")]
    assert main([*arguments, "--output", str(project / "refined")]) == 0
    return project / "refined"


def test_uids_order_and_untouched_fields_come_back(project, refined):
    before, after = (
        read_dataset(project / "J2/particles.cs"),
        read_dataset(refined / "particles.cs"),
    )
    changed = {n for n in before.dtype.names if not np.array_equal(before[n], after[n])}
    assert changed == POSE_FIELDS
    passthrough = read_dataset(project / "J2/passthrough.cs")[::-1]
    for name in passthrough.dtype.names:
        np.testing.assert_array_equal(after[name], passthrough[name])
    assert (after["cryoposes/ExpectedErrorDeg"] > 0).all()


def test_black_images_are_refined_as_white_ones(project, refined):
    """The same poses as of the STAR file, whose images have the opposite sign."""
    arguments = f"refine --particles {project}/near.star --volume {project}/map.mrc"
    assert main([*arguments.split(), "--output", str(project / "white")]) == 0
    white = read_particles(project / "white/particles.star")
    black = read_particles(refined / "particles.cs")
    order = np.argsort(black.ids)[np.argsort(np.argsort(white.ids))]
    angle = angular_distance_rad(black.rotations[order], white.rotations)
    assert np.rad2deg(np.median(angle)) < 0.05


def test_a_star_file_and_a_cs_file_are_compared(project, refined):
    """RELION's particles in RELION's file, with links .mrcs to cryoSPARC's stacks."""
    (project / "relion").mkdir()
    (project / "relion/a.mrcs").symlink_to(project / "J1/extract/a.mrc")
    true = read_particles(project / "sim/particles.star")
    relion = true.replace(
        stack_paths=(project / "relion/a.mrcs",), ids=np.arange(NUMBER) + 1, explicit_ids=False
    )
    write_particles(project / "relion/true.star", relion)
    arguments = f"--truth {project}/relion/true.star --estimate {refined}/particles.cs"
    assert main(["compare", *arguments.split(), "--output", str(project / "compared")]) == 0
    metrics = json.loads((project / "compared/metrics.json").read_text())
    estimate = read_particles(refined / "particles.cs")
    errors = angular_distance_rad(estimate.rotations, true.rotations[estimate.slice_index])
    assert metrics["joined_by"] == "image"
    assert metrics["median_angular_error_deg"] == pytest.approx(np.rad2deg(np.median(errors)))


def test_a_filtered_set_is_a_subset_of_the_records(project, refined):
    arguments = (
        f"filter --particles {refined}/particles.cs --keep-quantile 0.75 --score {EXPECTED_ERROR}"
    )
    assert main([*arguments.split(), "--output", str(project / "kept")]) == 0
    whole = read_dataset(refined / "particles.cs")
    accepted, rejected = (read_dataset(project / f"kept/{n}.cs") for n in ("accepted", "rejected"))
    kept = np.isin(whole["uid"], accepted["uid"])
    assert kept.sum() == 30
    for name in whole.dtype.names:
        np.testing.assert_array_equal(accepted[name], whole[name][kept])
        np.testing.assert_array_equal(rejected[name], whole[name][~kept])


def test_the_map_of_black_images_is_white(project, refined):
    arguments = f"reconstruct --particles {refined}/particles.cs --output {project}/map"
    assert main(arguments.split()) == 0
    found = read_volume(project / "map/volume.mrc").data.ravel()
    true = read_volume(project / "map.mrc").data.ravel()
    assert np.corrcoef(found, true)[0, 1] > 0.3


def test_rounds_write_the_records_of_their_particles(project, refined):
    arguments = f"--particles {refined}/particles.cs --volume {project}/map.mrc --rounds 1"
    more = f"--low-pass-angstrom 30 --output {project}/rounds"
    assert main(["iterate", *arguments.split(), *more.split()]) == 0
    before, after = (
        read_dataset(refined / "particles.cs"),
        read_dataset(project / "rounds/particles.cs"),
    )
    names = [n for n in before.dtype.names if not n.startswith("cryoposes/")]
    changed = {n for n in names if not np.array_equal(before[n], after[n])}
    assert changed == POSE_FIELDS


def test_simulated_images_like_black_ones_are_white(project, refined):
    arguments = f"--volume {project}/map.mrc --like {refined}/particles.cs --number 4 --snr 1"
    assert main(["simulate", *arguments.split(), "--output", str(project / "like")]) == 0
    assert read_particles(project / "like/particles.star").optics[0].sign == 1


def test_scores_are_read_from_either_file(refined):
    star, cs = (read_particles(refined / f"particles.{suffix}") for suffix in ("star", "cs"))
    np.testing.assert_array_equal(star.ids, cs.ids)
    np.testing.assert_allclose(star.scores[EXPECTED_ERROR], cs.scores[EXPECTED_ERROR], rtol=1e-6)


def test_a_passthrough_file_needs_a_cs_file():
    config = RefineConfig(particles="a.star", volume="m.mrc", passthrough="b.cs")
    with pytest.raises(ConfigError, match="no .cs file that it belongs to"):
        config.validate()


def test_one_cs_file_of_two_sets_is_enough():
    CompareConfig(truth="a.star", estimate="b.cs", passthrough="c.cs").validate()
