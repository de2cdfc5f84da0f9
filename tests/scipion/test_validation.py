"""What a form says before anything runs: one sentence with what, where, the value and the remedy."""

import dataclasses
import json
import re

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.core import memory
from cryoposes_plugin.core.errors import ResourceError
from cryoposes_plugin.core.io.mrc import write_volume

from .project import BOX, PIXEL, make_table, new_set

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from pwem.objects import SetOfVolumes, Volume

from cryoposes_plugin.objects import PoseModel
from cryoposes_plugin.protocols import (
    ProtCryoposesCompare,
    ProtCryoposesFilter,
    ProtCryoposesInfer,
    ProtCryoposesIterate,
    ProtCryoposesReconstruct,
    ProtCryoposesRefine,
    ProtCryoposesSimulate,
    ProtCryoposesTrain,
)
from cryoposes_plugin.scipion import results

pytestmark = pytest.mark.usefixtures("scipion_environment")


@pytest.fixture
def particles(tmp_path, rng):
    created = new_set(tmp_path / "particles.sqlite")
    results.create_particles(created, make_table(tmp_path, range(1, 9), rng))
    created.write()
    return created


@pytest.fixture
def volume(tmp_path, rng):
    path = tmp_path / "map.mrc"
    write_volume(path, rng.standard_normal((BOX, BOX, BOX)).astype(np.float32), PIXEL)
    created = Volume(str(path))
    created.setSamplingRate(PIXEL)
    return created


@pytest.fixture
def model(tmp_path):
    from cryoposes_plugin.core.models.model_card import ModelCard

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.keras").write_bytes(b"weights")
    card = ModelCard("default", BOX, PIXEL, 50.0, "phase-flip", "raw", "C1", network={})
    (folder / "model_card.json").write_text(card.to_json())
    created = PoseModel(str(folder))
    created.setBoxSize(BOX)
    created.setSamplingRate(PIXEL)
    return created


def said(protocol):
    """The one sentence that the form shows; '' if it shows none."""
    problems = protocol.validate()
    assert len(problems) <= 1, problems
    return problems[0] if problems else ""


def simulate(volume, like=None, **values):
    protocol = ProtCryoposesSimulate(**values)
    protocol.inputVolumes.append(volume)
    if like is not None:
        protocol.inputLike.set(like)
    return protocol


def train(volume=None, particles=None, like=None, **values):
    protocol = ProtCryoposesTrain(**values)
    if volume is not None:
        protocol.inputVolumes.append(volume)
    for name, value in (("inputParticles", particles), ("inputLike", like)):
        if value is not None:
            getattr(protocol, name).set(value)
    return protocol


def one_set(protocol, **objects):
    for name, value in objects.items():
        getattr(protocol, name).set(value)
    return protocol


def test_good_forms_have_nothing_to_say(particles, volume, tmp_path):
    volumes = SetOfVolumes(filename=str(tmp_path / "volumes.sqlite"))
    volumes.setSamplingRate(PIXEL)
    for _ in range(2):
        volumes.append(volume.clone())
    volumes.write()
    assert said(simulate(volumes, like=particles)) == ""
    assert len(simulate(volumes)._make_config().volume) == 2
    assert said(train(volume, like=particles)) == ""
    assert said(train(particles=particles)) == ""
    share = ProtCryoposesFilter(keepQuantile=0.75)
    assert said(one_set(share, inputParticles=particles)) == ""
    assert "neither 'probability of junk'" in said(
        one_set(ProtCryoposesFilter(), inputParticles=particles)
    )
    assert said(one_set(ProtCryoposesReconstruct(symmetry="D2"), inputParticles=particles)) == ""
    assert (
        said(one_set(ProtCryoposesCompare(), inputTruth=particles, inputEstimate=particles)) == ""
    )


def test_a_pointer_that_is_empty_is_scipions_to_say(particles):
    assert said(ProtCryoposesFilter()) == "*Particles* cannot be EMPTY."
    assert "EMPTY" in said(ProtCryoposesSimulate())


