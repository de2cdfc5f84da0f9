"""The workflow templates that Scipion lists: each is loaded, filled in and run, toy sized, from a
script.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.maps.phantom import make_phantom

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

BOX, PIXEL, NUMBER = 32, 10.0, 120
BENCHMARK, CLEAN_UP = "learned_poses_simulation_benchmark", "learned_poses_clean_up"
INITIAL_VOLUME, PRODUCTION = "learned_poses_initial_volume", "learned_poses_production"
TEMPLATES = (BENCHMARK, CLEAN_UP, INITIAL_VOLUME, PRODUCTION)
#: A scheduler sleeps no longer than this between two looks.
_SECOND_SCHEDULER_S = 240


@pytest.fixture(scope="module")
def map_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "map.mrc"
    write_volume(path, make_phantom(BOX, PIXEL).data, PIXEL)
    return path


def test_scipion_lists_them_with_a_description(scipion_environment):
    from cryoposes_plugin.scipion.workflows import templates

    found = templates()
    assert set(TEMPLATES) <= set(found)
    assert all(len(found[name].description) > 60 for name in TEMPLATES)


def test_every_parameter_of_a_template_is_one_of_its_protocol(scipion_environment):
    """Scipion ignores names that a form does not have."""
    from pwem import Domain

    from cryoposes_plugin.scipion.workflows import templates

    for name in TEMPLATES:
        template = templates()[name]
        template.replaceEnvVariables()
        template.parseContent()
        fields = list(template.getParams().values())
        assert len(fields) == (len(template.content) - 1) // 2, (
            "two fields of one title: only the last is filled in"
        )
        for field in fields:
            template.content[field.getIndex()] = field.getValue()
        for step in json.loads("".join(template.content)):
            protocol = Domain.getProtocols()[step["object.className"]]()
            names = {n for n, _ in protocol.iterDefinitionAttributes()}
            assert {n for n in step if not n.startswith("object.")} <= names


def test_what_cannot_be_filled_in_is_said(project, map_file):
    from cryoposes_plugin.scipion.workflows import load_template

    with pytest.raises(ConfigError, match="no template 'nothing'"):
        load_template(project, "nothing")
    with pytest.raises(ConfigError, match="no field 'volume'"):
        load_template(project, BENCHMARK, volume=map_file)
    with pytest.raises(ConfigError, match="Path does not exist"):
        load_template(project, BENCHMARK, map="/nowhere.mrc")


@pytest.mark.slow
def test_both_workflows_run_from_a_script(project, map_file):
    from cryoposes_plugin.scipion.workflows import load_template, run_in_order

    steps = load_template(
        project,
        BENCHMARK,
        map=map_file,
        pixel=PIXEL,
        number=NUMBER,
        snr=1.0,
        minutes=0.05,
        rate=0.5,
    )
    assert len(steps) == 9
    assert list(steps)[0] == "import map"
    run_in_order(project, steps)
    kept = steps["filter by uncertainty"].outputAccepted.getSize()
    assert 0 < kept <= NUMBER
    assert steps["compare accepted"].outputParticles.getSize() == kept
    errors = [item._cryoposesAngularErrorDeg.get() for item in steps["compare all"].outputParticles]
    assert len(errors) == NUMBER
    assert np.ptp(errors) > 0

    star = os.path.abspath(steps["simulate particles"]._getExtraPath("run", "particles.star"))
    steps = load_template(
        project,
        CLEAN_UP,
        map=map_file,
        mappixel=PIXEL,
        pixel=PIXEL,
        star=star,
        subset=40,
        minutes=0.05,
        rate=0.5,
    )
    run_in_order(project, steps)
    assert steps["random subset to learn from"].outputParticles.getSize() == 40
    assert 0 < steps["filter by uncertainty"].outputAccepted.getSize() <= NUMBER
    assert steps["reconstruct from accepted"].outputVolume.getDim() == (BOX, BOX, BOX)

    fields = dict(star=star, pixel=PIXEL, starts=1, search=NUMBER, rounds=1)
    steps = load_template(project, INITIAL_VOLUME, cut=60.0, **fields)
    run_in_order(project, steps)
    assert steps["initial volume"].outputParticles.getSize() == NUMBER
    assert steps["refine and reconstruct"].outputVolume.getDim() == (BOX, BOX, BOX)


@pytest.mark.slow
def test_the_production_workflow_ends_in_a_consensus_with_relion(
    project, map_file, star, relion_environment
):
    from cryoposes_plugin.scipion.workflows import load_template, run_in_order

    fields = dict(strict=star, loose=star, strictpixel=PIXEL, loosepixel=PIXEL, mappixel=PIXEL)
    steps = load_template(
        project, PRODUCTION, map=map_file, minutes=0.05, rate=0.5, cut=40.0, **fields
    )
    last, consensus = list(steps.values())[-2:]
    last.doGpu.set(False)
    last.numberOfMpi.set(3)
    last.numberOfThreads.set(1)
    run_in_order(project, steps)
    kept = steps["filter by uncertainty"].outputAccepted.getSize()
    assert 0 < kept <= NUMBER
    assert last.outputParticles.getSize() == kept
    assert last.outputVolume.getDim() == (BOX, BOX, BOX)
    agree = consensus.outputAccepted.getSize()
    assert agree > 0
    assert consensus.outputRejected.getSize() == kept - agree


@pytest.fixture(scope="module")
def star(map_file, tmp_path_factory):
    """Written to a relative path: RELION's import does not take images by their absolute ones."""
    folder = tmp_path_factory.mktemp("particles")
    words = ["simulate", "--volume", map_file, "--number", NUMBER, "--snr", 1.0, "--output", "run"]
    subprocess.run(
        [sys.executable, "-m", "cryoposes_plugin", *map(str, words)],
        cwd=folder,
        check=True,
        timeout=300,
    )
    return folder / "run/particles.star"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, fields",
    [
        (INITIAL_VOLUME, "starts=1 search=120 rounds=1 cut=60 symmetryrefine=C1"),
        (CLEAN_UP, f"map={{map}} mappixel={PIXEL} subset=40 minutes=0.05 rate=0.5"),
    ],
)
def test_scipions_own_command_runs_it_in_a_clean_home(
    scipion_environment, name, fields, map_file, star, tmp_path
):
    """`scipion template` makes the project and schedules all of it at once, as its window does."""
    common = f"star={star} pixel={PIXEL} voltage=300 cs=2.7 ac=0.1 symmetry=C1 project_name=toy"
    command = (
        f"{sys.executable} -m scipion template cryoposes_plugin-{name} --nogui {common} {fields}"
    )
    (tmp_path / "home").mkdir()
    environment = {
        **os.environ,
        "SCIPION_HOME": str(tmp_path / "home"),
        "SCIPION_USER_DATA": str(tmp_path / "data"),
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]),
    }
    with open(
        tmp_path / "log", "w", encoding="utf-8"
    ) as log:  # a pipe would stay open while the project is scheduled
        words = command.format(map=map_file).split()
        subprocess.run(
            words, env=environment, stdout=log, stderr=subprocess.STDOUT, timeout=300, check=True
        )
    runs = finished_runs(tmp_path / "data/projects/toy", seconds=1200)
    ours = [run for run in runs if run.getClassName().startswith("ProtCryoposes")]
    assert len(ours) >= 2
    for run in ours:
        assert {output for output, _ in run.iterOutputAttributes()} == set(run._possibleOutputs), (
            run.getObjLabel()
        )


