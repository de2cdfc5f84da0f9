"""Tables of numbers as CSV."""

import csv

import numpy as np
import pytest

from cryoposes_plugin.commands.number_tables import number_names, read_numbers, write_numbers


def test_what_is_written_is_what_a_csv_writer_writes(tmp_path, rng):
    number = 70_000  # more than are written at one time
    columns = {
        "id": 2**60 + np.arange(number),
        "error, in degrees": rng.normal(0, 1e3, number) * 10.0 ** rng.integers(-9, 9, number),
        "flag": np.where(np.arange(number) % 7, 1.0, np.nan),
    }
    write_numbers(tmp_path / "found.csv", columns)
    with open(tmp_path / "expected.csv", "w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(
            [int(row[0]), *(f"{v:.6g}" for v in row[1:])] for row in zip(*columns.values())
        )
    assert (tmp_path / "found.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    assert number_names(tmp_path / "found.csv") == list(columns)
    back = read_numbers(tmp_path / "found.csv")
    np.testing.assert_allclose(back["error, in degrees"], columns["error, in degrees"], rtol=5e-6)
    np.testing.assert_array_equal(back["flag"], columns["flag"])


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a,b\n1,2\n3,\n", {"a": [1, 3], "b": [2, np.nan]}),
        ("a,b\n1,2\n3\n", {"a": [1, 3], "b": [2, np.nan]}),
        ("a,b\n1e-3,inf\n", {"a": [1e-3], "b": [np.inf]}),
        ("a,b\n", {}),
        ("", {}),
    ],
    ids=["empty cell", "half a row", "one row", "no rows", "nothing"],
)
def test_missing_cells_are_not_numbers(tmp_path, text, expected):
    (tmp_path / "table.csv").write_text(text)
    found = read_numbers(tmp_path / "table.csv")
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)
