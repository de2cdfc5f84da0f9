"""The `simulate` command: what it writes, what it refuses, and that an interruption changes
nothing.
"""

import dataclasses
import errno
import json
import logging
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, TimeoutError

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.run_directory import alone_in
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.commands.train.config import TrainConfig
from cryoposes_plugin.core import memory
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.imaging.settings import CtfDistribution, Imaging, PoseDistribution
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def volume_path(tmp_path_factory, asymmetric_volume):
    path = tmp_path_factory.mktemp("map") / "map.mrc"
    write_volume(path, asymmetric_volume.data, asymmetric_volume.pixel_size_angstrom)
    return path


@pytest.fixture
def simulate(tmp_path, volume_path):
    """simulate(name, *options) -> (folder, images, particles, metrics)."""

    def run(name, *options, volumes=(volume_path,)):
        folder = tmp_path / name
        assert (
            main([str(a) for a in ("simulate", "--volume", *volumes, "--output", folder, *options)])
            == 0
        )
        metrics = json.loads((folder / "metrics.json").read_text())
        particles = read_particles(folder / "particles.star", require=("poses",))
        images = mrcfile.read(folder / "particles.mrcs")
        return folder, images.reshape(-1, *images.shape[-2:]), particles, metrics

    return run


def test_too_little_memory_is_said_before_the_run(volume_path, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 100 * 2**20)
    words = ["simulate", "--volume", volume_path, "--number", 2, "--output", tmp_path / "out"]
    assert main(list(map(str, words))) == 2
    assert re.search(
        r"simulate: the run needs about 2\d\d MB of memory and 105 MB are free; give a coarser "
        "--pixel-size-angstrom",
        caplog.text,
    )


def test_what_is_written(simulate):
    folder, images, particles, metrics = simulate("run", "--number", 7, "--snr", 0.5)
    assert images.shape == (7, 48, 48)
    assert images.dtype == np.float32
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json",
        "direction_maps.png",
        "images.png",
        "manifest.json",
        "metrics.json",
        "particles.mrcs",
        "particles.star",
        "report.html",
        "volume.mrc",
    ]
    with mrcfile.open(folder / "particles.mrcs") as mrc:
        assert mrc.is_image_stack()
        assert float(mrc.voxel_size.x) == pytest.approx(5.0)
    assert particles.explicit_ids
    assert particles.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    optics = particles.optics[0]
    assert (optics.pixel_size_angstrom, optics.box_size_px, optics.image_state) == (5.0, 48, "raw")
    assert (optics.voltage_kv, optics.spherical_aberration_mm, optics.amplitude_contrast) == (
        300,
        2.7,
        0.1,
    )
    assert particles.ctf.defocus_u_angstrom.min() >= 8000
    assert particles.ctf.defocus_u_angstrom.max() <= 25000
    assert set(particles.extra["cryoposesPoseSource"]) == {"truth"}
    assert set(particles.extra["rlnMicrographName"]) == {"simulated_000001.mrc"}
    assert particles.extra["rlnCoordinateX"].tolist()[:2] == ["24.0", "72.0"]
    assert metrics["particles"] == 7
    assert metrics["images_per_second"] > 0


def test_snr_is_the_mean_signal_variance_over_one_noise_variance(simulate):
    options = ("--number", 300, "--seed", 5)
    signal = simulate("signal", *options)[1].astype(np.float64)
    _, noisy, _, metrics = simulate("noisy", *options, "--snr", 0.25, "--no-normalise")
    variance = signal.var(axis=(1, 2)).mean()
    assert metrics["signal_variance"] == pytest.approx(variance, rel=1e-5)
    assert metrics["noise_variance"] == pytest.approx(variance / 0.25, rel=1e-5)
    assert metrics["snr"] == pytest.approx(0.25, rel=1e-5)
    assert metrics["snr_in_mask"] > 0.25
    assert (noisy - signal).var() == pytest.approx(variance / 0.25, rel=0.01)


