"""What a run needs of memory, disk and time: told before it starts, and kept beside what it used.

Each command with long work has a module `needs` with `needs(config, size, pace)`.
"""

from __future__ import annotations

import logging
import math
import os
import re
import resource
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..core import memory
from ..core.errors import CryoposesError, ResourceError
from ..core.io.names import CONFIG_NAME
from ..core.needs import (
    REPORT_BYTES,
    SPECTRA_ROUNDS,
    TYPICAL_PADDING,
    refinement_bytes,
    twin_images,
)
from ..core.parallel import number_of_cores
from ..core.progress import format_duration
from .config import Config
from .pace import Pace
from .registry import has_needs, needs_module

logger = logging.getLogger(__name__)

#: Metrics that are told and measured.
NEEDS, USED = "needs", "used"
#: Shorter runs are not worth a measurement of this machine.
_MEASURED_FROM_S = 60.0
#: Of a particle in a file, if it is not known; what a run adds to it.
_ROW_BYTES, _ADDED_BYTES = 300, 250
_DISK_REMEDY = "give another folder, or free some space"


class Cube(NamedTuple):
    """Edge of a map in px, and its pixel size in Å."""

    box_size_px: int
    pixel_size_angstrom: float


@dataclass(frozen=True)
class InputSize:
    """How large the inputs of a run are.

    particles : number of them. box_size_px, pixel_size_angstrom : of their images, where these meet.
    groups : number of optics groups. volumes : maps. row_bytes : of a particle in its file.
    network_box_px : of the images that the network sees, if there is one.
    padding : of the Fourier grid of the map that images are compared with.
    """

    particles: int = 0
    box_size_px: int = 0
    pixel_size_angstrom: float = 1.0
    groups: int = 1
    volumes: Tuple[Cube, ...] = ()
    row_bytes: float = _ROW_BYTES
    network_box_px: int = 0
    padding: float = TYPICAL_PADDING

    @classmethod
    def of_dict(cls, values: Mapping[str, Any]) -> InputSize:
        """What `dataclasses.asdict` gave."""
        return cls(**{**values, "volumes": tuple(Cube(*v) for v in values["volumes"])})

    @property
    def volume_box_px(self) -> int:
        """Of the largest map; that of the images without one."""
        return max((volume.box_size_px for volume in self.volumes), default=self.box_size_px)

    def working_box_px(self, largest: Optional[int]) -> int:
        """See `particles.grids.working_grid`."""
        from ..core.particles.grids import LARGEST_BOX_PX

        return min(self.box_size_px + self.box_size_px % 2, largest or LARGEST_BOX_PX)

    def refinement_bytes(self, config: Any, volume_box_px: int, threads: int) -> float:
        """Memory of a refinement with the working box and the batches of a config."""
        box = self.working_box_px(config.working_box_px)
        batch = config.batch_size
        return refinement_bytes(self.particles, box, volume_box_px, self.padding, batch, threads)

    @property
    def tables_bytes(self) -> float:
        """Of the particles in the file of the results, and of the report."""
        return self.particles * (self.row_bytes + _ADDED_BYTES) + REPORT_BYTES


@dataclass(frozen=True)
class Needs:
    """Of a run.

    memory_bytes : of each process. disk_bytes : of all that is written.
    seconds : from and to; the same twice if it does not depend on what the images show.
    remedy : against too much memory.
    """

    memory_bytes: float
    disk_bytes: float
    seconds: Tuple[float, float]
    remedy: str = "use a machine with more memory"


