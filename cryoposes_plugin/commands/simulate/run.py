"""The `simulate` command: y = C S P x + n, streamed into a stack that grows in order and can be
resumed.
"""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np

from ...core.image_kinds import PARTICLE
from ...core.imaging.astra_projector import require_cuda
from ...core.imaging.faults.settings import Faults
from ...core.io.error_log import not_fatal
from ...core.io.folder import Folder
from ...core.io.mrc import Stack, StackWriter
from ...core.io.names import PARTICLES_NAME, STACK_NAME
from ...core.io.particle_files import write_particles
from ...core.io.state_files import REDO, SIMULATION, PeriodicSave, read_json
from ...core.particles.chunks import ChunkedWork
from ...core.particles.contrast import warn_of_map
from ...core.progress import Progress
from ...core.values import counted, integer, real
from ..imaging_inputs import write_densities
from ..run_directory import RunDirectory
from .config import SimulateConfig
from .draws import Draws
from .faults import draw
from .inputs import SimulationInputs, read_inputs
from .renderer import SIGNAL_SAMPLE, Renderer
from .table import particle_table

logger = logging.getLogger(__name__)

#: Images in the report.
_SHOWN = 6


@dataclass
class _State:
    """State of an interrupted run: images on disk, noise, and sums over the particles among these
    for the metrics.
    """

    written: int = 0
    noise_variance: Optional[float] = None
    signal_variance: float = 0.0
    signal_variance_in_mask: float = 0.0


def check(config: SimulateConfig) -> None:
    """Raise every error that can be found before any long computation."""
    config.validate()
    if config.projector == "astra":
        require_cuda()
    for path, volume in zip(config.volume, read_inputs(config).volumes):
        warn_of_map(path, volume)


def run(config: SimulateConfig, run: RunDirectory) -> Dict[str, Any]:
    """Write particles.mrcs and particles.star with the true poses; returns the metrics.

    Image i is a function of the config and i alone: neither the batch, nor the number of threads,
    nor an interruption changes it.
    """
    inputs = read_inputs(config)
    coarsest = max(v.pixel_size_angstrom for v in inputs.volumes)
    if inputs.pixel_size_angstrom < 0.99 * coarsest:
        logger.warning(
            "The images hold no signal finer than the volume's %.3g Å (Nyquist).", 2 * coarsest
        )

    state = _read_state(run, config.number)
    writer = _open_stack(config, inputs, state, run)
    drawn = draw(config, inputs)
    renderer = Renderer(config, inputs, drawn)
    rate = _write_stack(renderer, writer, state, run) if writer else None
    write_densities(run, inputs.volumes)

    metrics = _metrics(config, inputs, drawn, state, rate)
    with not_fatal(run.path, "its report"):
        _report(config, renderer, run, metrics)
    write_particles(run.file(PARTICLES_NAME), particle_table(run.file(STACK_NAME), inputs, drawn))
    return metrics


def _open_stack(
    config: SimulateConfig, inputs: SimulationInputs, state: _State, run: RunDirectory
) -> Optional[StackWriter]:
    """The stack with all its space allocated before anything is computed; None if it is complete
    already.
    """
    path = run.file(STACK_NAME)
    if state.written == config.number and path.is_file() and not path.is_symlink():
        return None
    begun = None if state.noise_variance is None else state.written
    return StackWriter(path, config.number, inputs.box_size_px, inputs.pixel_size_angstrom, begun)


def _write_stack(
    renderer: Renderer, writer: StackWriter, state: _State, run: RunDirectory
) -> float:
    """Write the missing images and update `state`, in memory and on disk; returns images per
    second.
    """
    if state.noise_variance is None:
        state.noise_variance = renderer.noise_variance()
    if state.written:
        logger.info("Resuming at image %d of %d.", state.written + 1, writer.number)

    def save() -> None:
        _save(writer, state, run)

    def do(folder: Folder, rows: np.ndarray) -> None:
        part = _read_state(folder, len(rows))
        part.noise_variance = state.noise_variance
        begun = int(rows[0]) + part.written
        with writer.at(begun) as own:
            _append(renderer, own, part, folder, int(rows[-1]) + 1)

    def take(folder: Folder, rows: np.ndarray) -> None:
        part = _read_state(folder, len(rows))
        state.written += part.written
        state.signal_variance += part.signal_variance
        state.signal_variance_in_mask += part.signal_variance_in_mask

    images = np.arange(state.written, writer.number)
    ids = np.arange(1, writer.number + 1)
    rate = run.divide(ChunkedWork("images", images, ids, save, do, take, step=renderer.batch_size))
    if rate is None:
        rate = _append(renderer, writer, state, run, writer.number)
    elif len(images):
        writer.written = state.written
        save()
    writer.finish()
    return rate


