"""The mistakes that a new user makes: each ends in one sentence in the form, before anything is
launched.
"""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("pwem", reason="Scipion (scipion-em) is not installed")

from pwem.objects import Volume

from cryoposes_plugin.core.errors import ResourceError
from cryoposes_plugin.protocols import (
    ProtCryoposesCompare,
    ProtCryoposesFilter,
    ProtCryoposesInfer,
    ProtCryoposesInitialVolume,
    ProtCryoposesReconstruct,
    ProtCryoposesRecover,
)
from cryoposes_plugin.scipion import results

from .project import BOX, PIXEL, make_table, new_set
from .test_validation import model, one_set, particles, said, simulate, train, volume  # noqa: F401 - fixtures too

pytestmark = pytest.mark.usefixtures("scipion_environment")


@pytest.fixture
def desk(request, tmp_path, rng, monkeypatch):
    """What lies before the user; each mistake takes from it."""
    things = {name: request.getfixturevalue(name) for name in ("particles", "volume", "model")}
    return SimpleNamespace(**things, folder=tmp_path, rng=rng, monkeypatch=monkeypatch)


def particles_that_nobody_aligned(desk):
    desk.particles.setAlignment("None")
    return one_set(ProtCryoposesReconstruct(), inputParticles=desk.particles), "no orientations"


def a_volume_in_the_place_of_particles(desk):
    return one_set(
        ProtCryoposesFilter(), inputParticles=desk.volume
    ), "the object is a Volume; give a SetOfParticles"


def a_model_for_finer_pixels(desk):
    desk.particles.setSamplingRate(2 * PIXEL)
    form = one_set(ProtCryoposesInfer(), inputParticles=desk.particles, inputModel=desk.model)
    return form, "give less binned particles or train a model for them"


def asking_for_astra_without_a_gpu(desk):
    from cryoposes_plugin.core.imaging import astra_projector

    def missing():
        raise ResourceError(
            "The projector 'astra' needs a CUDA device; choose the projector 'fourier'."
        )

    desk.monkeypatch.setattr(astra_projector, "require_cuda", missing)
    return simulate(desk.volume, projector=1), "needs a CUDA device"


def a_subset_with_nothing_in_it(desk):
    empty = new_set(desk.folder / "empty.sqlite")
    return one_set(ProtCryoposesFilter(), inputParticles=empty), "the particle set is empty"


def particles_without_a_ctf(desk):
    desk.particles.setHasCTF(False)
    return one_set(
        ProtCryoposesInfer(), inputParticles=desk.particles, inputModel=desk.model
    ), "have no CTF"


def an_odd_box(desk):
    desk.particles.setDim((BOX + 1, BOX + 1, 1))
    return one_set(
        ProtCryoposesReconstruct(), inputParticles=desk.particles
    ), "give an even box size"


def a_volume_whose_file_is_gone(desk):
    gone = Volume(str(desk.folder / "gone.mrc"))
    gone.setSamplingRate(PIXEL)
    return train(gone), "does not exist"


def filtering_particles_that_have_no_score(desk):
    plain = new_set(desk.folder / "plain.sqlite")
    results.create_particles(
        plain, make_table(desk.folder, range(1, 4), desk.rng).replace(scores={})
    )
    return one_set(
        ProtCryoposesFilter(), inputParticles=plain
    ), "estimate their poses with 'estimate poses' and a volume first"


def training_on_nothing(desk):
    return train(), "neither 'Volumes' nor 'Particles with known poses' is given"


def a_threshold_that_keeps_nobody(desk):
    form = one_set(ProtCryoposesFilter(threshold=-1e6), inputParticles=desk.particles)
    return form, "none of the 8 particles would be kept"


def comparing_sets_of_different_particles(desk):
    other = new_set(desk.folder / "other.sqlite")
    results.create_particles(other, make_table(desk.folder, range(100, 104), desk.rng))
    return one_set(
        ProtCryoposesCompare(), inputTruth=desk.particles, inputEstimate=other
    ), "no particle id in common"


def a_model_whose_folder_was_deleted(desk):
    shutil.rmtree(desk.model.getFolder())
    form = one_set(ProtCryoposesInfer(), inputParticles=desk.particles, inputModel=desk.model)
    return form, desk.model.getFolder()


def a_symmetry_that_is_none(desk):
    return one_set(ProtCryoposesReconstruct(symmetry="Q7"), inputParticles=desk.particles), "Q7"


def first_volume(desk, images=None, **values):
    return one_set(ProtCryoposesInitialVolume(**values), inputParticles=images or many(desk))


def recovery(desk, images=None, network=None, **values):
    form = ProtCryoposesRecover(**values)
    return one_set(form, inputParticles=images or many(desk), inputModel=network or desk.model)


def many(desk, first=1):
    """As many as the search for a volume, and distances, need at least."""
    created = new_set(desk.folder / f"{len(list(desk.folder.iterdir()))}.sqlite")
    results.create_particles(created, make_table(desk.folder, range(first, first + 60), desk.rng))
    return created


def a_volume_to_find_a_volume_from(desk):
    return first_volume(desk, desk.volume), "the object is a Volume; give a SetOfParticles"


def a_first_volume_from_one_particle(desk):
    one = new_set(desk.folder / "one.sqlite")
    one.copyInfo(desk.particles)
    one.append(desk.particles.getFirstItem().clone())
    return first_volume(
        desk, one
    ), "Particles: an initial volume needs at least 50 particles and this set has 1"


