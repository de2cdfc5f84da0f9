"""Cosets of subgroups of point groups: Lagrange, disjointness, closure, and RELION's operators."""

import re
import shutil
import subprocess

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from cryoposes_plugin.core.errors import ConfigError
from cryoposes_plugin.core.geometry.subgroups import contains, cosets, embedding
from cryoposes_plugin.core.geometry.symmetry import symmetry_rotations

ICOSAHEDRAL = ("I1", "I2", "I3", "I4")
NAMES = [*(f"C{n}" for n in range(1, 9)), *(f"D{n}" for n in range(2, 8)), "T", "O", *ICOSAHEDRAL]


def named(text):
    return set(text.split())


def subgroups_of(name):
    """The subgroups of a point group, up to conjugation, by their names (Bradley & Cracknell 1972)."""
    if name in ICOSAHEDRAL:
        return named("C1 C2 C3 C5 D2 D3 D5 T I1 I2 I3 I4")
    if name in ("T", "O"):
        return named({"T": "C1 C2 C3 D2 T", "O": "C1 C2 C3 C4 D2 D3 D4 T O"}[name])
    order = int(name[1:])
    divisors = [n for n in range(1, order + 1) if order % n == 0]
    found = {f"C{n}" for n in divisors}
    if name[0] == "D":
        found |= {"C2"} | {f"D{n}" for n in divisors if n > 1}
    return found


PAIRS = [(g, h) for g in NAMES for h in sorted(subgroups_of(g))]


@pytest.mark.parametrize("group", NAMES)
def test_exactly_the_subgroups_embed(group):
    whole = symmetry_rotations(group)
    assert {h for h in NAMES if embedding(whole, h) is not None} == subgroups_of(group)


@pytest.mark.parametrize("group, subgroup", PAIRS)
def test_cosets_divide_the_group(group, subgroup):
    """Lagrange: |G| = n |H|, and every element is c h for exactly one c and one h."""
    found = cosets(group, subgroup)
    assert len(found.group) == len(found) * len(found.subgroup)
    products = (found.representatives[:, None] @ found.subgroup).reshape(-1, 1, 3, 3)
    same = np.abs(products - found.group).max(axis=(2, 3)) < 1e-6
    assert (same.sum(axis=0) == 1).all()
    assert (found.of(found.group) == np.argmax(same, axis=0) // len(found.subgroup)).all()


@pytest.mark.parametrize("group, subgroup", PAIRS)
def test_an_embedded_subgroup_is_closed_and_turned_as_told(group, subgroup):
    found = cosets(group, subgroup)
    assert contains(found.subgroup, found.subgroup[:, None] @ found.subgroup)
    np.testing.assert_allclose(
        found.subgroup, found.turn @ symmetry_rotations(subgroup) @ found.turn.T, atol=1e-12
    )


def test_subgroups_in_the_same_setting_are_not_turned():
    for group, subgroup in (("C6", "C3"), ("D4", "C2"), ("D6", "D3"), ("O", "D4"), ("I1", "C2")):
        np.testing.assert_array_equal(cosets(group, subgroup).turn, np.eye(3))


def test_the_two_fold_of_d7_lies_along_x():
    found = cosets("D7", "C2")
    assert contains(found.subgroup, np.diag([1.0, -1.0, -1.0]))
    assert len(found) == 7


def test_the_first_coset_is_the_subgroup_itself():
    found = cosets("O", "D3")
    assert (found.of(found.subgroup) == 0).all()
    assert found.of(Rotation.from_rotvec([[0.1, 0, 0]]).as_matrix()).tolist() == [-1]


def test_angles_between_mates():
    """C4 without symmetry: 0, 90 or 180 degrees; with C2 left, two mates a right angle apart."""
    np.testing.assert_allclose(
        np.sort(cosets("C4", "C1").angles_deg, axis=1), [[0, 90, 90, 180]] * 4, atol=1e-5
    )
    np.testing.assert_allclose(cosets("C4", "C2").angles_deg, [[0, 90], [90, 0]], atol=1e-5)


def test_a_group_that_is_no_subgroup_is_a_sentence():
    with pytest.raises(ConfigError, match="^C3 is not a subgroup of C4: no orientation"):
        cosets("C4", "C3")


@pytest.mark.skipif(shutil.which("relion_refine") is None, reason="needs RELION")
@pytest.mark.parametrize("name", ["C5", "D7", "T", "O", *ICOSAHEDRAL])
def test_operators_are_those_of_relion(name):
    command = ["relion_refine", "--sym", name, "--print_symmetry_ops"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    blocks = re.split(r"R\(\d+\)=", text)[1:]
    printed = np.array([[float(x) for x in b.split("Euler")[0].split()] for b in blocks])
    printed = printed.reshape(-1, 3, 3)
    own = symmetry_rotations(name)
    assert len(printed) == len(own)
    assert np.abs(printed[:, None] - own).max(axis=(2, 3)).min(axis=1).max() < 2e-4
