"""All protocols, end to end and tiny, in a real Scipion project; then RELION's and cryoSPARC's
plugins on them.
"""

import json
import os
import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.core.geometry.rotations import angular_distance_rad

from .project import TOUR_BOX as BOX
from .project import TOUR_NUMBER as NUMBER
from .project import TOUR_PIXEL as PIXEL
from .project import correlation, ids, link, pose_arrays, run_protocol

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

pytestmark = pytest.mark.usefixtures("project")


def test_simulate_gives_a_complete_set(simulated):
    particles = simulated.outputParticles
    assert ids(particles) == list(range(1, NUMBER + 1))
    assert particles.hasAlignmentProj()
    assert particles.hasCTF()
    assert particles.getXDim() == BOX
    assert particles.getSamplingRate() == pytest.approx(PIXEL)
    acquisition = particles.getAcquisition()
    assert (
        acquisition.getVoltage(),
        acquisition.getSphericalAberration(),
        acquisition.getAmplitudeContrast(),
    ) == (
        300,
        2.7,
        0.1,
    )
    assert acquisition.getMagnification() > 0
    first = particles.getFirstItem()
    assert first.getCTF().getDefocusU() >= first.getCTF().getDefocusV() > 5000
    assert first.getCoordinate().getMicName()
    assert first.getMicId() == 1
    assert os.path.exists(first.getFileName())
    assert not os.path.isabs(first.getFileName())
    assert f"{NUMBER} images" in simulated.summary()[0]


def test_a_simulation_can_take_poses_and_ctfs_of_a_set(project, imported, simulated):
    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    protocol = project.newProtocol(
        ProtCryoposesSimulate, number=40, snr=1.0, orientations=6, numberOfThreads=1
    )
    link(protocol, "inputVolumes", imported, "outputVolume")
    link(protocol, "inputLike", simulated, "outputParticles")
    link(protocol, "inputPoses", simulated, "outputParticles")
    run_protocol(project, protocol)
    _, rotations, shifts = pose_arrays(protocol.outputParticles)
    _, expected, expected_shifts = pose_arrays(simulated.outputParticles)
    assert np.rad2deg(angular_distance_rad(rotations, expected[:40])).max() < 1e-3
    np.testing.assert_allclose(shifts, expected_shifts[:40], atol=1e-4)
    for item in protocol.outputParticles:
        twin = simulated.outputParticles[item.getObjId()]
        assert item.getCTF().getDefocusU() == pytest.approx(twin.getCTF().getDefocusU(), abs=1e-2)


def test_train_gives_a_model_with_its_card(trained):
    model = trained.outputModel
    assert model.getBoxSize() == 32
    assert model.getSymmetry() == "C1"
    assert model.getPreset() == "default"
    assert 0 < model.getValidationErrorDeg() <= 180
    assert all(os.path.exists(path) for path in model.getFiles())
    assert "32 px" in str(model)


def test_estimated_poses_are_stored_with_their_scores(simulated, inferred):
    particles = inferred.outputParticles
    assert ids(particles) == ids(simulated.outputParticles)
    assert particles.hasAlignmentProj()
    assert particles.hasCTF()
    first = particles.getFirstItem()
    assert np.isfinite(first.getAttributeValue("_cryoposesTrace"))
    assert np.isfinite(first.getAttributeValue("_cryoposesDispersion"))
    assert first.getAttributeValue("_cryoposesPoseSource").startswith("network:")
    assert (
        first.getCTF().getDefocusU()
        == simulated.outputParticles.getFirstItem().getCTF().getDefocusU()
    )
    matrix = first.getTransform().getMatrix()
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-9)


def test_filter_loses_nobody_and_keeps_the_certain_ones(inferred, filtered):
    accepted, rejected = filtered.outputAccepted, filtered.outputRejected
    assert accepted.getSize() == round(0.75 * NUMBER)
    assert rejected.getSize() == NUMBER - accepted.getSize()
    assert accepted.getFileName() != rejected.getFileName()
    assert sorted(ids(accepted) + ids(rejected)) == ids(inferred.outputParticles)
    worst = max(item.getAttributeValue("_cryoposesTrace") for item in accepted)
    assert worst <= min(item.getAttributeValue("_cryoposesTrace") for item in rejected)
    assert {"outputAccepted", "outputRejected"} == {
        name for name, _ in filtered.iterOutputAttributes()
    }