@pytest.mark.parametrize(
    "values, words",
    [
        (dict(snr=0.0), "'SNR' is 0"),
        (dict(snr=1.0, noiseVariance=2.0), "'SNR' 1 and 'Noise variance' 2 exclude each other"),
        (dict(defocusRangeAngstromMin=30000.0), "'Underfocus (Å)' is 30000 to 25000"),
        (dict(boxSizePx=33), "'Box size (px)' is 33; give an even number"),
        (dict(number=0), "'Number of images' is 0"),
        (
            dict(preferredDirectionsDeg="10", orientations=5),
            "'Preferred views (°)' has 1 angles",
        ),
    ],
)
def test_parameters_of_a_simulation(volume, values, words):
    assert words in said(simulate(volume, **values))


@pytest.fixture
def spoiled(tmp_path, rng):
    """A set of 8 particles from a function of its table."""

    def make(function):
        created = new_set(tmp_path / "spoiled.sqlite")
        results.create_particles(created, function(make_table(tmp_path, range(1, 9), rng)))
        created.write()
        return created

    return make


def in_micrometres(table):
    u, v = 1e-4 * table.ctf.defocus_u_angstrom, 1e-4 * table.ctf.defocus_v_angstrom
    return table.replace(
        ctf=dataclasses.replace(table.ctf, defocus_u_angstrom=u, defocus_v_angstrom=v)
    )


def in_volts(table):
    return table.replace(optics=(dataclasses.replace(table.optics[0], voltage_kv=300000.0),))


def never_aligned(table):
    return table.replace(rotations=np.tile(np.eye(3), (len(table), 1, 1)))


def test_an_unlikely_number_is_a_question_before_launch(spoiled):
    form = one_set(ProtCryoposesReconstruct(), inputParticles=spoiled(in_micrometres))
    assert said(form) == ""
    asked = [line for line in form.warnings() if "micrometres" in line]
    assert len(asked) == 1
    assert asked[0].startswith("Particles: the defocus is ")
    assert "rln" not in asked[0]


def test_an_impossible_number_is_an_error(spoiled):
    form = one_set(ProtCryoposesReconstruct(), inputParticles=spoiled(in_volts))
    assert "is 300000 kV and it must be 10 to 1200 kV; it looks like V: give 300." in said(form)


def test_particles_that_were_never_aligned(spoiled, model):
    particles = spoiled(never_aligned)
    for form in (
        one_set(ProtCryoposesReconstruct(), inputParticles=particles),
        one_set(ProtCryoposesCompare(), inputTruth=particles, inputEstimate=particles),
        train(particles=particles),
    ):
        assert "were never aligned" in said(form)
        assert "'estimate poses'" in said(form)
    assert said(one_set(ProtCryoposesInfer(), inputParticles=particles, inputModel=model)) == ""


def test_a_training_without_any_noise_level(volume):
    assert "the noise level of the simulated images is not given" in said(train(volume))


@pytest.mark.parametrize(
    "kind, values, words",
    [
        (
            ProtCryoposesReconstruct,
            dict(maskDiameterAngstrom=65.0),
            "'Mask diameter (Å)' is 65 Å and the images are",
        ),
        (ProtCryoposesReconstruct, dict(maskDiameterAngstrom=6.0), "more than ten times that"),
        (ProtCryoposesIterate, dict(maskDiameterAngstrom=65.0), "'Mask diameter (Å)' is 65 Å"),
        (
            ProtCryoposesIterate,
            dict(lowPassAngstrom=7.9),
            "'Initial low-pass filter (Å)' is 7.9 and there is no detail",
        ),
        (ProtCryoposesIterate, dict(lowPassAngstrom=16.1), "the particle has no shape"),
        (ProtCryoposesRefine, dict(resolutionAngstrom=17.0), "'Resolution limit (Å)' is 17"),
        (
            ProtCryoposesFilter,
            dict(keepQuantile=0.0),
            "'Fraction to keep' 0 keeps none of the 8 particles",
        ),
        (ProtCryoposesFilter, dict(keepQuantile=0.05), "keeps none of the 8 particles"),
        (ProtCryoposesTrain, dict(maskDiameterAngstrom=65.0), "'Mask diameter (Å)' is 65 Å"),
    ],
)
def test_what_the_run_would_refuse(particles, volume, kind, values, words):
    form = one_set(kind(), inputParticles=particles)
    if hasattr(form, "inputVolume"):
        form.inputVolume.set(volume)
    if kind is ProtCryoposesIterate:
        form.lowPassAngstrom.set(12.0)
    for name, value in values.items():
        getattr(form, name).set(value)
    assert words in said(form)


