"""Junk in a set without a map: decoys made of its images go the way of the set."""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, List, NamedTuple

import numpy as np

from ..image_kinds import NOISE
from ..io.folder import Folder
from ..models.network_inputs import network_inputs
from ..models.preprocessing import Preprocessing
from ..parallel import in_order
from ..particles.batches import ImageBatch, ParticleBatches
from ..scores import JUNK
from ..twin_size import FEWEST_PARTICLES
from ..values import counted
from .image_statistics import Statistics, statistics_of
from .own_decoys import OwnDecoys
from .twin import write_decoys
from .unlabelled import Unlabelled, junk_of_unlabelled

logger = logging.getLogger(__name__)

#: An image is called junk if it is that with more than this probability; a set, if so many are.
_LIKELY, _MOSTLY_JUNK = 0.5, 0.5


class SetJunk(NamedTuple):
    """scores : columns of the particles, none where junk cannot be told. metrics : numbers. notes,
    warnings : sentences.
    """

    scores: Dict[str, np.ndarray]
    metrics: Dict[str, Any]
    notes: List[str]
    warnings: List[str]


def batch_statistics(
    preprocessing: Preprocessing, batch: ImageBatch, network: np.ndarray
) -> np.ndarray:
    """(B, F) joined statistics of images, with what a network says of them (B, G)."""
    tensors = network_inputs(*batch, preprocessing.box_size_px)
    corrected = preprocessing.correct(*tensors).numpy()
    ctf = batch.ctf
    defocus = None if ctf is None else 0.5 * (ctf.defocus_u_angstrom + ctf.defocus_v_angstrom)
    return statistics_of(corrected, preprocessing.mask, defocus, network).joined()


def judge_set(
    particles: ParticleBatches,
    of_set: np.ndarray,
    of_batch: Callable[[ImageBatch, np.ndarray], np.ndarray],
    folder: Folder,
    batch_size: int,
    seed: int,
    threads: int = 0,
) -> SetJunk:
    """Junk among the images of a set, by decoys made of them; writes decoys.npz.

    Parameters
    ----------
    particles : the set.
    of_set : (N, F) joined statistics of its images.
    of_batch : gives those of decoys, from their images and the rows (B,) of the set that they are
        made of.
    folder : of the run.
    batch_size : images per batch.
    seed : of the decoys.
    threads : number of threads; 0: one per core.
    """
    shown = ~particles.images.grey.blank
    if np.count_nonzero(shown) < FEWEST_PARTICLES:
        return SetJunk({}, {}, [], [])
    decoys = OwnDecoys.of(particles, seed)
    of_decoys = np.zeros((len(decoys), of_set.shape[1]))

    def work(numbers: np.ndarray) -> np.ndarray:
        return of_batch(decoys.read_batch(numbers), decoys.rows[numbers, 0])

    for numbers, found in in_order(work, decoys.batches(batch_size), threads):
        of_decoys[numbers] = found
    estimate = junk_of_unlabelled(
        Statistics.split(of_set[shown]), Statistics.split(of_decoys), decoys.kind, seed
    )
    metrics = {
        "decoys_unlike_the_set": estimate.told,
        "network_surer_than_of_halves": estimate.surer,
    }
    warnings = _alarm(estimate)
    if not estimate.can_tell:
        return SetJunk({}, metrics, [], warnings)

    probability = np.ones(len(shown))
    probability[shown] = estimate.probability
    write_decoys(folder, probability, estimate.decoy_probability, decoys.kind)
    metrics["junk_particles"] = int((probability > _LIKELY).sum())
    metrics["junk_share"] = float(probability.mean())
    return SetJunk({JUNK: probability}, metrics, _notes(metrics, estimate, len(shown)), warnings)


def _notes(metrics: Dict[str, Any], estimate: Unlabelled, number: int) -> List[str]:
    notes = [
        f"More likely junk than particles according to {JUNK}: "
        f"{counted(metrics['junk_particles'], 'image')} of {number}. It is told by decoys made of "
        "the set's own images, and by what most images have in common."
    ]
    if estimate.not_told:
        kinds = ", ".join(f"{k} ({100 * estimate.told[k]:.0f} %)" for k in estimate.not_told)
        notes.append(
            "Decoys of these kinds look like the images of the set, so junk like them is not told; "
            f"of them, so many are less like the set than its median image: {kinds}."
        )
    return notes


def _alarm(estimate: Unlabelled) -> List[str]:
    """What there is to say of a set that does not look like particles that the network knows."""
    warnings = []
    if not estimate.tells_noise:
        warnings.append(
            "Junk cannot be told: noise with the spectrum of the background looks like the images "
            f"({100 * estimate.told[NOISE]:.0f} % of such decoys are less like the set than its "
            "median image; 50 % are if they look the same). Most images seem to show no particle."
        )
    if not estimate.network_is_surer:
        warnings.append(
            "Junk cannot be told: the network is no surer of the images than of halves of different "
            f"images glued together (area under the ROC curve {estimate.surer:.2f}; 0.5 if there is "
            "no difference). Either the images do not show what it was trained on, or it has learned "
            "little: do not trust these poses."
        )

    share = float(estimate.probability.mean())
    if not warnings and share > _MOSTLY_JUNK:
        warnings.append(
            f"Most of the images, {100 * share:.0f} %, look like junk; look at them, or pick again."
        )
    return warnings
