"""Particles on their way to and from other plugins: pwem's set protocols, RELION's with the real
programs, and cryoSPARC's up to where the proprietary program would start.
"""

import os
import shutil
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.particle_files import read_particles

from .project import TOUR_NUMBER as NUMBER
from .project import TOUR_PIXEL as PIXEL
from .project import correlation, ids, link, pose_arrays, run_protocol

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")
pytestmark = pytest.mark.usefixtures("project")

IMPORT = dict(
    samplingRate=PIXEL,
    magnification=50000,
    voltage=300,
    sphericalAberration=2.7,
    amplitudeContrast=0.1,
)


def run(project, protocol_class, links, **parameters):
    protocol = project.newProtocol(protocol_class, **parameters)
    for param, sources in links.items():
        for source, output in sources if isinstance(sources, list) else [sources]:
            link(protocol, param, source, output)
    return run_protocol(project, protocol)


def import_star(project, star):
    from pwem.protocols import ProtImportParticles

    settings = dict(
        importFrom=ProtImportParticles.IMPORT_FROM_RELION, starFile=os.path.abspath(star), **IMPORT
    )
    return run(project, ProtImportParticles, {}, **settings)


def traces(particles):
    return {item.getObjId(): item.getAttributeValue("_cryoposesTrace") for item in particles}


def assert_same_particles(found, expected, some=False):
    """Ids, poses, CTFs and scores of `found` are those of the same ids in `expected` (all of them,
    or `some`).
    """
    wanted, here = ids(expected), ids(found)
    assert set(here) < set(wanted) if some else here == wanted
    rows = np.searchsorted(wanted, here)
    _, rotations, shifts = pose_arrays(expected)
    _, their_rotations, their_shifts = pose_arrays(found)
    assert np.rad2deg(angular_distance_rad(their_rotations, rotations[rows])).max() < 1e-3
    np.testing.assert_allclose(their_shifts, shifts[rows], atol=1e-3)
    theirs, ours = traces(found), traces(expected)
    np.testing.assert_allclose([theirs[i] for i in here], [ours[i] for i in here], rtol=1e-4)
    defoci = {item.getObjId(): item.getCTF().getDefocusU() for item in expected}
    assert all(
        item.getCTF().getDefocusU() == pytest.approx(defoci[item.getObjId()], abs=0.1)
        for item in found
    )


# ---- pwem ----------------------------------------------------------------------------------------


def test_pwems_set_protocols_keep_ids_poses_and_scores(project, simulated, inferred, filtered):
    from pwem.protocols import ProtAlignmentAssign, ProtSubSet, ProtUnionSet

    estimated = (inferred, "outputParticles")
    subset = run(
        project, ProtSubSet, {"inputFullSet": estimated}, chooseAtRandom=True, nElements=50
    )
    assert subset.outputParticles.getSize() == 50
    assert_same_particles(subset.outputParticles, inferred.outputParticles, some=True)

    common = run(
        project,
        ProtSubSet,
        {"inputFullSet": estimated, "inputSubSet": (filtered, "outputRejected")},
        chooseAtRandom=False,
        setOperation=ProtSubSet.SET_INTERSECTION,
    )
    assert ids(common.outputParticles) == ids(filtered.outputRejected)
    assert_same_particles(common.outputParticles, inferred.outputParticles, some=True)

    parts = [(filtered, "outputAccepted"), (filtered, "outputRejected")]
    union = run(project, ProtUnionSet, {"inputSets": parts}, inputType=0)
    joined = union.outputSet
    assert joined.getSize() == NUMBER
    assert joined.hasAlignmentProj()
    theirs = sorted(
        (p.getCTF().getDefocusU(), p.getAttributeValue("_cryoposesTrace")) for p in joined
    )
    ours = sorted(
        (p.getCTF().getDefocusU(), p.getAttributeValue("_cryoposesTrace"))
        for p in inferred.outputParticles
    )
    np.testing.assert_allclose(theirs, ours)

    links = {
        "inputParticles": (simulated, "outputParticles"),
        "inputAlignment": (filtered, "outputAccepted"),
    }
    assigned = run(project, ProtAlignmentAssign, links).outputParticles
    _, expected, _ = pose_arrays(filtered.outputAccepted)
    _, found, _ = pose_arrays(assigned)
    assert ids(assigned) == ids(filtered.outputAccepted)
    assert np.rad2deg(angular_distance_rad(found, expected)).max() < 1e-3


