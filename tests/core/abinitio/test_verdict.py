"""What the agreement of two halves says."""

import pytest

from cryoposes_plugin.core.abinitio.verdict import WITHOUT_SHAPE, verdict


def test_one_start_is_no_test():
    assert verdict([])[0] == "not tested"


@pytest.mark.parametrize(
    "agreement, word",
    [(WITHOUT_SHAPE, "not found"), (0.85, "not found"), (0.9, "uncertain"), (0.96, "found")],
)
def test_the_verdict_follows_the_agreement(agreement, word):
    assert verdict([agreement])[0] == word


def test_the_best_pair_counts():
    assert verdict([0.2, 0.97, 0.5])[0] == "found"


@pytest.mark.parametrize("agreement", [0.3, 0.9, 0.98])
def test_the_sentence_has_the_agreement(agreement):
    assert f"{agreement:.2f}" in verdict([agreement])[1]
