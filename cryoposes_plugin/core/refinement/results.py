"""Results of a refinement in the making, saved now and then so that an interrupted run goes on where it stood."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Dict, Mapping, Optional

import numpy as np

from ..io.folder import Folder
from ..io.names import COVARIANCE_NAME
from ..io.state_files import REFINEMENT, read_arrays, rows_done, write_arrays
from ..types import ParticleTable
from ..values import require_finite
from .multi_start import Refined
from .scales import RightScales
from .spectra import Spectra

EXPECTED_ERROR, EXPECTED_SHIFT_ERROR = (
    "cryoposesExpectedErrorDeg",
    "cryoposesExpectedShiftErrorAngst",
)
WRONG_BASIN, BASINS, RESIDUAL, SCALE = (
    "cryoposesWrongBasin",
    "cryoposesBasins",
    "cryoposesResidual",
    "cryoposesParticleScale",
)
MOVED, MOVED_SHIFT = "cryoposesMovedDeg", "cryoposesMovedAngst"


#: From this probability on an image is taken to have nothing of the map.
_UNFIT = 0.5


@dataclass
class Results:
    """Refined poses of N particles (see `multi_start.Refined`; shifts in pixels of the working grid), residual (N,),
    of the first `rows_done` in the order of the batches; those of a second look are counted after them. again : rows
    that get this second look, once that is known."""

    refined: Refined
    residual: np.ndarray
    rows_done: int = 0
    again: Optional[np.ndarray] = None

    @classmethod
    def empty(cls, number: int) -> Results:
        shapes = {"rotations": (3, 3), "shifts_px": (2,), "covariance": (5, 5)}
        kinds = {"basins": np.int64, "converged": bool}
        arrays = {
            f.name: np.zeros((number, *shapes.get(f.name, ())), kinds.get(f.name, np.float64))
            for f in fields(Refined)
        }
        return cls(Refined(**arrays), np.zeros(number))

    def put(self, rows: np.ndarray, refined: Refined, residual: np.ndarray) -> None:
        for f in fields(Refined):
            getattr(self.refined, f.name)[rows] = getattr(refined, f.name)
        self.residual[rows] = residual

    def save(self, run: Folder, spectra: Dict[int, Spectra], more: Dict[str, np.ndarray]) -> None:
        """`more` : arrays of the caller, given back by `load`."""
        arrays = {f"refined_{name}": value for name, value in vars(self.refined).items()}
        for group, s in spectra.items():
            arrays[f"spectra_{group}"] = np.stack([s.amplitude, s.noise_variance])
        arrays.update({f"more_{name}": value for name, value in more.items()})
        if self.again is not None:
            arrays["again"] = self.again
        arrays.update(residual=self.residual, rows_done=np.array(self.rows_done))
        write_arrays(run.file(REFINEMENT), arrays)


def load(run: Folder, number: int, more: Mapping[str, np.ndarray]):
    """(results, spectra by optics group, more) that an interrupted run saved of N particles; None where it saved
    nothing. more : arrays of the shapes that are expected."""
    path = run.file(REFINEMENT)
    if not path.exists():
        return None
    empty = Results.empty(number)
    like = {f"refined_{name}": value for name, value in vars(empty.refined).items()}
    like.update({f"more_{name}": value for name, value in more.items()})
    arrays = read_arrays(path, {**like, "residual": empty.residual, "rows_done": np.array(0)})
    refined = Refined(**{f.name: arrays[f"refined_{f.name}"] for f in fields(Refined)})
    spectra = {
        int(n.split("_")[1]): Spectra(*v) for n, v in arrays.items() if n.startswith("spectra_")
    }
    saved = {name: arrays[f"more_{name}"] for name in more}
    again = arrays.get("again")
    done = rows_done(path, arrays, number + (0 if again is None else len(again)))
    return Results(refined, arrays["residual"], done, again), spectra, saved


def score_columns(
    results: Results, pixel_size_angstrom: float, blank: np.ndarray
) -> Dict[str, np.ndarray]:
    """What the particles' STAR file says of each pose, by column; expected errors are root mean squares.

    blank : (N,) bool, images that tell nothing: their scores are the worst.
    """
    refined = results.refined
    variance = np.einsum("bii->bi", refined.covariance)
    median = float(np.median(refined.scale[~blank])) or 1.0
    nothing = nothing_of_the_map(refined, blank)
    # Right only if it is so among the poses that were tried, and if one of these is the right one at all.
    right = (1.0 - refined.wrong_basin) * (1.0 - nothing)
    # Pure noise fits no worse than a particle does.
    empty = nothing >= _UNFIT
    return {
        EXPECTED_ERROR: np.rad2deg(np.sqrt(variance[:, :3].sum(axis=1))),
        EXPECTED_SHIFT_ERROR: pixel_size_angstrom * np.sqrt(variance[:, 3:].sum(axis=1)),
        WRONG_BASIN: 1.0 - right,
        BASINS: worst_where(empty, refined.basins.astype(np.float64)),
        RESIDUAL: worst_where(empty, results.residual),
        SCALE: np.where(blank, 0.0, refined.scale / median),
    }


def nothing_of_the_map(refined: Refined, blank: np.ndarray) -> np.ndarray:
    """(N,) probability that an image holds none of the map, as the scale of its signal tells; 1 for blank images."""
    nothing = np.ones(len(blank))
    nothing[~blank] = RightScales(refined.scale[~blank]).probability_of_wrong
    return nothing


def worst_where(untold: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(N,) scores of which the lowest is best: where nothing is told, one more than the largest of all others."""
    others = values[~untold]
    return np.where(untold, others.max() + 1.0, values) if len(others) else values


def with_poses(
    table: ParticleTable, results: Results, working_pixel_angstrom: float, blank: np.ndarray
) -> ParticleTable:
    """The particles at their refined poses, with what is known of each; see `score_columns`."""
    scale = working_pixel_angstrom / table.pixel_size_angstrom
    return table.replace(
        rotations=results.refined.rotations,
        shifts_px=results.refined.shifts_px * scale[:, None],
        scores={**table.scores, **score_columns(results, working_pixel_angstrom, blank)},
    )


def write_covariance(
    run: Folder, table: ParticleTable, results: Results, working_pixel_angstrom: float
) -> None:
    """covariance.npz: ids (N,), covariance (N, 5, 5) of (w, t), w in radians in the image's frame (A = exp([w]x) A^),
    t in Å."""
    unit = np.array([1.0, 1.0, 1.0, working_pixel_angstrom, working_pixel_angstrom])
    covariance = results.refined.covariance * unit[:, None] * unit
    require_finite(covariance, str(run.file(COVARIANCE_NAME)))
    with run.atomic(COVARIANCE_NAME) as part, open(part, "wb") as handle:
        np.savez(handle, ids=table.ids, covariance=covariance)
