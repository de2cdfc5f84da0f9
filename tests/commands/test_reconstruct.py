"""`cryoposes reconstruct` from end to end, and the sentences for what it cannot use."""

import csv
import json
import logging
import re
import subprocess
import sys

import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core import memory
from cryoposes_plugin.core.evaluation.views import sampling_compensation_factor
from cryoposes_plugin.core.fourier.masks import soft_sphere
from cryoposes_plugin.core.fourier.resampling import projected_density, resample_volume
from cryoposes_plugin.core.geometry.sampling import random_rotations
from cryoposes_plugin.core.io.mrc import read_volume, write_stack, write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.maps.fsc import fourier_shell_correlation
from cryoposes_plugin.core.types import OpticsGroup, ParticleTable, Volume

from ..exact_projections import ctf_table, exact_projections, particle_set, transfer_of
from ..mrc_files import write_stack_as_it_is

BOX, PIXEL, NUMBER = 32, 6.0, 301


@pytest.fixture(scope="module")
def volume(asymmetric_volume):
    return asymmetric_volume.data[8:40, 8:40, 8:40]


@pytest.fixture(scope="module")
def particles(tmp_path_factory, volume):
    """301 noisy particles with CTF, shifts and recorded true poses: STAR path and table."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("particles")
    write_volume(folder / "map.mrc", volume, PIXEL)
    rotations, shifts, ctf = (
        random_rotations(NUMBER, rng),
        rng.normal(0, 1, (NUMBER, 2)),
        ctf_table(NUMBER, rng),
    )
    images = exact_projections(volume, rotations, shifts, transfer_of(ctf, BOX, PIXEL))
    images += rng.normal(0, images.std(), images.shape).astype(np.float32)
    source = np.full(NUMBER, "truth", dtype=object)
    return particle_set(
        folder, images, rotations, shifts, PIXEL, ctf, extra={"cryoposesPoseSource": source}
    )


def reconstruct(star, output, *options):
    return main(
        ["reconstruct", "--particles", str(star), "--output", str(output), *map(str, options)]
    )


def test_too_little_memory_is_said_before_the_run(particles, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 100 * 2**20)
    assert reconstruct(particles[0], tmp_path / "out") == 2
    assert re.search(
        r"reconstruct: the run needs about 2\d\d MB of memory and 105 MB are free; give a coarser "
        "--pixel-size-angstrom",
        caplog.text,
    )
    assert not (tmp_path / "out" / "volume.mrc").exists()


def test_everything_that_a_run_leaves(particles, volume, tmp_path):
    star, table = particles
    assert (
        reconstruct(
            star, tmp_path / "out", "--reference", star.parent / "map.mrc", "--batch-size", 100
        )
        == 0
    )
    for name in ("volume.mrc", "half1.mrc", "half2.mrc"):
        found = read_volume(tmp_path / "out" / name)
        assert (found.box_size_px, found.pixel_size_angstrom) == (BOX, pytest.approx(PIXEL))
        assert fourier_shell_correlation(found.data, volume)[1:8].min() > 0.85
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert (metrics["half1_particles"], metrics["half2_particles"], metrics["half_sets"]) == (
        151,
        150,
        "drawn",
    )
    assert "true ones" in metrics["fsc_statement"]
    views = sampling_compensation_factor(table.rotations, np.eye(3)[None])
    assert metrics["scf_star"] == pytest.approx(views.scf_star, abs=1e-4)
    assert 0.4 < metrics["cfar"] <= 1
    assert f"cFAR {metrics['cfar']:.2f}" in (tmp_path / "out/report.html").read_text()
    assert (
        12.0
        <= metrics["resolution_corrected_0143_angstrom"]
        <= metrics["resolution_unmasked_05_angstrom"]
        < 40
    )
    assert metrics["resolution_reference_05_angstrom"] < 30
    with open(tmp_path / "out/fsc.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert list(rows[0]) == [
        "resolution_angstrom",
        "frequency_per_angstrom",
        "unmasked",
        "masked",
        "randomised",
        "corrected",
        "reference",
    ]
    assert len(rows) == BOX // 2
    assert float(rows[-1]["resolution_angstrom"]) == pytest.approx(2 * PIXEL)
    halves = [read_volume(tmp_path / f"out/half{i}.mrc").data for i in (1, 2)]
    np.testing.assert_allclose(
        [float(r["unmasked"]) for r in rows], fourier_shell_correlation(*halves)[1:], atol=1e-4
    )
    drawn = read_particles(tmp_path / "out/particles.star", require=("subset",))
    assert set(drawn.ids) == set(table.ids)
    assert sorted(np.bincount(drawn.random_subset)[1:]) == [
        150,
        151,
    ]
    page = (tmp_path / "out/report.html").read_text()
    assert "true ones" in page
    assert page.count("<img") == 5


def test_neither_order_nor_threads_nor_batches_matter(particles, tmp_path):
    star, table = particles
    order = np.random.default_rng(8).permutation(NUMBER)
    write_particles(tmp_path / "shuffled.star", table.take(order))
    assert reconstruct(star, tmp_path / "a", "--threads", 1) == 0
    assert reconstruct(star, tmp_path / "b", "--threads", 2) == 0
    assert reconstruct(tmp_path / "shuffled.star", tmp_path / "c", "--batch-size", 7) == 0
    a, b, c = (read_volume(tmp_path / f"{name}/half1.mrc").data for name in "abc")
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(c, a, atol=1e-4 * np.abs(a).max())


def test_chunks_put_together_are_the_whole(particles, tmp_path):
    star, _ = particles
    assert reconstruct(star, tmp_path / "whole") == 0
    for chunk in ("1/3", "3/3"):
        assert reconstruct(star, tmp_path / "parts", "--chunk", chunk) == 0
    assert reconstruct(star, tmp_path / "parts") == 0
    for name in ("volume.mrc", "half1.mrc", "half2.mrc"):
        a, b = (read_volume(tmp_path / run / name).data for run in ("whole", "parts"))
        assert np.abs(a - b).max() < 1e-5 * np.abs(a).max()


def test_cgls_is_not_done_in_chunks(particles, tmp_path, caplog):
    star, _ = particles
    assert reconstruct(star, tmp_path / "out", "--method", "cgls", "--chunk", "1/2") == 2
    assert "--method cgls needs all particles at once" in caplog.text


def test_box_and_pixel_size_are_those_of_a_map_that_is_resampled(particles, tmp_path):
    star, _ = particles
    diameter = ("--mask-diameter", 120)
    assert reconstruct(star, tmp_path / "whole", *diameter) == 0
    assert reconstruct(star, tmp_path / "cut", *diameter, "--box-px", 24) == 0
    assert reconstruct(star, tmp_path / "binned", *diameter, "--box-px", 20, "--pixel-size", 9) == 0
    whole, cut, binned = (
        read_volume(tmp_path / name / "volume.mrc") for name in ("whole", "cut", "binned")
    )
    np.testing.assert_allclose(cut.data, whole.data[4:28, 4:28, 4:28], atol=1e-9)

    assert (binned.box_size_px, binned.pixel_size_angstrom) == (20, pytest.approx(9))
    expected = resample_volume(whole.data, PIXEL, 20, 9.0)
    # The last shells of one are the corners of the other.
    assert fourier_shell_correlation(binned.data, expected)[1:9].min() > 0.99
    assert np.vdot(binned.data, expected) / np.vdot(expected, expected) == pytest.approx(
        1, abs=0.05
    )
    metrics = json.loads((tmp_path / "binned/metrics.json").read_text())
    assert (metrics["box_size_px"], metrics["nyquist_angstrom"]) == (20, 18)


def test_a_mask_from_a_file_is_that_of_the_fsc(particles, tmp_path, caplog):
    star, _ = particles
    caplog.set_level(logging.INFO)
    write_volume(tmp_path / "mask.mrc", soft_sphere(BOX, 9, 4), PIXEL)
    mask = ("--mask", tmp_path / "mask.mrc", "--box-px", 24)
    assert reconstruct(star, tmp_path / "out", *mask) == 0
    assert "32 px of 6 Å and is resampled to 24 px of 6 Å" in caplog.text
    halves = [read_volume(tmp_path / f"out/half{i}.mrc").data for i in (1, 2)]
    masked = [half * soft_sphere(24, 9, 4) for half in halves]
    with open(tmp_path / "out/fsc.csv", newline="") as handle:
        rows = list(csv.DictReader(handle))
    found = {name: np.array([float(r[name]) for r in rows]) for name in rows[0]}
    np.testing.assert_allclose(found["masked"], fourier_shell_correlation(*masked)[1:], atol=1e-4)
    last = slice(-3, None)
    masked_by_chance = found["randomised"][last]
    corrected = (found["masked"][last] - masked_by_chance) / (1 - masked_by_chance)
    np.testing.assert_allclose(found["corrected"][last], corrected, atol=1e-4)


def test_given_half_sets_are_kept(particles, tmp_path):
    _, table = particles
    subset = np.where(np.arange(NUMBER) % 3 == 0, 1, 2)
    source = np.full(NUMBER, "network:0123456789ab", dtype=object)
    write_particles(
        tmp_path / "given.star",
        table.replace(random_subset=subset, extra={"cryoposesPoseSource": source}),
    )
    assert reconstruct(tmp_path / "given.star", tmp_path / "out") == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert (metrics["half1_particles"], metrics["half2_particles"], metrics["half_sets"]) == (
        101,
        200,
        "given",
    )
    assert metrics["fsc_statement"].startswith("Not independent")
    assert "network:0123456789ab" in metrics["fsc_statement"]
    assert "Not independent" in (tmp_path / "out/report.html").read_text()
    assert not (tmp_path / "out/particles.star").exists()


def test_optics_groups_of_two_grids_are_brought_together(volume, tmp_path, caplog):
    """Half of the images at twice the pixel size: they help at low resolution and leave the rest
    alone.
    """
    rng = np.random.default_rng(9)
    rotations, shifts = random_rotations(600, rng), rng.normal(0, 1, (600, 2))
    images = exact_projections(volume, rotations, shifts)
    write_stack(tmp_path / "fine.mrcs", images[:300], PIXEL)
    spectrum = np.fft.fftshift(np.fft.fft2(images[300:]), axes=(1, 2))[:, 8:24, 8:24] / 4
    spectrum[:, 0], spectrum[:, :, 0] = 0, 0
    write_stack(
        tmp_path / "coarse.mrcs",
        np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(1, 2))).real,
        2 * PIXEL,
    )
    group = np.repeat([0, 1], 300)
    table = ParticleTable(
        ids=np.arange(600),
        stack_paths=(tmp_path / "fine.mrcs", tmp_path / "coarse.mrcs"),
        stack_index=group,
        slice_index=np.arange(600) % 300,
        optics=(OpticsGroup("fine", PIXEL, BOX), OpticsGroup("coarse", 2 * PIXEL, 16)),
        optics_index=group,
        rotations=rotations,
        shifts_px=shifts / np.where(group, 2, 1)[:, None],
    )
    write_particles(tmp_path / "both.star", table)
    coarse = projected_density(Volume(volume, PIXEL), 16, 2 * PIXEL)
    write_volume(tmp_path / "coarse.mrc", coarse, 2 * PIXEL)
    with caplog.at_level(logging.INFO):
        assert (
            reconstruct(
                tmp_path / "both.star", tmp_path / "out", "--reference", tmp_path / "coarse.mrc"
            )
            == 0
        )
    assert (
        json.loads((tmp_path / "out/metrics.json").read_text())["resolution_reference_05_angstrom"]
        < 5 * PIXEL
    )
    assert "all images are resampled to 32 px of 6 Å" in caplog.text
    assert "have no CTF" in caplog.text
    found = read_volume(tmp_path / "out/volume.mrc").data
    assert fourier_shell_correlation(found, volume)[1:11].min() > 0.97
    scale = np.vdot(found, volume) / np.vdot(volume, volume)
    assert scale == pytest.approx(1, abs=0.05)


def test_a_reference_of_the_other_hand_or_without_the_symmetry_is_said(
    particles, volume, tmp_path, caplog
):
    star, table = particles
    write_volume(tmp_path / "mirror.mrc", Volume(volume, PIXEL).mirrored().data, PIXEL)
    assert reconstruct(star, tmp_path / "a", "--reference", star.parent / "map.mrc") == 0
    assert "mirror" not in caplog.text
    assert "symmetry" not in caplog.text
    assert (
        reconstruct(
            star, tmp_path / "b", "--reference", tmp_path / "mirror.mrc", "--symmetry", "C7"
        )
        == 0
    )
    assert "mirror.mrc hardly has the symmetry C7" in caplog.text
    caplog.clear()
    assert reconstruct(star, tmp_path / "c", "--reference", tmp_path / "mirror.mrc") == 0
    assert "The mirror image of reference" in caplog.text
    assert "hardly" not in caplog.text


def test_tensorflow_is_not_imported(particles, tmp_path):
    code = (
        "import sys; from cryoposes_plugin.cli.main import main; status = main(sys.argv[1:]); "
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    command = ["reconstruct", "--particles", str(particles[0]), "--output", str(tmp_path / "out")]
    result = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


# What it cannot use: a change of the table, options, and what the sentence must say.
WRONG = {
    "a map in place of a mask": (
        lambda t: t,
        ["--mask", "scaled.mrc"],
        "give a mask whose values are 0 outside and 1 inside",
    ),
    "a mask and a diameter": (
        lambda t: t,
        ["--mask", "scaled.mrc", "--mask-diameter", "150"],
        "--mask and --mask-diameter-angstrom (150) exclude each other",
    ),
    "a map much wider than the images": (
        lambda t: t,
        ["--box-px", "200"],
        "--box-px is 200, which is 1200 Å, and the images are 192 Å wide",
    ),
    "pixels as large as the particle": (
        lambda t: t,
        ["--pixel-size", "20"],
        "the images have a field of view of 192 Å, which is 10 of these pixels",
    ),
    "pixels much finer than those of the images": (
        lambda t: t,
        ["--pixel-size", "1"],
        "--pixel-size-angstrom is 1 and the images have pixels of 6 Å",
    ),
    "a map narrower than its mask": (
        lambda t: t,
        ["--box-px", "20", "--mask-diameter", "150"],
        "--box-px is 20, which is 120 Å, and --mask-diameter-angstrom is 150",
    ),
    "one particle": (lambda t: t.take([3]), (), "at least 2 particles"),
    "half set 0": (
        lambda t: t.replace(random_subset=np.arange(len(t)) % 3),
        (),
        "is in half set 0",
    ),
    "no poses": (
        lambda t: t.replace(rotations=None, shifts_px=None),
        (),
        "the particles have no orientations",
    ),
    "one defocus": (
        lambda t: t.replace(
            ctf=None, extra={"rlnDefocusU": np.full(len(t), "9000.0", dtype=object)}
        ),
        (),
        "lacks the other defocus values",
    ),
    "premultiplied, no CTF": (
        lambda t: t.replace(
            ctf=None, optics=(OpticsGroup("one", PIXEL, BOX, 300.0, 2.7, 0.1, "ctf-premultiplied"),)
        ),
        (),
        "are ctf-premultiplied according to the file",
    ),
    "symmetry": (lambda t: t, ("--symmetry", "Q5"), "Symmetry 'Q5' is unknown"),
    "wide mask": (lambda t: t, ("--mask-diameter", "500"), "the images are 192 Å wide"),
    "reference of another box": (
        lambda t: t,
        ("--reference", "small.mrc"),
        "resample it to that grid",
    ),
    "reference of another pixel size": (
        lambda t: t,
        ("--reference", "pixel.mrc"),
        "has 32 px of 5 Å and the map of these particles has 32 px",
    ),
    "no stack": (
        lambda t: t.replace(stack_paths=(t.stack_paths[0].with_name("gone.mrcs"),)),
        (),
        "gone.mrcs does not exist",
    ),
    "NaN image": (
        lambda t: t.replace(stack_paths=(t.stack_paths[0].with_name("nan.mrcs"),)),
        (),
        "holds NaN",
    ),
    "odd box": (
        lambda t: t.replace(
            stack_paths=(t.stack_paths[0].with_name("odd.mrcs"),),
            optics=(OpticsGroup("one", PIXEL, 31, 300.0, 2.7, 0.1),),
        ),
        (),
        "an odd box of 31 px",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_one_sentence_and_nothing_that_looks_whole(
    particles, volume, tmp_path, monkeypatch, caplog, case
):
    change, options, sentence = WRONG[case]
    monkeypatch.chdir(tmp_path)
    star, table = particles
    write_volume("small.mrc", volume[8:24, 8:24, 8:24], PIXEL)
    write_volume("pixel.mrc", volume, 5.0)
    write_volume("scaled.mrc", 10 * volume, PIXEL)
    images = np.zeros((NUMBER, BOX, BOX), np.float32)
    write_stack(star.parent / "odd.mrcs", images[:, 1:, 1:], PIXEL)
    images[200, 1, 2] = np.nan
    write_stack_as_it_is(star.parent / "nan.mrcs", images, PIXEL)
    write_particles("wrong.star", change(table))
    assert reconstruct("wrong.star", tmp_path / "out", *options) == 2
    errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert sentence in errors[0]
    assert "\n" not in errors[0]
    assert not list(tmp_path.glob("out/*.mrc"))
    assert not (tmp_path / "out/metrics.json").exists()


def test_cgls_without_cuda_is_one_sentence(particles, tmp_path, caplog):
    astra = pytest.importorskip("astra")
    if astra.use_cuda():
        pytest.skip("there is a CUDA device")
    assert reconstruct(particles[0], tmp_path / "out", "--method", "cgls") == 2
    assert "choose the method 'fourier'" in caplog.text
    assert not (tmp_path / "out").exists()
