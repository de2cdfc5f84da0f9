"""The table of wrong inputs: each ends with status 2 and one sentence, before any long work, and
leaves nothing whole.

A row: what is wrong, how the good inputs are spoiled, the command, and what the sentence must say.
"""

import json
import logging
import os
import re
import shutil
import subprocess
import sys

import mrcfile
import numpy as np
import pytest

from cryoposes_plugin.cli.main import main
from cryoposes_plugin.core.fourier.resampling import resample_images
from cryoposes_plugin.core.io.mrc import read_volume, write_volume

from ..mrc_files import write_stack_as_it_is

BOX, PIXEL, NUMBER = 32, 6.0, 40
#: What a finished run of each command leaves; none of it may be there after an error.
RESULTS = (
    "particles.star",
    "particles.mrcs",
    "model",
    "accepted.star",
    "rejected.star",
    "volume.mrc",
    "fsc.csv",
    "errors.csv",
    "metrics.json",
)


@pytest.fixture(scope="module")
def good(tmp_path_factory, asymmetric_volume):
    """A map, particles of it, and a model trained for a moment: everything that the rows spoil a
    copy of.
    """
    folder = tmp_path_factory.mktemp("good")
    write_volume(folder / "map.mrc", resample_volume_to_box(asymmetric_volume), PIXEL)
    status = main(
        [
            "simulate",
            "--volume",
            str(folder / "map.mrc"),
            "--number",
            str(NUMBER),
            "--snr",
            "0.5",
            "--output",
            str(folder / "sim"),
        ]
    )
    assert status == 0
    status = main(
        [
            "train",
            "--volume",
            str(folder / "map.mrc"),
            "--like",
            str(folder / "sim/particles.star"),
            "--steps",
            "2",
            "--batch-size",
            "8",
            "--validation-number",
            "10",
            "--output",
            str(folder / "train"),
        ]
    )
    assert status == 0
    return folder


def resample_volume_to_box(volume):
    from cryoposes_plugin.core.fourier.resampling import resample_volume

    return resample_volume(volume.data, volume.pixel_size_angstrom, BOX, PIXEL)


@pytest.fixture
def inputs(good, tmp_path, monkeypatch):
    """A copy to spoil, as the working directory: map.mrc, particles.star, particles.mrcs, model/."""
    shutil.copy(good / "map.mrc", tmp_path)
    for name in ("particles.star", "particles.mrcs"):
        shutil.copy(good / "sim" / name, tmp_path)
    shutil.copytree(good / "train" / "model", tmp_path / "model")
    text = (tmp_path / "particles.star").read_text()
    (tmp_path / "particles.star").write_text(re.sub(r"@\S+", "@particles.mrcs", text))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def star(function):
    """Spoil particles.star by a function of its text."""

    def spoil(folder):
        path = folder / "particles.star"
        path.write_text(function(path.read_text()))

    return spoil


def rename_column(*labels):
    def rename(text):
        for label in labels:
            assert f"_{label} " in text
            text = text.replace(f"_{label} ", f"_xyz{label} ")
        return text

    return star(rename)


def keep_particles(number):
    def keep(text):
        head, _, body = text.partition("data_particles")
        lines = body.splitlines()
        rows = [i for i, line in enumerate(lines) if "@" in line]
        return head + "data_particles" + "\n".join(lines[: rows[0] + number]) + "\n"

    return star(keep)


def rewrite_stack(function, pixel=PIXEL, box=BOX):
    """Replace the images by a function of them; box and pixel size go into the STAR file's optics."""

    def spoil(folder):
        images = np.array(mrcfile.mmap(folder / "particles.mrcs", mode="r").data)
        write_stack_as_it_is(folder / "particles.mrcs", function(images), pixel)
        star(lambda t: t.replace(f" {PIXEL:.6f} {BOX} 2", f" {pixel:.6f} {box} 2"))(folder)

    return spoil


def with_nan(images):
    images[7, 3, 3] = np.nan
    return images