def test_a_filter_that_keeps_all_rejects_nobody(project, inferred):
    from cryoposes_plugin.protocols import ProtCryoposesFilter

    fresh, changed = (
        project.newProtocol(ProtCryoposesFilter, keepQuantile=share) for share in (1.0, 0.5)
    )
    for protocol in (fresh, changed):
        link(protocol, "inputParticles", inferred, "outputParticles")
        run_protocol(project, protocol)
    assert not hasattr(fresh, "outputRejected")
    assert changed.outputRejected.getSize() == NUMBER // 2
    changed.keepQuantile.set(1.0)
    run_protocol(project, changed)
    for protocol in (fresh, changed):
        assert protocol.outputAccepted.getSize() == NUMBER
    assert changed.outputRejected.getSize() == 0
    assert any("Every particle was kept" in line for line in changed.summary())


def test_an_input_that_was_computed_anew_is_not_taken_for_the_old_one(filtered):
    """It keeps its name, its id and its size; Continue must not call the steps done."""
    path, before = filtered.inputParticles.get().getFileName(), filtered._step_key()
    assert filtered._step_key() == before
    os.utime(path)
    assert filtered._step_key() != before


def test_reconstruct_gives_the_map_with_halves_and_fsc(reconstructed, map_file):
    volume = reconstructed.outputVolume
    assert volume.getSamplingRate() == pytest.approx(PIXEL)
    assert len(volume.getHalfMaps().split(",")) == 2
    data, truth = mrcfile.read(volume.getFileName()), mrcfile.read(map_file)
    assert correlation(data, truth) > 0.85
    assert correlation(data[:, :, ::-1], truth) < correlation(data, truth) - 0.1
    curves = {curve.getObjLabel().split(".")[0]: curve.clone() for curve in reconstructed.outputFSC}
    assert {"half maps, unmasked", "map against the reference"} <= set(curves)
    x, y = curves["map against the reference"].getData()
    assert list(x) == sorted(x)
    assert float(y[2]) > 0.9
    assert any("true" in line for line in reconstructed.summary())


def test_compare_annotates_the_estimate(project, simulated, inferred):
    from cryoposes_plugin.protocols import ProtCryoposesCompare

    for registration in (0, 2):
        protocol = project.newProtocol(ProtCryoposesCompare, registration=registration)
        link(protocol, "inputTruth", simulated, "outputParticles")
        link(protocol, "inputEstimate", inferred, "outputParticles")
        run_protocol(project, protocol)
        errors = {
            item.getObjId(): item.getAttributeValue("_cryoposesAngularErrorDeg")
            for item in protocol.outputParticles
        }
        _, estimate, _ = pose_arrays(protocol.outputParticles)
        _, truth, _ = pose_arrays(simulated.outputParticles)
        expected = np.rad2deg(angular_distance_rad(estimate, truth))
        np.testing.assert_allclose([errors[i] for i in sorted(errors)], expected, atol=1e-2)
        assert "median angular error" in protocol.summary()[0]


def test_continue_resumes_and_a_change_redoes(project, imported, tmp_path):
    """What was simulated before a kill is kept; a parameter that changed starts the run anew."""
    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    protocol = project.newProtocol(ProtCryoposesSimulate, number=30, seed=5, numberOfThreads=1)
    link(protocol, "inputVolumes", imported, "outputVolume")
    run_protocol(project, protocol)
    folder = Path(protocol._getExtraPath("run"))
    stack, stamp = folder / "particles.mrcs", (folder / "particles.mrcs").stat().st_mtime_ns
    first = mrcfile.read(stack)
    run_protocol(project, protocol)  # run mode is resume: every step is done
    assert stack.stat().st_mtime_ns == stamp
    protocol.seed.set(6)
    run_protocol(project, protocol)
    assert json.loads((folder / "config.json").read_text())["seed"] == 6
    assert np.abs(mrcfile.read(stack) - first).max() > 0.1
    assert protocol.outputParticles.getSize() == 30


