"""Kills runs at the moments when files change, lets them go on, and compares with runs that nothing
stopped.

    python -m tests.kills --kills 60 --seed 1 [--commands refine infer ...] [--folder DIR]

Every run is a child that is ended with SIGKILL just before or after the k-th rename, removal, new
folder or fsync in its folder. States are saved after every batch here, so that a few images
suffice. It prints a line a kill and a table, and ends with status 1 where a result differs.
Children are forked once everything is imported and nothing computed.
"""

import argparse
import collections
import dataclasses
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

NUMBER, BOX, PIXEL = 64, 32, 5.0
#: Words of a command, after its name; `out` is its output and `../in` holds its inputs.
PARTICLES, MAP, MODEL = (
    "--particles ../in/near.star",
    "--volume ../in/map.mrc",
    "--model ../in/train/model",
)
COMMANDS = {
    "simulate": f"simulate {MAP} --number 40 --snr 1 --seed 5",
    "train": f"train {MAP} --like ../in/near.star --steps 6 --batch-size 8 --validation-number 10 "
    "--checkpoint-minutes 0",
    "infer": f"infer {MODEL} {PARTICLES} --batch-size 16",
    "infer-volume": f"infer {MODEL} {PARTICLES} {MAP} --batch-size 16",
    "refine": f"refine {PARTICLES} {MAP} --batch-size 16",
    "reconstruct": f"reconstruct {PARTICLES} --batch-size 16",
    "forecast": "forecast --particles ../in/near.star --volume ../in/map.mrc --model ../in/train/model "
    "--number 64 --batch-size 16",
    "relax-symmetry": f"relax-symmetry {PARTICLES} {MAP} --pseudo-symmetry C2 --batch-size 16",
    "expand-symmetry": f"expand-symmetry {PARTICLES} --pseudo-symmetry D2",
    "merge-sets": "merge-sets --sets ../in/near.star ../in/scored.star",
    "filter": "filter --particles ../in/scored.star --score cryoposesTrace --keep-quantile 0.5",
    "compare": "compare --truth ../in/scored.star --estimate ../in/near.star",
    "calibrate": "calibrate --particles ../in/scored.star --truth ../in/near.star",
    "recover-distances": "recover-distances --distances ../in/distances.npz",
    "recover-model": f"recover {MODEL} {PARTICLES} --batch-size 16 --landmarks 40 --copies 20",
    "iterate": f"iterate {PARTICLES} {MAP} --rounds 2 --batch-size 16 --low-pass-angstrom 30",
    "initial-volume": "initial-volume --particles ../in/near.star --starts 2 --rounds 1 --batch-size 16",
}
#: What differs between two runs that are the same: times, and what depends on the machine.
TIMES = re.compile(r".*(seconds|_per_second|_rate)$|device|arguments|needs|used")
#: Of a map's header; they say when it was written.
MRC_LABELS = slice(220, 1024)


# ---- children ------------------------------------------------------------------------------------


class Moments:
    """Counts changes of files and ends the process at one of them: 2 k before the k-th, 2 k + 1
    after it.
    """

    def __init__(self, end_at):
        self.end_at, self.count = end_at, 0
        for name in ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "fsync"):
            self._watch(name, getattr(os, name))

    def _watch(self, name, original):
        def watched(path, *more, **named):
            if isinstance(path, int) or "out" in str(path) or named.get("dir_fd") is not None:
                self._pass()
                result = original(path, *more, **named)
                self._pass()
                return result
            return original(path, *more, **named)

        setattr(os, name, watched)

    def _pass(self):
        if self.count == self.end_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += 1


