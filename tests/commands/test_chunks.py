"""Runs in chunks: the arithmetic of chunks, what is done once, and runs put together from chunks."""

import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from cryoposes_plugin.commands import executors
from cryoposes_plugin.commands.chunked_config import ChunkedConfig
from cryoposes_plugin.commands.chunks import Chunk, ChunkDone, Chunks, is_prepared
from cryoposes_plugin.commands.run_directory import RunDirectory
from cryoposes_plugin.core.errors import ConfigError, InputError, ResourceError
from cryoposes_plugin.core.particles.chunks import ChunkedWork

ROWS = np.array([4, 5, 6, 7, 0, 1, 2])


@dataclass(frozen=True)
class SquareConfig(ChunkedConfig):
    command: ClassVar[str] = "square"


class Squares:
    """Squares of rows: in chunks, each of which leaves a file."""

    def __init__(self, tmp_path, wrong=None):
        self.run = RunDirectory.open(tmp_path / "run", SquareConfig())
        self.wrong, self.done, self.saved, self.result = wrong, [], 0, np.zeros(10, int)

    def save(self):
        self.saved += 1

    def do(self, folder, rows):
        if self.wrong in rows:
            raise InputError("An image is damaged; repair it.")
        self.done.append(list(rows))
        np.save(folder.file("squares.npy"), rows**2)

    def take(self, folder, rows):
        self.result[rows] = np.load(folder.file("squares.npy"))

    def work(self, rows=ROWS, **values):
        ids = np.arange(100, 110)
        return ChunkedWork("squares", rows, ids, self.save, self.do, self.take, **values)

    def chunk(self, number, of, **values):
        Chunks(self.run, Chunk(number, of), lambda: None)(self.work(**values))

    def merge(self):
        return Chunks(self.run, None, lambda: None)(self.work())


def test_chunks_are_consecutive_and_together_all_rows():
    shares = [Chunk(k, 3).share(ROWS) for k in (1, 2, 3)]
    assert [len(rows) for rows in shares] == [2, 2, 3]
    np.testing.assert_array_equal(np.concatenate(shares), ROWS)


def test_more_chunks_than_rows_leave_some_empty():
    assert sorted(len(Chunk(k, 9).share(ROWS)) for k in range(1, 10)) == [0, 0] + [1] * 7


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/2", "a/b", "1/2/3", ""])
def test_a_chunk_that_does_not_exist_is_refused(text):
    with pytest.raises(ConfigError, match="--chunk is .*such as 2/10"):
        Chunk.of_text(text)


@pytest.mark.parametrize(
    "task, chunk", [((3, 1, 10, 1), (3, 10)), ((0, 0, 4, 1), (1, 4)), ((25, 5, 3, 10), (3, 3))]
)
def test_a_task_of_a_slurm_array_knows_its_chunk(task, chunk):
    names = [f"SLURM_ARRAY_TASK_{name}" for name in ("ID", "MIN", "COUNT", "STEP")]
    assert Chunk.of_text("slurm", dict(zip(names, map(str, task)))) == chunk


def test_outside_of_a_slurm_array_the_missing_variable_is_named():
    with pytest.raises(ConfigError, match="SLURM_ARRAY_TASK_ID is ''.*--array"):
        Chunk.of_text("slurm", {})


def test_a_run_without_workers_is_not_divided(tmp_path):
    squares = Squares(tmp_path)
    assert squares.merge() is None
    assert not (tmp_path / "run/chunks").exists()


def test_chunks_put_together_are_the_whole_and_nothing_is_done_twice(tmp_path):
    squares = Squares(tmp_path)
    for number, left in ((2, "2 chunks left"), (2, "2 chunks left"), (3, "1 chunk left")):
        with pytest.raises(ChunkDone, match=left):
            squares.chunk(number, 3)
    assert is_prepared(tmp_path / "run")
    assert squares.merge() > 0
    assert squares.done == [[6, 7], [0, 1, 2], [4, 5]]
    assert squares.saved == 1
    np.testing.assert_array_equal(squares.result, [0, 1, 4, 0, 16, 25, 36, 49, 0, 0])


def test_when_all_chunks_are_done_the_preparation_counts_no_more(tmp_path):
    squares = Squares(tmp_path)
    for number, left in ((1, "1 chunk left"), (2, "0 chunks left")):
        with pytest.raises(ChunkDone, match=left):
            squares.chunk(number, 2)
    assert not is_prepared(tmp_path / "run")


