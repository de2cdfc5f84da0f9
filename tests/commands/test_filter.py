"""Which particles a filter accepts: exact shares, ties, thresholds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoposes_plugin.commands.filter.run import accept_below, accept_share


def test_the_most_negative_are_kept():
    scores = np.array([-3.0, -1.0, -10.0, -2.0])
    np.testing.assert_array_equal(accept_share(scores, 0.5), [True, False, True, False])


@given(st.lists(st.integers(-5, 0), min_size=1, max_size=60), st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_equal_scores_stay_together_as_near_to_the_share_as_that_goes(values, share):
    scores = np.array(values, dtype=float)
    wanted = int(np.floor(share * len(scores) + 0.5))
    accepted = accept_share(scores, share)
    if accepted.any() and not accepted.all():
        assert scores[accepted].max() < scores[~accepted].min()
    possible = [(scores <= value).sum() for value in scores] if wanted else [0]
    assert abs(accepted.sum() - wanted) == min(abs(n - wanted) for n in possible)


@given(st.lists(st.integers(-500, 0), min_size=1, max_size=60, unique=True), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_the_share_is_exact_without_ties(values, share):
    accepted = accept_share(np.array(values, dtype=float), share)
    assert accepted.sum() == int(np.floor(share * len(values) + 0.5))


@pytest.mark.parametrize("number", [1, 3, 1000])
def test_all_and_none(number):
    scores = -np.arange(number, dtype=float)
    assert accept_share(scores, 1.0).all()
    assert not accept_share(scores, 0.0).any()


def test_the_threshold_itself_is_kept():
    np.testing.assert_array_equal(
        accept_below(np.array([-2.0, -1.0, -0.5]), -1.0), [True, True, False]
    )
