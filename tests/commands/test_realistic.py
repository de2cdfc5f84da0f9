"""The faults of `simulate`: images, what their file states, and the columns of the truth."""

import json

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.simulate.inputs import read_inputs
from cryoposes_plugin.core import image_truth
from cryoposes_plugin.core.errors import ConfigError, CryoposesError
from cryoposes_plugin.core.imaging.faults.settings import Faults
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.io.particle_files import read_particles

pytest.importorskip("tensorflow")
NUMBER = 60
COMMON = ("--number", NUMBER, "--seed", 3, "--no-normalise")
#: More of everything than in real images.
MUCH = (
    *("--preset", "realistic", "--noise-variance", 4, "--withhold-aberrations"),
    *("--duplicate-fraction", 0.2, "--junk-fraction", 0, "--motion-angstrom", 6),
    *("--magnification-anisotropy", 0.04),
)


def true_values(extra, label):
    """(N,) numbers of a column of text."""
    return extra[label].astype(np.float64)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, asymmetric_volume):
    folder = tmp_path_factory.mktemp("inputs")
    write_volume(folder / "map.mrc", asymmetric_volume.data, 5.0)
    mask = np.zeros_like(asymmetric_volume.data)
    mask[26:] = 1
    write_volume(folder / "mask.mrc", mask, 5.0)
    return folder


@pytest.fixture(scope="module")
def simulate(tmp_path_factory, inputs):
    """simulate(*options) -> (images, particles, metrics)."""

    def run(*options):
        folder = tmp_path_factory.mktemp("runs") / "run"
        words = ("simulate", "--volume", inputs / "map.mrc", "--output", folder, *options)
        assert main([str(word) for word in words]) == 0
        return (
            mrcfile.read(folder / "particles.mrcs"),
            read_particles(folder / "particles.star", require=("poses",)),
            json.loads((folder / "metrics.json").read_text()),
        )

    return run


@pytest.fixture(scope="module")
def plain(simulate):
    return simulate(*COMMON)


@pytest.fixture(scope="module")
def realistic(simulate, inputs):
    return simulate(*COMMON, *MUCH, "--moving-part", inputs / "mask.mrc")


def test_the_truth_of_every_fault_has_its_column(realistic):
    _, particles, metrics = realistic
    named = {label for label in particles.extra if label.startswith("cryoposesTrue")}
    assert named == {
        *image_truth.DEFOCUS,
        *image_truth.GRADIENT,
        *image_truth.MOTION,
        image_truth.BFACTOR,
        image_truth.CONTRAST,
        image_truth.PIXEL_SIZE,
        image_truth.DOSE,
        image_truth.THICKNESS,
        image_truth.NEIGHBOURS,
        image_truth.DUPLICATE_OF,
        image_truth.PREFERRED,
        image_truth.MISPLACED,
        "cryoposesTrueBeamTiltX",
        "cryoposesTrueBeamTiltY",
        *(f"cryoposesTrueMagMat{i}{j}" for i in (0, 1) for j in (0, 1)),
    }
    assert not particles.scores
    assert metrics["faults"]["duplicates"] == 12


def test_the_file_states_nominal_values(realistic, plain):
    stated, plain = realistic[1], plain[1]
    source = np.maximum(true_values(stated.extra, image_truth.DUPLICATE_OF).astype(int) - 1, -1)
    source = np.where(source < 0, np.arange(NUMBER), source)
    nominal = plain.ctf.defocus_u_angstrom[source]
    assert stated.ctf.defocus_u_angstrom == pytest.approx(nominal, abs=0.01)
    true = true_values(stated.extra, image_truth.DEFOCUS[0])
    assert 150 < (true - nominal)[source == np.arange(NUMBER)].std() < 350
    assert not stated.ctf.bfactor_angstrom2.any()
    assert stated.optics[0].pixel_size_angstrom == 5.0
    assert set(true_values(stated.extra, image_truth.PIXEL_SIZE)) == {5.05}
    assert stated.optics[0].extra.keys() == plain.optics[0].extra.keys()


def test_a_duplicate_shows_its_source_again(realistic):
    images, particles, _ = realistic
    of = true_values(particles.extra, image_truth.DUPLICATE_OF).astype(int)
    for copy in np.flatnonzero(of):
        source = of[copy] - 1
        assert particles.rotations[copy] == pytest.approx(particles.rotations[source])
        assert (
            particles.extra["rlnMicrographName"][copy]
            == particles.extra["rlnMicrographName"][source]
        )
        x, y = np.rint(
            [
                float(particles.extra[f"rlnCoordinate{axis}"][source])
                - float(particles.extra[f"rlnCoordinate{axis}"][copy])
                for axis in "XY"
            ]
        ).astype(int)
        inside = slice(8, -8)
        moved = np.roll(images[source], (y, x), axis=(0, 1))[inside, inside]
        found = np.corrcoef(moved.ravel(), images[copy][inside, inside].ravel())[0, 1]
        assert found > 0.98, (copy, x, y)


def test_the_images_are_the_same_in_other_batches(simulate, inputs, realistic, monkeypatch):
    from cryoposes_plugin.commands.simulate import renderer as module

    monkeypatch.setattr(module, "PIXELS_PER_BATCH", 7 * 48**2)
    found = simulate(*COMMON, *MUCH, "--moving-part", inputs / "mask.mrc")[0]
    assert found == pytest.approx(realistic[0], abs=1e-3 * realistic[0].std())