# ---- RELION --------------------------------------------------------------------------------------


def test_relions_particles_are_estimated_filtered_and_reconstructed_by_relion(
    project, simulated, trained, imported, relion_environment
):
    """Import from STAR -> estimate -> filter -> relion - reconstruct: the map that our
    reconstruction gives.
    """
    from relion.protocols import ProtRelionReconstruct

    from cryoposes_plugin.protocols import (
        ProtCryoposesFilter,
        ProtCryoposesInfer,
        ProtCryoposesReconstruct,
    )

    relions = import_star(project, simulated._getExtraPath("run", "particles.star"))
    links = {"inputParticles": (relions, "outputParticles"), "inputModel": (trained, "outputModel")}
    estimated = run(
        project, ProtCryoposesInfer, {**links, "inputVolume": (imported, "outputVolume")}
    )
    kept = run(
        project,
        ProtCryoposesFilter,
        {"inputParticles": (estimated, "outputParticles")},
        keepQuantile=0.8,
    )
    accepted = {"inputParticles": (kept, "outputAccepted")}
    theirs = run(project, ProtRelionReconstruct, accepted, doCTF=True)
    ours = run(project, ProtCryoposesReconstruct, accepted)
    maps = [
        mrcfile.read(protocol.outputVolume.getFileName().split(":")[0])
        for protocol in (theirs, ours)
    ]
    inside = soft_sphere(len(maps[0]), len(maps[0]) / 2 - 2, edge_px=1.0) > 0.5
    theirs, ours, mirrored = maps[0][inside], maps[1][inside], maps[1][:, :, ::-1][inside]
    assert correlation(theirs, ours) > 0.85
    assert correlation(theirs, mirrored) < correlation(theirs, ours) - 0.1


def test_export_to_relion_and_back_keeps_poses_and_our_columns(
    project, inferred, relion_environment
):
    from relion.protocols import ProtRelionExportParticles

    export = run(
        project, ProtRelionExportParticles, {"inputParticles": (inferred, "outputParticles")}
    )
    (star,) = Path(export._getPath("Export")).glob("*.star")
    table = read_particles(star)
    assert set(table.scores) >= {"cryoposesTrace", "cryoposesDispersion"}
    assert table.extra["cryoposesPoseSource"][0].startswith("network:")
    back = import_star(project, star)
    assert_same_particles(back.outputParticles, inferred.outputParticles)


@pytest.mark.slow
def test_relions_local_refinement_from_our_poses(
    project, reconstructed, simulated, relion_environment, map_file
):
    """It reaches the resolution that it reaches from the true poses, or one shell less.

    It passes on our scores, which are of the poses before, and so are not read.
    """
    from relion.protocols import ProtRelionRefine3D

    near = _poses_near_the_truth(project, simulated)
    found = {}
    for name, source in (("ours", near), ("true", simulated)):
        found[name] = run(
            project,
            ProtRelionRefine3D,
            {
                "inputParticles": (source, "outputParticles"),
                "referenceVolume": (reconstructed, "outputVolume"),
            },
            copyAlignment=True,
            alignmentAsPriors=False,
            doGpu=False,
            initialLowPassFilterA=40.0,
            isMapAbsoluteGreyScale=True,
            angularSamplingDeg=3,
            localSearchAutoSamplingDeg=3,
            extraParams="--sigma_ang 5",
            numberOfMpi=3,
            numberOfThreads=1,
        )
    box = reconstructed.outputVolume.getDim()[0]
    # Whole shells: RELION prints resolutions rounded.
    shells = {
        name: round(box * PIXEL / _resolution_angstrom(protocol))
        for name, protocol in found.items()
    }
    assert shells["ours"] >= shells["true"] - 1
    _, truth, _ = pose_arrays(simulated.outputParticles)
    _, refined, _ = pose_arrays(found["ours"].outputParticles)
    _, before, _ = pose_arrays(near.outputParticles)
    errors = [
        np.median(np.rad2deg(angular_distance_rad(poses, truth))) for poses in (before, refined)
    ]
    assert errors[1] < errors[0]
    assert None not in traces(found["ours"].outputParticles).values()
    from cryoposes_plugin.scipion import convert

    table = convert.particles_to_table(found["ours"].outputParticles, None)
    assert table.scores == {}
    assert "cryoposesPoseSource" not in table.extra


