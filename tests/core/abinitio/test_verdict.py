"""What the agreement of two halves says."""

import pytest

from cryoposes_plugin.core.abinitio.verdict import (
    CHANCE_AGREEMENT,
    FOUND,
    probability_found,
    verdict,
)


def test_one_start_is_no_test():
    assert verdict([])[0] == "not tested"


def test_what_chance_gives_is_never_called_found():
    assert verdict([CHANCE_AGREEMENT])[0] == "not found"


def test_the_best_pair_counts():
    assert probability_found([0.2, 0.97, 0.5]) == probability_found([0.97])


def test_the_probability_rises_with_the_agreement():
    grid = [probability_found([value / 20]) for value in range(21)]
    assert grid == sorted(grid)


def test_an_agreement_of_one_is_found_but_not_certain():
    assert FOUND <= probability_found([1.0]) < 1


@pytest.mark.parametrize("agreement", [0.3, 0.98])
def test_the_sentence_has_the_agreement(agreement):
    assert f"{agreement:.2f}" in verdict([agreement])[1]
