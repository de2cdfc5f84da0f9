"""`cryoposes refine`: what it writes, resuming, several optics groups, and the sentences for wrong
input.
"""

import dataclasses
import json
import os

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands import executors
from cryoposes_plugin.commands.refine.config import RefineConfig
from cryoposes_plugin.commands.refine.inputs import read_inputs
from cryoposes_plugin.commands.refine.run import check, make_refinement
from cryoposes_plugin.core.conventions import opposite_hand
from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.fourier.resampling import without_solvent
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io import state_files
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.particles.checks import check_same_pixel_size
from cryoposes_plugin.core.scores import POSE_SOURCE
from cryoposes_plugin.core.types import Volume

pytest.importorskip("tensorflow")

NUMBER, BOX, PIXEL = 96, 40, 5.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """(folder, true particles): map.mrc, true.star, and near.star with poses 6 degrees and 0.6
    pixels off.
    """
    folder = tmp_path_factory.mktemp("refine")
    volume = make_phantom(BOX, PIXEL)
    write_volume(folder / "map.mrc", volume.data, PIXEL)
    arguments = [
        "--volume",
        folder / "map.mrc",
        "--number",
        NUMBER,
        "--snr",
        0.5,
        "--shift-px",
        1,
        "--seed",
        3,
    ]
    assert main(["simulate", *map(str, arguments), "--output", str(folder / "sim")]) == 0
    true = read_particles(folder / "sim/particles.star", require=("poses",))
    near = perturbed(true, 6.0, 0.6)
    write_particles(folder / "near.star", near)
    return folder, true, near


def perturbed(table, degrees, pixels, seed=4):
    """The table with poses this far off (root mean square)."""
    rng = np.random.default_rng(seed)
    turn = Rotation.from_rotvec(
        np.deg2rad(degrees) / 3**0.5 * rng.standard_normal((len(table), 3))
    ).as_matrix()
    shifts = table.shifts_px + pixels * rng.standard_normal((len(table), 2))
    return table.replace(rotations=turn @ table.rotations, shifts_px=shifts)


def refine(folder, output, *arguments, star="near.star", volume="map.mrc"):
    paths = [
        "--particles",
        folder / star,
        "--volume",
        folder / volume,
        "--output",
        output,
        "--batch-size",
        40,
    ]
    return main(["refine", *map(str, [*paths, *arguments])])


@pytest.fixture(scope="module")
def whole(scene):
    """The folder of a run without options."""
    folder, *_ = scene
    assert refine(folder, folder / "whole") == 0
    return folder / "whole"


def errors_deg(a, b):
    return np.rad2deg(angular_distance_rad(a.rotations, b.rotations))


def test_what_a_refinement_writes(scene, whole):
    _, true, near = scene
    out = read_particles(whole / "particles.star", require=("poses", "ctf"))
    np.testing.assert_array_equal(out.ids, true.ids)
    error = errors_deg(out, true)
    assert np.median(error) < 0.4 * np.median(errors_deg(near, true))
    assert (
        0.6 < np.sqrt((error**2).mean()) / np.median(out.scores["cryoposesExpectedErrorDeg"]) < 1.6
    )
    np.testing.assert_allclose(out.scores["cryoposesMovedDeg"], errors_deg(out, near), atol=1e-2)
    shift = np.linalg.norm(out.shifts_px - near.shifts_px, axis=1) * PIXEL
    np.testing.assert_allclose(out.scores["cryoposesMovedAngstrom"], shift, atol=1e-3)
    assert np.abs(out.scores["cryoposesResidual"] - 1).mean() < 0.1
    assert set(out.extra[POSE_SOURCE]) == {out.extra[POSE_SOURCE][0]}
    assert out.extra[POSE_SOURCE][0].startswith("refined:")
    covariance = np.load(whole / "covariance.npz")
    in_angstrom = np.sqrt(np.einsum("bii->b", covariance["covariance"][:, 3:, 3:]))
    np.testing.assert_allclose(
        in_angstrom, out.scores["cryoposesExpectedShiftErrorAngstrom"], rtol=1e-5
    )
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["particles"] == NUMBER
    assert metrics["verdict"] == "belong"
    assert metrics["hand"] == "same"
    for name in (
        "report.html",
        "expected_error.png",
        "agreement.png",
        "moved.png",
        "direction_maps.png",
    ):
        assert (whole / name).stat().st_size > 2000
    assert not (whole / "refinement_state.npz").exists()