def _poses_near_the_truth(project, simulated):
    """What a trained network gives: poses some 5 degrees off, with scores; registered by a protocol
    of ours.
    """
    from cryoposes_plugin.core import conventions
    from cryoposes_plugin.core.io.particle_files import write_particles

    table = read_particles(simulated._getExtraPath("run", "particles.star"))
    rng = np.random.default_rng(5)
    angles = conventions.rotations_to_euler_deg(table.rotations) + rng.normal(
        0, 3.5, (len(table), 3)
    )
    scores = {
        name: rng.standard_normal(len(table)) for name in ("cryoposesTrace", "cryoposesDispersion")
    }
    star = simulated._getExtraPath("near.star")
    write_particles(
        star, table.replace(rotations=conventions.euler_deg_to_rotations(angles), scores=scores)
    )
    return import_star(project, star)


def _resolution_angstrom(protocol, threshold=0.143):
    """Where the protocol's FSC first falls below the threshold."""
    frequency, values = (
        np.array([float(v) for v in column]) for column in protocol.outputFSC.getData()
    )
    below = np.flatnonzero(values < threshold)
    return 1 / frequency[below[0] - 1 if len(below) else -1]


# ---- cryoSPARC -----------------------------------------------------------------------------------


@pytest.fixture
def cryosparc(tmp_path, monkeypatch):
    """The folder that the plugin takes for cryoSPARC's home."""
    utils = pytest.importorskip("cryosparc2.utils", reason="scipion-em-cryosparc2 is not installed")
    program = tmp_path / "cryosparc_master" / "bin" / "cryosparcm"
    program.parent.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("stand_in_cryosparcm.py"), program)
    lines = program.read_text().splitlines()
    program.write_text("\n".join([f"#!{sys.executable}", *lines[1:], ""]))
    program.chmod(0o755)
    (tmp_path / "cryosparc_master" / "version").write_text("v4.5.3\n")
    for name, value in (
        ("CRYOSPARC_HOME", str(tmp_path)),
        ("CRYOSPARC_USER", "someone@somewhere.org"),
    ):
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(utils.Plugin._vars, name, value)
    monkeypatch.setattr(utils, "_csVersion", None)
    return tmp_path


@pytest.mark.parametrize(
    "name, job",
    [
        ("ProtCryoSparcHomogeneousReconstruct", "homo_reconstruct"),
        ("ProtCryoSparcLocalRefine", "new_local_refine"),
    ],
)
def test_cryosparcs_protocols_go_up_to_job_submission(
    project, simulated, imported, map_file, cryosparc, relion, tmp_path, name, job
):
    import cryosparc2.protocols

    protocol = project.newProtocol(getattr(cryosparc2.protocols, name))
    link(protocol, "inputParticles", simulated, "outputParticles")
    if name.endswith("LocalRefine"):
        link(protocol, "refVolume", imported, "outputVolume")
        protocol.refMask.set(_mask(project, imported))
        protocol.refMask.setExtended("outputMask")
    assert protocol.validate() == []
    project.launchProtocol(protocol, wait=True)
    calls = (cryosparc / "calls.log").read_text().splitlines()
    jobs = (cryosparc / "jobs.log").read_text().split()
    assert jobs[0] == "import_particles", protocol.getErrorMessage()
    assert jobs[-1] == job, protocol.getErrorMessage()
    assert any(call.startswith(f'enqueue_job("P1","J{len(jobs)}"') for call in calls)

    star = protocol._getTmpPath("input_particles.star")
    assert os.path.abspath(star) in next(call for call in calls if "particle_meta_path" in call)
    output = tmp_path / "from_cryosparcs_star.mrc"
    relion(
        "relion_reconstruct",
        "--i",
        star,
        "--o",
        output,
        "--ctf",
        "--angpix",
        PIXEL,
        cwd=os.getcwd(),
    )
    assert correlation(mrcfile.read(output), mrcfile.read(map_file)) > 0.8


def _mask(project, imported):
    """A protocol with a mask as its output."""
    from pwem.protocols import ProtImportMask

    path = imported.outputVolume.getFileName().split(":")[0]
    return run(project, ProtImportMask, {}, maskPath=os.path.abspath(path), samplingRate=PIXEL)
