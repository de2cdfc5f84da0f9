"""Are distances between images of proteins never seen learned better from pairs than from single
images?

    python benchmarks/pair_distances.py --known A.pdb B.pdb ... --unseen C.pdb ... --folder OUT
    [--stages noise-free full] [--steps 500]

Two images of one particle share a central line of their transforms, whatever the protein. All lines
of one image are correlated with all of the other (9° apart, up to a quarter of the sampling rate,
the best of a few displacements), and a network of convolutions over both angles tells how probable
each pair of lines is and how far the images are tilted against each other; its expected distance
follows. It learns from whole models and from what is left of them when a plane cuts them.

A common line alone leaves the tilt b open, cos(d / 2) = |cos(b / 2) cos(c / 2)| with c the turn in
the plane, so that d lies between c and 180°; a network can tell it only by how the correlation
falls off beside the line. Without a network, the tilt follows from third images, by the angles
between the three common lines of a triple (angular reconstitution), here by their votes.

Told is the error of the distances of all pairs of images of a protein, mean and median, and the
poses that `recover` finds from them (mean over images, after a registration over O(4)). Rows:
*constant*: the median of the true distances; *image distance*: Euclidean distance of the images in
the band, scaled to degrees by the known proteins; *common line*: the expected distance, given the
best pair of lines; *triples*: with votes for the tilt; *network*, and *network, triples*: the same
from the network's lines, votes weighted by confidence. Random guesses are off by about 40°.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import keras
import numpy as np
import tensorflow as tf
from initial_volume import BOX, density_of

from cryoposes_plugin.commands.runner import run_command
from cryoposes_plugin.commands.simulate.config import SimulateConfig
from cryoposes_plugin.core.evaluation.orthogonal4 import register_orthogonal4
from cryoposes_plugin.core.fourier.ctf import ctf_values, frequency_grid
from cryoposes_plugin.core.geometry.rotations import angular_distance_rad
from cryoposes_plugin.core.io.mrc import write_volume
from cryoposes_plugin.core.io.particle_files import read_particles
from cryoposes_plugin.core.particles.images import ParticleImages
from cryoposes_plugin.core.recovery import pairs_from_arrays, recover_rotations

RADII, LINES = np.arange(2, 17), 40
HALF = LINES // 2
STAGES = {
    "noise-free": {"ctf": False, "shift_distribution": "none", "noise_variance": 0.0},
    "full": {"snr": 0.1},
}
#: Displacements of one line along the other, px.
SHIFTS = {"noise-free": (0.0,), "full": (-4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5)}
#: Middles of the classes of the tilt.
TILTS = np.deg2rad(np.arange(7.5, 180, 15))
STEP = 2 * np.pi / LINES
_BATCH = 64


class Protein:
    """Images of one protein as lines (N, HALF, 2 radii), real and imaginary, and their rotations."""

    def __init__(
        self, path: Path, stage: str, number: int, seed: int, folder: Path, cut: bool = False
    ) -> None:
        name = path.name.split(".")[0] + ("_cut" if cut else "")
        density, sim = folder / f"{name}.mrc", folder / f"{stage}/{name}-{number}-{seed}"
        if not density.exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_volume(density, *what_is_shown(path, cut))
        if not (sim / "particles.star").exists():
            options = {"number": number, "seed": seed, **STAGES[stage]}
            run_command(SimulateConfig(volume=(str(density),), **options), sim)
        table = read_particles(sim / "particles.star", require=("poses",))
        images = ParticleImages(table).read(np.arange(len(table))).astype(np.float64)
        if stage != "noise-free":
            frequencies = frequency_grid(BOX, float(table.pixel_size_angstrom[0]))
            flip = np.sign(ctf_values(*frequencies, table.ctf))
            images = np.fft.irfft2(np.fft.rfft2(images) * flip, s=(BOX, BOX))
        self.rotations, self.lines = table.rotations, lines_of(images)


def what_is_shown(path: Path, cut: bool) -> Tuple[np.ndarray, float]:
    """Density and pixel size of a model; of a cut one, what lies on one side of a plane."""
    whole = density_of(path)
    density = whole.data
    if cut:
        normal = np.random.default_rng(len(path.name)).normal(size=3)
        at = np.tensordot(normal / np.linalg.norm(normal), np.indices(density.shape) - BOX // 2, 1)
        density = density / (1 + np.exp(at))
    return density.astype(np.float32), whole.pixel_size_angstrom


def lines_of(images: np.ndarray) -> np.ndarray:
    """(N, HALF, 2 radii) float32: central lines of the transforms, each of length 1."""
    angle = np.arange(HALF) * STEP
    kx, ky = (np.outer(f(angle), RADII).ravel() / BOX for f in (np.cos, np.sin))
    at = np.arange(BOX) - BOX // 2
    x, y = np.exp(-2j * np.pi * np.outer(kx, at)), np.exp(-2j * np.pi * np.outer(ky, at))
    kernel = (y[:, :, None] * x[:, None, :]).reshape(len(kx), -1)
    found = (images.reshape(len(images), -1) @ kernel.T).reshape(len(images), HALF, len(RADII))
    found /= np.sqrt((np.abs(found) ** 2).sum(axis=2, keepdims=True))
    return np.concatenate([found.real, found.imag], axis=2).astype(np.float32)


def correlations(first: tf.Tensor, second: tf.Tensor, shifts: Tuple[float, ...]) -> tf.Tensor:
    """(B, HALF, LINES) of the lines of two images, the best of the displacements."""
    real, imaginary = tf.split(first, 2, axis=2)
    both = tf.concat([second, second * np.repeat([1.0, -1.0], len(RADII)).astype("f4")], axis=1)
    found = []
    for shift in shifts:
        phase = 2 * np.pi * RADII * shift / BOX
        c, s = np.cos(phase).astype("f4"), np.sin(phase).astype("f4")
        moved = tf.concat([real * c - imaginary * s, real * s + imaginary * c], axis=2)
        found.append(tf.matmul(moved, both, transpose_b=True))
    return tf.reduce_max(tf.stack(found), axis=0)


class CommonLine(keras.Model):
    """Logits (B, HALF, LINES, tilts) from correlations, by convolutions over both angles."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.dilations = (1, 2, 4, 1)
        self.convolutions = [
            keras.layers.Conv2D(width, 3, dilation_rate=d, activation="gelu")
            for d in self.dilations
        ]
        self.whole = [keras.layers.Dense(width) for _ in self.dilations]
        self.norms = [keras.layers.LayerNormalization() for _ in self.dilations]
        self.head = keras.layers.Dense(len(TILTS))

    def call(self, inputs):
        x = 4.0 * inputs[..., None]
        for i, d in enumerate(self.dilations):
            y = self.convolutions[i](around(x, d))
            y = y + self.whole[i](tf.reduce_mean(y, axis=(1, 2), keepdims=True))
            x = self.norms[i](x + y if i else y)
        return self.head(x)


