"""Singular and plural."""

from cryoposes_plugin.core.values import counted


def test_one_is_singular():
    assert [counted(n, "particle") for n in (0, 1, 2)] == [
        "0 particles",
        "1 particle",
        "2 particles",
    ]
