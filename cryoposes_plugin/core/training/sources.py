"""Sources of training images. A batch is a function of (seed, step) alone, so that nothing else has
to be saved.

For each step a source draws small NumPy arrays; the images are made from them inside the compiled
step.
"""

from __future__ import annotations

import copy
import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from ..fourier.ctf import pack_ctf
from ..imaging import draws
from ..imaging.draws import BatchShare
from ..imaging.forward_model import ForwardModel, apply_image_state
from ..imaging.settings import Imaging
from ..models.preprocessing import Preprocessing
from ..particles.grids import Grid
from ..particles.images import ResampledImages
from ..types import ParticleTable, Volume
from .augmentation import Augmentation
from .labels import PoseLabels, concatenated

Arrays = Dict[str, np.ndarray]
_SHIFT_SAMPLE = 1000


class Source(ABC):
    """Images with their poses, batch by batch.

    validation_step : step of the first validation batch.
    simulates : whether all images are simulated, so that their noise can be chosen.
    share : of each batch that is made; None for whole batches of any size.
    """

    validation_step: ClassVar[int] = 0
    simulates: ClassVar[bool] = False
    share: Optional[BatchShare] = None

    def sharing(self, share: BatchShare) -> Source:
        """The same batches, of which this share is made."""
        other = copy.copy(self)
        other.share = share
        return other

    def with_noise(self, factor: float) -> Source:
        """The same images with this many times the amplitude of the noise, if they are simulated."""
        if factor != 1.0:
            raise ValueError("the noise of given images cannot be chosen")
        return self

    @abstractmethod
    def arrays(self, number: int, step: int) -> Arrays:
        """What is drawn or read for a batch of `number` images, or for its share of them."""

    @abstractmethod
    def images(self, arrays: Dict[str, tf.Tensor]) -> Tuple[tf.Tensor, PoseLabels]:
        """Network input (B, D, D) of what `arrays` gave, and its poses."""

    @abstractmethod
    def typical_shift_px(self) -> float:
        """Root mean square of a shift along an axis, in pixels of the network's images."""


class SimulatedSource(Source):
    """Projections of volumes, simulated on the fly at the box and pixel size of the network.

    Parameters
    ----------
    seed : of everything that is drawn.
    imaging : distributions of poses and CTFs; shifts are in pixels of the user's images.
    volumes : maps to project, in equal parts.
    grid : of the user's images.
    preprocessing : what images go through before the network sees them, on the network's grid.
    noise_amplitude : (D, D // 2 + 1) float32, amplitude of the noise of raw images on the network's
    grid of box D. The
        transform of white noise of variance 1 is multiplied by it.
    image_state : of the images, see `types.IMAGE_STATES`.
    like : particles whose CTFs are used instead of drawn ones.
    turn : R (3, 3); the rotation of an image is A R^T to the network; None for A.
    """

    # Far beyond any training step.
    validation_step = 2**30
    simulates = True

    def __init__(
        self,
        seed: int,
        imaging: Imaging,
        volumes: Sequence[Volume],
        grid: Grid,
        preprocessing: Preprocessing,
        noise_amplitude: np.ndarray,
        image_state: str,
        like: Optional[ParticleTable] = None,
        turn: Optional[np.ndarray] = None,
    ):
        self.turn = turn
        self.seed, self.imaging, self.grid, self.like = seed, imaging, grid, like
        self.preprocessing, self.image_state = preprocessing, image_state
        self.number_of_volumes = len(volumes)
        self.model = ForwardModel(
            volumes, preprocessing.box_size_px, preprocessing.pixel_size_angstrom
        )
        self.noise_amplitude = noise_amplitude

    def arrays(self, number: int, step: int) -> Arrays:
        seed, share = (self.seed, step), self.share or BatchShare(number)
        rotations, shifts = draws.draw_poses(self.imaging.poses, number, seed)
        ctf = draws.draw_ctfs(self.imaging.ctf, number, seed, self.like)
        scale = self.grid.pixel_size_angstrom / self.preprocessing.pixel_size_angstrom

        drawn = {
            "volume_index": draws.draw_volumes(self.number_of_volumes, number, seed),
            "rotations": rotations.astype(np.float32),
            "shifts_px": (scale * shifts).astype(np.float32),
        }
        if ctf is not None:
            drawn["ctf"] = pack_ctf(ctf)
        arrays = {name: share.of(values) for name, values in drawn.items()}
        return {**arrays, "noise_seed": np.array([self.seed % 2**31, step], np.int32)}

    def images(self, arrays: Dict[str, tf.Tensor]) -> Tuple[tf.Tensor, PoseLabels]:
        ctf, pixel = arrays.get("ctf"), self.preprocessing.pixel_size_angstrom
        images = self.model.images(
            arrays["volume_index"], arrays["rotations"], arrays["shifts_px"], ctf
        )
        images += self._noise(arrays["noise_seed"], images.shape)
        if self.image_state == "raw":
            images = self.preprocessing.correct(images, ctf)
        elif ctf is not None:
            images = apply_image_state(images, ctf, self.image_state, pixel)
        known, rotations = tf.ones(images.shape[0]), arrays["rotations"]
        if self.turn is not None:
            rotations = rotations @ tf.constant(self.turn.T, tf.float32)
        labels = PoseLabels(rotations, arrays["shifts_px"], known, known)
        return self.preprocessing.normalise(images), labels

    def with_noise(self, factor: float) -> SimulatedSource:
        other = copy.copy(self)
        other.noise_amplitude = np.float32(factor) * self.noise_amplitude
        return other

    def typical_shift_px(self) -> float:
        drawn = draws.draw_shifts(self.imaging.poses, _SHIFT_SAMPLE, self.seed)
        return (
            float(np.sqrt(np.mean(drawn**2)))
            * self.grid.pixel_size_angstrom
            / self.preprocessing.pixel_size_angstrom
        )

    def _noise(self, seed: tf.Tensor, shape: tf.TensorShape) -> tf.Tensor:
        share = self.share or BatchShare(shape[0])
        noise = share.drawn(lambda n: tf.random.stateless_normal((n, *shape[1:]), seed))
        if np.ptp(self.noise_amplitude) == 0:
            return noise * float(self.noise_amplitude[0, 0])
        transform = tf.signal.rfft2d(noise) * tf.cast(self.noise_amplitude, tf.complex64)
        return tf.signal.irfft2d(transform, [shape[1], shape[2]])


