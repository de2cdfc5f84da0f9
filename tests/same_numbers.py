"""Runs every command once on a small data set and records a digest of every result file.

    python -m tests.same_numbers FOLDER [--inputs DIR] [--against FOLDER/digests.json]

The inputs are made once and kept, with a network in them, so that two versions of the program can
be compared on the same data: run each with the same `--inputs`, the second one with `--against` the
digests of the first. Everything runs in one thread from seed 0. Text that only people read
(reports, pictures, sentences in JSON files) is left out, as are times, dates and versions. The exit
status is 1 where a number differs.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

from tests import kills

RUNS = {
    "simulate": "simulate --volume ../in/map.mrc --number 40 --snr 1 --seed 5",
    "simulate-many": "simulate --volume ../in/map.mrc ../in/map.mrc --number 24 --snr 0.5 --shift-px 2 "
    "--defocus-range-angstrom 8000 20000",
    "train": kills.COMMANDS["train"],
    "train-labelled": "train --particles ../in/near.star --steps 6 --batch-size 8 --validation-number 10",
    "train-mixed": "train --volume ../in/map.mrc --particles ../in/near.star --snr 1 --steps 6 --batch-size 8 "
    "--validation-number 10",
    "train-distance": "train --volume ../in/map.mrc --like ../in/near.star --preset distance --steps 6 --batch-size 8 "
    "--validation-number 10",
    "train-banjac": "train --volume ../in/map.mrc --snr 1 --preset banjac2021 --steps 2 --batch-size 4 "
    "--validation-number 10",
    "train-cryoforum": "train --volume ../in/map.mrc --snr 1 --preset cryoforum2023 --steps 2 --batch-size 4 "
    "--validation-number 10",
    "train-lian": "train --volume ../in/map.mrc --snr 1 --preset lian2022 --steps 2 --batch-size 4 "
    "--validation-number 10",
    "infer": kills.COMMANDS["infer"],
    "infer-volume": kills.COMMANDS["infer-volume"],
    "refine": kills.COMMANDS["refine"],
    "iterate": kills.COMMANDS["iterate"],
    "iterate-model": f"iterate {kills.PARTICLES} {kills.MAP} {kills.MODEL} --rounds 2 --batch-size 16 "
    "--low-pass-angstrom 30",
    "initial-volume": kills.COMMANDS["initial-volume"],
    "recover-distances": kills.COMMANDS["recover-distances"],
    "recover-model": kills.COMMANDS["recover-model"],
    "recover-minibatch": "recover-distances --distances ../in/distances.npz --method minibatch --minibatch-steps 300",
    "relax-symmetry": kills.COMMANDS["relax-symmetry"],
    "relax-symmetry-images": f"{kills.COMMANDS['relax-symmetry']} --asymmetry-from images --rounds 2",
    "expand-symmetry": kills.COMMANDS["expand-symmetry"],
    "merge-sets": kills.COMMANDS["merge-sets"],
    "filter": kills.COMMANDS["filter"],
    "reconstruct": kills.COMMANDS["reconstruct"],
    "reconstruct-reference": f"reconstruct {kills.PARTICLES} --reference ../in/map.mrc --symmetry C2 --batch-size 16",
    "compare": kills.COMMANDS["compare"],
    "calibrate": kills.COMMANDS["calibrate"],
    "forecast": kills.COMMANDS["forecast"],
}
#: Results that hold numbers.
_SUFFIXES = {".star", ".mrc", ".mrcs", ".npz", ".npy", ".csv", ".json", ".keras"}
#: Options are no results: a command may lose one that never belonged to it.
_NOT_COMPARED = {"config.json", "manifest.json", "versions", "schema_version", "package_versions"}


def digests(folder):
    """Name -> digest of what must be the same, of every result file of the runs."""
    files = (
        path for path in sorted(folder.rglob("*")) if path.suffix in _SUFFIXES and path.is_file()
    )
    return {
        str(p.relative_to(folder)): _digest(p)
        for p in files
        if p.name not in (*_NOT_COMPARED, "digests.json")
    }


def _digest(path):
    if path.suffix == ".json":
        content = json.dumps(
            _numbers(kills.timeless(json.loads(path.read_text()))), sort_keys=True
        ).encode()
    elif path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            content = b"".join(
                archive.read(name) for name in sorted(archive.namelist()) if name.endswith(".h5")
            )
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            content = b"".join(
                name.encode() + archive.read(name) for name in sorted(archive.namelist())
            )
    else:
        content = path.read_bytes()
        if path.suffix in (".mrc", ".mrcs"):
            content = content[: kills.MRC_LABELS.start] + content[kills.MRC_LABELS.stop :]
        if path.suffix == ".csv":
            content = _untimed(content)
        if path.suffix == ".star":  # names of images by their absolute paths
            content = re.sub(rb"@/\S*/in/", b"@in/", content)
    return hashlib.sha256(content).hexdigest()


def _untimed(content):
    """A table without its columns of times."""
    rows = [line.split(",") for line in content.decode().splitlines()]
    keep = [i for i, name in enumerate(rows[0]) if not kills.TIMES.fullmatch(name)] if rows else []
    return "\n".join(",".join(row[i] for i in keep if i < len(row)) for row in rows).encode()


def _numbers(value):
    """The same without texts and versions."""
    if isinstance(value, dict):
        return {
            k: _numbers(v)
            for k, v in value.items()
            if not isinstance(v, str) and k not in _NOT_COMPARED
        }
    if isinstance(value, list):
        return [_numbers(v) for v in value if not isinstance(v, str)]
    return value


def run_all(folder, inputs, only):
    """Every command in a process of its own, in `folder`; ends at the first that fails."""
    environment = dict(os.environ, CUDA_VISIBLE_DEVICES="", TF_CPP_MIN_LOG_LEVEL="3")
    environment.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "in"
    if not link.exists():
        link.symlink_to(inputs.resolve())
    (folder / "runs").mkdir(exist_ok=True)
    for name in only or RUNS:
        words = [
            sys.executable,
            "-m",
            "cryoposes_plugin",
            *RUNS[name].split(),
            "--output",
            name,
            "--threads",
            "1",
        ]
        done = subprocess.run(
            words, cwd=folder / "runs", env=environment, capture_output=True, text=True
        )
        kills.say(
            f"{name:20} {'done' if done.returncode == 0 else done.stderr.strip().splitlines()[-1]}"
        )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--inputs", type=Path, help="Folder of the inputs, made if it does not exist."
    )
    parser.add_argument("--against", type=Path, help="Digests of another version.")
    parser.add_argument("--only", nargs="+", choices=list(RUNS))
    arguments = parser.parse_args(argv)
    inputs = arguments.inputs or arguments.folder / "inputs"
    if not inputs.exists():
        kills.make_inputs(inputs.resolve(), with_network=True)
    run_all(arguments.folder, inputs, arguments.only)
    ours = digests(arguments.folder / "runs")
    (arguments.folder / "digests.json").write_text(
        json.dumps(ours, indent=1, sort_keys=True) + "\n"
    )
    if arguments.against is None:
        return 0
    theirs = json.loads(arguments.against.read_text())
    theirs = {name: d for name, d in theirs.items() if Path(name).name not in _NOT_COMPARED}
    if arguments.only:
        theirs = {
            name: digest for name, digest in theirs.items() if name.split("/")[0] in arguments.only
        }
    wrong = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    for name in wrong:
        state = "missing" if name not in ours else "new" if name not in theirs else "differs"
        kills.say(f"{state:8} {name}")
    kills.say(
        f"{len(theirs) - len([n for n in wrong if n in theirs])} of {len(theirs)} files are the "
        "same"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