def test_the_programs_sentence_is_the_protocols_error(project, imported):
    from cryoposes_plugin.protocols import ProtCryoposesSimulate

    protocol = project.newProtocol(
        ProtCryoposesSimulate, number=10, boxSizePx=BOX, particleDiameterAngstrom=9999.0
    )
    link(protocol, "inputVolumes", imported, "outputVolume")
    with pytest.raises(RuntimeError):
        run_protocol(project, protocol)
    message = protocol.getErrorMessage()
    assert "'Particle diameter (Å)' is 9999" in message
    assert "Traceback" not in message
    assert "status" not in message
    assert not hasattr(protocol, "outputParticles")


PICTURES = {
    "simulated": {"images", "direction_maps"},
    "trained": {"learning_curve", "error_histogram", "error_against_uncertainty"},
    "inferred": {"uncertainty_histogram", "direction_maps", "best_and_worst"},
    "filtered": {"uncertainty_histogram", "direction_maps"},
    "reconstructed": {
        "volume_slices",
        "fsc",
        "direction_maps",
        "fourier_coverage",
        "fsc_by_direction",
    },
}


@pytest.mark.parametrize("run", PICTURES)
def test_the_viewer_of_a_run_draws_its_pictures_and_the_report_holds_them(project, run, request):
    from cryoposes_plugin.viewers import CryoposesRunViewer
    from cryoposes_plugin.viewers.viewer_run import ReportView, _param

    protocol = request.getfixturevalue(run)
    viewer = CryoposesRunViewer(project=project)
    viewer.setProtocol(protocol)
    assert PICTURES[run] <= set(viewer.pictures())
    page = Path(protocol._getExtraPath("run", "report.html")).read_text()
    for name, picture in viewer.pictures().items():
        (view,) = viewer._getVisualizeDict()[_param(name)](_param(name))
        assert view.title == picture.title
        assert view.draw().axes
        assert viewer.getParam(_param(name)) is not None
        assert Path(protocol._getExtraPath("run", f"{name}.png")).exists()
    assert page.count("<figure>") == len(viewer.pictures())
    (report,) = viewer._show_report()
    assert isinstance(report, ReportView)
    assert Path(report.path).exists()


def test_the_learning_curve_is_live_and_drawn_from_the_history_as_it_stands(trained, tmp_path):
    from cryoposes_plugin.commands.pictures import pictures_of

    run = Path(trained._getExtraPath("run"))
    for name in ("config.json", "history.csv"):
        shutil.copy(run / name, tmp_path)
    picture = pictures_of(tmp_path)["learning_curve"]
    assert picture.live
    assert set(pictures_of(tmp_path)) == {"learning_curve"}
    rows = (tmp_path / "history.csv").read_text().splitlines()
    before = len(picture.draw().axes[0].lines[0].get_xdata())
    (tmp_path / "history.csv").write_text("\n".join([*rows, rows[-1], ""]))
    assert before == len(rows) - 1
    assert len(picture.draw().axes[0].lines[0].get_xdata()) == before + 1