class LabelledSource(Source):
    """Particles with known poses, read from their stacks, corrected and augmented. Every epoch has
    its own order.

    The last batch of an epoch, if it is incomplete, is filled up from the next epoch. Augmented
    particles get new shifts of the spread of the known ones and of the augmentation together.

    Parameters
    ----------
    seed : of the order of the particles and of the augmentation.
    images : of the particles, at the box and pixel size of the network.
    rows : (M,) rows of the table of particles that are used.
    preprocessing : what images go through before the network sees them.
    image_state : of the images, see `types.IMAGE_STATES`.
    augmentation : None for images as they are.
    weights : (M,) how often each particle is seen in an epoch, mean 1; None for once.
    trust : in the poses, see `labels.PoseLabels`; those of junk, with trust 0, are not read.
    """

    def __init__(
        self,
        seed: int,
        images: ResampledImages,
        rows: np.ndarray,
        preprocessing: Preprocessing,
        image_state: str,
        augmentation: Optional[Augmentation],
        weights: Optional[np.ndarray] = None,
        trust: float = 1.0,
    ):
        self.seed, self.source, self.rows = seed, images, np.asarray(rows)
        self.preprocessing, self.trust = preprocessing, trust
        self.shifts_px = _shifts_px(images) if trust else None
        self.augmentation = augmentation and dataclasses.replace(
            augmentation,
            shift_px=self._spread_px(augmentation),
            centred=self.shifts_px is not None,
        )

        even = np.ones(len(self.rows)) if weights is None else np.asarray(weights)
        self._ends = np.cumsum(even)
        self.correct = (
            image_state == "raw"
            and preprocessing.ctf_correction != "none"
            and images.table.ctf is not None
        )

    def batch_rows(self, number: int, step: int) -> np.ndarray:
        """(number,) rows of a step."""
        position = step * number + np.arange(number)
        epochs, places = position // len(self.rows), position % len(self.rows)
        chosen = np.empty(number, dtype=np.int64)
        for epoch in np.unique(epochs):
            order = self._epoch(int(epoch))
            in_epoch = epochs == epoch
            chosen[in_epoch] = order[places[in_epoch]]
        return chosen

    def _epoch(self, epoch: int) -> np.ndarray:
        """(M,) rows of an epoch, by systematic sampling: each as often as its weight says, rounded
        up or down.
        """
        rng = np.random.default_rng([self.seed, epoch])
        places = (np.arange(len(self.rows)) + rng.uniform()) / len(self.rows) * self._ends[-1]
        drawn = np.searchsorted(self._ends, places, side="right")
        return rng.permutation(self.rows[np.minimum(drawn, len(self.rows) - 1)])

    def arrays(self, number: int, step: int) -> Arrays:
        share = self.share or BatchShare(number)
        return self.of_rows(share.of(self.batch_rows(number, step)), step)

    def of_rows(self, rows: np.ndarray, step: int = 0) -> Arrays:
        """The arrays of these particles (B,); a step has its own augmentation."""
        table, number = self.source.table, len(rows)
        rotations = np.tile(np.eye(3), (number, 1, 1))
        if self.trust > 0 and table.rotations is not None:
            rotations = table.rotations[rows]

        arrays = {
            "particles": self.source.read(rows),
            "rotations": rotations.astype(np.float32),
            "shifts_px": np.zeros((number, 2), np.float32)
            if self.shifts_px is None
            else self.shifts_px[rows],
            "shift_known": np.full(number, self.shifts_px is not None, np.float32),
            "trust": np.full(number, self.trust, np.float32),
            "noise_seed": np.array([self.seed % 2**31, step], np.int32),
        }
        if not self.correct or table.ctf is None:
            return arrays
        return {**arrays, "ctf": pack_ctf(table.ctf.take(rows))}

    def images(self, arrays: Dict[str, tf.Tensor]) -> Tuple[tf.Tensor, PoseLabels]:
        images = self.preprocessing.correct(arrays["particles"], arrays.get("ctf"))
        labels = PoseLabels(
            arrays["rotations"], arrays["shifts_px"], arrays["shift_known"], arrays["trust"]
        )
        if self.augmentation is not None:
            # The noise of a particle image is given in units of the image's standard deviation.
            deviation = tf.math.reduce_std(images, axis=(1, 2), keepdims=True)
            images = tf.math.divide_no_nan(images, deviation)
            images, labels = self.augmentation.apply(
                images, labels, arrays["noise_seed"], self.share
            )
        return self.preprocessing.normalise(images), labels

    def typical_shift_px(self) -> float:
        return self._spread_px(None) if self.augmentation is None else self.augmentation.shift_px

    def _spread_px(self, augmentation: Optional[Augmentation]) -> float:
        """Root mean square of known shifts and those of an augmentation together."""
        known = np.zeros(1) if self.shifts_px is None else self.shifts_px[self.rows]
        extra = 0.0 if augmentation is None else augmentation.shift_px
        return float(np.sqrt(np.mean(known**2) + extra**2))