def test_poses_that_have_nothing_to_do_with_the_images_are_given_as_wrong(scene, tmp_path):
    folder, true, _ = scene
    write_particles(
        folder / "random.star",
        true.replace(rotations=Rotation.random(NUMBER, random_state=1).as_matrix()),
    )
    assert refine(folder, tmp_path / "run", star="random.star") == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["verdict"] == "wrong poses"
    assert metrics["hand"] == "undecided"
    assert metrics["mean_wrong_basin_probability"] == 1.0
    assert metrics["median_expected_error_deg"] > 120
    assert any("Most of the poses are wrong" in warning for warning in metrics["warnings"])
    out = read_particles(tmp_path / "run/particles.star")
    assert (out.scores["cryoposesWrongBasin"] == 1.0).all()


def test_poses_of_the_other_hand_are_given_as_wrong(scene, tmp_path):
    folder, true, _ = scene
    write_particles(folder / "mirrored.star", true.replace(rotations=opposite_hand(true.rotations)))
    assert refine(folder, tmp_path / "run", star="mirrored.star") == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["verdict"] == "other hand"
    assert metrics["frame"]["flipped_axis"] == "z"
    assert metrics["hand"] == "opposite"
    assert metrics["mean_wrong_basin_probability"] == 1.0


def test_an_interrupted_run_goes_on_with_the_same_result(scene, whole, tmp_path, monkeypatch):
    from cryoposes_plugin.core.refinement import refinement as module

    folder, _, _ = scene
    whole_refine, seen = module.Refinement.refine, []

    def breaks(self, rows, spectra):
        if len(seen) == 2:
            raise InputError("interrupted")
        seen.append(len(rows))
        return whole_refine(self, rows, spectra)

    monkeypatch.setattr(state_files, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(module.Refinement, "refine", breaks)
    assert refine(folder, tmp_path / "run") == 2
    assert not (tmp_path / "run/particles.star").exists()

    def counts(self, rows, spectra):
        seen.append(len(rows))
        return whole_refine(self, rows, spectra)

    def not_again(*_):
        raise AssertionError("the spectra of an interrupted run are kept")

    monkeypatch.setattr(module.Refinement, "refine", counts)
    monkeypatch.setattr(module, "calibrate", not_again)
    assert refine(folder, tmp_path / "run") == 0
    of_twin = [*[40] * 7, 39]  # 120 particles and 199 decoys
    assert seen == [40, 40, 16, *of_twin]
    expected, resumed = (
        read_particles(run / "particles.star") for run in (whole, tmp_path / "run")
    )
    np.testing.assert_array_equal(expected.rotations, resumed.rotations)
    np.testing.assert_array_equal(
        expected.scores["cryoposesExpectedErrorDeg"], resumed.scores["cryoposesExpectedErrorDeg"]
    )


def test_a_search_finds_poses_that_were_far_off(scene, tmp_path):
    folder, true, _ = scene
    rng = np.random.default_rng(6)
    axis = rng.standard_normal((NUMBER, 3))
    turn = Rotation.from_rotvec(
        np.deg2rad(40) * axis / np.linalg.norm(axis, axis=1, keepdims=True)
    ).as_matrix()
    far = true.replace(
        rotations=turn @ true.rotations, shifts_px=true.shifts_px + rng.normal(0, 1, (NUMBER, 2))
    )
    write_particles(folder / "far.star", far)
    shares = []
    for name, search in (("alone", ()), ("search", ("--search-deg", 45, "--search-starts", 200))):
        assert refine(folder, tmp_path / name, *search, star="far.star") == 0
        shares.append(
            (errors_deg(read_particles(tmp_path / name / "particles.star"), true) < 6).mean()
        )
    assert shares[1] > 0.9
    assert shares[1] > shares[0] + 0.15


def test_optics_groups_have_spectra_of_their_own(scene, whole, tmp_path):
    """One group's images are in other units: its poses must not change for it."""
    from cryoposes_plugin.core.io.mrc import write_stack
    from cryoposes_plugin.core.particles.images import ParticleImages

    folder, _, near = scene
    images = ParticleImages(near).read(np.arange(NUMBER))
    group = np.arange(NUMBER) % 2
    write_stack(
        folder / "units.mrcs",
        images * np.where(group, 50.0, 1.0)[:, None, None].astype(np.float32),
        PIXEL,
    )
    optics = (near.optics[0], dataclasses.replace(near.optics[0], name="second"))
    mixed = near.replace(
        stack_paths=(folder / "units.mrcs",),
        stack_index=np.zeros(NUMBER, int),
        slice_index=np.arange(NUMBER),
        optics=optics,
        optics_index=group,
    )
    write_particles(folder / "mixed.star", mixed)
    assert refine(folder, tmp_path / "mixed", star="mixed.star") == 0
    a, b = (read_particles(run / "particles.star") for run in (tmp_path / "mixed", whole))
    assert np.median(errors_deg(a, b)) < 0.3
    metrics = json.loads((tmp_path / "mixed/metrics.json").read_text())
    assert set(metrics["resolution_used_angstrom"]) == {near.optics[0].name, "second"}


def test_a_group_of_a_few_takes_the_spectra_of_a_larger_one(scene, whole, tmp_path):
    """Noise alone in a group of its own would have stopped everybody; good images in other units
    stay good.
    """
    from cryoposes_plugin.core.io.mrc import write_stack
    from cryoposes_plugin.core.particles.images import ParticleImages

    folder, true, near = scene
    images = ParticleImages(near).read(np.arange(NUMBER))
    images[:2] = np.random.default_rng(0).standard_normal(images[:2].shape)
    images[2:8] *= 50.0
    write_stack(folder / "few.mrcs", images, PIXEL)
    group = np.select([np.arange(NUMBER) < 2, np.arange(NUMBER) < 8], [1, 2], 0)
    optics = tuple(
        dataclasses.replace(near.optics[0], name=name) for name in ("most", "noise", "units")
    )
    indices = dict(
        stack_index=np.zeros(NUMBER, int), slice_index=np.arange(NUMBER), optics_index=group
    )
    write_particles(
        folder / "few.star",
        near.replace(stack_paths=(folder / "few.mrcs",), optics=optics, **indices),
    )
    assert refine(folder, tmp_path / "few", star="few.star") == 0
    few, without = (
        read_particles(run / "particles.star", require=("poses",))
        for run in (tmp_path / "few", whole)
    )
    assert np.median(errors_deg(few, without)[8:]) < 0.2
    assert errors_deg(few, true)[2:8].max() < 8


@pytest.mark.parametrize(
    "options, reach_px",
    [
        ({}, 3.0),
        ({"search_shift_px": 1.5}, 1.5),
        ({"assign": "angles"}, 0),
        ({"prior_shift_px": 1}, 0),
    ],
)
def test_how_far_the_best_shift_is_looked_for(scene, options, reach_px):
    folder, _, _ = scene
    paths = {"particles": str(folder / "near.star"), "volume": str(folder / "map.mrc")}
    config = RefineConfig(**paths, **options)
    assert make_refinement(config, read_inputs(config)).settings.search_shift_px == reach_px


def test_larger_images_are_binned_and_shifts_come_back_in_their_pixels(scene, tmp_path):
    folder, true, _ = scene
    assert refine(folder, tmp_path / "run", "--working-box-px", 32) == 0
    out = read_particles(tmp_path / "run/particles.star", require=("poses",))
    assert json.loads((tmp_path / "run/metrics.json").read_text())["working_box_px"] == 32
    assert np.median(errors_deg(out, true)) < 1.5
    assert np.median(np.linalg.norm(out.shifts_px - true.shifts_px, axis=1)) < 0.15


def test_a_volume_may_have_the_pixel_size_of_any_group(scene):
    folder, true, _ = scene
    optics = tuple(
        dataclasses.replace(true.optics[0], pixel_size_angstrom=PIXEL * scale) for scale in (1, 1.1)
    )
    groups = np.arange(NUMBER) % 2
    volume = read_volume(folder / "map.mrc")
    check_same_pixel_size("map.mrc", volume, true.replace(optics=optics, optics_index=groups))
    with pytest.raises(InputError, match="correct the one that is wrong"):
        check_same_pixel_size("map.mrc", volume, true.replace(optics=optics[1:]))


def test_shifts_alone_leave_the_orientations_as_they_were_read(scene, tmp_path):
    folder, true, near = scene
    write_particles(tmp_path / "moved.star", true.replace(shifts_px=near.shifts_px))
    assert refine(folder, tmp_path / "run", "--assign", "shifts", star=tmp_path / "moved.star") == 0
    found = read_particles(tmp_path / "run/particles.star")
    given = read_particles(tmp_path / "moved.star")
    np.testing.assert_allclose(found.rotations, given.rotations, atol=1e-7)
    error = np.linalg.norm(found.shifts_px - true.shifts_px, axis=1) * PIXEL
    expected = found.scores["cryoposesExpectedShiftErrorAngstrom"]
    assert 0.7 < np.sqrt((error**2).mean() / (expected**2).mean()) < 1.3
    assert "cryoposesBasinErrorDeg" not in found.scores
    assert "cryoposesCovariance" not in found.extra
    assert not (tmp_path / "run/covariance.npz").exists()


def test_the_defocus_is_refined_with_the_poses_and_written(scene, tmp_path):
    folder, true, _ = scene
    assert refine(folder, tmp_path / "run", "--defocus-prior-angstrom", 300) == 0
    out = read_particles(tmp_path / "run/particles.star")
    change = out.scores["cryoposesDefocusChangeAngstrom"]
    for name in ("defocus_u_angstrom", "defocus_v_angstrom"):
        moved = getattr(out.ctf, name) - getattr(true.ctf, name)
        np.testing.assert_allclose(moved, change, atol=0.01)
    assert change.std() > 1
    error = out.scores["cryoposesDefocusErrorAngstrom"]
    assert (0 < error).all() and (error <= 300.001).all()
    assert np.median(errors_deg(out, true)) < 2.0


def test_the_reference_is_masked(scene, tmp_path):
    folder, _, _ = scene
    volume, mask = read_volume(folder / "map.mrc"), soft_sphere(BOX, 12, 5)
    write_volume(tmp_path / "mask.mrc", mask, PIXEL)
    paths = {"particles": folder / "near.star", "volume": folder / "map.mrc"}
    paths["mask"] = tmp_path / "mask.mrc"
    inputs = read_inputs(RefineConfig(**{name: str(path) for name, path in paths.items()}))
    expected = without_solvent(volume).data * mask
    np.testing.assert_allclose(inputs.volume.data, expected, atol=1e-5 * expected.max())


def test_symmetry_that_the_map_has_not_and_copies_are_said(scene, caplog):
    folder, true, _ = scene
    twice = true.replace(slice_index=np.r_[true.slice_index[:-6], true.slice_index[:6]])
    write_particles(folder / "twice.star", twice)
    check(
        RefineConfig(
            particles=str(folder / "twice.star"), volume=str(folder / "map.mrc"), symmetry="C7"
        )
    )
    assert "map.mrc hardly has the symmetry C7" in caplog.text
    assert f"The {NUMBER} particles have only {NUMBER - 6} different images" in caplog.text
    caplog.clear()
    check(RefineConfig(particles=str(folder / "near.star"), volume=str(folder / "map.mrc")))
    assert not caplog.text


def test_one_particle(scene, tmp_path):
    folder, true, near = scene
    write_particles(folder / "one.star", near.take([5]))
    assert refine(folder, tmp_path / "run", star="one.star") == 0
    out = read_particles(tmp_path / "run/particles.star", require=("poses",))
    assert len(out) == 1
    assert np.isfinite(out.scores["cryoposesExpectedErrorDeg"]).all()


def test_sentences(scene, tmp_path, caplog):
    folder, true, near = scene
    volume = make_phantom(BOX, PIXEL)
    write_volume(folder / "wrong.mrc", volume.data, 2 * PIXEL)
    write_volume(folder / "flat.mrc", np.ones_like(volume.data), PIXEL)
    write_volume(folder / "tiny.mrc", volume.data[14:26, 14:26, 14:26], PIXEL)
    write_particles(folder / "unaligned.star", true.replace(rotations=None, shifts_px=None))
    flipped = dataclasses.replace(near.optics[0], image_state="phase-flipped")
    write_particles(folder / "noctf.star", near.replace(ctf=None, optics=(flipped,)))
    unlike = Volume(np.random.default_rng(0).standard_normal((BOX,) * 3).astype(np.float32), PIXEL)
    write_volume(folder / "unlike.mrc", unlike.data, PIXEL)
    level = Volume(
        np.random.default_rng(1).standard_normal((BOX,) * 3).astype(np.float32) + 5, PIXEL
    )
    write_volume(folder / "level.mrc", level.data, PIXEL)
    cases = [
        ({"volume": "wrong.mrc"}, (), "their pixel sizes are 10 and 5 Å/px"),
        ({"volume": "flat.mrc"}, (), "is constant (1 everywhere)"),
        ({"volume": "tiny.mrc"}, (), "is 60 Å wide and the images are 200 Å wide"),
        ({"volume": "unlike.mrc"}, (), "nothing in common with the volume"),
        ({"volume": "level.mrc"}, (), "nothing in common with the volume"),
        ({"star": "unaligned.star"}, (), "the particles have no orientations"),
        (
            {"star": "noctf.star"},
            (),
            "phase-flipped according to the file and have no defocus values",
        ),
        ({}, ("--symmetry", "Q5"), "Symmetry 'Q5' is unknown"),
        ({}, ("--working-box-px", 33), "give an even number"),
        ({}, ("--resolution-angstrom", 90), "give less than 50 Å"),
        ({}, ("--prior-deg", -1), "must be at least"),
    ]
    for number, (files, arguments, sentence) in enumerate(cases):
        caplog.clear()
        assert refine(folder, tmp_path / str(number), *arguments, **files) == 2
        assert sentence in caplog.text
        assert not (tmp_path / str(number) / "particles.star").exists()


def test_chunks_of_a_refinement_put_together_are_the_whole(scene, whole, tmp_path, monkeypatch):
    """The workers are threads of this process, as TensorFlow keeps the number of threads that it was
    started with, and other numbers round otherwise.
    """
    folder, *_ = scene
    monkeypatch.setattr(executors, "run_program", lambda words, *_: (main(words), None))
    assert refine(folder, tmp_path / "parts", "--chunk", "2/2") == 0
    assert not (tmp_path / "parts/metrics.json").exists()
    assert refine(folder, tmp_path / "parts", "--workers", 2) == 0

    expected, parts = (
        read_particles(run / "particles.star") for run in (whole, tmp_path / "parts")
    )
    np.testing.assert_array_equal(parts.ids, expected.ids)
    assert errors_deg(parts, expected).max() < 1e-3
    np.testing.assert_allclose(parts.shifts_px, expected.shifts_px, atol=1e-4)
    for name, values in expected.scores.items():
        np.testing.assert_allclose(parts.scores[name], values, rtol=1e-3, atol=1e-3, err_msg=name)
    assert sorted(os.listdir(tmp_path / "parts")) == sorted(os.listdir(whole))
