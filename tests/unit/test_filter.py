"""Which particles a filter accepts: exact shares, ties, thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoposes_plugin.core.uncertainty.filter import accept_below, accept_share


def test_the_most_negative_are_kept():
    scores = np.array([-3.0, -1.0, -10.0, -2.0])
    np.testing.assert_array_equal(accept_share(scores, 0.5, np.arange(4)), [True, False, True, False])


@given(st.lists(st.integers(-5, 0), min_size=1, max_size=60), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_the_share_is_exact_whatever_the_ties(values, share):
    scores = np.array(values, dtype=float)
    accepted = accept_share(scores, share, np.arange(len(scores)))
    assert accepted.sum() == int(np.floor(share * len(scores) + 0.5))
    if accepted.any() and not accepted.all():
        assert scores[accepted].max() <= scores[~accepted].min()


def test_ties_go_to_the_lower_ids_whatever_the_order():
    ids = np.array([40, 7, 23, 1])
    accepted = accept_share(np.full(4, -1.0), 0.5, ids)
    assert set(ids[accepted]) == {1, 7}
    shuffled = np.array([2, 0, 3, 1])
    again = accept_share(np.full(4, -1.0), 0.5, ids[shuffled])
    assert set(ids[shuffled][again]) == {1, 7}


@pytest.mark.parametrize("number", [1, 3, 1000])
def test_all_and_none(number):
    scores = -np.arange(number, dtype=float)
    assert accept_share(scores, 1.0, np.arange(number)).all()
    assert not accept_share(scores, 0.0, np.arange(number)).any()


def test_the_threshold_itself_is_kept():
    np.testing.assert_array_equal(accept_below(np.array([-2.0, -1.0, -0.5]), -1.0), [True, True, False])