def _append(
    renderer: Renderer, writer: StackWriter, state: _State, folder: Folder, end: int
) -> float:
    """Write images to before `end`; returns images per second.

    Parameters
    ----------
    renderer, writer : make and take the images; the writer is at the first that is missing.
    state : what of these is done, updated in memory and on disk.
    folder : of the state.
    end : number of the image after the last.
    """
    renderer.warm_up()
    number = end - writer.written + state.written
    progress = Progress(number, "images", "simulate", done=state.written)

    save = PeriodicSave(lambda: _save(writer, state, folder), times_as_often=10.0)
    for images, signal, in_mask in renderer.batches(
        writer.written, end, state.noise_variance or 0.0
    ):
        writer.append(images)
        state.written += len(images)
        state.signal_variance += float(signal.sum())
        state.signal_variance_in_mask += float(in_mask.sum())
        progress.advance(len(images))
        save.if_due()
    save.now()
    return progress.rate


def _save(writer: StackWriter, state: _State, folder: Folder) -> None:
    writer.flush()
    folder.write_json(SIMULATION, vars(state))


def _read_state(folder: Folder, number: int) -> _State:
    path = folder.file(SIMULATION)
    if not path.exists():
        return _State()
    values, names = (
        read_json(path, REDO),
        ("noise_variance", "signal_variance", "signal_variance_in_mask"),
    )
    written = integer(values.get("written"), f"{path}: written", REDO, 0, number)
    return _State(
        written, *(real(values.get(name), f"{path}: {name}", REDO, 0.0) for name in names)
    )


def _metrics(
    config: SimulateConfig,
    inputs: SimulationInputs,
    drawn: Draws,
    state: _State,
    rate: Optional[float],
) -> Dict[str, Any]:
    kinds = Counter(drawn.kind.tolist())
    particles, noise = kinds.pop(PARTICLE), state.noise_variance or 0.0
    signal, in_mask = state.signal_variance / particles, state.signal_variance_in_mask / particles

    return {
        "particles": config.number,
        **_faults_of(config, drawn),
        **({"junk": sum(kinds.values()), "junk_by_kind": kinds} if kinds else {}),
        "box_size_px": inputs.box_size_px,
        "pixel_size_angstrom": inputs.pixel_size_angstrom,
        "images_per_second": rate,
        "signal_variance": signal,
        "signal_variance_in_mask": in_mask,
        "noise_variance": noise,
        "snr": signal / noise if noise else None,
        "snr_in_mask": in_mask / noise if noise else None,
        "signal_sample": min(particles, SIGNAL_SAMPLE) if config.snr is not None else None,
    }


def _faults_of(config: SimulateConfig, drawn: Draws) -> Dict[str, Any]:
    """The faults of the images that are no junk, if there are any."""
    plain, faults = Faults(), dataclasses.asdict(config.faults())
    faults = {k: v for k, v in faults.items() if v != getattr(plain, k) and k != "junk_fraction"}
    if drawn.duplicates is not None:
        faults["duplicates"] = len(drawn.duplicates.rows)
    return {"faults": faults} if faults else {}


def _caption(drawn: Draws, row: int) -> str:
    kind = drawn.kind[row]
    return f"id {row + 1}" + (f": {kind}" if kind != PARTICLE else "")


def _report(
    config: SimulateConfig, renderer: Renderer, run: RunDirectory, metrics: Dict[str, Any]
) -> None:
    from ...core import plots
    from ..report import write_report

    rows = np.arange(min(_SHOWN, config.number))
    images = Stack(run.file(STACK_NAME)).read(rows)
    figures = {
        "images": (
            "The first images beside their noise-free signal, with the correlation of the two.",
            plots.particles_beside_reprojections(
                images, renderer.signal(rows), [_caption(renderer.drawn, i) for i in rows]
            ),
        ),
    }
    lead = f"{counted(config.number, 'image')} of {', '.join(config.volume)}."
    write_report(run.path, "Simulated particles", lead=lead, numbers=metrics, figures=figures)
