"""Lists of pairs: how they are held, and the sentences that wrong ones end in."""

import re

import numpy as np
import pytest

from cryoposes_plugin.core.errors import InputError
from cryoposes_plugin.core.recovery.pairs import (
    PairDistances,
    check_graph,
    landmark_pairs,
    pairs_from_arrays,
    read_pairs,
)

FIRST, SECOND, D = (
    np.array([3, 0, 2, 0, 1]),
    np.array([1, 1, 0, 3, 2]),
    np.array([0.1, 0.2, 0.3, 0.4, 0.5]),
)


def test_pairs_are_sorted_by_their_first_particle():
    pairs = pairs_from_arrays(FIRST, SECOND, D, weight=np.array([1, 2, 3, 4, 0]))
    assert pairs.number == 4
    assert len(pairs) == 4
    np.testing.assert_array_equal(pairs.first(), [0, 0, 2, 3])
    np.testing.assert_array_equal(pairs.second, [1, 3, 0, 1])
    np.testing.assert_array_equal(pairs.distance_rad, [0.2, 0.4, 0.3, 0.1])
    np.testing.assert_allclose(pairs.weight, np.array([2, 4, 3, 1]) / 2.5)
    np.testing.assert_array_equal(pairs.degrees, [3, 2, 1, 2])
    np.testing.assert_array_equal(pairs.first(slice(1, 3)), [0, 2])
    taken = pairs.take(np.array([True, False, False, True]))
    np.testing.assert_array_equal(taken.first(), [0, 3])
    np.testing.assert_array_equal(taken.second, [1, 1])


def test_pairs_within_some_particles_and_their_columns():
    pairs = pairs_from_arrays(FIRST, SECOND, D)
    within = pairs.within(np.array([3, 1, 0]))
    np.testing.assert_array_equal(within.indptr, [0, 1, 1, 3])
    np.testing.assert_array_equal(within.second, [1, 1, 0])
    np.testing.assert_array_equal(within.distance_rad, [0.1, 0.2, 0.4])
    nan = np.nan
    expected = [[nan, 0.4], [0.2, 0.1], [0.3, nan], [0.4, nan]]
    np.testing.assert_array_equal(pairs.columns(np.array([0, 3])), expected)
    corrected = pairs.subtract_offsets(np.array([0.0, 0.1, 0.2, 0.4]))
    np.testing.assert_allclose(corrected.distance_rad, [0.1, 0.0, 0.2, 0.1, -0.4], atol=1e-15)


@pytest.mark.parametrize("pairs_a_part", [1, 7, 1000])
def test_parts_cover_every_pair_once(rng, pairs_a_part):
    pairs = pairs_from_arrays(
        rng.integers(0, 40, 300), rng.integers(0, 40, 300), rng.uniform(0, 3, 300)
    )
    first = [pairs.first(part) for _, part in pairs.rows(pairs_a_part)]
    np.testing.assert_array_equal(np.concatenate(first), pairs.first())
    rows = [row for part, _ in pairs.rows(pairs_a_part) for row in range(part.start, part.stop)]
    assert rows == list(range(pairs.number))


@pytest.mark.parametrize("bounds", [[0, 9, 9, 9, 9], [0, 0, 0, 9, 9], [0, 0, 4, 4, 9]])
def test_no_part_is_empty(bounds):
    pairs = PairDistances(np.array(bounds), np.zeros(9, np.int32), np.arange(9.0))
    parts = list(pairs.rows(3))
    assert all(part.stop > part.start for _, part in parts)
    assert sum(part.stop - part.start for _, part in parts) == 9
    assert [row for rows, _ in parts for row in range(rows.start, rows.stop)] == list(range(4))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64, np.int16])
def test_indices_of_any_integer_type(rng, dtype):
    i, j = (rng.integers(0, 60, 500).astype(dtype) for _ in range(2))
    d = rng.uniform(0, 3, 500)
    ours, plain = pairs_from_arrays(i, j, d), pairs_from_arrays(i.astype(int), j.astype(int), d)
    for name in ("indptr", "second", "distance_rad"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(plain, name))


def test_pairs_listed_again_count_once():
    i, j = np.array([0, 1, 2, 0, 1]), np.array([1, 0, 0, 1, 2])
    pairs = pairs_from_arrays(i, j, np.array([1.0, 1.3, 0.5, 1.6, 0.7]), np.array([1, 2, 3, 3, 3]))
    np.testing.assert_array_equal(pairs.first(), [0, 1, 2])
    np.testing.assert_array_equal(pairs.second, [1, 2, 0])
    np.testing.assert_allclose(pairs.distance_rad, [(1 + 2.6 + 4.8) / 6, 0.7, 0.5])
    np.testing.assert_allclose(pairs.weight, [1.5, 0.75, 0.75])
    twice = pairs_from_arrays(np.r_[i[2:], j[2:]], np.r_[j[2:], i[2:]], np.tile([0.5, 1.6, 0.7], 2))
    assert twice.weight is None
    assert len(twice) == 3
    assert twice.degrees.tolist() == [2, 2, 2]


def test_a_particle_whose_pairs_all_weigh_nothing_is_missed():
    i, j, d = complete(7)
    pairs = pairs_from_arrays(i, j, d, np.where((i == 6) | (j == 6), 0.0, 1.0))
    with pytest.raises(InputError, match="particle 6 has 0 distances"):
        check_graph(pairs)


