"""Held-out particles share no micrograph, or at least no image, with the others."""

import logging

import numpy as np
import pytest

from cryoposes_plugin.core.particles.held_out import held_out

from ...particle_sets import make_particles


def _of_micrographs(number, micrographs):
    names = np.array([f"mic{i % micrographs}.mrc" for i in range(number)], dtype=object)
    return make_particles("stack.mrcs", number).replace(extra={"rlnMicrographName": names}), names


@pytest.mark.parametrize("seed", [0, 1])
def test_whole_micrographs_are_held_out(seed):
    table, names = _of_micrographs(200, 40)
    chosen = held_out(table, 38, seed)
    assert chosen.sum() == 40
    assert not set(names[chosen]) & set(names[~chosen])
    assert (chosen != held_out(table, 38, seed + 5)).any()
    np.testing.assert_array_equal(chosen, held_out(table, 38, seed))


def test_one_micrograph_is_split_with_a_word(caplog):
    table, _ = _of_micrographs(50, 1)
    with caplog.at_level(logging.INFO, logger="cryoposes_plugin"):
        assert held_out(table, 10, 0).sum() == 10
    assert "are of too few micrographs" in caplog.text


def test_copies_of_an_image_stay_together(caplog):
    table = make_particles("stack.mrcs", 50)
    table = table.replace(slice_index=table.slice_index // 2)
    with caplog.at_level(logging.INFO, logger="cryoposes_plugin"):
        chosen = held_out(table, 10, 0)
    assert "have no names of micrographs" in caplog.text
    np.testing.assert_array_equal(chosen[::2], chosen[1::2])
    assert chosen.sum() == 10