def test_contrast_scales_the_signal(simulate, plain):
    images, particles, metrics = simulate(*COMMON, "--scale-spread", 0.3)
    contrast = true_values(particles.extra, image_truth.CONTRAST)
    expected = contrast[:, None, None] * plain[0]
    assert images == pytest.approx(expected, abs=1e-4 * plain[0].std())
    assert metrics["faults"] == {"scale_spread": 0.3}


def test_true_values_make_the_images_and_stated_ones_are_written(simulate, plain):
    pixel = 5.0 * 1.02
    images, particles, _ = simulate(*COMMON, "--pixel-size-error", 0.02)
    expected = simulate(*COMMON, "--pixel-size-angstrom", pixel)[0]
    assert images == pytest.approx(expected, abs=1e-4 * expected.std())
    assert particles.optics[0].pixel_size_angstrom == 5.0
    assert particles.shifts_px == pytest.approx(plain[1].shifts_px, abs=1e-5)


def test_withheld_aberrations_leave_images_and_recorded_shifts(simulate):
    # by what is stated, the shifts are those of the images as they were recorded
    options = ("--beam-tilt", 1, 2, "--magnification-anisotropy", 0.1)
    told, withheld = (
        simulate(*COMMON, *options),
        simulate(*COMMON, *options, "--withhold-aberrations"),
    )
    assert (told[0] == withheld[0]).all()
    matrix = np.array(
        [float(told[1].optics[0].extra[f"rlnMagMat{i}{j}"]) for i in (0, 1) for j in (0, 1)]
    )
    recorded = told[1].shifts_px @ matrix.reshape(2, 2)
    assert withheld[1].shifts_px == pytest.approx(recorded, abs=1e-4)
    assert true_values(withheld[1].extra, "cryoposesTrueBeamTiltX").tolist() == [1.0] * NUMBER


def test_a_part_that_does_not_move_leaves_the_images(simulate, inputs, plain):
    part = ("--moving-part", inputs / "mask.mrc", "--motion-deg", 1e-6)
    assert simulate(*COMMON, *part)[0] == pytest.approx(plain[0], abs=2e-3 * plain[0].std())


def test_neighbours_are_beyond_the_minimum_distance(simulate, plain):
    options = ("--neighbours", 1, "--picker-distance-angstrom", 150)
    images, particles, metrics = simulate(*COMMON, *options)
    numbers = true_values(particles.extra, image_truth.NEIGHBOURS)
    added = images - plain[0]
    assert (np.abs(added).max(axis=(1, 2)) > 0)[numbers > 3].all()
    assert not added[numbers == 0].any()
    axis = np.arange(48) - 24
    outside = axis[:, None] ** 2 + axis**2 > 20**2
    power = (added**2).mean(axis=0)
    assert power[outside].mean() > 3 * power[~outside].mean()
    assert metrics["signal_variance"] == pytest.approx(plain[2]["signal_variance"])


def test_a_preset_is_changed_by_options():
    chosen = SimulateConfig(preset="realistic", neighbours=0.0, beam_tilt_mrad=(0.0, 0.0)).faults()
    assert chosen.neighbours == 0
    assert chosen.beam_tilt_mrad == (0.0, 0.0)
    assert chosen.defocus_error_angstrom > 0
    assert SimulateConfig().faults() == Faults()


@pytest.mark.parametrize(
    "options, sentence",
    [
        (dict(ice_gradient=1.0), "there is no noise; give --snr"),
        (dict(preset="realistic"), "--junk-fraction is 0.1 and there is no noise"),
        (dict(noise_like="a.star"), "give its level with --snr"),
        (dict(noise_like="a.star", snr=1.0, noise_correlation_px=1.0), "exclude each other"),
        (dict(volume_weights=(1.0, 2.0)), "2 values and there are 1 volumes"),
        (dict(volume_weights=(0.0,)), "are all 0"),
        (dict(motion_axis=(0.0, 0.0, 0.0)), "not all of them 0"),
        (dict(moving_part="a.mrc", motion_deg=0.0), "leave the part out"),
        (
            dict(defocus_error_angstrom=1.0, ctf=False),
            "--defocus-error-angstrom is given with --no-ctf",
        ),
        (
            dict(preferred_share=0.5, orientations="particles", orientations_from="a.star"),
            "give --preferred-share 0",
        ),
    ],
)
def test_faults_that_make_no_sense_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SimulateConfig(volume=("map.mrc",), **options).validate()


@pytest.mark.parametrize(
    "box, factor, sentence",
    [(40, 1, "give the mask on the grid of the volumes"), (48, 2, "values from 0 to 2")],
)
def test_a_mask_that_is_none_is_refused(inputs, tmp_path, box, factor, sentence):
    mask = np.zeros((box, box, box), np.float32)
    mask[box // 2 + 2 :] = factor
    write_volume(tmp_path / "mask.mrc", mask, 5.0)
    volume, part = str(inputs / "map.mrc"), str(tmp_path / "mask.mrc")
    with pytest.raises(CryoposesError, match=sentence):
        read_inputs(SimulateConfig(volume=(volume,), moving_part=part))


def test_neighbours_that_cannot_be_seen_are_refused(inputs):
    config = SimulateConfig(
        volume=(str(inputs / "map.mrc"),), neighbours=1.0, picker_distance_angstrom=350.0
    )
    with pytest.raises(ConfigError, match="no neighbour could be seen"):
        read_inputs(config)
