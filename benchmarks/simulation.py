"""Images a second and memory of `cryoposes simulate`, with CTF, shifts and noise.

    python benchmarks/simulation.py --map MAP [--box 64 --number 20000] ...

Prints one row a box size: images/s (start-up apart), wall time with start-up, and the largest
anonymous memory of the process (the memory-mapped stack is not counted), as sampled ten times a
second. With `--tree` (another checkout of the repository, for instance an older one) each row is
measured there first.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def anonymous_memory_mib(pid: int) -> float:
    """RssAnon of a process on Linux."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"RssAnon:\s+(\d+) kB", text)
    return int(found.group(1)) / 1024 if found else 0.0


def run_measured(*arguments, tree=None) -> tuple:
    """(seconds, largest RssAnon in MiB) of a command of `cryoposes`, of another checkout if given."""
    start, peak = time.monotonic(), 0.0
    given = [str(a.resolve()) if isinstance(a, Path) else str(a) for a in arguments]
    environment = os.environ if tree is None else {**os.environ, "PYTHONPATH": str(tree)}
    process = subprocess.Popen(
        [sys.executable, "-m", "cryoposes_plugin", *given], env=environment, cwd=tree
    )
    while process.poll() is None:
        peak = max(peak, anonymous_memory_mib(process.pid))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(process.returncode)
    return time.monotonic() - start, peak


def measure(volume: Path, box: int, number: int, folder: Path, tree=None):
    images = folder / f"box{box}"
    given = ["--volume", volume, "--number", number, "--snr", 0.1, "--box-size", box]
    wall, peak = run_measured("simulate", *given, "--output", images, tree=tree)
    metrics = json.loads((images / "metrics.json").read_text())
    return metrics["images_per_second"], wall, peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--map",
        type=Path,
        required=True,
        action="append",
        help="MRC map; several are tried in turn",
    )
    parser.add_argument(
        "--box", type=int, nargs="+", default=[64], help="box of the images of each map"
    )
    parser.add_argument(
        "--number", type=int, nargs="+", default=[20000], help="number of images for each map"
    )
    parser.add_argument("--tree", type=Path, help="another checkout")
    arguments = parser.parse_args()
    trees = [arguments.tree, None] if arguments.tree else [None]
    print(f"{'map':34} {'box':>4} {'images':>7} {'images/s':>9} {'wall s':>7} {'RssAnon MiB':>12}")
    for volume, box, number in zip(arguments.map, arguments.box, arguments.number):
        for tree in trees:
            with tempfile.TemporaryDirectory() as folder:
                rate, wall, peak = measure(volume, box, number, Path(folder), tree)
            name = volume.name if tree is None else f"{volume.name} ({tree.name})"
            print(
                f"{name:34} {box:4d} {number:7d} {rate:9.0f} {wall:7.1f} {peak:12.0f}", flush=True
            )


if __name__ == "__main__":
    main()