def test_noise_variance_is_taken_as_given_and_normalisation_scales_the_background(simulate):
    options = ("--number", 40, "--noise-variance", 9)
    _, plain, _, metrics = simulate("plain", *options, "--no-normalise")
    normalised = simulate("normalised", *options)[1]
    assert metrics["noise_variance"] == 9
    axis = np.arange(48) - 24
    background = axis[:, None] ** 2 + axis**2 > (0.75 * 24) ** 2
    assert normalised[:, background].mean(axis=1) == pytest.approx(np.zeros(40), abs=1e-5)
    assert normalised[:, background].std(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    for a, b in zip(plain, normalised):
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 1 - 1e-6


def test_an_image_depends_neither_on_the_batch_nor_on_the_threads(simulate, monkeypatch):
    from cryoposes_plugin.commands.simulate import renderer as module

    options = ("--noise-variance", 1, "--number", 11)
    expected = simulate("one batch", *options, "--threads", 1)[1]
    monkeypatch.setattr(module, "PIXELS_PER_BATCH", 3 * 48**2)
    found = simulate("batches of 3", *options, "--threads", 3)[1]
    assert found.tobytes() == expected.tobytes()


def test_chunks_put_together_are_the_whole(simulate, volume_path, tmp_path):
    """Chunks write into one stack, each its own images."""
    options = ("--snr", "0.5", "--number", "50", "--junk-fraction", "0.2")
    expected = simulate("whole", *options)[1]
    words = ["simulate", "--volume", str(volume_path), "--output", str(tmp_path / "parts")]
    for chunk in ("3/3", "1/3"):
        assert main([*words, *options, "--chunk", chunk]) == 0
    assert not (tmp_path / "parts/particles.mrcs").exists()
    _, found, _, metrics = simulate("parts", *options)
    assert found == pytest.approx(expected, abs=4 * np.spacing(np.abs(expected).max()))
    assert metrics["snr"] == pytest.approx(0.5)


def test_one_particle(simulate):
    _, images, particles, _ = simulate("run", "--number", 1, "--snr", 1)
    assert images.shape == (1, 48, 48)
    assert len(particles) == 1


def test_images_may_have_another_box_and_pixel_size(simulate):
    _, images, particles, _ = simulate(
        "run", "--number", 2, "--box-size-px", 40, "--pixel-size-angstrom", 6
    )
    assert images.shape == (2, 40, 40)
    assert particles.optics[0].pixel_size_angstrom == 6


def test_a_mixture_says_the_class_of_each_image(simulate, volume_path, tmp_path, asymmetric_volume):
    other = tmp_path / "other.mrc"
    write_volume(other, asymmetric_volume.data[::-1].copy(), 5.0)
    options = ("--number", 9, "--no-ctf")
    _, images, particles, _ = simulate("mixture", *options, volumes=(volume_path, other))
    classes = particles.extra["rlnClassNumber"].astype(int)
    assert sorted(np.bincount(classes)[1:]) == [4, 5]
    only = [
        simulate(f"only{i}", *options, volumes=(v,))[1] for i, v in enumerate((volume_path, other))
    ]
    for image, number, pair in zip(images, classes, zip(*only)):
        assert image == pytest.approx(pair[number - 1], abs=1e-4 * np.abs(image).max())


def test_like_gives_the_ctfs_and_the_grid_and_orientations_from_the_poses(simulate):
    first, images, source, _ = simulate(
        "first", "--number", 6, "--voltage-kv", 200, "--box-size-px", 40
    )
    # a shuffled subset with its own ids: joined by row of one file, not by position in the stack
    subset = source.take(np.array([4, 1, 3]))
    write_particles(first / "subset.star", subset)
    like = ("--like", first / "subset.star")
    twin = ("--orientations", "particles", "--orientations-from", first / "subset.star")
    _, again, particles, _ = simulate("twin", "--number", 3, *like, *twin)
    assert again == pytest.approx(images[[4, 1, 3]], abs=1e-3 * np.abs(images).max())
    assert particles.optics[0].voltage_kv == 200
    assert particles.optics[0].box_size_px == 40
    assert particles.ctf.defocus_u_angstrom == pytest.approx(subset.ctf.defocus_u_angstrom)
    _, _, alike, _ = simulate("like", "--number", 9, "--seed", 1, *like)
    assert sorted(alike.ctf.defocus_u_angstrom) == pytest.approx(
        sorted(3 * subset.ctf.defocus_u_angstrom.tolist())
    )
    assert np.rad2deg(angular_distance_rad(alike.rotations[:3], subset.rotations)).min() > 1


@pytest.mark.parametrize("state", ["phase-flipped", "ctf-premultiplied"])
def test_the_image_state_is_applied_to_signal_and_noise_and_written(simulate, state):
    options = ("--number", 5, "--noise-variance", 4, "--no-normalise")
    raw, changed = simulate("raw", *options), simulate("changed", *options, "--image-state", state)
    assert changed[2].optics[0].image_state == state
    from cryoposes_plugin.core.fourier.ctf import ctf_values, frequency_grid

    values = ctf_values(*frequency_grid(48, 5.0), raw[2].ctf)
    factor = np.sign(values) if state == "phase-flipped" else values
    expected = np.fft.irfft2(np.fft.rfft2(raw[1]) * factor, s=(48, 48))
    # signs of the CTF next to its zeros depend on the last bits
    assert np.abs(changed[1] - expected).mean() < 5e-3


KILLED = """
import os, signal, sys
from cryoposes_plugin.cli.main import main
from cryoposes_plugin.commands.simulate import renderer as simulate
from cryoposes_plugin.core.io import state_files
from cryoposes_plugin.core.io.mrc import StackWriter
simulate.PIXELS_PER_BATCH, state_files.SAVE_SECONDS = 8 * 48**2, {flush}
write = StackWriter.append
def append(self, images):
    write(self, images)
    if self.written >= {killed_at}:
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
StackWriter.append = append
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "flush, killed_at", [(0.0, 24), (1e9, 16)], ids=["after a flush", "before the first flush"]
)
def test_a_killed_run_resumes_to_the_same_bytes(
    simulate, tmp_path, volume_path, monkeypatch, flush, killed_at
):
    from cryoposes_plugin.commands.simulate import renderer as module

    monkeypatch.setattr(module, "PIXELS_PER_BATCH", 8 * 48**2)
    options = ["--number", "45", "--snr", "0.3"]
    whole = simulate("whole", *options)
    killed = tmp_path / "killed"
    program = KILLED.format(flush=flush, killed_at=killed_at)
    command = [
        sys.executable,
        "-c",
        program,
        "simulate",
        "--volume",
        str(volume_path),
        "--output",
        str(killed),
        *options,
    ]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    assert (
        subprocess.run(command, env=environment, stderr=subprocess.DEVNULL).returncode
        == -signal.SIGKILL
    )
    assert not {"particles.mrcs", "particles.star", "metrics.json"} & {
        p.name for p in killed.iterdir()
    }
    _, _, _, metrics = simulate("killed", *options)
    for name in ("particles.mrcs",):
        assert (killed / name).read_bytes() == (whole[0] / name).read_bytes()
    assert metrics["signal_variance"] == pytest.approx(whole[3]["signal_variance"], rel=1e-12)
    resumed = read_particles(killed / "particles.star")
    assert (resumed.rotations == whole[2].rotations).all()
    assert (resumed.shifts_px == whole[2].shifts_px).all()


def test_a_run_killed_after_its_stack_was_whole_writes_the_rest(simulate, tmp_path):
    folder, images, _, _ = simulate("run", "--number", 4, "--snr", 1)
    state = {
        "written": 4,
        "noise_variance": 2.0,
        "signal_variance": 8.0,
        "signal_variance_in_mask": 9.0,
    }
    (folder / "simulation_state.json").write_text(json.dumps(state))
    for name in ("metrics.json", "particles.star"):
        (folder / name).unlink()
    _, again, particles, metrics = simulate("run", "--number", 4, "--snr", 1)
    assert (again == images).all()
    assert len(particles) == 4
    assert metrics["snr"] == 1.0
    assert not (folder / "simulation_state.json").exists()


def refused(folder, caplog, *options):
    """The sentence of a run that must end with status 2 and leave nothing that looks whole."""
    caplog.clear()
    assert main([str(a) for a in ("simulate", "--output", folder, *options)]) == 2
    assert not [
        n for n in ("particles.mrcs", "particles.star", "metrics.json") if (folder / n).exists()
    ]
    sentence = caplog.records[-1].getMessage()
    assert sentence.count("\n") == 0
    assert "Traceback" not in sentence
    return sentence


def test_refusals(tmp_path, volume_path, caplog, asymmetric_volume):
    odd, coarse, flat = (tmp_path / f"{n}.mrc" for n in ("odd", "coarse", "flat"))
    write_volume(odd, asymmetric_volume.data[:47, :47, :47], 5.0)
    write_volume(coarse, asymmetric_volume.data, 7.0)
    write_volume(flat, asymmetric_volume.data[:40], 5.0)
    out, volume = tmp_path / "out", ("--volume", volume_path, "--number", 3)
    assert "47" in refused(out, caplog, "--volume", odd)
    assert "even" in refused(out, caplog, *volume, "--box-size-px", 31)
    assert "--pixel-size-angstrom" in refused(out, caplog, "--volume", volume_path, coarse)
    assert "cubic" in refused(out, caplog, "--volume", flat)
    assert "--no-ctf" in refused(out, caplog, *volume, "--no-ctf", "--image-state", "phase-flipped")
    assert "diameter" in refused(out, caplog, *volume, "--particle-diameter-angstrom", 300)
    assert "--orientations particles" in refused(
        out, caplog, *volume, "--orientations-from", volume_path
    )
    assert "exclude" in refused(out, caplog, *volume, "--snr", 1, "--noise-variance", 1)
    assert "GB of memory and" in refused(
        out, caplog, *volume, "--box-size-px", 1024, "--pixel-size-angstrom", 0.05
    )
    assert "are 47.52 Å wide and the volume is 240 Å wide" in refused(
        out, caplog, *volume, "--pixel-size", 0.99
    )


def test_like_without_ctf_and_poses_that_are_missing(tmp_path, simulate, volume_path, caplog):
    folder, _, particles, _ = simulate("source", "--number", 3)
    bare = folder / "bare.star"
    write_particles(bare, particles.replace(ctf=None, rotations=None, shifts_px=None))
    out, volume = tmp_path / "out", ("--volume", volume_path)
    assert "CTF" in refused(out, caplog, *volume, "--like", bare)
    assert "orientations" in refused(
        out, caplog, *volume, "--orientations", "particles", "--orientations-from", bare
    )


def test_astra_without_cuda_is_one_sentence(tmp_path, volume_path, caplog, monkeypatch):
    astra = pytest.importorskip("astra")
    monkeypatch.setattr(astra, "use_cuda", lambda: False)
    assert "CUDA" in refused(
        tmp_path / "out", caplog, "--volume", volume_path, "--projector", "astra"
    )


def test_a_full_disk_is_one_sentence(tmp_path, volume_path, caplog, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert "No space left" in refused(
        tmp_path / "out", caplog, "--volume", volume_path, "--number", 5
    )
    assert not list((tmp_path / "out").glob("particles*"))


def test_two_of_the_same_run_wait_for_each_other(simulate, volume_path, tmp_path, caplog):
    """As where a scheduler starts a run twice: the second finds what the first has left."""
    folder = tmp_path / "run"
    command = [
        "simulate",
        "--volume",
        str(volume_path),
        "--output",
        str(folder),
        "--number",
        "5",
        "--snr",
        "0.5",
    ]
    caplog.set_level(logging.INFO)
    with ThreadPoolExecutor(1) as pool, alone_in(folder):
        second = pool.submit(main, command)
        with pytest.raises(TimeoutError):
            second.result(timeout=2)
        assert list(folder.iterdir()) == []
    assert second.result(timeout=60) == 0
    assert "Another process is working in" in caplog.text
    written = (folder / "particles.mrcs").stat().st_mtime_ns
    assert main(command) == 0
    assert (folder / "particles.mrcs").stat().st_mtime_ns == written


def test_the_options_are_the_distributions_that_are_drawn_from():
    config = SimulateConfig(
        volume=("map.mrc",),
        orientations="preferred",
        preferred_directions_deg=(90.0, 90.0),
        preferred_concentration=8.0,
        shift_distribution="triangular",
        shift_px=2.5,
        defocus_range_angstrom=(5000.0, 9000.0),
        astigmatism_angstrom=600.0,
        voltage_kv=200.0,
    )
    poses = PoseDistribution("preferred", (90.0, 90.0), 8.0, "triangular", 2.5)
    ctf = CtfDistribution((5000.0, 9000.0), 600.0, voltage_kv=200.0)
    assert config.imaging() == Imaging(poses, ctf)
    assert dataclasses.replace(config, ctf=False).imaging() == Imaging(poses, None)
    assert SimulateConfig(volume=("map.mrc",)).imaging() == Imaging()
    assert TrainConfig(volume=("map.mrc",)).imaging() == Imaging()
    quarter = TrainConfig(volume=("map.mrc",), orientations="quarter-sphere").imaging()
    assert quarter.poses.orientations == "quarter-sphere"


JUNK = ("--number", 100, "--snr", 0.5, "--junk-fraction", 0.2, "--seed", 3)


@pytest.fixture
def junk_set(simulate):
    """(images, kinds, metrics) of 100 images, a fifth of them junk."""
    _, images, particles, metrics = simulate("junk", *JUNK, "--no-normalise")
    return images, particles.extra["cryoposesTrueKind"].astype(str), metrics


def test_a_fifth_of_the_images_is_junk_in_equal_parts_and_random_order(junk_set):
    _, kinds, metrics = junk_set
    names, numbers = np.unique(kinds, return_counts=True)
    assert dict(zip(names, numbers)) == {
        "particle": 80,
        "noise": 4,
        "other_molecule": 4,
        "overlap": 4,
        "off_centre": 4,
        "edge": 4,
    }
    assert metrics["junk"] == 20
    assert metrics["junk_by_kind"]["other molecule"] == 4
    places = np.flatnonzero(kinds != "particle")
    assert places.max() - places.min() > 50


def test_the_particles_and_the_noise_are_those_of_a_set_without_junk(simulate, junk_set):
    images, kinds, metrics = junk_set
    options = ("--number", 100, "--noise-variance", metrics["noise_variance"], "--seed", 3)
    plain = simulate("plain", *options, "--no-normalise")[1]
    particles = kinds == "particle"
    assert images[particles] == pytest.approx(plain[particles], abs=1e-4)


def test_the_snr_is_that_of_the_particles_alone(simulate, junk_set):
    _, kinds, metrics = junk_set
    signal = simulate("signal", "--number", 100, "--seed", 3)[1][kinds == "particle"]
    variance = signal.var(axis=(1, 2)).mean()
    assert metrics["signal_variance"] == pytest.approx(variance, rel=1e-4)
    assert metrics["noise_variance"] == pytest.approx(variance / 0.5, rel=1e-4)


def test_each_kind_of_junk_shows_what_it_says(simulate, volume_path):
    options = ("--number", 200, "--seed", 4, "--noise-variance", 1e-12, "--no-normalise")
    _, plain, centred, _ = simulate("plain", *options)
    plain = plain.astype(float)
    _, images, particles, _ = simulate("junk", *options, "--junk-fraction", 0.5)
    kinds = particles.extra["cryoposesTrueKind"].astype(str)
    power = {kind: images[kinds == kind].astype(float).var(axis=(1, 2)).mean() for kind in kinds}
    agreement = {
        kind: np.mean(
            [
                np.corrcoef(a.ravel(), b.ravel())[0, 1]
                for a, b in zip(images[kinds == kind], plain[kinds == kind])
            ]
        )
        for kind in kinds
    }
    assert power["noise"] < 1e-9 * power["particle"]
    # the same spectrum, of another molecule
    assert power["other_molecule"] == pytest.approx(power["particle"], rel=0.15)
    assert agreement["other_molecule"] < 0.9
    assert power["overlap"] > 1.2 * power["particle"]
    assert 0.5 < agreement["overlap"] < 0.95
    assert abs(agreement["off_centre"]) < 0.5
    # its shift says where it is: the image is that of the centred particle, moved
    steps = particles.shifts_px - centred.shifts_px
    assert not steps[kinds != "off_centre"].any()
    for i in np.flatnonzero(kinds == "off_centre")[:5]:
        (x, y), box = np.rint(steps[i]).astype(int), images.shape[-1]
        to = [slice(max(s, 0), box + min(s, 0)) for s in (y, x)]
        source = [slice(max(-s, 0), box + min(-s, 0)) for s in (y, x)]
        assert images[i][tuple(to)] == pytest.approx(plain[i][tuple(source)], abs=1e-4)
    # a step of 1 to 4 standard deviations to either side
    halves = [np.sort(image.ravel()) for image in images[kinds == "edge"]]
    assert all(np.ptp(half) > 1.9 * np.sqrt(power["particle"]) * 0.5 for half in halves)


def test_junk_depends_neither_on_the_batch_nor_on_an_interruption(simulate, monkeypatch, junk_set):
    from cryoposes_plugin.commands.simulate import renderer as module

    monkeypatch.setattr(module, "PIXELS_PER_BATCH", 7 * 48**2)
    found = simulate("batches of 7", *JUNK, "--no-normalise")[1]
    assert found == pytest.approx(junk_set[0], abs=1e-3 * junk_set[0].std())


def test_junk_without_noise_is_refused(tmp_path, volume_path, caplog):
    assert "--junk-fraction is 0.2 and there is no noise" in refused(
        tmp_path / "run", caplog, "--volume", volume_path, "--junk-fraction", 0.2
    )
