"""The search from several random starts, each saved when it is finished; the likeliest one is kept.

The starts find a shape in two halves of the images in turn. Where volumes of different halves
agree, they agree on what the images show: neither the noise of one half nor the start of one search
is known to the other. Then each goes on to finer detail in all images: only there do volumes differ
enough in likelihood, and poses of different starts show how far they depend on the start.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, fields
from functools import partial
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np
from scipy import ndimage

from ..fourier.masks import squared_radius
from ..fourier.shells import shell_means
from ..geometry.sampling import healpix_grid
from ..io.folder import Folder
from ..io.state_files import SEARCH_DETAIL, SEARCH_START, damaged, read_arrays, write_arrays
from ..maps.alignment import align_maps
from ..maps.size import bright_part
from ..progress import Progress, Stopwatch
from ..types import Volume
from .search import DETAIL, SHAPE, Search, SearchResult, SearchState, Stage

logger = logging.getLogger(__name__)

#: Two starts found the same volume if they agree at least so much.
SAME_VOLUME = 0.8
#: Keeps the random numbers of the halves apart from those of the starts.
_HALVES = 10**6 + 1
#: How a course begins.
Begin = Callable[[np.random.Generator], SearchState]


@dataclass(frozen=True)
class StartResult:
    """The result of a start, and the share of the power explained after each iteration."""

    found: SearchResult
    explained: np.ndarray


@dataclass(frozen=True)
class SearchOutcome:
    """The result of the likeliest start and its number. For all starts: the log likelihood of all
    images, and the agreement with the likeliest start (see `shape_agreement`; 1 for itself). For
    all pairs of starts on different halves: their agreement. What each start found in its half
    (`SHAPE`), and then in all images (`DETAIL`).
    """

    best: StartResult
    chosen: int
    log_likelihoods: Tuple[float, ...]
    agreements: Tuple[float, ...]
    between_halves: Tuple[float, ...]
    courses: Tuple[StartResult, ...]
    details: Tuple[StartResult, ...]


def search_all(
    search: Search, number: int, seed: int, run: Folder, watch: Stopwatch
) -> SearchOutcome:
    """Run every start through `SHAPE` in its half of the images and `DETAIL` in all; results saved
    in `run` are reused.

    Parameters
    ----------
    search : the images and the settings of the search.
    number : of random starts.
    seed : of all random numbers; those of a start depend only on the seed and on its number.
    run : folder in which the result of each start is saved.
    watch : is told when a stage has ended.
    """
    images = len(search.images)
    order = np.random.default_rng([seed, _HALVES]).permutation(images)
    parts = [search] if number == 1 else [search.of(np.sort(order[h::2])) for h in (0, 1)]
    work: Dict[Tuple[Stage, ...], int] = {
        SHAPE: sum(_comparisons(s) for s in SHAPE) * images // len(parts),
        DETAIL: sum(_comparisons(s) for s in DETAIL) * images,
    }
    names: Dict[Tuple[Stage, ...], List[str]] = {
        stages: [name.format(start + 1) for start in range(number)]
        for stages, name in ((SHAPE, SEARCH_START), (DETAIL, SEARCH_DETAIL))
    }
    done = sum(work[s] for s in names for name in names[s] if run.file(name).exists())
    progress = Progress(number * sum(work.values()), "poses", "search", done=done)
    courses: List[StartResult] = []
    details: List[StartResult] = []

    def _finished(
        part: Search, begin: Begin, stages: Tuple[Stage, ...], start: int, *more: int
    ) -> StartResult:
        name = names[stages][start]
        if run.file(name).exists():
            return _load(run, name, part)
        rng = np.random.default_rng([seed, start, *more])
        found = _course(part, begin, stages, rng, progress, watch)
        _save(run, name, found)
        return found

    for start in range(number):
        part = parts[start % len(parts)]
        courses.append(_finished(part, part.start, SHAPE, start))
        begin = partial(search.taken_over, courses[-1].found.state)
        details.append(_finished(search, begin, DETAIL, start, len(SHAPE)))
        logger.info(
            "search: start %d of %d explains %.1f %% of the power.",
            start + 1,
            number,
            100 * details[-1].explained[-1],
        )

    likelihoods = [detail.found.log_likelihood for detail in details]
    chosen = int(np.argmax(likelihoods))
    table = _agreements([course.found.state.volume for course in courses])
    between = table[::2, 1::2].ravel()  # empty for one start
    best = details[chosen]
    watch.lap("comparison of starts")
    return SearchOutcome(
        best,
        chosen,
        tuple(likelihoods),
        tuple(table[chosen]),
        tuple(between),
        tuple(courses),
        tuple(details),
    )


def _comparisons(stage: Stage) -> int:
    """Number of rotations that an image is compared with in all iterations."""
    return stage.iterations * len(healpix_grid(stage.order))


def _course(
    search: Search,
    begin: Begin,
    stages: Sequence[Stage],
    rng: np.random.Generator,
    progress: Progress,
    watch: Stopwatch,
) -> StartResult:
    state = begin(rng)
    explained: List[float] = []
    for stage in stages:
        count = len(healpix_grid(stage.order)) * len(search.images)

        def advance(found: SearchResult, count: int = count) -> None:
            explained.append(found.explained)
            progress.advance(count, explained_power=found.explained)

        found = search.run(stage, state, rng, advance)
        state = found.state
        watch.lap(f"search up to shell {stage.last_shell}")
    return StartResult(found, np.array(explained))


def shape_agreement(first: np.ndarray, second: np.ndarray, last_shell: int) -> float:
    """Correlation of two volumes (D, D, D) up to a shell, at their best rotation, displacement and
    hand, without their means over spheres: any two round volumes agree in these.
    """
    one, other = (without_spherical_mean(data) for data in (first, second))
    return _correlation(one, other, last_shell)


def without_spherical_mean(data: np.ndarray) -> np.ndarray:
    """(D, D, D) moved so that the centre of mass of its bright part is at D // 2, minus, at each
    voxel, the mean at its distance from there. A round volume off its centre would have a direction.
    """
    weight = bright_part(data)
    if weight.any():
        off = len(data) // 2 - np.array(ndimage.center_of_mass(weight))
        data = ndimage.shift(data, off, order=3)
    radius = np.rint(np.sqrt(squared_radius(len(data), 3))).astype(np.intp)
    means = shell_means(data.ravel(), radius.ravel(), int(radius.max()) + 1)
    return (data - means[radius]).astype(np.float32)


def _agreements(volumes: Sequence[np.ndarray]) -> np.ndarray:
    """(K, K) `shape_agreement` of all pairs, 1 on the diagonal."""
    table, shapes = np.eye(len(volumes)), list(map(without_spherical_mean, volumes))
    for i, j in itertools.combinations(range(len(volumes)), 2):
        table[i, j] = table[j, i] = _correlation(shapes[i], shapes[j], SHAPE[-1].last_shell)
    return table


def _correlation(first: np.ndarray, second: np.ndarray, last_shell: int) -> float:
    return align_maps(Volume(first, 1.0), Volume(second, 1.0), last_shell).correlation


def _save(run: Folder, name: str, course: StartResult) -> None:
    found = course.found
    arrays: Dict[str, np.ndarray] = {
        f.name: np.asarray(getattr(found, f.name)) for f in fields(SearchResult)[1:]
    }
    arrays.update({f"state_{f.name}": getattr(found.state, f.name) for f in fields(SearchState)})
    write_arrays(run.file(name), {"course": course.explained, **arrays})


def _load(run: Folder, name: str, search: Search) -> StartResult:
    path, box, number = run.file(name), search.images.images.shape[-1], len(search.images)
    scalar = np.array(0.0)
    expected = {
        "log_likelihood": scalar,
        "explained": scalar,
        "state_junk_share": scalar,
        "rotations": np.zeros((number, 3, 3)),
        "junk": np.zeros(number),
    }
    saved = read_arrays(path, expected)
    missing = {
        "course",
        *(f"state_{f.name}" for f in fields(SearchState)),
        *(f.name for f in fields(SearchResult)[1:]),
    } - set(saved)
    if (
        missing
        or saved["state_volume"].shape != (box,) * 3
        or saved["state_shifts_px"].shape != (number, 2)
    ):
        raise damaged(path, "it does not hold what a start of this search finds")

    volume, noise, state_shifts = (
        saved[f"state_{name}"] for name in ("volume", "noise_variance", "shifts_px")
    )
    state = SearchState(volume, noise, state_shifts, float(saved["state_junk_share"]))
    rotations, shifts_px, certainty, junk = (
        saved[name] for name in ("rotations", "shifts_px", "certainty", "junk")
    )
    log_likelihood, explained = (float(saved[name]) for name in ("log_likelihood", "explained"))
    return StartResult(
        SearchResult(state, rotations, shifts_px, certainty, junk, log_likelihood, explained),
        saved["course"],
    )
