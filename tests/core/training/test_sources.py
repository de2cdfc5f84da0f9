"""Training data: a batch is a function of (seed, step); noise has the level that was asked for or
measured.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from cryoposes_plugin.commands.run_directory import RunDirectory
from cryoposes_plugin.commands.simulate import run as simulate
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.commands.train.inputs import make_plan, model_box_size_px
from cryoposes_plugin.core.conventions import viewing_directions
from cryoposes_plugin.core.errors import ConfigError, InputError
from cryoposes_plugin.core.fourier.ctf import pack_ctf
from cryoposes_plugin.core.fourier.masks import circular_mask
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations
from cryoposes_plugin.core.imaging import background as noise_level
from cryoposes_plugin.core.imaging.draws import BatchShare
from cryoposes_plugin.core.imaging.faults.ice import ramps
from cryoposes_plugin.core.imaging.noise import noise_amplitude, simulate_noise
from cryoposes_plugin.core.io.mrc import write_stack, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.models.preprocessing import Preprocessing
from cryoposes_plugin.core.particles.images import ResampledImages
from cryoposes_plugin.core.training.augmentation import Augmentation
from cryoposes_plugin.core.training.sources import LabelledSource, MixedSource, SimulatedSource

SNR, NUMBER = 0.4, 150


@pytest.fixture(scope="module")
def files(tmp_path_factory, asymmetric_volume):
    """A map and 150 particles of it, raw, 48 px, SNR 0.4."""
    folder = tmp_path_factory.mktemp("data")
    write_volume(folder / "map.mrc", asymmetric_volume.data, asymmetric_volume.pixel_size_angstrom)
    for state in ("raw", "ctf-premultiplied"):
        config = SimulateConfig(
            volume=(str(folder / "map.mrc"),), number=NUMBER, snr=SNR, image_state=state
        )
        run = RunDirectory.open(folder / state, config)
        run.finish(simulate.run(config, run))
    return folder


@pytest.fixture
def config(files):
    return TrainConfig(volume=(str(files / "map.mrc"),), snr=SNR)


def simulated(config, turn=None):
    plan = make_plan(config)
    preprocessing = Preprocessing(
        *plan.model_grid,
        plan.mask_diameter_angstrom,
        config.recipe().ctf_correction,
    )
    return SimulatedSource(
        config.seed,
        config.imaging(),
        plan.volumes,
        plan.grid,
        preprocessing,
        plan.noise.amplitude,
        plan.simulated_state,
        plan.like,
        turn,
    )


def test_a_network_of_another_frame_sees_the_same_images_and_other_rotations(config):
    turn = symmetry_rotations("T")[5]
    plain, turned = (simulated(config, given) for given in (None, turn))
    (first, rotations), (same, others) = (images(source, 6, 3) for source in (plain, turned))
    np.testing.assert_array_equal(same, first)
    np.testing.assert_allclose(others @ turn, rotations, atol=1e-6)


def images(source, number, step):
    arrays = {name: tf.constant(value) for name, value in source.arrays(number, step).items()}
    batch, labels = source.images(arrays)
    return batch.numpy(), labels.rotations.numpy()


def labels_of(source, number, step):
    arrays = {name: tf.constant(value) for name, value in source.arrays(number, step).items()}
    return source.images(arrays)[1]


def test_a_batch_is_a_function_of_seed_and_step(config):
    source = simulated(config)
    first, rotations = images(source, 4, 7)
    again, _ = images(simulated(config), 4, 7)
    np.testing.assert_array_equal(first, again)
    other, turned = images(source, 4, 8)
    assert np.abs(first - other).max() > 0.1
    assert np.abs(rotations - turned).max() > 0.1
    reseeded, _ = images(simulated(dataclasses.replace(config, seed=1)), 4, 7)
    assert np.abs(first - reseeded).max() > 0.1


def test_a_d2_particle_has_each_view_once_in_the_quarter(config):
    source = simulated(dataclasses.replace(config, orientations="quarter-sphere"))
    views = viewing_directions(source.arrays(400, 0)["rotations"])
    copies = np.einsum("gij,nj->gni", symmetry_rotations("D2"), views)
    in_quarter = (copies[..., 1] > 0) & (copies[..., 2] > 0)
    np.testing.assert_array_equal(in_quarter.sum(axis=0), 1)
    assert in_quarter[np.all(symmetry_rotations("D2") == np.eye(3), axis=(1, 2))].all()
    assert np.ptp(views[:, 0]) > 1.9


def test_simulated_noise_has_the_snr_that_was_asked_for(files, config):
    metrics = RunDirectory.open(files / "raw", _simulate_config(files)).metrics()
    plan = make_plan(config)
    assert plan.noise.variance == pytest.approx(metrics["noise_variance"], rel=0.04)
    assert plan.noise.snr == SNR


def _simulate_config(files, **values):
    return SimulateConfig(volume=(str(files / "map.mrc"),), number=NUMBER, snr=SNR, **values)


def test_like_gives_grid_and_noise_but_no_poses(files, config):
    plan = make_plan(dataclasses.replace(config, snr=None, like=str(files / "raw/particles.star")))
    assert (plan.grid.box_size_px, plan.model_grid.box_size_px) == (48, 48)
    assert plan.noise.snr == pytest.approx(SNR, rel=0.12)
    premultiplied = make_plan(
        dataclasses.replace(config, snr=None, like=str(files / "ctf-premultiplied/particles.star"))
    )
    assert premultiplied.simulated_state == "ctf-premultiplied"
    assert premultiplied.noise.snr == pytest.approx(SNR, rel=0.15)


def coloured_power(box, correlation_px):
    half = noise_amplitude(box, correlation_px) ** 2
    return np.concatenate(
        [half, half[(-np.arange(box)) % box][:, 1 : box - box // 2][:, ::-1]], axis=1
    )


@pytest.mark.parametrize("correlation_px", [0.0, 1.0, 1.5])
def test_the_spectrum_of_the_noise_is_measured_around_the_particles(
    files, tmp_path, correlation_px
):
    """Strong signal inside the circle, and a scale and a gradient of the background that differ from
    image to image, change nothing.
    """
    box = 48
    noise = simulate_noise(3, np.arange(NUMBER), box, correlation_px).astype(np.float64)
    inside = circular_mask(box, 16.0)
    rng = np.random.default_rng(1)
    bright, gradients = rng.uniform(1, 3, (NUMBER, 1, 1)), rng.standard_normal((NUMBER, 2))
    pixels = bright * (noise + 5 * inside + ramps(gradients, box))
    write_stack(tmp_path / "images.mrcs", pixels.astype(np.float32), 5.0)
    table = read_particles(files / "raw/particles.star").replace(
        stack_paths=(tmp_path / "images.mrcs",)
    )
    found = noise_level.measure_background(ResampledImages(table, box, 5.0), 180.0, 0).power
    expected = np.ones((box, box)) if correlation_px == 0 else coloured_power(box, correlation_px)
    assert found.mean() == pytest.approx(1)
    # The taper blurs the spectrum by some steps of frequency.
    np.testing.assert_allclose(found, expected, rtol=0.12, atol=0.05)


def test_training_noise_has_the_spectrum_of_the_particles(files, config, tmp_path):
    """Seen from outside: in training images without a signal, as in the particles, neighbours are
    correlated alike.
    """
    run = RunDirectory.open(tmp_path / "set", _simulate_config(files, noise_correlation_px=1.0))
    run.finish(simulate.run(run.config, run))
    like = str(tmp_path / "set/particles.star")
    source = simulated(dataclasses.replace(config, snr=None, like=like))
    noise = source._noise(tf.constant([0, 1]), (500, 48, 48)).numpy()
    white = simulated(config)._noise(tf.constant([0, 1]), (500, 48, 48)).numpy()
    assert noise.std() == pytest.approx(white.std(), rel=0.08)
    # Half the power is white, half has the correlation exp(-1 / 4) of its blur.
    for image, expected in ((noise, 0.5 * np.exp(-0.25)), (white, 0.0)):
        assert (image[:, 1:] * image[:, :-1]).mean() / image.var() == pytest.approx(
            expected, abs=0.03
        )


def test_premultiplied_particles_tell_the_spectrum_of_their_raw_noise(files, config, tmp_path):
    measured = []
    for state in ("raw", "ctf-premultiplied"):
        run = RunDirectory.open(
            tmp_path / state, _simulate_config(files, noise_correlation_px=1.0, image_state=state)
        )
        run.finish(simulate.run(run.config, run))
        plan = make_plan(
            dataclasses.replace(config, snr=None, like=str(tmp_path / state / "particles.star"))
        )
        measured.append(plan.noise.amplitude)
    raw, premultiplied = (_shell_means(a) for a in measured)
    # At the lowest frequencies a premultiplied image holds nothing of its noise.
    np.testing.assert_allclose(premultiplied[4:23], raw[4:23], rtol=0.25)


def _shell_means(half):
    y, x = np.meshgrid(np.fft.fftfreq(48) * 48, np.arange(25), indexing="ij")
    shell = np.rint(np.hypot(x, y)).astype(int).ravel()
    return (np.bincount(shell, half.ravel()) / np.bincount(shell))[:25]


def test_noise_of_a_smaller_model_box_is_what_cropping_leaves(config, rng):
    amplitude = noise_level.cropped_noise_amplitude(None, 48, 24)
    np.testing.assert_allclose(amplitude, 0.5)
    coloured = noise_amplitude(48, 2.0)
    cropped = noise_level.cropped_noise_amplitude(coloured, 48, 24)
    np.testing.assert_allclose(cropped[:5, :5], coloured[:5, :5] / 2)
    np.testing.assert_allclose(cropped[-3:, :5], coloured[-3:, :5] / 2)
    small = simulated(
        dataclasses.replace(config, snr=None, noise_variance=1.0, model_box_size_px=24)
    )
    noise = small._noise(tf.constant([0, 1]), (50, 24, 24)).numpy()
    assert noise.std() == pytest.approx(0.5, rel=0.02)


def test_shifts_and_ctfs_are_scaled_to_the_model(config):
    whole = simulated(config).arrays(3, 0)
    half = simulated(dataclasses.replace(config, model_box_size_px=24)).arrays(3, 0)
    np.testing.assert_allclose(half["shifts_px"], whole["shifts_px"] / 2, rtol=1e-6)
    np.testing.assert_array_equal(half["ctf"], whole["ctf"])


def test_images_are_masked_and_standardised(config):
    source = simulated(config)
    batch, _ = images(source, 3, 0)
    mask = source.preprocessing.mask
    assert (batch[:, mask == 0] == 0).all()
    assert mask[24, 24] == 1
    np.testing.assert_allclose((batch**2).sum(axis=(1, 2)) / mask.sum(), 1.0, rtol=1e-4)


def test_phase_flip_makes_the_ctf_positive(config):
    source = simulated(dataclasses.replace(config, snr=None, noise_variance=0.0))
    arrays = {k: tf.constant(v) for k, v in source.arrays(8, 0).items()}
    corrected = source.images(arrays)[0].numpy()
    pose = (arrays["volume_index"], arrays["rotations"], arrays["shifts_px"], arrays["ctf"])
    positive, raw = (
        source.preprocessing.normalise(source.model.images(*pose, state)).numpy()
        for state in ("phase-flipped", "raw")
    )
    assert np.abs(corrected - positive).max() < 0.02 * np.abs(positive).max()
    assert np.abs(corrected - raw).max() > 0.1 * np.abs(positive).max()


def test_premultiplying_makes_the_signal_carry_the_squared_ctf(config):
    config = dataclasses.replace(config, snr=None, noise_variance=0.0, ctf_correction="premultiply")
    source = simulated(config)
    arrays = {k: tf.constant(v) for k, v in source.arrays(8, 0).items()}
    pose = (arrays["volume_index"], arrays["rotations"], arrays["shifts_px"], arrays["ctf"])
    expected = source.preprocessing.normalise(
        source.model.images(*pose, "ctf-premultiplied")
    ).numpy()
    assert np.abs(source.images(arrays)[0].numpy() - expected).max() < 0.02 * np.abs(expected).max()


def labelled(files, rows=None, augmentation=None, trust=1.0):
    table = read_particles(files / "raw/particles.star", require=("poses", "ctf"))
    rows = np.arange(len(table)) if rows is None else rows
    source = ResampledImages(table, 48, 5.0)
    return LabelledSource(
        0,
        source,
        rows,
        Preprocessing(48, 5.0, 220.0, "phase-flip"),
        "raw",
        augmentation,
        trust=trust,
    ), table


def test_labelled_epochs_see_every_particle_once(files):
    source, _ = labelled(files, rows=np.arange(10, 41))
    rows = np.concatenate([source.batch_rows(8, step) for step in range(31)])
    for epoch in range(8):
        assert sorted(rows[31 * epoch : 31 * (epoch + 1)]) == list(range(10, 41))
    assert (rows[:31] != rows[31:62]).any()


def test_particles_are_seen_as_often_as_their_weight_says(files):
    table = read_particles(files / "raw/particles.star", require=("poses", "ctf"))
    rows, weights = np.arange(20, 30), np.array([2.5, 0.5, *[7 / 8] * 8])
    common = (Preprocessing(48, 5.0, 220.0, "phase-flip"), "raw", None)
    source = LabelledSource(0, ResampledImages(table, 48, 5.0), rows, *common, weights)
    epochs = np.array([source.batch_rows(10, step) for step in range(400)])
    counts = np.array([(epochs == row).sum(axis=1) for row in rows])
    np.testing.assert_allclose(counts.mean(axis=1), weights, atol=0.1)
    assert set(counts[0]) == {2, 3} and set(counts[1]) == {0, 1}


def test_augmented_particles_are_centred_and_moved_anew(files):
    augmentation = Augmentation(False, False, 1.0, 0.0)
    source, table = labelled(files, augmentation=augmentation)
    spread = np.sqrt(np.mean(table.shifts_px**2) + 1.0)
    assert source.typical_shift_px() == pytest.approx(spread)
    labels = labels_of(source, NUMBER, 0)
    known = table.shifts_px[source.batch_rows(NUMBER, 0)]
    assert np.std(labels.shifts_px) == pytest.approx(spread, rel=0.15)
    assert abs(np.corrcoef(np.ravel(labels.shifts_px), known.ravel())[0, 1]) < 0.2


def test_two_optics_groups_have_labels_in_pixels_of_the_network(files, tmp_path):
    """Half of the particles at twice the pixel size and at another voltage: the same particles."""
    table = read_particles(files / "raw/particles.star", require=("poses", "ctf")).take(
        np.arange(8)
    )
    images = ResampledImages(table, 24, 10.0)
    write_stack(tmp_path / "coarse.mrcs", images.read(np.arange(4, 8)), 10.0)
    coarse = dataclasses.replace(
        table.optics[0], name="coarse", pixel_size_angstrom=10.0, box_size_px=24
    )
    both = table.replace(
        optics=(table.optics[0], coarse),
        optics_index=np.repeat([0, 1], 4),
        stack_paths=(*table.stack_paths, tmp_path / "coarse.mrcs"),
        stack_index=np.repeat([0, len(table.stack_paths)], 4),
        slice_index=np.array([*table.slice_index[:4], 0, 1, 2, 3]),
        shifts_px=table.shifts_px / np.repeat([1.0, 2.0], 4)[:, None],
        ctf=dataclasses.replace(table.ctf, voltage_kv=np.repeat([300.0, 200.0], 4)),
    )
    common = (np.arange(8), Preprocessing(24, 10.0, 220.0, "phase-flip"), "raw", None)
    source = LabelledSource(0, ResampledImages(both, 24, 10.0), *common)
    arrays, rows = source.arrays(8, 0), source.batch_rows(8, 0)
    np.testing.assert_allclose(arrays["shifts_px"], table.shifts_px[rows] / 2, rtol=1e-5)
    np.testing.assert_array_equal(arrays["ctf"], pack_ctf(both.ctf.take(rows)))
    found, whole = arrays["particles"], images.read(rows)
    correlation = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(found, whole)]
    assert min(correlation) > 0.99


def test_junk_has_no_pose(files):
    table = read_particles(files / "raw/particles.star", require=("ctf",)).replace(rotations=None)
    common = (np.arange(NUMBER), Preprocessing(48, 5.0, 220.0, "phase-flip"), "raw", None)
    labels = labels_of(LabelledSource(0, ResampledImages(table, 48, 5.0), *common, trust=0.0), 4, 3)
    np.testing.assert_array_equal(labels.trust, 0)
    np.testing.assert_array_equal(labels.shift_known, 0)


def test_labels_belong_to_their_images(files, config):
    source, table = labelled(files)
    batch, rotations = images(source, 4, 3)
    rows = source.batch_rows(4, 3)
    np.testing.assert_allclose(rotations, table.rotations[rows], atol=1e-6)
    model = simulated(dataclasses.replace(config, snr=None, noise_variance=0.0)).model
    clean = model.images(
        tf.zeros(4, tf.int32),
        tf.constant(rotations),
        tf.constant(table.shifts_px[rows], tf.float32),
    ).numpy()
    right = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(batch, clean)]
    wrong = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(batch, np.roll(clean, 1, axis=0))
    ]
    assert np.mean(right) > 0.3
    assert np.mean(right) > np.mean(wrong) + 0.1


def test_shifts_are_delivered_in_pixels_of_the_network(files, config):
    half = simulated(dataclasses.replace(config, model_box_size_px=24))
    labels = labels_of(half, 4, 0)
    np.testing.assert_array_equal(labels.shifts_px, half.arrays(4, 0)["shifts_px"])
    np.testing.assert_array_equal(labels.shift_known, 1)
    assert half.typical_shift_px() == pytest.approx(config.shift_px / 2, rel=0.1)
    table = read_particles(files / "raw/particles.star", require=("poses", "ctf"))
    common = (np.arange(NUMBER), Preprocessing(24, 10.0, 220.0, "phase-flip"), "raw", None)
    source = LabelledSource(0, ResampledImages(table, 24, 10.0), *common)
    rows = source.batch_rows(4, 3)
    np.testing.assert_allclose(
        labels_of(source, 4, 3).shifts_px, table.shifts_px[rows] / 2, rtol=1e-5
    )
    assert source.typical_shift_px() == pytest.approx(np.sqrt(np.mean((table.shifts_px / 2) ** 2)))


@pytest.mark.parametrize("shifts", [None, np.zeros((NUMBER, 2))])
def test_shifts_that_nobody_knows_are_marked(files, shifts):
    table = read_particles(files / "raw/particles.star", require=("poses", "ctf")).replace(
        shifts_px=shifts
    )
    common = (np.arange(NUMBER), Preprocessing(48, 5.0, 220.0, "phase-flip"), "raw", None)
    labels = labels_of(LabelledSource(0, ResampledImages(table, 48, 5.0), *common), 4, 3)
    np.testing.assert_array_equal(labels.shift_known, 0)


@pytest.mark.parametrize("replicas", [2, 3])
def test_shares_make_up_the_batch_of_one(files, config, replicas):
    """Simulated images with coloured noise, and particles with every augmentation, 7 to 5."""
    coloured = dataclasses.replace(config, noise_correlation_px=2.0)
    moved = Augmentation(rotation=True, mirror=True, shift_px=1.0, noise=0.5)
    whole = MixedSource([simulated(coloured), labelled(files, augmentation=moved)[0]], [7, 5])
    batch, rotations = images(whole, 12, 3)
    for first in range(replicas):
        part = whole.sharing(BatchShare(12, first, replicas))
        some, turned = images(part, 12, 3)
        np.testing.assert_allclose(some, batch[first::replicas], atol=1e-4)
        np.testing.assert_array_equal(turned, rotations[first::replicas])


def test_mixed_batches_come_from_both(files, config):
    first, second = simulated(config), labelled(files)[0]
    batch, rotations = images(MixedSource([first, second]), 7, 2)
    np.testing.assert_array_equal(batch[:4], images(first, 4, 2)[0])
    np.testing.assert_array_equal(rotations[4:], images(second, 3, 2)[1])
    shared = MixedSource([first, second], [0.9, 0.1])
    trust = labels_of(MixedSource([first, labelled(files, trust=0.9)[0]], [0.8, 0.2]), 10, 2).trust
    np.testing.assert_allclose(trust, [1.0] * 8 + [0.9] * 2)
    np.testing.assert_array_equal(images(shared, 8, 2)[1][:7], images(first, 7, 2)[1])


@pytest.mark.parametrize(
    "box, preset, expected",
    [(128, "default", 64), (48, "default", 48), (49, "default", 48), (128, "cryoforum2023", 128)],
)
def test_box_of_the_network(box, preset, expected):
    assert model_box_size_px(TrainConfig(preset=preset), box) == expected


def test_measuring_noise_needs_background_and_signal(files, tmp_path, rng):
    table = read_particles(files / "raw/particles.star")
    with pytest.raises(InputError, match="leaves no background"):
        noise_level.measure_background(ResampledImages(table, 48, 5.0), 400.0, 0)
    write_stack(tmp_path / "noise.mrcs", rng.standard_normal((NUMBER, 48, 48)), 5.0)
    noise = table.replace(stack_paths=(tmp_path / "noise.mrcs",))
    with pytest.raises(InputError, match="no signal above"):
        noise_level.measure_background(ResampledImages(noise, 48, 5.0), 180.0, 0)
    masked = rng.standard_normal((NUMBER, 48, 48)) * (np.hypot(*np.mgrid[-24:24, -24:24]) < 14)
    write_stack(tmp_path / "masked.mrcs", masked, 5.0)
    table = table.replace(stack_paths=(tmp_path / "masked.mrcs",))
    for box, pixel in ((48, 5.0), (36, 48 * 5.0 / 36)):
        with pytest.raises(
            InputError,
            match="hardly any noise .*the images are masked or free of noise; give --snr",
        ):
            noise_level.measure_background(ResampledImages(table, box, pixel), 180.0, 0)


def test_plan_says_what_is_missing(files, config):
    with pytest.raises(ConfigError, match="give --snr"):
        make_plan(dataclasses.replace(config, snr=None))
    with pytest.raises(ConfigError, match="the images have 48 px"):
        make_plan(dataclasses.replace(config, model_box_size_px=64))
    with pytest.raises(ConfigError, match="are 240 Å wide"):
        make_plan(dataclasses.replace(config, mask_diameter_angstrom=500.0))


def test_the_mask_is_no_wider_than_the_volume(config):
    """240 Å of volume in images of 400 Å: what lies around it is noise."""
    assert make_plan(
        dataclasses.replace(config, box_size_px=80)
    ).mask_diameter_angstrom == pytest.approx(240)
    assert make_plan(config).mask_diameter_angstrom < 240
