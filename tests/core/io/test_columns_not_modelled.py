"""Columns that the forward model leaves out are named where they say something, and not where they
are neutral.
"""

import numpy as np
import pytest

from cryoposes_plugin.core.io.particle_files import columns_not_modelled
from cryoposes_plugin.core.types import OpticsGroup, ParticleTable

#: Modelled as columns of the optics groups, and not as those of particles.
OF_GROUPS = ("rlnBeamTiltX", "rlnMagMat00", "rlnMagMat01", "rlnOddZernike")


def table(particles=(), optics=()) -> ParticleTable:
    zeros = np.zeros(2, dtype=np.int64)
    groups = (OpticsGroup("one", 3.0, 16, extra=dict(optics)),)
    extra = {label: np.array(values, dtype=object) for label, values in particles}
    return ParticleTable((zeros + [1, 2]), ("a",), zeros, zeros, groups, zeros, extra=extra)


@pytest.mark.parametrize(
    "label, neutral, other",
    [
        ("rlnBeamTiltX", "0.000000", "0.02"),
        ("rlnMagMat00", "1.000000", "1.002"),
        ("rlnMagMat01", "0", "-1e-3"),
        ("rlnCtfScalefactor", "1", "0.93"),
        ("rlnOddZernike", "[0,0,0]", "[0,0.1,0]"),
        ("rlnMtfFileName", "", "mtf_k2.star"),
    ],
)
def test_neutral_values_are_not_named(label, neutral, other):
    assert columns_not_modelled(table(optics=[(label, neutral)])) == []
    named = [] if label in OF_GROUPS else [label]
    assert columns_not_modelled(table(optics=[(label, other)])) == named
    assert columns_not_modelled(table(particles=[(label, [neutral, other])])) == [label]
    assert columns_not_modelled(table(particles=[(label, [neutral, neutral])])) == []