def truncate(folder):
    whole = (folder / "particles.mrcs").read_bytes()
    (folder / "particles.mrcs").write_bytes(whole[: len(whole) * 3 // 4])


def write_map(function, pixel=PIXEL):
    def spoil(folder):
        write_volume(folder / "map.mrc", function(read_volume(folder / "map.mrc").data), pixel)

    return spoil


def new_schema(folder):
    card = json.loads((folder / "model/model_card.json").read_text())
    card["schema_version"] = 99
    (folder / "model/model_card.json").write_text(json.dumps(card))


def change_column(label, function):
    """Replace a column, of particles or optics, by a function of its numbers."""

    def change(text):
        out, labels = [], []
        for line in text.splitlines():
            words = line.split()
            if line.startswith("data_"):
                labels = []
            elif line.startswith("_"):
                labels.append(words[0][1:])
            elif len(words) == len(labels) and label in labels:
                words[labels.index(label)] = f"{function(float(words[labels.index(label)])):.6f}"
                line = " ".join(words)
            out.append(line)
        return "\n".join(out) + "\n"

    return star(change)


def never_align(folder):
    for label in ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"):
        change_column(label, lambda angle: 0.0)(folder)


def remove(name):
    return lambda folder: (folder / name).unlink()


SIMULATE = "simulate --volume map.mrc --number 10 --snr 1"
TRAIN = "train --volume map.mrc --like particles.star --steps 2"
INFER = "infer --model model --particles particles.star"
INFER_MAP = INFER + " --volume map.mrc"
RECONSTRUCT = "reconstruct --particles particles.star"
COMPARE = "compare --truth particles.star --estimate particles.star"

ROWS = [
    (
        "odd box asked for",
        None,
        SIMULATE + " --box-size 31",
        "--box-size-px is 31; give an even number",
    ),
    ("map of odd box", write_map(lambda v: v[:-1, :-1, :-1]), SIMULATE, "31 px; give an even box"),
    (
        "non-cubic map",
        write_map(lambda v: v[:, :-4]),
        SIMULATE,
        "is 32 x 28 x 32 voxels; a cubic map is needed",
    ),
    ("non-cubic map, training", write_map(lambda v: v[:, :-4]), TRAIN, "is 32 x 28 x 32 voxels"),
    (
        "field of view too small",
        rewrite_stack(lambda i: i[:, 8:24, 8:24], box=16),
        INFER,
        "the model looks at",
    ),
    (
        "pixels too coarse",
        rewrite_stack(lambda i: resample_images(i, PIXEL, BOX, 2 * PIXEL), pixel=2 * PIXEL),
        INFER,
        "or finer",
    ),
    ("map of another scale", write_map(lambda v: v, pixel=PIXEL / 2), INFER_MAP, "map.mrc"),
    (
        "map ten times too large",
        write_map(lambda v: v[4:28, 4:28, 4:28], pixel=10 * PIXEL),
        INFER_MAP,
        "1440 Å wide and the images are 192 Å wide; check both pixel sizes",
    ),
    ("map of another scale, training", write_map(lambda v: v, pixel=PIXEL / 2), TRAIN, "map.mrc"),
    ("no CTF", rename_column("rlnDefocusU", "rlnDefocusV"), INFER, "CTF"),
    ("no CTF to train for", rename_column("rlnDefocusU", "rlnDefocusV"), TRAIN, "_rlnDefocusU"),
    ("no poses", rename_column("rlnAngleRot"), RECONSTRUCT, "no column _rlnAngleRot"),
    ("no poses to compare", rename_column("rlnAngleTilt"), COMPARE, "no column _rlnAngleTilt"),
    (
        "no poses to learn from",
        rename_column("rlnAngleRot"),
        "train --particles particles.star --steps 2",
        "no column _rlnAngleRot",
    ),
    (
        "no acquisition",
        rename_column("rlnVoltage"),
        RECONSTRUCT,
        "has defocus values but no voltage; add the acquisition",
    ),
    (
        "no acquisition, inference",
        rename_column("rlnAmplitudeContrast"),
        INFER,
        "no amplitude contrast",
    ),
    ("empty set", keep_particles(0), INFER, "particles.star"),
    ("one particle has no halves", keep_particles(1), RECONSTRUCT, "particle"),
    ("NaN image", rewrite_stack(with_nan), INFER, "NaN"),
    ("NaN image, reconstruction", rewrite_stack(with_nan), RECONSTRUCT, "NaN"),
    ("truncated stack", truncate, INFER, "is truncated"),
    ("truncated stack, reconstruction", truncate, RECONSTRUCT, "is truncated"),
    ("missing stack", remove("particles.mrcs"), INFER, "particles.mrcs does not exist"),
    ("missing STAR column", rename_column("rlnImageName"), RECONSTRUCT, "no column _rlnImageName"),
    ("missing pixel size", rename_column("rlnImagePixelSize"), INFER, "rlnImagePixelSize"),
    ("unknown symmetry", None, RECONSTRUCT + " --symmetry Q3", "Symmetry 'Q3' is unknown; use C1"),
    ("unknown symmetry, comparison", None, COMPARE + " --symmetry D", "Symmetry 'D' is unknown"),
    (
        "unknown symmetry, training",
        None,
        TRAIN + " --symmetry helical",
        "Symmetry 'helical' is unknown",
    ),
    ("model card of another schema", new_schema, INFER, "99"),
    ("no model", lambda folder: shutil.rmtree(folder / "model"), INFER, "model does not exist"),
    ("a model without weights", remove("model/model.keras"), INFER, "model.keras"),
    ("volts", change_column("rlnVoltage", lambda kv: 1000 * kv), INFER, "is 300000 kV"),
    ("no pose at all, reconstruction", never_align, RECONSTRUCT, "never aligned"),
    (
        "no pose at all, refinement",
        never_align,
        "refine --particles particles.star --volume map.mrc",
        "never aligned",
    ),
    (
        "no pose at all, iteration",
        never_align,
        "iterate --particles particles.star --volume map.mrc",
        "never aligned",
    ),
    ("no pose at all, comparison", never_align, COMPARE, "never aligned"),
    (
        "no pose at all, labels",
        never_align,
        "train --particles particles.star --steps 2",
        "never aligned",
    ),
    (
        "no scores to filter by",
        None,
        "filter --particles particles.star",
        "has no probability of junk (cryoposesJunkProbability) and none of a wrong pose",
    ),
    (
        "reference on another grid",
        write_map(lambda v: v[:24, :24, :24]),
        RECONSTRUCT + " --reference map.mrc",
        "map.mrc",
    ),
]


@pytest.mark.parametrize(
    "spoil, command, sentence", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_one_clear_sentence(inputs, caplog, spoil, command, sentence):
    if spoil:
        spoil(inputs)
    with caplog.at_level(logging.ERROR, logger="cryoposes"):
        caplog.clear()
        status = main(command.split() + ["--output", "out"])
    assert status == 2
    errors = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert sentence in errors[0]
    assert "\n" not in errors[0]
    assert len(errors[0]) < 400
    assert not [name for name in RESULTS if (inputs / "out" / name).exists()]


def test_what_is_unlikely_is_asked_once_and_kept(inputs, caplog):
    change_column("rlnDefocusU", lambda defocus: 1e-4 * defocus)(inputs)
    change_column("rlnDefocusV", lambda defocus: 1e-4 * defocus)(inputs)
    assert main(RECONSTRUCT.split() + ["--output", "out"]) == 0
    asked = [r.getMessage() for r in caplog.records if "were micrometres typed" in r.getMessage()]
    assert len(asked) == 1
    assert json.loads((inputs / "out/metrics.json").read_text())["warnings"] == asked
    assert "were micrometres typed where Å are needed" in (inputs / "out/report.html").read_text()


def test_astra_without_cuda(inputs, caplog):
    import astra

    if astra.use_cuda():
        pytest.skip("this machine has CUDA: ASTRA would run")
    for command in (SIMULATE + " --projector astra", RECONSTRUCT + " --method cgls"):
        assert main(command.split() + ["--output", "out"]) == 2
        assert "CUDA" in caplog.records[-1].getMessage()
        assert not (inputs / "out").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MiB, or a skip."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if (
        os.geteuid()
        or shutil.which("mount") is None
        or subprocess.run(command, capture_output=True).returncode
    ):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_during_simulation(inputs, small_disk):
    command = [
        sys.executable,
        "-m",
        "cryoposes_plugin",
        "simulate",
        "--volume",
        "map.mrc",
        "--number",
        "5000",
        "--output",
        str(small_disk / "out"),
    ]
    result = subprocess.run(command, cwd=inputs, capture_output=True, text=True)
    assert result.returncode == 2
    assert "free some space" in result.stderr
    assert "Traceback" not in result.stderr
    assert not [
        name for name in RESULTS if name != "volume.mrc" and (small_disk / "out" / name).exists()
    ]


def test_a_computer_without_memory_is_one_sentence(inputs, caplog, monkeypatch):
    from cryoposes_plugin.commands.reconstruct import run as reconstruct

    monkeypatch.setattr(reconstruct, "run", lambda config, run: np.ones(2**50))
    assert main(RECONSTRUCT.split() + ["--output", "out"]) == 2
    assert re.search(r"Error: memory ran out \(Unable to allocate .*\); free some", caplog.text)
    assert not (inputs / "out" / "metrics.json").exists()
