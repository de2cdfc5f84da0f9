"""`cryoposes iterate`: from a map cut at low resolution to what the images hold, each half by
itself.
"""

import csv
import json

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.fourier.filters import low_pass
from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.fourier.shells import shell_index
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.scores import POSE_SOURCE

from .test_refine import errors_deg, perturbed

pytest.importorskip("tensorflow")

NUMBER, BOX, PIXEL = 240, 40, 5.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("iterate")
    write_volume(folder / "map.mrc", make_phantom(BOX, PIXEL).data, PIXEL)
    arguments = [
        "--volume",
        folder / "map.mrc",
        "--number",
        NUMBER,
        "--snr",
        2,
        "--shift-px",
        1,
        "--seed",
        3,
    ]
    assert main(["simulate", *map(str, arguments), "--output", str(folder / "sim")]) == 0
    true = read_particles(folder / "sim/particles.star", require=("poses",))
    write_particles(folder / "near.star", perturbed(true, 6.0, 0.6))
    return folder, true


def iterate(folder, output, *arguments, star="near.star", volume="map.mrc"):
    paths = ["--particles", folder / star, "--volume", folder / volume, "--output", output]
    return main(["iterate", *map(str, [*paths, *arguments])])


def test_a_cut_leaves_nothing_beyond_and_everything_well_below():
    data = make_phantom(BOX, PIXEL).data
    before, after = (np.fft.rfftn(d) for d in (data, low_pass(data, PIXEL, 20.0)))
    shell, last = shell_index(BOX), BOX * PIXEL / 20.0
    assert np.abs(after[shell >= last]).max() < 1e-5 * np.abs(before).max()
    np.testing.assert_allclose(
        after[shell <= last - 2], before[shell <= last - 2], atol=1e-4 * np.abs(before).max()
    )


def test_from_low_resolution_to_what_the_images_hold(scene, tmp_path):
    folder, true = scene
    mask = soft_sphere(BOX, 15)
    write_volume(tmp_path / "mask.mrc", mask, PIXEL)
    options = ("--low-pass-angstrom", 40, "--rounds", 3, "--mask", tmp_path / "mask.mrc")
    assert iterate(folder, tmp_path / "run", *options) == 0
    truth = read_volume(folder / "map.mrc").data
    start = fourier_shell_correlation(low_pass(truth, PIXEL, 40.0), truth)
    found = fourier_shell_correlation(read_volume(tmp_path / "run/volume.mrc").data, truth)
    assert start[7:12].max() < 0.1
    assert found[1:12].min() > 0.8
    out = read_particles(tmp_path / "run/particles.star", require=("poses", "subset"))
    assert np.median(errors_deg(out, true)) < 2.0
    np.testing.assert_array_equal(np.bincount(out.random_subset)[1:], [NUMBER // 2, NUMBER // 2])
    sources = out.extra[POSE_SOURCE]
    assert set(sources[out.random_subset == 1]).isdisjoint(set(sources[out.random_subset == 2]))
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["half_sets"] == "drawn"
    assert 1 <= metrics["best_round"] <= metrics["rounds"] <= 3
    assert "independent beyond" in metrics["fsc_statement"]
    assert metrics["verdict"] == "belong"
    assert (tmp_path / "run/report.html").exists()
    halves = [read_volume(tmp_path / f"run/half{half}.mrc").data for half in (1, 2)]
    assert 0.3 < fourier_shell_correlation(*halves)[8] < 0.9999
    masked = fourier_shell_correlation(*(half * mask for half in halves))
    with open(tmp_path / "run/fsc.csv", newline="") as handle:
        said = [float(row["masked"]) for row in csv.DictReader(handle)]
    np.testing.assert_allclose(said, masked[1:], atol=1e-4)


def test_an_interrupted_run_keeps_its_rounds(scene, tmp_path, monkeypatch):
    from cryoposes_plugin.commands.iterate import rounds as module
    from cryoposes_plugin.core.errors import InputError

    folder, _ = scene
    whole, calls = module.refine_half, []

    def breaks(config, part, start, number, table, reference, half):
        calls.append((number, half))
        if number == 2:
            raise InputError("interrupted")
        return whole(config, part, start, number, table, reference, half)

    monkeypatch.setattr(module, "refine_half", breaks)
    assert iterate(folder, tmp_path / "run", "--rounds", 2) == 2
    assert not (tmp_path / "run/volume.mrc").exists()

    def counts(config, part, start, number, table, reference, half):
        calls.append((number, half))
        return whole(config, part, start, number, table, reference, half)

    monkeypatch.setattr(module, "refine_half", counts)
    assert iterate(folder, tmp_path / "run", "--rounds", 2) == 0
    assert calls == [(1, 1), (1, 2), (2, 1), (2, 1), (2, 2)]
    assert not list((tmp_path / "run").glob("round_*/half*/refinement_state.npz"))
    monkeypatch.setattr(module, "refine_half", whole)
    assert iterate(folder, tmp_path / "whole", "--rounds", 2) == 0
    for name in ("particles.star", "fsc.csv"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), (
            name
        )
    maps = [read_volume(tmp_path / run / "volume.mrc").data for run in ("run", "whole")]
    np.testing.assert_array_equal(*maps)


def test_a_round_without_agreement_ends_the_iteration_with_the_best(scene, tmp_path, monkeypatch):
    from cryoposes_plugin.commands.iterate import rounds as module
    from cryoposes_plugin.core.refinement.refinement import NoAgreement

    folder, _ = scene
    whole = module.refine_half

    def breaks(config, part, start, number, *others):
        if number == 2:
            raise NoAgreement("nothing in common")
        return whole(config, part, start, number, *others)

    monkeypatch.setattr(module, "refine_half", breaks)
    assert iterate(folder, tmp_path / "run", "--rounds", 3) == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["best_round"] == metrics["rounds"] == 1
    assert (tmp_path / "run/volume.mrc").exists()


def test_a_starting_volume_in_another_frame_is_told_before_the_first_round(
    scene, tmp_path, monkeypatch, caplog
):
    from cryoposes_plugin.commands.iterate import rounds as module
    from cryoposes_plugin.core.errors import InputError

    folder, _ = scene

    def stops(*_):
        raise InputError("stopped before the first round")

    monkeypatch.setattr(module, "refine_half", stops)
    data = np.roll(np.flip(read_volume(folder / "map.mrc").data, 1), 1, 1)
    write_volume(folder / "flipped.mrc", np.ascontiguousarray(data), PIXEL)
    assert iterate(folder, tmp_path / "run", volume="flipped.mrc") == 2
    assert "mirror image (along y)" in caplog.text
    assert "keep the shape of the starting volume" in caplog.text


def test_sentences(scene, tmp_path, caplog):
    folder, true = scene
    write_particles(folder / "unaligned.star", true.replace(rotations=None, shifts_px=None))
    cases = [
        ({"star": "unaligned.star"}, (), "the particles have no orientations"),
        ({}, ("--low-pass-angstrom", 5), "no detail finer than 10 Å in the volume"),
        ({}, ("--symmetry", "X"), "Symmetry 'X' is unknown"),
    ]
    for number, (files, arguments, sentence) in enumerate(cases):
        caplog.clear()
        assert iterate(folder, tmp_path / str(number), *arguments, **files) == 2
        assert sentence in caplog.text
        assert not (tmp_path / str(number)).exists()