def test_volumes_are_shown_as_slices_at_scipions_pixel_size(project, reconstructed):
    from pwem import Domain

    from cryoposes_plugin.viewers import CentralSlicesViewer

    volume = reconstructed.outputVolume
    assert CentralSlicesViewer in Domain.findViewers(volume, "tkinter")
    slices, sections = CentralSlicesViewer(project=project)._visualize(volume)
    figure = slices.draw()
    assert figure.axes[0].images[0].get_extent()[0] == pytest.approx(-(BOX // 2 + 0.5) * PIXEL)
    shown = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, mrcfile.read(volume.getFileName())[:, :, BOX // 2], rtol=1e-6)
    assert sections.volume is volume


def test_relions_protocols_take_a_simulation(project, simulated, map_file, relion_environment):
    """Import of our STAR, export and reconstruction by scipion-em-relion with the real programs."""
    from pwem.protocols import ProtImportParticles
    from relion.protocols import ProtRelionExportParticles, ProtRelionReconstruct

    star = os.path.abspath(simulated._getExtraPath("run", "particles.star"))
    imported = project.newProtocol(
        ProtImportParticles,
        importFrom=ProtImportParticles.IMPORT_FROM_RELION,
        starFile=star,
        samplingRate=PIXEL,
        magnification=50000,
        voltage=300,
        sphericalAberration=2.7,
        amplitudeContrast=0.1,
    )
    run_protocol(project, imported)
    assert ids(imported.outputParticles) == ids(simulated.outputParticles)
    _, theirs, their_shifts = pose_arrays(imported.outputParticles)
    _, ours, our_shifts = pose_arrays(simulated.outputParticles)
    assert np.rad2deg(angular_distance_rad(theirs, ours)).max() < 1e-3
    np.testing.assert_allclose(their_shifts, our_shifts, atol=1e-3)

    truth = mrcfile.read(map_file)
    for source in (imported, simulated):
        protocol = project.newProtocol(ProtRelionReconstruct, doCTF=True)
        link(protocol, "inputParticles", source, "outputParticles")
        run_protocol(project, protocol)
        assert correlation(mrcfile.read(protocol.outputVolume.getFileName()), truth) > 0.8

    export = project.newProtocol(ProtRelionExportParticles)
    link(export, "inputParticles", simulated, "outputParticles")
    run_protocol(project, export)
    (exported,) = Path(export._getPath("Export")).glob("*.star")
    assert exported.read_text().count("@") >= NUMBER


def test_cryosparcs_conversion_keeps_the_poses(
    project, simulated, map_file, tmp_path, relion, relion_environment
):
    """What scipion-em-cryosparc2 would hand over, reconstructed by RELION from that very file."""
    convert = pytest.importorskip(
        "cryosparc2.convert", reason="scipion-em-cryosparc2 is not installed"
    )
    star = tmp_path / "cryosparc.star"
    convert.writeSetOfParticles(simulated.outputParticles, str(star), str(tmp_path))
    text = star.read_text()
    assert all(
        label in text
        for label in (
            "_rlnMagnification",
            "_rlnDetectorPixelSize",
            "_rlnMicrographName",
            "_rlnRandomSubset",
        )
    )
    relion(
        "relion_reconstruct",
        "--i",
        star,
        "--o",
        tmp_path / "map.mrc",
        "--ctf",
        "--angpix",
        PIXEL,
        cwd=os.getcwd(),
    )
    assert correlation(mrcfile.read(tmp_path / "map.mrc"), mrcfile.read(map_file)) > 0.8


def test_calibration_against_the_truth(project, simulated, inferred):
    from cryoposes_plugin.protocols import ProtCryoposesCalibrate

    protocol = project.newProtocol(ProtCryoposesCalibrate)
    assert protocol.validate()
    link(protocol, "inputParticles", inferred, "outputParticles")
    assert any("give one of them" in sentence for sentence in protocol.validate())
    link(protocol, "inputTruth", simulated, "outputParticles")
    run_protocol(project, protocol)
    metrics = protocol._metrics()
    assert metrics["particles"] == simulated.outputParticles.getSize()
    assert metrics["verdict"] in protocol.summary()


def test_a_forecast_tells_what_the_program_found(project, imported, simulated, trained):
    from cryoposes_plugin.protocols import ProtCryoposesForecast

    protocol = project.newProtocol(ProtCryoposesForecast, numberOfThreads=1, number=64)
    link(protocol, "inputParticles", simulated, "outputParticles")
    link(protocol, "inputVolume", imported, "outputVolume")
    link(protocol, "inputModel", trained, "outputModel")
    run_protocol(project, protocol)
    metrics = protocol._metrics()
    assert metrics["simulated_images"] == 64
    assert set(metrics["notes"]) <= set(protocol.summary())
    assert not hasattr(protocol, "outputModel")
