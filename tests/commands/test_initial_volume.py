"""`cryoposes initial-volume`: from images alone to a volume and poses, and what it refuses."""

import json

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.pictures import pictures_of
from cryoposes_plugin.core.evaluation.registration import HANDS, register
from cryoposes_plugin.core.io.mrc import read_volume, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.maps.alignment import align_maps
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.maps.phantom import make_phantom

pytest.importorskip("tensorflow")

NUMBER, BOX, PIXEL = 100, 32, 8.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("initial")
    write_volume(folder / "map.mrc", make_phantom(BOX, PIXEL).data, PIXEL)
    arguments = [
        "--volume",
        folder / "map.mrc",
        "--number",
        NUMBER,
        "--snr",
        4,
        "--shift-px",
        0.4,
        "--seed",
        5,
    ]
    assert main(["simulate", *map(str, arguments), "--output", str(folder / "sim")]) == 0
    return folder


def initial_volume(folder, output, *arguments):
    paths = ["--particles", folder / "sim/particles.star", "--output", output]
    return main(["initial-volume", *map(str, [*paths, *arguments])])


def test_a_volume_and_poses_from_images_alone_and_an_interrupted_run_goes_on(
    scene, tmp_path, monkeypatch
):
    from cryoposes_plugin.commands.initial_volume import run as module
    from cryoposes_plugin.core.abinitio.search import Search
    from cryoposes_plugin.core.errors import InputError

    arguments = (
        scene,
        tmp_path / "run",
        "--starts",
        1,
        "--rounds",
        1,
        "--max-shift-px",
        1.5,
        "--symmetry",
        "c1 ",
    )

    def breaks(*_):
        raise InputError("interrupted")

    with monkeypatch.context() as patch:
        patch.setattr(module, "refine_in_rounds", breaks)
        assert initial_volume(*arguments) == 2
    assert not (tmp_path / "run/volume.mrc").exists()
    monkeypatch.setattr(Search, "run", breaks)  # the search is not made again
    assert initial_volume(*arguments) == 0

    truth = read_volume(scene / "map.mrc")
    found = read_volume(tmp_path / "run/volume.mrc")
    aligned = align_maps(found, truth, 9).apply(found)
    assert fourier_shell_correlation(aligned.data, truth.data)[1:9].min() > 0.8
    poses = read_particles(tmp_path / "run/particles.star", require=("poses", "subset"))
    true = read_particles(scene / "sim/particles.star", require=("poses",))
    registration = register(poses.rotations, true.rotations, np.eye(3)[None], hands=HANDS)
    assert np.rad2deg(registration.median_residual_rad) < 6
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["search_explained_power"] > 0.3
    assert metrics["chosen_start"] == 1
    assert any("The hand is arbitrary" in note for note in metrics["notes"])
    pictures = pictures_of(tmp_path / "run")
    assert {"search", "volume_slices", "fsc", "direction_maps"} <= set(pictures)
    assert (
        "Search" in (tmp_path / "run/report.html").read_text()
        or (tmp_path / "run/search.png").exists()
    )


def test_every_start_goes_to_the_end_and_their_poses_are_compared(scene, tmp_path):
    arguments = ("--starts", 2, "--rounds", 0, "--max-shift-px", 1.5, "--draws", 4)
    assert initial_volume(scene, tmp_path / "run", *arguments) == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    chosen = metrics["chosen_start"] - 1
    assert chosen == int(np.argmax(metrics["start_log_likelihoods"]))
    assert metrics["pose_agreements"][chosen] == 1.0
    assert metrics["pose_agreements"][1 - chosen] > 0.8


def test_sentences(scene, tmp_path, caplog):
    cases = [
        (("--symmetry", "X"), "Symmetry 'X' is unknown"),
        (
            ("--diameter-angstrom", 300),
            "--diameter-angstrom is 300 Å and the images are 256 Å wide",
        ),
        (("--working-box-px", 33), "give an even number"),
        (("--starts", 0), "must be at least 1"),
    ]
    for number, (arguments, sentence) in enumerate(cases):
        caplog.clear()
        assert initial_volume(scene, tmp_path / str(number), *arguments) == 2
        assert sentence in caplog.text
        assert not (tmp_path / str(number)).exists()