def import_everything():
    import keras
    import tensorflow

    from cryoposes_plugin.commands import pictures as run_pictures
    from cryoposes_plugin.commands import registry, report
    from cryoposes_plugin.commands.simulate import renderer as simulate
    from cryoposes_plugin.core import plots
    from cryoposes_plugin.core.abinitio import starts
    from cryoposes_plugin.core.imaging import forward_model
    from cryoposes_plugin.core.io import state_files
    from cryoposes_plugin.core.plots import directions as direction_plots

    for name in registry.CONFIGS:
        registry.module_of(name)
        registry.pictures_module(name)
    state_files.SAVE_SECONDS = -1.0
    simulate.PIXELS_PER_BATCH = 8 * BOX**2
    for stages in ("SHAPE", "DETAIL"):  # a search that finds little, but the same
        short = [
            dataclasses.replace(s, iterations=1, order=min(s.order, 1))
            for s in getattr(starts, stages)
        ]
        setattr(starts, stages, tuple(short))
    return keras, tensorflow, direction_plots, plots, report, run_pictures, forward_model


def in_child(folder, words, end_at=None):
    """Run the program in a folder; (exit status, negative for a signal; moments passed; its last
    line).
    """
    (folder / "log").unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        log = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        from cryoposes_plugin.cli.main import main

        moments = Moments(end_at)
        status = main([*words.split(), "--output", "out", "--threads", "1"])
        Path("moments").write_text(str(moments.count))
        os._exit(status)
    _, status = os.waitpid(pid, 0)
    lines = (folder / "log").read_text(errors="replace").splitlines() or [""]
    count = int((folder / "moments").read_text()) if (folder / "moments").exists() else 0
    return os.waitstatus_to_exitcode(status), count, lines[-1]


def make_inputs(folder, with_network):
    """map.mrc, near.star (poses 6 degrees off), scored.star, distances.npz and a network that
    learned a moment.
    """
    pid = os.fork()
    if pid == 0:
        from scipy.spatial.transform import Rotation

        from cryoposes_plugin.cli.main import main
        from cryoposes_plugin.core.io.mrc import write_volume
        from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
        from cryoposes_plugin.core.maps.phantom import make_phantom

        folder.mkdir(parents=True)
        os.chdir(folder)
        write_volume("map.mrc", make_phantom(BOX, PIXEL).data, PIXEL)
        status = main(f"simulate --volume map.mrc --number {NUMBER} --snr 1 --output sim".split())
        table = read_particles("sim/particles.star", require=("poses",))
        rng = np.random.default_rng(1)
        turns = Rotation.from_rotvec(0.06 * rng.standard_normal((NUMBER, 3))).as_matrix()
        write_particles("near.star", table.replace(rotations=turns @ table.rotations))
        write_particles(
            "scored.star", table.replace(scores={"cryoposesTrace": -rng.uniform(1, 9, NUMBER)})
        )
        i, j = np.triu_indices(NUMBER, 1)
        relative = np.einsum("nab,ncb->nac", table.rotations[i], table.rotations[j])
        np.savez("distances.npz", i=i, j=j, d=Rotation.from_matrix(relative).magnitude())
        words = "train --volume map.mrc --like near.star --steps 8 --batch-size 16 --validation-number 16 --output train"
        if with_network:
            status = status or main(words.split())
        os._exit(status)
    _, status = os.waitpid(pid, 0)
    if status:
        raise SystemExit("the inputs could not be made")


# ---- comparison ----------------------------------------------------------------------------------


def contents(folder):
    """Name -> what must be the same, of every file of a run."""
    return {
        str(path.relative_to(folder)): _content(path)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def _content(path):
    if path.suffix == ".json":
        return timeless(json.loads(path.read_text()))
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return {
                name: archive.read(name) for name in archive.namelist() if name != "metadata.json"
            }
    if path.suffix == ".html":
        return re.sub(r"<tr><td>[^<]*(second|seconds|rate)[^<]*</td>.*?</tr>", "", path.read_text())
    data = path.read_bytes()
    return data[: MRC_LABELS.start] + data[MRC_LABELS.stop :] if path.suffix == ".mrc" else data


def timeless(value):
    if not isinstance(value, dict):
        return value
    return {
        name: timeless(part)
        for name, part in value.items()
        if name != "directory" and not TIMES.fullmatch(name)
    }


def differences(folder, reference):
    ours, theirs = contents(folder), contents(reference)
    missing, more = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
    differing = [name for name in theirs if name in ours and ours[name] != theirs[name]]
    found = (("missing", missing), ("too many", more), ("differ", differing))
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in found if names)