def test_detail_beyond_nyquist_is_a_question(particles, volume):
    form = one_set(
        ProtCryoposesRefine(resolutionAngstrom=3.0), inputParticles=particles, inputVolume=volume
    )
    assert said(form) == ""
    assert any(
        "'Resolution limit (Å)' is 3 but the images contain no detail finer" in line
        for line in form.warnings()
    )


def test_two_sets_of_other_particles_that_share_ids(particles, tmp_path, rng):
    (tmp_path / "other").mkdir()
    other = new_set(tmp_path / "other.sqlite")
    results.create_particles(other, make_table(tmp_path / "other", range(1, 9), rng))
    other.write()
    form = one_set(ProtCryoposesCompare(), inputTruth=particles, inputEstimate=other)
    assert "share 8 ids but not the images" in said(form)


def test_particles_extracted_again_are_the_same(particles, tmp_path):
    table = make_table(tmp_path, range(1, 9), np.random.default_rng(0))
    (tmp_path / "again").mkdir()
    moved = table.replace(
        stack_paths=tuple(tmp_path / "again" / path.name for path in table.stack_paths)
    )
    for path in table.stack_paths:
        (tmp_path / "again" / path.name).write_bytes(path.read_bytes())
    sets = [new_set(tmp_path / name) for name in ("first.sqlite", "again.sqlite")]
    for created, one in zip(sets, (table, moved)):
        results.create_particles(created, one)
        created.write()
    assert said(one_set(ProtCryoposesCompare(), inputTruth=sets[0], inputEstimate=sets[1])) == ""


def test_a_large_set_is_sampled_all_over(particles):
    from cryoposes_plugin.scipion import convert

    assert convert.sample_table(particles, 3).ids.tolist() == [1, 4, 7]
    assert convert.sample_table(particles, 8).ids.tolist() == list(range(1, 9))
    assert convert.sample_table(particles, 2, among={2, 3, 8}).ids.tolist() == [2, 8]


def test_astra_without_cuda(volume, particles, monkeypatch):
    from cryoposes_plugin.core.imaging import astra_projector
    from cryoposes_plugin.core.reconstruction import cgls

    def missing():
        raise ResourceError("ASTRA needs CUDA and this machine has none; choose the other.")

    monkeypatch.setattr(astra_projector, "require_cuda", missing)
    monkeypatch.setattr(cgls, "require_astra", missing)
    assert "ASTRA needs CUDA" in said(simulate(volume, projector=1))
    assert "ASTRA needs CUDA" in said(
        one_set(ProtCryoposesReconstruct(method=1), inputParticles=particles)
    )


def test_astra_on_this_machine_is_refused_or_there(volume):
    sentence = said(simulate(volume, projector=1))
    assert sentence == "" or "CUDA" in sentence


@pytest.fixture
def refinement(particles, volume):
    return one_set(ProtCryoposesRefine(), inputParticles=particles, inputVolume=volume)


def test_too_little_memory(refinement, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**8)
    assert re.search(
        r"the run needs about [78]\d\d MB of memory and 100 MB are free; give a smaller 'Box size for "
        r"the refinement \(px\)' or fewer 'CPU threads'",
        said(refinement),
    )


def test_the_memory_of_a_queue_is_not_that_of_this_machine(refinement, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 10**8)
    refinement._useQueue.set(True)
    assert said(refinement) == ""


def test_the_summary_says_what_a_run_will_need(refinement):
    assert re.match(
        r"This run needs about [78]\d\d MB of memory \(.* free\) and \d+(\.\d)? MB of disk",
        refinement.summary()[1],
    )


def test_the_summary_of_an_empty_form_says_nothing_of_it():
    assert ProtCryoposesRefine().summary() == ["There is no result yet."]


