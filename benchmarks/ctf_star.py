"""The CTFs of a real data set as a STAR file, for `--like` of `simulate` and of
`benchmarks/poses.py`.

    python benchmarks/ctf_star.py ctf_empiar10028_20k_D_apix_dfu_dfv_dfang_kV_cs_w_ps.npy --output
    ctfs.star

The table has nine columns: box, Å/px, defocus U and V, angle, kV, Cs, amplitude contrast, phase
shift. The images that the file names do not exist.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cryoposes_plugin.core.io.particle_files import write_particles
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    write_particles(
        arguments.output,
        particles_of(np.load(arguments.table), arguments.output.with_suffix(".mrcs")),
    )


def particles_of(rows: np.ndarray, stack: Path) -> ParticleTable:
    """Particles with the CTFs of the rows (N, 9)."""
    box, pixel, u, v, angle, kv, cs, contrast, phase = rows.T.astype(float)
    number = len(rows)
    return ParticleTable(
        ids=np.arange(number) + 1,
        stack_paths=(stack,),
        stack_index=np.zeros(number, np.int64),
        slice_index=np.arange(number),
        optics=(OpticsGroup("ctfs", pixel[0], int(box[0]), kv[0], cs[0], contrast[0]),),
        optics_index=np.zeros(number, np.int64),
        ctf=CtfTable(u, v, angle, phase, kv, cs, contrast, np.zeros(number)),
    )


if __name__ == "__main__":
    main()