def _shifts_px(images: ResampledImages) -> Optional[np.ndarray]:
    """(N, 2) float32 in pixels of the resampled images, or None if all are zero, as in a set
    without shifts.
    """
    given = images.table.shifts_px
    if given is None or not given.any():
        return None
    return (given * images.scale[:, None]).astype(np.float32)


class MixedSource(Source):
    """Batches made from several sources.

    sources : of the images. shares : of the batch that each makes; None for equal parts.
    """

    def __init__(self, sources: Sequence[Source], shares: Optional[Sequence[float]] = None):
        self.sources = list(sources)
        self.shares = np.ones(len(self.sources)) if shares is None else np.asarray(shares)

    def sharing(self, share: BatchShare) -> MixedSource:
        parts = self._parts(share.number)
        begins = np.cumsum([0, *parts[:-1]])
        sources = [
            source.sharing(share.within(int(begin), part))
            for source, begin, part in zip(self.sources, begins, parts)
        ]
        return MixedSource(sources, self.shares.tolist())

    def arrays(self, number: int, step: int) -> Arrays:
        merged: Arrays = {}
        for index, (source, part) in enumerate(zip(self.sources, self._parts(number))):
            merged.update(
                {f"{index}/{name}": value for name, value in source.arrays(part, step).items()}
            )
        return merged

    def images(self, arrays: Dict[str, tf.Tensor]) -> Tuple[tf.Tensor, PoseLabels]:
        results: List[Tuple[tf.Tensor, PoseLabels]] = []
        for index, source in enumerate(self.sources):
            part = {
                name.split("/", 1)[1]: value
                for name, value in arrays.items()
                if name.startswith(f"{index}/")
            }
            results.append(source.images(part))
        return tf.concat([images for images, _ in results], axis=0), concatenated(
            [labels for _, labels in results]
        )

    def typical_shift_px(self) -> float:
        squares = [source.typical_shift_px() ** 2 for source in self.sources]
        return float(np.sqrt(np.average(squares, weights=self.shares)))

    def _parts(self, number: int) -> List[int]:
        """Images of each source, at least one; what rounding leaves goes to the first."""
        share = self.shares / self.shares.sum()
        parts = [max(1, int(number * part)) for part in share]
        return [number - sum(parts[1:]), *parts[1:]]