def a_particle_wider_than_its_images(desk):
    return first_volume(
        desk, diameterAngstrom=500.0
    ), f"'Particle diameter (Å)' is 500 Å and the images are {BOX * PIXEL:.0f} Å"


def a_diameter_that_is_no_number(desk):
    return first_volume(
        desk, diameterAngstrom=float("nan")
    ), "'Particle diameter (Å)' is nan; give a finite number"


def no_starts(desk):
    return first_volume(desk, starts=0), "'Random starts' is 0; it must be at least 1"


def an_odd_working_box(desk):
    return first_volume(
        desk, workingBoxPx=33
    ), "'Box size for the refinement (px)' is 33; give an even number"


def a_first_volume_of_a_symmetry_that_is_none(desk):
    return first_volume(desk, symmetry="Q7"), "Q7"


def a_first_volume_from_corrected_amplitudes(desk):
    images = many(desk)
    images.setIsAmplitudeCorrected(True)
    return first_volume(desk, images), "give the particles as they were before that correction"


def particles_in_the_place_of_a_model(desk):
    return recovery(
        desk, network=desk.particles
    ), "the object is a SetOfParticles; give a PoseModel"


def poses_of_eight_particles_from_their_distances(desk):
    return recovery(
        desk, desk.particles
    ), "this set has 8 particles, and distances between fewer than 50 do not determine poses"


def distances_between_particles_without_a_ctf(desk):
    images = many(desk)
    images.setHasCTF(False)
    return recovery(desk, images), "have no CTF"


def distances_by_a_model_for_finer_pixels(desk):
    images = many(desk)
    images.setSamplingRate(2 * PIXEL)
    return recovery(desk, images), "give less binned particles or train a model for them"


def distances_under_a_symmetry(desk):
    card = Path(desk.model.getFolder(), "model_card.json")
    card.write_text(json.dumps({**json.loads(card.read_text()), "symmetry": "D2"}))
    return recovery(desk), "distances do not determine rotations; use 'estimate poses'"


def true_poses_of_other_particles(desk):
    form = recovery(desk)
    form.inputTruth.set(many(desk, first=1000))
    return form, "no particle id in common"


def a_volume_of_another_pixel_size(desk):
    desk.volume.setSamplingRate(1.2 * PIXEL)
    form = recovery(desk)
    form.inputVolume.set(desk.volume)
    return form, f"their pixel sizes are {1.2 * PIXEL:g} and {PIXEL:g} Å/px"


def a_largest_shift_that_is_no_number(desk):
    form = recovery(desk, maxShiftPx=float("nan"))
    form.inputVolume.set(desk.volume)
    return form, "'Largest shift (px)' is nan; give a finite number"


def particles_that_their_run_has_not_made_yet(desk):
    """Though they are optional: a scheduled run starts when its form has nothing to say."""
    form, simulation = train(desk.volume), simulate(desk.volume)
    simulation.setObjLabel("simulation")
    form.inputLike.set(simulation)
    form.inputLike.setExtended("outputParticles")
    return (
        form,
        "Particles to imitate: 'simulation' has not produced outputParticles yet; wait until that "
        "run has finished",
    )


MISTAKES = [
    particles_that_their_run_has_not_made_yet,
    particles_that_nobody_aligned,
    a_volume_in_the_place_of_particles,
    a_model_for_finer_pixels,
    asking_for_astra_without_a_gpu,
    a_subset_with_nothing_in_it,
    particles_without_a_ctf,
    an_odd_box,
    a_volume_whose_file_is_gone,
    filtering_particles_that_have_no_score,
    training_on_nothing,
    a_threshold_that_keeps_nobody,
    comparing_sets_of_different_particles,
    a_model_whose_folder_was_deleted,
    a_symmetry_that_is_none,
    a_volume_to_find_a_volume_from,
    a_first_volume_from_one_particle,
    a_particle_wider_than_its_images,
    a_diameter_that_is_no_number,
    no_starts,
    an_odd_working_box,
    a_first_volume_of_a_symmetry_that_is_none,
    a_first_volume_from_corrected_amplitudes,
    particles_in_the_place_of_a_model,
    poses_of_eight_particles_from_their_distances,
    distances_between_particles_without_a_ctf,
    distances_by_a_model_for_finer_pixels,
    distances_under_a_symmetry,
    true_poses_of_other_particles,
    a_volume_of_another_pixel_size,
    a_largest_shift_that_is_no_number,
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_it_is_said_in_the_form(desk, mistake):
    form, words = mistake(desk)
    sentence = said(form)
    assert words in sentence
    assert sentence.endswith((".", "*"))
    assert "Traceback" not in sentence
    assert "--" not in sentence


def test_the_same_forms_without_the_mistake_have_nothing_to_say(desk):
    assert said(first_volume(desk, diameterAngstrom=50.0)) == ""
    assert said(recovery(desk)) == ""
    form = recovery(
        desk, desk.particles, method=1
    )  # hidden, and without a meaning, where there is a volume
    form.inputVolume.set(desk.volume)
    assert said(form) == ""


def test_a_missing_gpu_is_no_matter(desk):
    """No box to be clicked away before every run."""
    form = train(desk.volume, snr=0.1)
    assert form.useGpu
    assert said(form) == ""
    assert form.warnings() == []
