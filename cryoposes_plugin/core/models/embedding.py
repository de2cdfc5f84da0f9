"""Features of a whole particle set, streamed and resumable, of copies of some images, and of
simulated references.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Callable, Optional, Tuple

import numpy as np

from ..io.folder import Folder
from ..io.state_files import (
    EMBEDDING,
    PeriodicSave,
    damaged,
    read_arrays,
    rows_done,
    write_arrays,
)
from ..parallel import in_order
from ..particles.batches import ImageBatch, ParticleBatches, batches
from ..progress import Progress
from .distance_model import DistanceModel, Embedded

logger = logging.getLogger(__name__)

#: Copies are turned by angles from this to 180 degrees minus this, to either side: others tell
#: little.
_LEAST_TURN_RAD = np.deg2rad(30.0)


@dataclass(frozen=True)
class Embedding:
    """What a network says of N images.

    features : (N, F) float32. shifts_px : (N, 2), pixels of the model's images, or None. rate :
    images per second. measured : (N, M) float64, what was measured of the images beside it.
    """

    features: np.ndarray
    shifts_px: Optional[np.ndarray]
    rate: float
    measured: np.ndarray


@dataclass(frozen=True)
class Copies:
    """features : (M, F) of copies of particles `rows` (M,), flipped where `mirrored` (M,), then
    turned by psi_rad.
    """

    features: np.ndarray
    rows: np.ndarray
    psi_rad: np.ndarray
    mirrored: np.ndarray


def embed_particles(
    model: DistanceModel,
    particles: ParticleBatches,
    measure: Callable[[ImageBatch], np.ndarray],
    run: Folder,
    batch_size: int,
    threads: int = 0,
) -> Embedding:
    """Features of all particles, and what is measured of their images, each of which is read once.

    An interrupted run continues after the last batches that were saved.

    Parameters
    ----------
    model : the network with its card.
    particles : their images are at the model's box and pixel size.
    measure : gives (B, M) numbers of images.
    run : folder in which the state is saved.
    batch_size : images per batch.
    threads : number of threads, each of which works on its own batches; 0 for one per core.
    """
    number = len(particles.table)
    done, found, measured = _resumed(run, number)
    parts = batches(particles.table, batch_size, done)
    if done:
        logger.info("Resuming after %d of %d particles.", done, number)
    for rows in parts[:1]:
        model.embed(*particles.read_batch(rows[:1]))  # traced before the clock runs
    progress = Progress(number, "particles", "recover", done=done)

    def save_rows() -> None:
        arrays = {"found": found, "measured": measured, "rows_done": np.array(progress.done)}
        write_arrays(run.file(EMBEDDING), arrays)

    def work(rows: np.ndarray) -> Tuple[Embedded, np.ndarray]:
        batch = particles.read_batch(rows)
        return model.embed(*batch), measure(batch)

    save = PeriodicSave(save_rows)
    for rows, (embedded, numbers) in in_order(work, parts, threads):
        if not found.size:
            found = np.zeros((number, embedded.features.shape[1] + 2), np.float32)
            measured = np.zeros((number, numbers.shape[1]))
        found[rows, :-2] = embedded.features
        if embedded.shifts_px is not None:
            found[rows, -2:] = embedded.shifts_px
        measured[rows] = numbers
        progress.advance(len(rows))
        save.if_due()
    shifts_px = found[:, -2:] if model.predicts_shifts else None
    return Embedding(found[:, :-2], shifts_px, progress.rate, measured)


def _resumed(run: Folder, number: int) -> Tuple[int, np.ndarray, np.ndarray]:
    """Rows done in the order of the batches, and what they gave, (N, F + 2) and (N, M): empty where
    there is nothing yet.
    """
    path = run.file(EMBEDDING)
    if not path.exists():
        return 0, np.zeros((0, 0), np.float32), np.zeros((0, 0))
    arrays = read_arrays(path, {"rows_done": np.array(0)})
    for name, dtype in (("found", np.float32), ("measured", np.float64)):
        values = arrays.get(name)
        if values is None or values.ndim != 2 or len(values) != number or values.dtype != dtype:
            raise damaged(path, "it does not hold the features of these particles")
    return rows_done(path, arrays, number), arrays["found"], arrays["measured"]


def embed_copies(
    model: DistanceModel, particles: ParticleBatches, number: int, batch_size: int, seed: int
) -> Copies:
    """Features of copies of random particles, rotated by random angles, every second one flipped
    before.

    Parameters
    ----------
    model : the network with its card.
    particles : their images are at the model's box and pixel size.
    number : largest number of copies.
    batch_size : images per batch.
    seed : of particles, angles and flips.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(particles.table))[:number]
    places, n = batches(particles.table.take(drawn), batch_size), len(drawn)
    rows = drawn[np.concatenate(places)]
    psi = rng.choice([-1.0, 1.0], n) * rng.uniform(_LEAST_TURN_RAD, np.pi - _LEAST_TURN_RAD, n)
    mirrored = rng.permutation(n) % 2 == 1
    features = []
    for part in np.split(np.arange(n), np.cumsum([len(place) for place in places])[:-1]):
        embedded = model.embed_copies(*particles.read_batch(rows[part]), psi[part], mirrored[part])
        features.append(embedded.features)
    return Copies(np.concatenate(features), rows, psi, mirrored)
