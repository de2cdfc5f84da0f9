"""Pieces of work by threads: in order, not too many at once, and an error where its piece stands."""

import threading
import time

import pytest

from cryoposes_plugin.core.parallel import in_order


def test_results_are_in_order_whoever_is_first():
    delays = [0.05, 0.0, 0.03, 0.0, 0.01]

    def work(place):
        time.sleep(delays[place])
        return 10 * place

    assert list(in_order(work, range(5), threads=3)) == [(place, 10 * place) for place in range(5)]
    assert list(in_order(work, [], threads=3)) == []


def test_no_more_is_begun_than_the_threads_and_one():
    begun, lock = [], threading.Lock()

    def work(place):
        with lock:
            begun.append(place)

    for taken, _ in enumerate(in_order(work, range(50), threads=2)):
        assert len(begun) <= taken + 3


def test_an_error_comes_in_its_turn_and_ends_the_work():
    begun = []

    def work(place):
        begun.append(place)
        if place == 2:
            raise ValueError("the third")

    results = in_order(work, range(50), threads=1)
    assert [next(results)[0], next(results)[0]] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)
    assert max(begun) <= 4