def test_wrong_symmetry(particles, volume):
    for protocol in (
        one_set(ProtCryoposesReconstruct(symmetry="Q7"), inputParticles=particles),
        train(volume, symmetry="Q7", snr=0.1),
        one_set(ProtCryoposesCompare(symmetry="Q7"), inputTruth=particles, inputEstimate=particles),
    ):
        assert "Q7" in said(protocol)


def test_unaligned_particles(particles):
    particles.setAlignment("None")
    for protocol, name in (
        (ProtCryoposesReconstruct(), "inputParticles"),
        (ProtCryoposesTrain(), "inputParticles"),
    ):
        assert "no orientations" in said(one_set(protocol, **{name: particles}))


def test_missing_ctf_acquisition_and_particles(particles, volume, tmp_path):
    particles.setHasCTF(False)
    assert "no CTF" in said(simulate(volume, like=particles))
    assert said(simulate(volume, like=particles, ctf=False)) == ""
    particles.setHasCTF(True)
    particles.getAcquisition().setSphericalAberration(None)
    assert "no acquisition" in said(one_set(ProtCryoposesReconstruct(), inputParticles=particles))
    empty = new_set(tmp_path / "empty.sqlite")
    assert "empty" in said(one_set(ProtCryoposesFilter(), inputParticles=empty))


def test_neither_volumes_nor_particles_to_train_on():
    assert "neither 'Volumes' nor 'Particles with known poses' is given" in said(
        ProtCryoposesTrain()
    )


def test_an_odd_box_matters_only_where_images_are_read(particles):
    particles.setDim((BOX + 1, BOX + 1, 1))
    assert f"box size of the particles is {BOX + 1} px" in said(
        one_set(ProtCryoposesReconstruct(), inputParticles=particles)
    )
    share = ProtCryoposesFilter(keepQuantile=0.75)
    assert said(one_set(share, inputParticles=particles)) == ""
    assert "neither 'probability of junk'" in said(
        one_set(ProtCryoposesFilter(), inputParticles=particles)
    )


def test_particles_without_scores(tmp_path, rng):
    table = make_table(tmp_path, range(1, 4), rng).replace(scores={})
    plain = new_set(tmp_path / "plain.sqlite")
    results.create_particles(plain, table)
    assert "no 'network uncertainty, all directions'" in said(
        one_set(ProtCryoposesFilter(keepQuantile=0.75), inputParticles=plain)
    )


def test_scores_of_other_poses(tmp_path, rng):
    from pwem.objects import Transform

    scored, changed = new_set(tmp_path / "scored.sqlite"), new_set(tmp_path / "changed.sqlite")
    results.create_particles(scored, make_table(tmp_path, range(1, 4), rng))
    changed.copyInfo(scored)
    for item in scored:
        item = item.clone()
        item.setTransform(
            Transform(matrix=item.getTransform().getMatrix() @ np.diag([-1.0, 1.0, -1.0, 1.0]))
        )
        changed.append(item)
    assert said(one_set(ProtCryoposesFilter(keepQuantile=0.75), inputParticles=scored)) == ""
    assert "their poses were changed by another program" in said(
        one_set(ProtCryoposesFilter(keepQuantile=0.75), inputParticles=changed)
    )


def test_volumes_that_are_not_cubic_missing_or_without_pixel_size(volume, tmp_path):
    flat = tmp_path / "flat.mrc"
    with mrcfile.new(flat) as mrc:
        mrc.set_data(np.zeros((8, 16, 16), dtype=np.float32))
        mrc.set_volume()
    other = Volume(str(flat))
    other.setSamplingRate(PIXEL)
    assert "which is not cubic; crop or pad it" in said(simulate(other))
    volume.setSamplingRate(None)
    assert "pixel size" in said(simulate(volume))
    gone = Volume(str(tmp_path / "gone.mrc"))
    gone.setSamplingRate(PIXEL)
    assert "does not exist" in said(simulate(gone))


