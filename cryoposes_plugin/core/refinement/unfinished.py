"""Results of a refinement that is still running, saved now and then so that an interrupted run can
continue.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..io.folder import Folder
from ..io.state_files import REFINEMENT, read_arrays, rows_done, write_arrays
from .multi_start import Refined
from .results import Results
from .spectra import Spectra

_SHAPES = {"rotations": (3, 3), "shifts_px": (2,), "covariance": (5, 5)}
_KINDS = {"basins": np.int64, "converged": bool}


class UnfinishedResults:
    """Results of the first `rows_done` of N particles, in the order of the batches.

    The rows of a global search are counted after those of the first pass.

    Parameters
    ----------
    folder : where the state is saved.
    number : N.
    spectra : of the optics groups.
    score_shapes : of the scores of the starts, see `starts.Starts`.
    statistics : number of statistics of each fit, see `refinement.RefinedBatch`.
    """

    def __init__(
        self,
        folder: Folder,
        number: int,
        spectra: Mapping[int, Spectra],
        score_shapes: Mapping[str, Tuple[int, ...]],
        statistics: int = 0,
    ):
        self._folder, self.spectra = folder, dict(spectra)
        self.rows_done = 0
        self.searched: Optional[np.ndarray] = None
        self.sure: Optional[np.ndarray] = None
        self.refined = _no_poses(number)
        self._residual = np.zeros(number)
        self._statistics = np.zeros((number, statistics))
        self._scores = {name: np.zeros((number, *s)) for name, s in score_shapes.items()}

    @classmethod
    def load(
        cls,
        folder: Folder,
        number: int,
        groups: Sequence[int],
        shells: int,
        score_shapes: Mapping[str, Tuple[int, ...]],
        statistics: int = 0,
    ) -> Optional[UnfinishedResults]:
        """What an interrupted run saved, or None; InputError for a damaged file.

        Parameters
        ----------
        folder, number, score_shapes, statistics : as for the constructor.
        groups : optics groups that have spectra.
        shells : number of shells of a spectrum.
        """
        path = folder.file(REFINEMENT)
        if not path.exists():
            return None
        state = cls(folder, number, {}, score_shapes, statistics)
        like = {f"spectra_{group}": np.zeros((2, shells)) for group in groups}
        arrays = read_arrays(path, {**like, **state._arrays()})

        state.spectra = {group: Spectra(*arrays[f"spectra_{group}"]) for group in groups}
        state.refined = Refined(*(arrays[f"refined_{f.name}"] for f in fields(Refined)))
        state._residual, state._statistics = arrays["residual"], arrays["statistics"]
        state._scores = {name: arrays[f"score_{name}"] for name in score_shapes}
        state.searched, state.sure = arrays.get("searched"), arrays.get("sure")
        most = number + (0 if state.searched is None else len(state.searched))
        state.rows_done = rows_done(path, arrays, most)
        return state

    def part(self, folder: Folder, rows: np.ndarray) -> UnfinishedResults:
        """The results of some rows alone, with a folder of their own: as they were saved there, else
        as they are here.
        """
        shapes = {name: values.shape[1:] for name, values in self._scores.items()}
        statistics = self._statistics.shape[1]
        shells = len(next(iter(self.spectra.values())).amplitude)
        saved = self.load(folder, len(rows), list(self.spectra), shells, shapes, statistics)
        if saved is not None:
            return saved

        part = UnfinishedResults(folder, len(rows), self.spectra, shapes, statistics)
        places = np.arange(len(rows))
        part.put(places, self.refined.take(rows), self._residual[rows], self._statistics[rows])
        part.put_scores(places, {name: values[rows] for name, values in self._scores.items()})
        return part

    def put_part(self, rows: np.ndarray, part: UnfinishedResults) -> None:
        """Take the results of some rows."""
        self.put(rows, part.refined, part._residual, part._statistics)
        self.put_scores(rows, part._scores)

    def put(
        self, rows: np.ndarray, refined: Refined, residual: np.ndarray, statistics: np.ndarray
    ) -> None:
        """Poses of some particles, with their residuals and statistics.

        Parameters
        ----------
        rows : (B,) of the particles.
        refined, residual, statistics : see `Results`.
        """
        for field in fields(Refined):
            getattr(self.refined, field.name)[rows] = getattr(refined, field.name)
        self._residual[rows] = residual
        self._statistics[rows] = statistics

    def put_scores(self, rows: np.ndarray, scores: Mapping[str, np.ndarray]) -> None:
        """Scores of the starts of some particles."""
        for name, values in scores.items():
            self._scores[name][rows] = values

    def save(self) -> None:
        write_arrays(self._folder.file(REFINEMENT), self._arrays())

    def finish(self, particles_per_second: float) -> Results:
        return Results(
            self.refined,
            self._residual,
            self._statistics,
            self.spectra,
            self._scores,
            self.searched,
            self.sure,
            particles_per_second,
        )

    def _arrays(self) -> Dict[str, np.ndarray]:
        arrays = {f"refined_{name}": value for name, value in vars(self.refined).items()}
        arrays.update({f"score_{name}": value for name, value in self._scores.items()})
        for group, s in self.spectra.items():
            arrays[f"spectra_{group}"] = np.stack([s.amplitude, s.noise_variance])
        for name, rows in (("searched", self.searched), ("sure", self.sure)):
            if rows is not None:
                arrays[name] = rows
        return {
            **arrays,
            "residual": self._residual,
            "statistics": self._statistics,
            "rows_done": np.array(self.rows_done),
        }


def _no_poses(number: int) -> Refined:
    return Refined(
        *(
            np.zeros((number, *_SHAPES.get(f.name, ())), _KINDS.get(f.name, np.float64))
            for f in fields(Refined)
        )
    )
