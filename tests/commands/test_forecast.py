"""`cryoposes forecast`: what it tells is what the runs on the simulated set say; it resumes; it
refuses what makes it worthless.
"""

import json

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.forecast.config import ForecastConfig
from cryoposes_plugin.commands.forecast.inputs import read_inputs
from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.phantom import make_phantom
from cryoposes_plugin.core.scores import JUNK

pytest.importorskip("tensorflow")

NUMBER, BOX, PIXEL = 96, 32, 6.0


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A map, images of it, and a network that has hardly learned."""
    folder = tmp_path_factory.mktemp("forecast")
    write_volume(folder / "map.mrc", make_phantom(BOX, PIXEL).data, PIXEL)
    volume = f"--volume {folder}/map.mrc"
    simulate = f"simulate {volume} --number {NUMBER} --snr 2 --shift-px 1 --seed 3"
    train = f"train {volume} --like {folder}/sim/particles.star --steps 8 --batch-size 16"
    train = f"{train} --validation-number 16"
    assert main(f"{simulate} --output {folder}/sim".split()) == 0
    assert main(f"{train} --output {folder}/net".split()) == 0
    return folder


def forecast(folder, output, *arguments, network=True):
    words = f"forecast --particles {folder}/sim/particles.star --volume {folder}/map.mrc"
    model = ["--model", f"{folder}/net/model"] if network else []
    return main([*words.split(), *model, *map(str, arguments), "--output", str(output)])


@pytest.fixture(scope="module")
def run(scene):
    output = scene / "told"
    assert forecast(scene, output, "--resolution", 15.5, "--junk-share", 0.1) == 0
    return output


@pytest.fixture(scope="module")
def metrics(run):
    return json.loads((run / "metrics.json").read_text())


def test_the_errors_that_are_told_are_those_of_the_simulated_particles(run, metrics):
    truth, found = (read_particles(run / n / "particles.star") for n in ("twin", "poses"))
    shown = truth.extra["cryoposesPoseSource"] == "particle"
    errors = np.rad2deg(angular_distance_rad(found.rotations, truth.rotations))[shown]
    assert shown.sum() == NUMBER - round(0.1 * NUMBER)
    assert metrics["median_error_deg"] == pytest.approx(np.median(errors), rel=1e-6)
    assert metrics["root_mean_square_error_deg"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert metrics["share_beyond_5_deg"] == pytest.approx((errors > 5).mean())


def test_the_simulated_images_have_the_ctfs_of_the_set(scene, run):
    of_set, of_twin = (
        read_particles(folder / "particles.star").ctf.defocus_u_angstrom
        for folder in (scene / "sim", run / "twin")
    )
    assert np.isin(np.round(of_twin, 2), np.round(of_set, 2)).all()


def test_what_is_kept_is_what_the_filter_keeps(run, metrics):
    accepted = read_particles(run / "filter/accepted.star")
    assert metrics["kept_share"] == pytest.approx(len(accepted) / NUMBER)
    assert metrics["threshold"] == pytest.approx(
        accepted.scores[metrics["threshold_score"]].max(), rel=1e-5
    )


def test_at_the_number_of_the_simulated_images_their_own_resolution_is_told(metrics):
    assert metrics["resolution_of_the_set_with_truth_angstrom"] == pytest.approx(
        metrics["simulated_resolution_with_truth_angstrom"], abs=1e-3
    )


def test_more_images_give_a_finer_resolution(metrics):
    found = {int(n): r["half_maps_angstrom"] for n, r in metrics["resolution_by_number"].items()}
    assert found[8 * NUMBER] < found[NUMBER] < found[NUMBER // 8]
    assert metrics["resolution_of_the_set_angstrom"] == found[NUMBER]


def test_the_wanted_resolution_lies_on_the_curve(run, metrics):
    curve = np.genfromtxt(run / "resolution.csv", delimiter=",", names=True)
    at_needed = np.interp(
        metrics["images_for_wanted_resolution"], curve["number"], curve["half_maps_angstrom"]
    )
    assert at_needed == pytest.approx(15.5, rel=0.01)


def test_the_page_has_its_pictures_and_sentences(run, metrics):
    page = (run / "report.html").read_text()
    for name in ("resolution_by_number", "told_and_true_errors", "power_spectra", "set_and_twin"):
        assert f"id='{name}'" in page
    assert any(note.startswith("15.5 Å needs about") for note in metrics["notes"])


def test_a_stopped_run_repeats_no_finished_step(scene, run, metrics):
    steps = [run / "twin/particles.mrcs", run / "poses/metrics.json"]
    before = [path.stat().st_mtime_ns for path in steps]
    for name in ("metrics.json", "report.html", "resolution.csv"):
        (run / name).unlink()
    assert forecast(scene, run, "--resolution", 15.5, "--junk-share", 0.1) == 0
    again = json.loads((run / "metrics.json").read_text())
    assert [path.stat().st_mtime_ns for path in steps] == before
    own = {"seconds": 0, "used": 0}
    assert {**again, **own} == {**metrics, **own}


def test_without_a_network_one_is_trained_for_the_set(scene, tmp_path):
    assert forecast(scene, tmp_path / "told", "--minutes", 0.02, network=False) == 0
    config = json.loads((tmp_path / "told/training/config.json").read_text())
    assert config["like"] == f"{scene}/sim/particles.star"
    assert (tmp_path / "told/training/model/model_card.json").exists()


def test_another_symmetry_than_the_networks_is_refused(scene, tmp_path, caplog):
    assert forecast(scene, tmp_path / "told", "--symmetry", "C2") == 2
    assert "was trained with C1" in caplog.text


def inputs(scene, **options):
    given = {"particles": f"{scene}/sim/particles.star", "volume": f"{scene}/map.mrc"}
    return read_inputs(ForecastConfig(**{**given, **options}))


def test_a_resolution_beyond_two_pixels_is_refused(scene):
    with pytest.raises(ConfigError, match="show nothing finer than 12 Å"):
        inputs(scene, resolution_angstrom=11.9)
    assert inputs(scene, resolution_angstrom=12.0).number == NUMBER


def test_too_few_particles_are_refused(scene, tmp_path):
    table = read_particles(scene / "sim/particles.star")
    write_particles(tmp_path / "few.star", table.take(np.arange(20)))
    with pytest.raises(ConfigError, match="has 20 particles that are not junk"):
        inputs(scene, particles=str(tmp_path / "few.star"))


def test_the_share_of_junk_is_that_of_the_column(scene, tmp_path):
    table = read_particles(scene / "sim/particles.star")
    junk = np.where(np.arange(NUMBER) < 24, 0.96, 0.0)
    write_particles(tmp_path / "judged.star", table.replace(scores={JUNK: junk}))
    found = inputs(scene, particles=str(tmp_path / "judged.star"))
    assert found.junk_share == pytest.approx(0.24)
    assert len(found.good) == NUMBER - 24