def around(x: tf.Tensor, rows: int) -> tf.Tensor:
    """The map continued on all sides: half a turn of the one image is half a turn of the other."""
    ends = [tf.roll(part, HALF, axis=2) for part in (x[:, -rows:], x[:, :rows])]
    x = tf.concat([ends[0], x, ends[1]], axis=1)
    return tf.concat([x[:, :, -rows:], x, x[:, :, :rows]], axis=2)


def true_lines(first: np.ndarray, second: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles of the common line in the first image, in [0, pi), and in the second, and the tilt."""
    line = np.cross(first[:, 2], second[:, 2])
    a, b = (
        np.arctan2(*np.einsum("nij,nj->in", rotation, line)[[1, 0]]) for rotation in (first, second)
    )
    b = np.where(np.mod(a, 2 * np.pi) < np.pi, b, b + np.pi)
    cosine = np.clip((first[:, 2] * second[:, 2]).sum(axis=1), -1, 1)
    return np.mod(a, np.pi), np.mod(b, 2 * np.pi), np.arccos(cosine)


def distance(turn: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    return 2 * np.arccos(np.clip(np.abs(np.cos(tilt / 2) * np.cos(turn / 2)), 0, 1))


def trained(proteins: List[Protein], stage: str, steps: int, seed: int) -> CommonLine:
    rng, network = np.random.default_rng(seed), CommonLine()
    optimiser = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps))

    @tf.function
    def step(first, second, label):
        with tf.GradientTape() as tape:
            logits = network(correlations(first, second, SHIFTS[stage]))
            logits = tf.reshape(logits, (_BATCH, -1))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits))
        gradients = tape.gradient(loss, network.trainable_variables)
        optimiser.apply_gradients(zip(gradients, network.trainable_variables))
        return loss

    losses = []
    for _ in range(steps):
        which = rng.integers(len(proteins), size=_BATCH)
        rows = [rng.choice(len(proteins[w].lines), 2, replace=False) for w in which]
        first, second = (
            np.stack([proteins[w].lines[r[k]] for w, r in zip(which, rows)]) for k in (0, 1)
        )
        true = (
            np.stack([proteins[w].rotations[r[k]] for w, r in zip(which, rows)]) for k in (0, 1)
        )
        losses.append(float(step(first, second, cells(*true_lines(*true)))))
    print(f"{stage}: loss {np.mean(losses[:20]):.2f} to {np.mean(losses[-20:]):.2f}", flush=True)
    return network


def cells(a: np.ndarray, b: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    """The class of each common line; an angle that rounds to half a turn starts anew."""
    row, column = np.rint(a / STEP).astype(int), np.rint(b / STEP).astype(int)
    column = np.mod(column + HALF * (row == HALF), LINES)
    level = np.minimum((tilt / (TILTS[1] - TILTS[0])).astype(int), len(TILTS) - 1)
    return ((row % HALF) * LINES + column) * len(TILTS) + level


class Lines:
    """Of all pairs of N images: the angle (N, N) in the image of the row of its line with that of the
    column, and the confidence in it.
    """

    def __init__(self, i: np.ndarray, j: np.ndarray, cell: np.ndarray, sure: np.ndarray) -> None:
        self.angle, self.confidence = np.zeros((2, j.max() + 1, j.max() + 1))
        self.angle[i, j], self.angle[j, i] = cell // LINES * STEP, cell % LINES * STEP
        self.confidence[i, j] = self.confidence[j, i] = np.maximum(sure, 0)


def estimates(protein: Protein, stage: str, network: Optional[CommonLine]) -> Dict[str, Tuple]:
    """Distances of all pairs i < j, and weights, of every way."""
    i, j = np.triu_indices(len(protein.lines), 1)
    turn = (np.arange(HALF)[:, None] - np.arange(LINES)) * STEP
    table = distance(turn[..., None], TILTS).astype("f4").ravel()
    parts = []
    for part in np.array_split(np.arange(len(i)), -(-len(i) // 256)):
        map_ = correlations(protein.lines[i[part]], protein.lines[j[part]], SHIFTS[stage])
        logits = network(map_) if network else tf.zeros((*map_.shape, len(TILTS)))
        share = tf.nn.softmax(tf.reshape(logits, (len(part), -1)), axis=1)
        of_lines = tf.reduce_sum(tf.reshape(share, (len(part), -1, len(TILTS))), axis=2)
        best = [
            (tf.argmax(x, axis=1), tf.reduce_max(x, axis=1))
            for x in (tf.reshape(map_, (len(part), -1)), of_lines)
        ]
        parts.append([*best[0], *best[1], tf.linalg.matvec(share, table)])
    cell, height, learned_cell, sure, expected = (np.concatenate(x) for x in zip(*parts))
    plain, learned = Lines(i, j, cell, height), Lines(i, j, learned_cell, sure)
    found = {
        "common line": (from_line(plain, i, j), None),
        "triples": (from_triples(plain, i, j), None),
    }
    if network:
        found["network"] = expected, sure
        found["network, triples"] = from_triples(learned, i, j), sure
    return found


def from_line(lines: Lines, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """The mean over all tilts, of directions on the sphere."""
    turn = lines.angle[i, j] - lines.angle[j, i]
    return distance(turn[:, None], TILTS) @ (np.sin(TILTS) / np.sin(TILTS).sum())


def from_triples(lines: Lines, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """The mean over the tilts that third images vote for, 10° wide, to the fourth power."""
    angle, number = lines.angle, len(lines.angle)
    found = np.empty(len(i))
    for n, (p, q) in enumerate(zip(i, j)):
        k = np.setdiff1d(np.arange(number), (p, q))
        x, y, z = angle[p, k] - angle[p, q], angle[q, k] - angle[q, p], angle[k, q] - angle[k, p]
        sines = np.sin(x) * np.sin(y)
        cosine = (np.cos(z) - np.cos(x) * np.cos(y)) / np.where(np.abs(sines) < 0.1, np.nan, sines)
        valid = np.abs(cosine) <= 1
        tilt, weight = (
            np.arccos(cosine[valid]),
            (lines.confidence[p] * lines.confidence[q])[k][valid],
        )
        votes = weight @ np.exp(-0.5 * ((tilt[:, None] - TILTS) / np.deg2rad(10)) ** 2)
        votes = (votes + 1e-6) ** 4
        found[n] = distance(angle[p, q] - angle[q, p], TILTS) @ (votes / votes.sum())
    return found


def of_images(protein: Protein) -> np.ndarray:
    i, j = np.triu_indices(len(protein.lines), 1)
    return np.sqrt(((protein.lines[i] - protein.lines[j]) ** 2).sum(axis=(1, 2)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--known", nargs="+", type=Path, required=True, help="PDB or mmCIF files")
    parser.add_argument("--unseen", nargs="+", type=Path, required=True, help="PDB or mmCIF files")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--steps", type=int, default=500, help="0: no network")
    parser.add_argument("--number", type=int, default=150, help="images of a known protein")
    parser.add_argument("--test-number", type=int, default=50, help="images in a test")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for stage in arguments.stages:
        measure(stage, arguments)


def measure(stage: str, arguments: argparse.Namespace) -> None:
    made = stage, arguments.number, arguments.seed, arguments.folder
    known = [Protein(path, *made, cut=cut) for path in arguments.known for cut in (False, True)]
    network = trained(known, stage, arguments.steps, arguments.seed) if arguments.steps else None
    scale = np.concatenate([np.stack([of_images(p), true_distances(p)]) for p in known], axis=1)
    scale = scale[:, np.argsort(scale[0])]
    scale = np.stack([part.mean(axis=1) for part in np.array_split(scale, 30, axis=1)], axis=1)
    print(
        "| stage | proteins | distances | mean error | median | `recover`, O(4) |\n"
        + "|---" * 6
        + "|"
    )
    for seen, paths in (("never seen", arguments.unseen), ("known", arguments.known[:3])):
        errors: Dict[str, List] = {}
        for path in paths:
            protein = Protein(
                path, stage, arguments.test_number, arguments.seed + 1, arguments.folder
            )
            i, j = np.triu_indices(len(protein.lines), 1)
            true = true_distances(protein)
            ways = {"constant": (np.full(len(true), np.median(true)), None)}
            ways["image distance"] = np.interp(of_images(protein), *scale), None
            ways.update(estimates(protein, stage, network))
            for way, (d, weight) in ways.items():
                off = np.rad2deg(np.abs(d - true))
                recovery = np.nan
                if way != "constant":
                    found = recover_rotations(pairs_from_arrays(i, j, d, weight))
                    found = register_orthogonal4(found.rotations, protein.rotations)
                    recovery = np.rad2deg(found.mean_residual_rad)
                errors.setdefault(way, []).append((off.mean(), np.median(off), recovery))
        for way, values in errors.items():
            mean, median, recovery = np.mean(values, axis=0)
            print(
                f"| {stage} | {seen} | {way} | {mean:.1f}° | {median:.1f}° | {recovery:.0f}° |",
                flush=True,
            )


def true_distances(protein: Protein) -> np.ndarray:
    i, j = np.triu_indices(len(protein.lines), 1)
    return angular_distance_rad(protein.rotations[i], protein.rotations[j])


if __name__ == "__main__":
    main()