def finished_runs(folder: Path, seconds: float):
    """The runs of a project that works by itself, once all are finished; RuntimeError if one has
    failed for long.

    Read from the runs' own files: a project that is loaded here would take runs that wait for dead.
    Scipion's command gives a run that follows from two imports two schedulers: what the first
    starts too early, the second starts again.
    """
    from pwem import Domain
    from pyworkflow.project import Project
    from pyworkflow.protocol import Protocol, getUpdatedProtocol

    before, well = os.getcwd(), time.monotonic()
    deadline = well + seconds
    try:
        os.chdir(folder)
        project = Project(Domain, str(folder))
        project.load()
        known = project.mapper.selectAllBatch(objectFilter=lambda item: isinstance(item, Protocol))
        for run in known:
            run.setProject(project)
        while time.monotonic() < deadline:
            runs = [
                getUpdatedProtocol(run) if os.path.exists(run.getDbPath()) else run for run in known
            ]
            if all(run.isFinished() for run in runs):
                return runs
            if not any(run.isFailed() or run.isAborted() for run in runs):
                well = time.monotonic()
            elif time.monotonic() - well > _SECOND_SCHEDULER_S:
                break
            time.sleep(5)
    finally:
        os.chdir(before)
    raise RuntimeError(
        f"not all finished: {[(run.getObjLabel(), run.getStatus()) for run in runs]}"
    )
