"""Real junk: is a background patch told from a particle of the same micrographs?

    python benchmarks/real_junk.py --data FOLDER --model MODEL --folder OUT

FOLDER holds `images/` and `maps/` (see the developer documentation): 100 beta-galactosidase particles
and 100 background patches. Both are brought to zero mean and unit variance in the same way; patches
have the CTFs of particles. MODEL was trained on the map with `train --symmetry D2 --like` the
particles; --make-set writes the images and ends there. Prints the area under the ROC curve of the
probability of junk, and what the automatic filter keeps.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from cryoposes_plugin.commands.infer.config import InferConfig
from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.core.evaluation.selection import accept_at_rate
from cryoposes_plugin.core.io.mrc import read_stack, write_stack
from cryoposes_plugin.core.io.particle_files import read_particles, write_particles
from cryoposes_plugin.core.scores import EXPECTED_ERROR, JUNK
from cryoposes_plugin.core.types import ParticleTable

PARTICLES = "betagal_exp_100_APPROX_poses.star"
STACK = "betagal_exp_100_96_2.548A.mrcs"
BACKGROUND = "betagal_exp_background_100_96_2.548A.mrcs"
MAP = "betagal_D2_exp_100_3.54A.mrc.gz"
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", help="Network that was trained on the map.")
    parser.add_argument("--make-set", action="store_true", help="Write the images only.")
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()

    table, junk = make_set(arguments.data, arguments.folder)
    if arguments.make_set:
        return
    config = InferConfig(
        model=arguments.model,
        particles=str(arguments.folder / "mixed.star"),
        volume=str(arguments.folder / "map.mrc"),
    )
    metrics = run_command(config, arguments.folder / "poses")
    found = read_particles(arguments.folder / "poses/particles.star").scores
    kept = accept_at_rate(found[JUNK], 0.01)
    print(f"verdict: {metrics.get('verdict')}")
    print(f"area: {roc_auc_score(junk, found[JUNK]):.3f}")
    print(
        f"kept: {kept[~junk].sum()} of {(~junk).sum()} particles, {kept[junk].sum()} of "
        f"{junk.sum()} patches, told {100 * found[JUNK][kept].mean():.1f} %"
    )
    print(f"expected error of the kept, median: {np.median(found[EXPECTED_ERROR][kept]):.1f}°")


def make_set(data: Path, folder: Path):
    """Particles and patches in random order, and which are patches (N,)."""
    folder.mkdir(parents=True, exist_ok=True)
    particles = read_particles(data / "images" / PARTICLES)
    shown = normalised(read_stack(data / "images" / STACK))
    patches = normalised(-read_stack(data / "images" / BACKGROUND))
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(shown) + len(patches))
    write_stack(
        folder / "mixed.mrcs",
        np.concatenate([shown, patches])[order],
        particles.optics[0].pixel_size_angstrom,
    )
    rows = np.concatenate([np.arange(len(shown)), rng.integers(len(shown), size=len(patches))])
    table = ParticleTable(
        ids=np.arange(1, len(order) + 1),
        stack_paths=(folder / "mixed.mrcs",),
        stack_index=np.zeros(len(order), np.int64),
        slice_index=np.arange(len(order)),
        optics=particles.optics,
        optics_index=np.zeros(len(order), np.int64),
        ctf=particles.ctf.take(rows[order]),
    )
    write_particles(folder / "mixed.star", table)
    write_particles(folder / "particles.star", table.take(order < len(shown)))
    (folder / "map.mrc").write_bytes(gzip.decompress((data / "maps" / MAP).read_bytes()))
    return table, (order >= len(shown))


def normalised(images: np.ndarray) -> np.ndarray:
    """(N, D, D) with mean 0 and variance 1 of each image."""
    images = images.astype(np.float64)
    mean, deviation = images.mean(axis=(1, 2)), images.std(axis=(1, 2))
    return ((images - mean[:, None, None]) / deviation[:, None, None]).astype(np.float32)


if __name__ == "__main__":
    main()
