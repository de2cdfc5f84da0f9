"""The search from several random starts, each saved when it is finished. The likeliest one is
continued to finer detail.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..geometry.sampling import healpix_grid
from ..io.folder import Folder
from ..io.state_files import SEARCH_DETAIL, SEARCH_START, damaged, read_arrays, write_arrays
from ..maps.alignment import align_maps
from ..progress import Progress
from ..types import Volume
from .search import DETAIL, SHAPE, Search, SearchResult, SearchState, Stage

logger = logging.getLogger(__name__)

#: Two starts found the same volume if the correlation after alignment is at least this.
SAME_VOLUME = 0.9


@dataclass(frozen=True)
class StartResult:
    """The result of a start, and the share of the power explained after each iteration."""

    found: SearchResult
    explained: np.ndarray


@dataclass(frozen=True)
class SearchOutcome:
    """The result of the likeliest start after `DETAIL` and its number. For all starts: the log
    likelihood, the correlation with the volume of the likeliest start (1 for itself), and the
    result.
    """

    best: StartResult
    chosen: int
    log_likelihoods: Tuple[float, ...]
    correlations: Tuple[float, ...]
    courses: Tuple[StartResult, ...]


def search_all(search: Search, number: int, seed: int, run: Folder) -> SearchOutcome:
    """Run every start through `SHAPE` and the likeliest through `DETAIL`; results saved in `run`
    are reused.

    Parameters
    ----------
    search : the images and the settings of the search.
    number : of random starts.
    seed : of all random numbers; those of a start depend only on the seed and on its number.
    run : folder in which the result of each start is saved.
    """
    images = len(search.images)
    work = {stages: sum(_comparisons(s) for s in stages) * images for stages in (SHAPE, DETAIL)}
    names = [SEARCH_START.format(start + 1) for start in range(number)]
    done = sum(work[SHAPE] for name in names if run.file(name).exists())
    progress = Progress(number * work[SHAPE] + work[DETAIL], "poses", "search", done=done)
    courses: List[StartResult] = []

    for start, name in enumerate(names):
        courses.append(_course(search, SHAPE, None, [seed, start], run, name, progress))
        logger.info(
            "search: start %d of %d explains %.1f %% of the power.",
            start + 1,
            number,
            100 * courses[-1].explained[-1],
        )

    likelihoods = [course.found.log_likelihood for course in courses]
    chosen = int(np.argmax(likelihoods))
    best = _course(
        search,
        DETAIL,
        courses[chosen].found.state,
        [seed, chosen, len(SHAPE)],
        run,
        SEARCH_DETAIL,
        progress,
    )
    return SearchOutcome(
        best, chosen, tuple(likelihoods), _agreement(courses, chosen), tuple(courses)
    )


def _comparisons(stage: Stage) -> int:
    """Number of rotations that an image is compared with in all iterations."""
    return stage.iterations * len(healpix_grid(stage.order))


def _course(
    search: Search,
    stages: Sequence[Stage],
    state: Optional[SearchState],
    seed: Sequence[int],
    run: Folder,
    name: str,
    progress: Progress,
) -> StartResult:
    if run.file(name).exists():
        return _load(run, name, search)
    rng = np.random.default_rng(list(seed))
    state = search.start(rng) if state is None else state
    explained: List[float] = []
    for stage in stages:
        count = len(healpix_grid(stage.order)) * len(search.images)

        def advance(found: SearchResult, count: int = count) -> None:
            explained.append(found.explained)
            progress.advance(count, explained_power=found.explained)

        found = search.run(stage, state, rng, advance)
        state = found.state
    course = StartResult(found, np.array(explained))
    _save(run, name, course)
    return course


def _agreement(courses: Sequence[StartResult], chosen: int) -> Tuple[float, ...]:
    shell = SHAPE[-1].last_shell
    target = Volume(courses[chosen].found.state.volume, 1.0)
    return tuple(
        1.0
        if start == chosen
        else align_maps(Volume(course.found.state.volume, 1.0), target, shell).correlation
        for start, course in enumerate(courses)
    )


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
        "rotations": np.zeros((number, 3, 3)),
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

    state = SearchState(*(saved[f"state_{f.name}"] for f in fields(SearchState)))
    rotations, shifts_px, certainty = (
        saved[name] for name in ("rotations", "shifts_px", "certainty")
    )
    log_likelihood, explained = (float(saved[name]) for name in ("log_likelihood", "explained"))
    return StartResult(
        SearchResult(state, rotations, shifts_px, certainty, log_likelihood, explained),
        saved["course"],
    )
