"""Real particle stacks through a Scipion project: import, train on their map, estimate, filter,
reconstruct.

    python benchmarks/real_particles.py --data FOLDER [--minutes 1] [--folder real-particles]

FOLDER holds `images/` and `maps/` (see the developer documentation). Each set is imported from its
STAR file by pwem's import protocol (scipion-em-relion installed). A step that stops says why, in
one sentence, and the next set follows.
"""

import argparse
import gzip
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

from cryoposes_plugin.core.errors import CryoposesError
from cryoposes_plugin.scipion.environment import set_scipion_environment


class RealSet(NamedTuple):
    star: str
    stack: str
    map: str
    pixel_size_angstrom: float
    map_pixel_size_angstrom: float
    symmetry: str


SETS = {
    "trpv1": RealSet(
        "trpv1_exp_10_poses_ctf.star",
        "trpv1_exp_10_48_4.88A.mrcs",
        "trpv1_C4_exp_48_4.88A.mrc",
        4.88,
        4.88,
        "C4",
    ),
    "betagal": RealSet(
        "betagal_exp_100_APPROX_poses.star",
        "betagal_exp_100_96_2.548A.mrcs",
        "betagal_D2_exp_100_3.54A.mrc.gz",
        2.548,
        3.54,
        "D2",
    ),
    "50S": RealSet(
        "ribosome50S_exp_7_ctf.star",
        "ribosome50S_exp_7_320_1.31A.mrcs",
        "ribosome70S_C1_64_5.64A.mrc",
        1.31,
        5.64,
        "C1",
    ),
}


def copy_inputs(data: Path, real: RealSet, folder: Path):
    """The import protocol links the stack that lies beside the STAR file; Scipion reads no gzipped
    map.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in (real.star, real.stack):
        shutil.copy(data / "images" / name, folder)
    target = folder / real.map.removesuffix(".gz")
    source = data / "maps" / real.map
    target.write_bytes(
        gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    )
    return folder / real.star, target


def run_set(job, name: str, real: RealSet, data: Path, minutes: float) -> None:
    from pwem.protocols import ProtImportParticles, ProtImportVolumes

    from cryoposes_plugin.protocols import (
        ProtCryoposesFilter,
        ProtCryoposesInfer,
        ProtCryoposesReconstruct,
        ProtCryoposesTrain,
    )

    star, volume = copy_inputs(data, real, job.folder / "inputs" / name)
    imported = job.run(
        f"{name}: import particles",
        ProtImportParticles,
        {},
        importFrom=ProtImportParticles.IMPORT_FROM_RELION,
        starFile=str(star),
        samplingRate=real.pixel_size_angstrom,
        magnification=50000,
    )
    the_map = (
        job.run(
            f"{name}: import map",
            ProtImportVolumes,
            {},
            filesPath=str(volume),
            samplingRate=real.map_pixel_size_angstrom,
        ),
        "outputVolume",
    )
    particles = (imported, "outputParticles")
    trained = job.run(
        f"{name}: train",
        ProtCryoposesTrain,
        {"inputVolumes": the_map, "inputLike": particles},
        minutes=minutes,
        symmetry=real.symmetry,
    )
    estimated = job.run(
        f"{name}: estimate",
        ProtCryoposesInfer,
        {
            "inputParticles": particles,
            "inputVolume": the_map,
            "inputModel": (trained, "outputModel"),
        },
    )
    split = job.run(
        f"{name}: filter", ProtCryoposesFilter, {"inputParticles": (estimated, "outputParticles")}
    )
    job.run(
        f"{name}: reconstruct",
        ProtCryoposesReconstruct,
        {"inputParticles": (split, "outputAccepted")},
        symmetry=real.symmetry,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1.0, help="training time of each set")
    parser.add_argument("--folder", type=Path, default=Path("real-particles"))
    arguments = parser.parse_args()
    data = arguments.data.resolve()
    set_scipion_environment(arguments.folder.resolve())
    from cryoposes_plugin.main_job.job import Job

    job = Job("real_particles")
    for name, real in SETS.items():
        try:
            run_set(job, name, real, data, arguments.minutes)
        except CryoposesError as error:
            print(f"{name} stopped: {error}")
    for step in job.steps.values():
        print(f"{step.title:30} {step.seconds:6.1f} s  {' '.join(step.protocol.summary())[:150]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