def test_a_chunk_goes_on_to_the_next_work_when_all_others_are_done(tmp_path):
    squares = Squares(tmp_path)
    for number in (1, 2):
        with pytest.raises(ChunkDone):
            squares.chunk(number, 2, last=False)
    squares.chunk(1, 2, last=False)
    assert squares.result[7] == 49


def test_a_chunk_of_nothing_ends_at_once(tmp_path):
    with pytest.raises(ChunkDone, match="nothing to do for chunk 1 of 2"):
        Squares(tmp_path).chunk(1, 2, rows=ROWS[:0])


def test_the_manifest_of_a_chunk_names_its_particles(tmp_path):
    with pytest.raises(ChunkDone):
        Squares(tmp_path).chunk(2, 3)
    manifest = json.loads((tmp_path / "run/chunks/squares_2/manifest.json").read_text())
    assert manifest["ids"] == ["106", "107"]
    assert (manifest["chunk"], manifest["of"], manifest["particles"]) == (2, 3, 2)


def test_the_error_of_a_chunk_names_its_particles(tmp_path):
    with pytest.raises(InputError, match=r"Chunk 2 of 3 \(2 particles, ids 106 to 107\): An image"):
        Squares(tmp_path, wrong=7).chunk(2, 3)


def test_another_number_of_chunks_is_refused(tmp_path):
    squares = Squares(tmp_path)
    with pytest.raises(ChunkDone):
        squares.chunk(1, 3)
    with pytest.raises(ConfigError, match="begun in 3 chunks, not in 4"):
        squares.chunk(2, 4)


def test_dask_needs_a_number_of_chunks():
    with pytest.raises(ConfigError, match="--dask is tcp://a:1, but --workers is 1"):
        SquareConfig(dask="tcp://a:1").validate()


def share(number=1, name=None):
    name = name or f"Chunk {number} of 2"
    return executors.Share(f"{number}/2", name, Path(f"chunks/work_{number}/manifest.json"))


def test_a_killed_chunk_is_repeated_and_then_given_up(monkeypatch):
    one = share(name="Chunk 1 of 2 (5 particles)")
    ends = [(-signal.SIGKILL, None)] * 2 + [(0, None)]
    monkeypatch.setattr(executors, "run_program", lambda *_: ends.pop(0))
    executors.do_chunk(["--chunk", "1/2"], one, ".", {})
    assert not ends
    ends += [(-signal.SIGKILL, None)] * 3
    with pytest.raises(ResourceError, match=r"Chunk 1 of 2 \(5 particles\) was killed 3 times"):
        executors.do_chunk(["--chunk", "1/2"], one, ".", {})


def test_a_chunk_that_was_killed_after_its_last_file_is_not_repeated(monkeypatch, tmp_path):
    one, ends = share(), [(-signal.SIGKILL, None)]

    def killed_at_its_end(*_):
        (tmp_path / one.manifest).parent.mkdir(parents=True)
        (tmp_path / one.manifest).write_text("{}")
        return ends.pop(0)

    monkeypatch.setattr(executors, "run_program", killed_at_its_end)
    executors.do_chunk(["--chunk", "1/2"], one, str(tmp_path), {})
    assert not ends


def test_an_error_of_the_program_is_that_of_the_chunk(tmp_path):
    words = ["refine", "--particles", "no.star", "--volume", "no.mrc", "--chunk", "1/2"]
    with pytest.raises(InputError, match=r"^Chunk 1 of 2: refine: no.star does not exist"):
        executors.do_chunk([*words, "--output", "run"], share(), str(tmp_path), {})


def test_without_dask_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    config = SquareConfig(workers=2, dask="tcp://127.0.0.1:1")
    with pytest.raises(ResourceError, match=r"pip install 'scipion-em-cryoposes\[cluster\]'"):
        executors.do_elsewhere(config, tmp_path, [share()])


def test_the_workers_of_a_dask_cluster_do_the_chunks(tmp_path):
    """The error of a chunk comes back from the worker; what works is tested with the program."""
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster:
        config = SquareConfig(workers=2, dask=cluster.scheduler_address)
        with pytest.raises(InputError, match=r"^Chunk [12] of 2: .*invalid choice: 'square'"):
            executors.do_elsewhere(config, tmp_path, [share(k) for k in (1, 2)])
