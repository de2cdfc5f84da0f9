"""Columns of text behave as arrays of str, whatever the bytes are kept in."""

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.texts import (
    Texts,
    distinct_rows,
    formatted,
    numbers_between,
    packed,
    texts_together,
)

WORDS = ["a", "", "Grün", "\udcff", "x" * 40, "a"]


@pytest.mark.parametrize("values", [WORDS, np.array(WORDS, dtype=object), Texts.of(WORDS)])
def test_texts_come_back(values):
    texts = Texts.of(values)
    assert (list(texts), texts[2], texts[np.array([5, 0])].tolist()) == (WORDS, "Grün", ["a", "a"])
    assert (texts == "a").tolist() == [True, False, False, False, False, True]
    assert np.asarray(texts).tolist() == WORDS


def test_one_long_text_does_not_widen_all():
    words = [b"a"] * 1000 + [b"x" * 100_000]
    assert packed(words).dtype == object
    parts = [Texts(np.array([b"a"] * 1000)), Texts(np.array([b"x" * 100_000]))]
    assert texts_together(parts).data.tolist() == words


@pytest.mark.parametrize("wrong", ["a\0", "\ud800"])
def test_what_bytes_cannot_hold_is_refused(wrong):
    with pytest.raises(ValueError):
        Texts.of(["a", wrong])


def test_numbers_are_written_as_python_writes_them(rng):
    numbers = np.r_[rng.normal(0, 1e3, 500), 0.0, -0.0, 1e300, 2.5e-7, 0.5, 1.5]
    assert formatted("%.6f", numbers).tolist() == [f"{x:.6f}" for x in numbers]
    pairs = numbers.reshape(-1, 2)
    assert formatted("%.9g/%.3f", pairs).tolist() == [f"{x:.9g}/{y:.3f}" for x, y in pairs]


def test_numbers_between_signs_are_read_and_others_are_nan():
    found = numbers_between(["1/2.5", "3", "1/2/3", "a/1", "", "-1e3/.5"], 2)
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(found, [[1, 2.5], nan, nan, nan, nan, [-1000, 0.5]])


def test_rows_are_told_apart_by_all_columns(rng):
    columns = [rng.integers(0, 3, 200).astype(str) for _ in range(3)]
    first, index = distinct_rows([Texts.of(c) for c in columns])
    keys = list(zip(*columns))
    distinct = list(dict.fromkeys(keys))
    assert [keys[i] for i in first] == distinct
    assert [distinct[i] for i in index] == keys


def test_a_long_name_is_cut_in_a_sentence():
    sentence = str(InputError(f"The stack {'x' * 5000}.mrcs does not exist; check the path."))
    assert (len(sentence) < 500, sentence.endswith("x.mrcs does not exist; check the path.")) == (
        True,
        True,
    )
