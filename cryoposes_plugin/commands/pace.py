"""How long this machine takes for an image, stage by stage: typical numbers, or measured ones.

A measurement does what the stage does, on a few images of a synthetic molecule in a box of moderate
size; to another box it is scaled as the typical numbers are.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Optional, Tuple

import numpy as np

#: Stages: seconds of an image of 64 px on one thread of a common processor, and the power of the
#: box with which they grow.
PREDICT, REFINE, RECONSTRUCT, SIMULATE = "predict", "refine", "reconstruct", "simulate"
SEARCH, TRAIN, EXPECT, ASSIGN = "search", "train", "expect", "assign"
#: Of the images of a network: reading them, their shifts, and their statistics.
_EXAMINE = "examine"
_TYPICAL: Dict[str, Tuple[float, float]] = {
    PREDICT: (2e-3, 2.0),
    _EXAMINE: (6e-3, 2.0),
    REFINE: (9e-4, 1.8),
    RECONSTRUCT: (6e-4, 2.0),
    SIMULATE: (4.7e-4, 2.4),
    SEARCH: (3e-2, 2.0),
    TRAIN: (2e-2, 2.0),
    EXPECT: (0.1, 0.0),
    ASSIGN: (5e-3, 0.0),
}
#: Stages that are not measured, but are as much slower or faster than typical as another one.
_LIKE: Dict[str, str] = {
    _EXAMINE: RECONSTRUCT,
    SEARCH: REFINE,
    TRAIN: PREDICT,
    EXPECT: RECONSTRUCT,
    ASSIGN: RECONSTRUCT,
}
#: Of maps and their comparison, for a voxel; of the table of a map, for a node of its padded cube; of
#: the test for junk and wrong poses, for a pixel of the twin, and besides. Of the rest of a run.
_VOXEL_S, _NODE_S, _TWIN_PIXEL_S, _TWIN_S = 9.5e-7, 2.6e-8, 1.7e-6, 9.0
START_S = 2.5
#: Largest box in which a stage is measured, images of each thread, and how often.
_LARGEST_BOX_PX, _IMAGES, _TIMES = 96, 128, 2
#: Pixels of the images that a simulation makes at a time.
_SIMULATED_PX = 2**17
#: Noise of the images that are refined, in units of the signal's mean power; turns of their starts.
_NOISE, _TURN_RAD = 10.0, 0.03


class Pace:
    """Seconds on so many threads.

    Parameters
    ----------
    threads : of the run.
    model : folder of its network, if it has one.
    measuring : whether stages are measured when they are first asked for.
    """

    def __init__(self, threads: int, model: Optional[str] = None, measuring: bool = False):
        self.threads, self.model, self._measuring = threads, model, measuring
        self._ratios: Dict[str, float] = {}

    def measured(self) -> Pace:
        """The same by measurement."""
        return Pace(self.threads, self.model, True)

    def seconds(self, stage: str, box_size_px: int) -> float:
        """Of an image in this stage, all threads at work."""
        return self._ratio(stage, box_size_px) * self._typical(stage, box_size_px)

    def predicted_seconds(self, box_size_px: int) -> float:
        """Of an image that a network sees, with all that is learned of it without a map."""
        return self.seconds(PREDICT, box_size_px) + self.seconds(_EXAMINE, box_size_px)

    def voxel_seconds(self) -> float:
        """Of a voxel of the maps of a reconstruction and of their comparison."""
        return _VOXEL_S * self._relative()

    def refinement_seconds(self, images: int, twin: int, box_size_px: int, padding: float) -> float:
        """Of a refinement against a map.

        Parameters
        ----------
        images : number of all that are refined.
        twin : those among them by which junk is told.
        box_size_px : of the working grid.
        padding : of the Fourier grid of the map.
        """
        refined = images * self.seconds(REFINE, box_size_px)
        table = _NODE_S * (padding * box_size_px) ** 3
        judged = _TWIN_S + _TWIN_PIXEL_S * twin * box_size_px**2 if twin else 0.0
        return refined + (table + judged) * self._relative()

    def _relative(self) -> float:
        """How slow this machine is at the stage that was measured last, beside a typical one."""
        return list(self._ratios.values())[-1] if self._ratios else 1.0

    def _typical(self, stage: str, box_size_px: int) -> float:
        seconds, power = _TYPICAL[stage]
        return seconds * (box_size_px / 64) ** power / self.threads

    def _ratio(self, stage: str, box_size_px: int) -> float:
        """By how much this machine is slower than the typical one."""
        stage = _LIKE.get(stage, stage)
        if not self._measuring or (stage == PREDICT and not self.model):
            return 1.0
        if stage not in self._ratios:
            box = min(box_size_px - box_size_px % 2, _LARGEST_BOX_PX)
            work = _WORK[stage](box) if stage in _WORK else _prediction(str(self.model))
            box = box if stage in _WORK else box_size_px
            self._ratios[stage] = self._measure(work, stage, box)
        return self._ratios[stage]

    def _measure(self, work: Callable[[np.ndarray], Any], stage: str, box_size_px: int) -> float:
        from ..core.parallel import in_order

        work(np.arange(1))  # loads what was compiled
        pieces = [np.arange(_IMAGES)] * self.threads
        times = []
        for _ in range(_TIMES):
            start = time.perf_counter()
            for _ in in_order(work, pieces, self.threads):
                pass
            times.append((time.perf_counter() - start) / (_IMAGES * self.threads))
        return min(times) / self._typical(stage, box_size_px)


def _simulation(box_size_px: int) -> Callable[[np.ndarray], Any]:
    from ..core.fourier.ctf import pack_ctf
    from ..core.imaging.image_model import ImageModel
    from ..core.imaging.noise import coloured_noise
    from ..core.maps.phantom import make_phantom

    volume = make_phantom(box_size_px, 2.0)
    model = ImageModel([volume], box_size_px, 2.0)
    rotations, shifts, ctf = _drawn()
    amplitude = np.ones((box_size_px, box_size_px // 2 + 1), np.float32)

    def work(rows: np.ndarray) -> None:
        for some in np.array_split(rows, -(-len(rows) * box_size_px**2 // _SIMULATED_PX)):
            which, packed = np.zeros(len(some), np.int64), pack_ctf(ctf.take(some))
            images = model.images(which, rotations[some], shifts[some], packed)
            images += coloured_noise(0, some, box_size_px, amplitude)

    return work


def _reconstruction(box_size_px: int) -> Callable[[np.ndarray], Any]:
    from ..core.fourier.ctf import ctf_values
    from ..core.fourier.slices import SliceSampler, ctf_weighted
    from ..core.reconstruction.fourier_inversion import FourierGrid

    sampler, grid = SliceSampler(box_size_px), FourierGrid(box_size_px)
    rotations, shifts, ctf = _drawn()
    shape = (_IMAGES, box_size_px, box_size_px)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)

    def work(rows: np.ndarray) -> None:
        samples = sampler.transform(images[rows], shifts[rows])
        columns = {k: v.astype(np.float32) for k, v in vars(ctf.take(rows)).items()}
        values = ctf_values(*sampler.frequencies(2.0), columns)
        grid.insert(*ctf_weighted(samples, values, "raw"), rotations[rows], sampler)

    return work


def _refinement(box_size_px: int) -> Callable[[np.ndarray], Any]:
    from scipy.spatial.transform import Rotation

    from ..core.fourier.points import FourierPoints
    from ..core.likelihood.pose_likelihood import PoseLikelihood
    from ..core.maps.phantom import make_phantom
    from ..core.maps.size import radius_of_gyration_angstrom
    from ..core.refinement.multi_start import MultiStart, Settings
    from ..core.refinement.observations import Observations, ctf_at_points
    from ..core.refinement.poses import Poses
    from ..core.refinement.spectra import Spectra

    pixel, rng = 2.0, np.random.default_rng(0)
    volume, points = make_phantom(box_size_px, pixel), FourierPoints(box_size_px)
    likelihood = PoseLikelihood(volume, points, pixel)
    rotations, shifts, ctf = _drawn()
    modulation = ctf_at_points(points, ctf, _IMAGES, pixel)
    signal = modulation * likelihood.slices(rotations, len(points)) * points.phases(shifts)
    noise = _NOISE * float(np.mean(np.abs(signal) ** 2))
    parts = rng.standard_normal((2, *signal.shape)) * np.sqrt(noise / 2)
    coefficients = (signal + parts[0] + 1j * parts[1]).astype(np.complex64)
    shells = points.number_of_shells
    spectra = Spectra(np.ones(shells), np.full(shells, noise)).up_to(shells - 1)
    radius = radius_of_gyration_angstrom(volume) / pixel
    search = MultiStart(likelihood, points, spectra, radius, np.eye(3)[None], Settings(3.0))
    turns = Rotation.from_rotvec(_TURN_RAD * rng.standard_normal((_IMAGES, 3))).as_matrix()

    def work(rows: np.ndarray) -> Any:
        images = points.images(coefficients[rows])
        observed = Observations(
            points.transform(images), ctf_at_points(points, ctf.take(rows), len(rows), pixel)
        )
        return search.refine(observed, Poses(rows, turns[rows] @ rotations[rows], shifts[rows]))

    return work


def _prediction(model: str) -> Callable[[np.ndarray], Any]:
    from ..core.models.pose_model import PoseModel

    network = PoseModel.load(model)
    box = network.card.box_size_px
    images = np.random.default_rng(0).standard_normal((_IMAGES, box, box)).astype(np.float32)
    _, _, ctf = _drawn()
    return lambda rows: network.hypotheses(images[rows], ctf.take(rows), "raw", 256)


_WORK: Dict[str, Callable[[int], Callable[[np.ndarray], Any]]] = {
    SIMULATE: _simulation,
    RECONSTRUCT: _reconstruction,
    REFINE: _refinement,
}


def _drawn() -> Tuple[np.ndarray, np.ndarray, Any]:
    """Rotations (B, 3, 3), shifts (B, 2) and CTFs of some images."""
    from ..core.geometry.sampling import random_rotations
    from ..core.types import CtfTable

    rng, number = np.random.default_rng(0), _IMAGES
    defocus = rng.uniform(1e4, 2e4, number)
    constants = (np.full(number, value) for value in (0.0, 0.0, 300.0, 2.7, 0.1, 0.0))
    ctf = CtfTable(defocus, defocus, *constants)
    return random_rotations(number, rng), rng.normal(size=(number, 2)), ctf