def test_volumes_whose_pixel_sizes_contradict(particles, volume, model):
    protocol = one_set(ProtCryoposesInfer(), inputParticles=particles, inputModel=model)
    assert said(protocol) == ""
    protocol.inputVolume.set(volume)
    assert said(protocol) == ""
    volume.setSamplingRate(PIXEL * 1.1)
    assert f"{PIXEL * 1.1:g} and {PIXEL:g} Å/px" in said(protocol)


@pytest.mark.parametrize("kind", [ProtCryoposesInfer, ProtCryoposesIterate])
def test_a_model_of_another_schema_or_for_other_images(kind, particles, volume, model):
    protocol = one_set(kind(), inputParticles=particles, inputModel=model)
    if kind is ProtCryoposesIterate:
        protocol.inputVolume.set(volume)
        protocol.lowPassAngstrom.set(15.0)
    assert said(protocol) == ""
    for images in (particles, volume):
        images.setSamplingRate(PIXEL * 1.5)
    assert f"{PIXEL * 1.5:g} Å/px" in said(protocol)
    assert "Nyquist" in said(protocol)
    for images in (particles, volume):
        images.setSamplingRate(PIXEL)
    particles.setHasCTF(False)
    assert "no CTF" in said(protocol)
    card = f"{model.getFolder()}/model_card.json"
    with open(card, "w", encoding="utf-8") as handle:
        json.dump({"schema_version": 999}, handle)
    assert "999" in said(protocol)


def test_a_volume_with_another_pixel_size_in_its_header_gets_scipions(volume, tmp_path):
    from cryoposes_plugin.core.io.mrc import read_volume
    from cryoposes_plugin.scipion.images import volume_to_mrc

    target = tmp_path / "out.mrc"
    volume_to_mrc(volume, target)
    assert target.is_symlink()
    assert read_volume(target).pixel_size_angstrom == pytest.approx(PIXEL)
    volume.setSamplingRate(2.5)
    volume_to_mrc(volume, target)
    assert not target.is_symlink()
    assert read_volume(target).pixel_size_angstrom == pytest.approx(2.5)
    np.testing.assert_array_equal(read_volume(target).data, mrcfile.read(volume.getFileName()))


def test_the_program_runs_here_or_in_the_environment_that_was_named(monkeypatch, tmp_path):
    import sys

    from cryoposes_plugin.plugin import (
        CRYOPOSES_ENV_ACTIVATION,
        CRYOPOSES_PYTHON,
        PACKAGE_FOLDER,
        Plugin,
    )

    monkeypatch.setattr(
        Plugin, "_vars", {**Plugin.getVars(), CRYOPOSES_ENV_ACTIVATION: "", CRYOPOSES_PYTHON: ""}
    )
    assert Plugin.getProgram() == f"{sys.executable} -m cryoposes_plugin"
    assert Plugin.validateInstallation() == []
    Plugin._vars[CRYOPOSES_ENV_ACTIVATION] = "module load tf && . env/bin/activate"
    assert (
        Plugin.getProgram() == "module load tf && . env/bin/activate && python -m cryoposes_plugin"
    )
    environ = Plugin.getComputeEnviron(str(tmp_path / "link"))
    assert environ["PYTHONPATH"] == str(tmp_path / "link")
    assert (tmp_path / "link" / "cryoposes_plugin").resolve() == (
        tmp_path / PACKAGE_FOLDER
    ).resolve()
    Plugin._vars[CRYOPOSES_ENV_ACTIVATION], Plugin._vars[CRYOPOSES_PYTHON] = "", "/nowhere/python"
    assert "/nowhere/python" in Plugin.validateInstallation()[0]


def test_the_compute_environment_has_cuda_where_there_is_a_gpu(tmp_path, monkeypatch):
    from cryoposes_plugin import plugin

    def tensorflow():
        return [r for r in plugin.compute_requirements() if r.startswith("tensorflow")]

    monkeypatch.setattr(plugin, "NVIDIA_DRIVER", str(tmp_path / "version"))
    assert tensorflow() == ["tensorflow==2.21.0"]
    (tmp_path / "version").write_text("NVRM version: 570")
    assert tensorflow() == ["tensorflow[and-cuda]==2.21.0"]
    assert len(plugin.compute_requirements()) == len(plugin.COMPUTE_REQUIREMENTS)