# ---- the whole -----------------------------------------------------------------------------------


def plant_links(name, words, place):
    """A run that was begun, with a link at every place that it writes to: what they point to is not
    touched.
    """
    reference, folder = place / "reference", place / "links"
    outside, out = folder / "outside", folder / "out"
    outside.mkdir(parents=True)
    (outside / "precious").write_bytes(b"precious")
    out.mkdir()
    for taken in ("config.json", "manifest.json"):
        shutil.copy(reference / "out" / taken, out)
    names = {path.name for path in (reference / "out").iterdir()} - {
        "config.json",
        "manifest.json",
        "metrics.json",
    }
    states = {"checkpoint.npz", "training_state.json", "simulation_state.json", "error.log"}
    states |= {f"{kind}_state.npz" for kind in ("inference", "refinement", "embedding")}
    for planted in sorted(names) + [
        f"{n}.part" for n in names | states | {"metrics.json", "config.json"}
    ]:
        (out / planted).symlink_to(outside / "precious" if "." in planted[1:] else outside)
    status, _, last = in_child(folder, words)
    why = f"ended with {status}: {last}" if status else differences(out, reference / "out")
    if [path.read_bytes() for path in outside.iterdir()] != [b"precious"]:
        why = "A LINK WAS FOLLOWED"
    say(f"{name:18} links      {why or 'same'}")
    return why


def moments_of(number, kills, rng):
    """Which of 2 x number moments: half of them anywhere, half in the last third, where results are
    written.
    """
    late = rng.integers(2 * number // 3, number, kills // 2)
    return sorted({*rng.integers(0, number, kills - kills // 2).tolist(), *late.tolist()})


def kill_and_compare(name, words, place, kills, rng):
    """Lines (moment, what differs or ''), and how many moments there are."""
    reference = place / "reference"
    reference.mkdir(parents=True)
    status, number, last = in_child(reference, words)
    if status:
        say(f"{name:18} the uninterrupted run ended with {status}: {last}")
        return [(-1, last)], 0
    why = plant_links(name, words, place)
    found = [(-2, why)] if why else []
    for moment in moments_of(number, kills, rng):
        folder = place / f"kill-{moment}"
        folder.mkdir()
        began = time.monotonic()
        status, _, _ = in_child(folder, words, moment)
        if status != -signal.SIGKILL:
            found.append((moment, f"was not killed: {status}"))
            continue
        status, _, last = in_child(folder, words)
        why = (
            f"the resumed run ended with {status}: {last}"
            if status
            else differences(folder / "out", reference / "out")
        )
        say(
            f"{name:18} {moment:4} of {number:4}  {time.monotonic() - began:5.1f} s  "
            f"{why or 'same'}"
        )
        found.append((moment, why))
        if not why:
            shutil.rmtree(folder)
    return found, number


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", nargs="+", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args(argv)
    os.environ.update(
        CUDA_VISIBLE_DEVICES="",
        TF_CPP_MIN_LOG_LEVEL="3",
        OMP_NUM_THREADS="1",
        OPENBLAS_NUM_THREADS="1",
    )
    everything = import_everything()  # kept: children find it imported
    place = arguments.folder or Path(tempfile.mkdtemp(prefix="kills-"))
    if not (place / "in").exists():
        make_inputs(
            place / "in", with_network=any(MODEL in COMMANDS[name] for name in arguments.commands)
        )
    rng, table = np.random.default_rng(arguments.seed), collections.OrderedDict()
    share = -(-arguments.kills // len(arguments.commands))
    for name in arguments.commands:
        inside = place / name
        shutil.rmtree(inside, ignore_errors=True)
        inside.mkdir(parents=True)
        (inside / "in").symlink_to(place / "in")
        table[name] = kill_and_compare(name, COMMANDS[name], inside, share, rng)
    del everything
    say(f"\n{'command':18} {'moments':>8} {'kills':>6} {'same':>5}")
    wrong = 0
    for name, (found, number) in table.items():
        same = sum(not why for _, why in found)
        wrong += len(found) - same
        say(f"{name:18} {number:8} {len(found):6} {same:5}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