def test_landmarks_give_each_pair_once():
    pairs = landmark_pairs(lambda i, j: np.abs(i - j) / 100.0, 50, 8, seed=3)
    assert len(pairs) == 8 * 42 + 8 * 7 // 2
    keys = {frozenset(pair) for pair in zip(pairs.first().tolist(), pairs.second.tolist())}
    assert len(keys) == len(pairs)
    assert all(len(key) == 2 for key in keys)
    np.testing.assert_allclose(pairs.distance_rad, np.abs(pairs.first() - pairs.second) / 100)


def complete(number):
    i, j = np.triu_indices(number, 1)
    return i, j, np.ones(len(i))


def changed(index, at, value, number=6):
    arrays = [np.array(a) for a in complete(number)]
    arrays[index][at] = value
    return arrays


@pytest.mark.parametrize(
    "arrays, sentence",
    [
        (changed(0, 4, -1), "i[4] is -1; particles are counted from 0"),
        (changed(1, 4, 99), "15 pairs for 100 particles leave some without distances"),
        (changed(2, 3, np.nan), "d[3] is nan"),
        (changed(2, 3, np.inf), "d[3] is inf"),
        (changed(2, 3, -7.0), "d[3] is -7, which noise cannot explain"),
        (changed(2, 3, 170.0), "d[3] is 170, which noise cannot explain"),
        (changed(2, slice(None), 3.5), "100 % of all lie outside); give radians"),
        ((FIRST, SECOND, D[:3]), "i has shape (5,) and d (3,)"),
        ((FIRST * 1.0, SECOND, D), "i is of type float64; give integers"),
        ((FIRST, SECOND, D.astype(complex)), "d is of type complex128; give numbers"),
        ((FIRST[:0], SECOND[:0], D[:0]), "the lists are empty"),
        ((FIRST, FIRST, D), "no pair of two different particles is left"),
        ((FIRST, SECOND, D, np.array([1, 1, -2, 1, 1])), "weight[2] is -2; weights are 0 or more"),
        ((FIRST, SECOND, D, np.array([1, 1, np.nan, 1, 1])), "weight[2] is nan"),
    ],
)
def test_nonsense_is_one_sentence(arrays, sentence):
    with pytest.raises(InputError, match=re.escape(sentence)):
        pairs_from_arrays(*arrays)


def test_noise_beyond_0_and_pi_is_welcome(rng):
    i, j, _ = complete(30)
    d = rng.uniform(0, np.pi, len(i)) + rng.normal(0, 0.9, len(i))
    assert d.min() < 0
    assert d.max() > np.pi
    np.testing.assert_array_equal(pairs_from_arrays(i, j, d).distance_rad, d)


def test_an_index_beyond_the_number_of_particles():
    with pytest.raises(InputError, match=re.escape("j[0] is 5, but there are 5 particles")):
        pairs_from_arrays(*changed(1, 0, 5), number=5)


def test_graphs_that_leave_rotations_open():
    i, j, d = complete(6)
    check_graph(pairs_from_arrays(i, j, d))
    with pytest.raises(InputError, match="particle 6 has 3 distances"):
        check_graph(pairs_from_arrays(np.r_[i, 0, 1, 2], np.r_[j, 6, 6, 6], np.r_[d, 1, 1, 1]))
    with pytest.raises(
        InputError, match="consists of 2 parts .*particle 0 with 6, particle 6 in another"
    ):
        check_graph(pairs_from_arrays(np.r_[i, i + 6], np.r_[j, j + 6], np.r_[d, d]))
    with pytest.raises(InputError, match="particle 0 has 1 distances"):
        check_graph(pairs_from_arrays(np.r_[i + 1, 0], np.r_[j + 1, 1], np.r_[d, 1]))


def test_files(tmp_path):
    i, j, d = complete(6)
    path = tmp_path / "d.npz"
    np.savez(path, i=i, j=j, d=d.astype(np.float32), weight=np.ones(len(i), dtype=int))
    assert read_pairs(path).number == 6
    assert read_pairs(path).distance_rad.dtype == np.float64
    np.savez(path, i=i, d=d)
    with pytest.raises(InputError, match="has no array 'j'"):
        read_pairs(path)
    np.savez_compressed(path, i=i, j=j, d=d)
    whole, refused = path.read_bytes(), []
    for seed in range(60):
        spoilt, rng = bytearray(whole), np.random.default_rng(seed)
        for at in rng.integers(0, len(whole), 3):
            spoilt[at] = rng.integers(256)
        path.write_bytes(spoilt)
        try:
            assert read_pairs(path).number == 6
        except InputError as error:
            refused.append(str(error))
    assert len(refused) > 40
    assert all(sentence.startswith(str(path)) for sentence in refused)
    np.savez(path, i=i, j=j, d=np.array([{}] * len(i), dtype=object))
    with pytest.raises(InputError, match="'d' holds object, not numbers"):
        read_pairs(path)
    np.save(tmp_path / "d.npy", d)
    with pytest.raises(InputError, match="holds one array"):
        read_pairs(tmp_path / "d.npy")
    path.write_bytes(b"not a zip")
    with pytest.raises(InputError, match="cannot be read as an npz file"):
        read_pairs(path)
