"""A real Scipion project in a temporary folder, and the small objects that the tests put into it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np

from cryoposes_plugin.core import conventions
from cryoposes_plugin.core.io.mrc import StackWriter
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable

BOX, PIXEL = 16, 4.0
#: The small molecule that all protocols are run on, one after the other.
TOUR_BOX, TOUR_PIXEL, TOUR_NUMBER = 32, 7.5, 240


def register_plugin(folder: Path) -> None:
    """Make pyworkflow find the plugin where it runs from a clone that was not installed."""
    import importlib_metadata

    if any(
        e.name == "cryoposes_plugin"
        for e in importlib_metadata.entry_points(group="pyworkflow.plugin")
    ):
        return
    info = folder / "site" / "scipion_em_cryoposes-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: scipion-em-cryoposes\nVersion: 0\n"
    )
    (info / "entry_points.txt").write_text(
        "[pyworkflow.plugin]\ncryoposes_plugin = cryoposes_plugin\n"
    )
    repository = Path(__file__).resolve().parents[2]
    paths = [str(info.parent), str(repository)]
    sys.path += paths
    os.environ["PYTHONPATH"] = os.pathsep.join(
        paths + [p for p in [os.environ.get("PYTHONPATH")] if p]
    )


def make_table(folder: Path, ids, rng, groups: int = 1, state: str = "raw") -> ParticleTable:
    """Particles with everything set and random images, in two stacks."""
    n = len(ids)
    stack_index = np.arange(n) % 2
    paths = (folder / "a.mrcs", folder / "b.mrcs")
    for i, path in enumerate(paths):
        writer = StackWriter(path, int((stack_index == i).sum()), BOX, PIXEL)
        writer.append(
            rng.standard_normal((int((stack_index == i).sum()), BOX, BOX)).astype(np.float32)
        )
        writer.finish()
    u = rng.uniform(9000, 20000, n)
    optics = tuple(
        OpticsGroup(f"group{i + 1}", PIXEL, BOX, 300.0 - 100 * i, 2.7 - i, 0.1 - 0.03 * i, state)
        for i in range(groups)
    )
    index = rng.integers(0, groups, n)
    acquisition = [
        np.array([getattr(o, a) for o in optics])[index]
        for a in ("voltage_kv", "spherical_aberration_mm", "amplitude_contrast")
    ]
    ctf = CtfTable(
        u,
        u - rng.uniform(10, 500, n),
        rng.uniform(0, 179, n),
        rng.uniform(0, 90, n),
        *acquisition,
        np.zeros(n),
    )
    angles = np.stack(
        [rng.uniform(-180, 180, n), rng.uniform(5, 175, n), rng.uniform(-180, 180, n)], axis=1
    )
    extra = {
        "rlnCoordinateX": np.array([f"{10 * i}" for i in range(n)], dtype=object),
        "rlnCoordinateY": np.array([f"{7 * i}" for i in range(n)], dtype=object),
        "rlnMicrographName": np.array([f"mic_{i % 3}.mrc" for i in range(n)], dtype=object),
        "cryoposesPoseSource": np.full(n, "truth", dtype=object),
    }
    return ParticleTable(
        ids=np.asarray(ids, dtype=np.int64),
        stack_paths=paths,
        stack_index=stack_index,
        slice_index=np.arange(n) // 2,
        optics=optics,
        optics_index=index,
        rotations=conventions.euler_deg_to_rotations(angles),
        shifts_px=rng.normal(0, 2, (n, 2)),
        ctf=ctf,
        random_subset=rng.integers(1, 3, n),
        scores={
            "cryoposesTrace": rng.standard_normal(n),
            "cryoposesDispersion": rng.standard_normal(n),
        },
        extra=extra,
    )


def new_set(path):
    """An empty SetOfParticles in a file."""
    from pwem.objects import SetOfParticles

    return SetOfParticles(filename=str(path))


def run_protocol(project, protocol):
    """Launch in the project's folder and wait; raises with the log if it failed."""
    before = os.getcwd()
    os.chdir(project.path)
    try:
        project.launchProtocol(protocol, wait=True)
    finally:
        os.chdir(before)
    if protocol.isFailed() or not protocol.isFinished():
        log = Path(project.path, protocol.getStderrLog())
        text = log.read_text(errors="replace")[-3000:] if log.exists() else ""
        raise RuntimeError(
            f"{protocol.getClassName()} is {protocol.getStatus()}: "
            f"{protocol.getErrorMessage()}\n{text}"
        )
    return protocol


def wait_for(project, protocol, condition, seconds=240):
    """The protocol as Scipion sees it once the condition holds for what the run itself wrote down.

    Scipion's own update reads the run's database first and looks for its process after: of a run
    that ends in between it says "Process N not found running". It is asked only when the run's
    database holds what is waited for.
    """
    from pyworkflow.protocol import getUpdatedProtocol

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        written = getUpdatedProtocol(protocol)
        if condition(written):
            seen = project.getProtocol(protocol.getObjId())
            project._updateProtocol(seen)
            return seen
        time.sleep(0.3)
    raise RuntimeError(
        f"not within {seconds} s; status {written.getStatus()}, {written.getErrorMessage()}"
    )


def pointer_to(protocol, output):
    from pyworkflow.object import Pointer

    return Pointer(protocol, extended=output)


def link(protocol, param, source, output):
    """Point a protocol's input at an output of another one."""
    value = getattr(protocol, param)
    if value.isPointer():
        value.set(source)
        value.setExtended(output)
    else:
        value.append(pointer_to(source, output))


def ids(particles):
    return sorted(item.getObjId() for item in particles)


def pose_arrays(particles):
    from cryoposes_plugin.core.conventions import transforms_to_poses

    found = {item.getObjId(): item.getTransform().getMatrix().copy() for item in particles}
    rotations, shifts = transforms_to_poses(np.stack([found[i] for i in sorted(found)]))
    return np.array(sorted(found)), rotations, shifts


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])