def needs_of(config: Config, size: InputSize, pace: Pace, workers: int = 1) -> Needs:
    """Of a run with inputs of this size.

    Parameters
    ----------
    config : of a command with long work.
    size : of its inputs.
    pace : of the machine.
    workers : processes that share particles and threads; the one that waits for them holds as much.
    """
    module = needs_module(config.command)
    needs: Needs = module.needs(config, size, pace)
    if workers == 1:
        return needs
    each = module.needs(config, size, Pace(max(1, pace.threads // workers)))
    return replace(needs, memory_bytes=(workers + 1) * each.memory_bytes)


def refined_images(size: InputSize) -> Tuple[int, int]:
    """How many images a refinement works on, with those on which it measures the spectra, and how
    many the twin has by which junk is told.
    """
    twin = twin_images(size.particles)
    measured = size.groups * sum(min(number, size.particles) for number in SPECTRA_ROUNDS)
    return size.particles + measured + twin, twin


def maps_bytes(box_size_px: int) -> float:
    """Of a map and its half maps in files."""
    return 3.0 * 4 * box_size_px**3


def threads_of(config: Config) -> int:
    """Threads of a run."""
    return config.threads or number_of_cores()


def size_of_files(config: Config) -> InputSize:
    """Of the inputs that a config names."""
    values = vars(config)
    known: Dict[str, Any] = {}
    path = next((values[n] for n in ("particles", "like") if values.get(n)), None)
    if path is not None:
        known = _of_particles(config, str(path))
    if values.get("model"):
        known["network_box_px"] = network_box_px(str(values["model"]))
    given = [values.get(name) for name in ("volume", "reference")]
    paths = [p for v in given for p in (v if isinstance(v, tuple) else (v,)) if p]
    volumes = tuple(cube for cube in map(_cube, paths) if cube is not None)
    size = InputSize(**known, volumes=volumes)
    if isinstance(values.get("volume"), str) and volumes and path is not None:
        return replace(size, padding=_padding(values["volume"], size))
    return size


def _padding(path: str, size: InputSize) -> float:
    """Of the Fourier grid that is fine enough for a map on the field of view of the images."""
    from ..core.imaging.padding import choose_padding
    from ..core.io.mrc import read_volume

    return choose_padding([read_volume(path)], size.box_size_px, size.pixel_size_angstrom)


def network_box_px(folder: str) -> int:
    """Of the images that a network sees; 0 if its card cannot be read, which is said elsewhere."""
    from ..core.models.model_card import ModelCard

    try:
        return ModelCard.read(folder).box_size_px
    except CryoposesError:
        return 0


def _of_particles(config: Config, path: str) -> Dict[str, Any]:
    from ..core.io.particle_files import read_particles
    from ..core.particles.grids import common_grid, groups_in_use

    table = read_particles(path, (), config.images_from, config.passthrough)
    box, pixel = common_grid(table)
    return {
        "particles": len(table),
        "box_size_px": box,
        "pixel_size_angstrom": pixel,
        "groups": len(groups_in_use(table)),
        "row_bytes": os.path.getsize(path) / max(len(table), 1),
    }


def _cube(path: str) -> Optional[Cube]:
    """Of a map; None of an atomic model, which becomes one on the grid of the images."""
    from ..core.io.files import is_atomic_model
    from ..core.io.mrc_header import read_header

    if is_atomic_model(path):
        return None
    header = read_header(path, f"Volume {path}")
    return Cube(header.shape[0], header.voxel_angstrom[0] or 1.0)


def tell(config: Config, output: Any, workers: int = 1) -> Optional[Needs]:
    """Log what a run will need; ResourceError if memory or disk do not suffice.

    Parameters
    ----------
    config : of the run.
    output : its folder.
    workers : processes of this machine that share the particles.
    """
    if not has_needs(config.command):
        return None
    pace = _pace_of(config)
    size = size_of_files(config)
    for problem in shortages(config, needs_of(config, size, pace, workers), output):
        raise ResourceError(problem)
    needs = _measured_if_long(config, size, pace, workers)
    logger.info("%s: %s", config.command, sentence(needs, output, pace.threads))
    return needs


def sentence_of_run(config: Config, size: InputSize, output: Any) -> str:
    """What a run with inputs of this size will need in this folder, in one sentence."""
    pace = _pace_of(config)
    needs = _measured_if_long(config, size, pace, workers_here(config))
    return sentence(needs, output, pace.threads)


def workers_here(config: Config) -> int:
    """Processes of this machine that share the particles."""
    return 1 if getattr(config, "dask", "") else getattr(config, "workers", 1)


def _pace_of(config: Config) -> Pace:
    return Pace(threads_of(config), getattr(config, "model", None))


def _measured_if_long(config: Config, size: InputSize, pace: Pace, workers: int) -> Needs:
    """With the speed of this machine, unless the run takes little more than measuring it."""
    needs = needs_of(config, size, pace, workers)
    if needs.seconds[1] <= _MEASURED_FROM_S:
        return needs
    return needs_of(config, size, pace.measured(), workers)


def sentence(needs: Needs, output: Any, threads: int) -> str:
    """ "This run needs about 2.1 GB of memory (18 GB free), ..."."""
    first, last = needs.seconds
    duration = rounded_duration(last)
    if last > 1.3 * first:
        duration = f"{rounded_duration(first)} to {duration}, depending on the images,"
    of_memory, of_disk = _space(needs, output)
    return (
        f"This run needs {of_memory}, {of_disk} and about {duration} on {threads} "
        f"thread{'s' * (threads > 1)}."
    )


def space_sentence(needs: Needs, output: Any) -> str:
    """The same without the time."""
    return f"This run needs {' and '.join(_space(needs, output))}."


def _space(needs: Needs, output: Any) -> Tuple[str, str]:
    return (
        f"about {gigabytes(needs.memory_bytes)} of memory{_free(memory.available_bytes())}",
        f"{gigabytes(needs.disk_bytes)} of disk{_free(_free_disk(output))}",
    )


def _free(value: Optional[int]) -> str:
    return "" if value is None else f" ({gigabytes(value)} free)"


def gigabytes(number: float) -> str:
    """2.13e9 -> '2.1 GB', 2.13e7 -> '21 MB'."""
    unit, name = (1e9, "GB") if number >= 1e9 else (1e6, "MB")
    value = number / unit
    return f"{value:.1f} {name}" if value < 10 else f"{value:.0f} {name}"


def rounded_duration(seconds: float) -> str:
    """1512 -> '25 min': two digits."""
    digits = 10.0 ** (math.floor(math.log10(max(seconds, 10.0))) - 1)
    text = format_duration(max(1.0, digits * round(seconds / digits)))
    return re.sub(r"(?<=min) 00 s$|(?<=h) 00 min$", "", text)


def shortages(config: Config, needs: Needs, output: Any) -> List[str]:
    """A sentence for memory and one for disk, where there is less than a run needs."""
    found, free, disk = [], memory.available_bytes(), _free_disk(output)
    if free is not None and needs.memory_bytes > free:
        found.append(
            f"{config.command}: the run needs about {gigabytes(needs.memory_bytes)} of memory and "
            f"{gigabytes(free)} are free; {needs.remedy}."
        )
    to_write = needs.disk_bytes - _written(Path(output))
    if disk is not None and to_write > disk:
        found.append(
            f"{config.command}: the run needs about {gigabytes(to_write)} of disk in {output} and "
            f"{gigabytes(disk)} are free; {_DISK_REMEDY}."
        )
    return found


def _free_disk(output: Any) -> Optional[int]:
    """In the folder, or in the one in which it will be made."""
    path = Path(output).absolute()
    for folder in (path, *path.parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None


def _written(path: Path) -> int:
    """What an interrupted run has in its folder already."""
    if not (path / CONFIG_NAME).exists():
        return 0
    return sum(p.stat().st_blocks * 512 for p in path.rglob("*") if p.is_file())


def beside_use(needs: Optional[Needs], seconds: float, path: Path) -> Dict[str, Any]:
    """What was told, and what was used, for the metrics of a run.

    Parameters
    ----------
    needs : that were told; None: nothing was.
    seconds : that the run took.
    path : folder of the run.
    """
    if needs is None:
        return {}
    told = {
        "memory_bytes": round(needs.memory_bytes),
        "disk_bytes": round(needs.disk_bytes),
        "seconds": [round(s, 1) for s in needs.seconds],
    }
    used = {
        "memory_bytes": peak_memory_bytes(),
        "disk_bytes": _written(path),
        "seconds": round(seconds, 1),
    }
    return {NEEDS: told, USED: used}


def peak_memory_bytes() -> int:
    """The largest memory of this process so far, without that of processes that it has started.

    `VmHWM` is its own; in `ru_maxrss` there may be that of the process from which it was started.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as handle:
            line = next(line for line in handle if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration, ValueError, IndexError):
        return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
