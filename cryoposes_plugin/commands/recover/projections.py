"""Landmarks of known pose: simulated projections of a volume, with the CTF and noise of the
particles.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np
import tensorflow as tf

from ...core.imaging.background import Background, measure_background, noise_power_like
from ...core.imaging.settings import CtfDistribution, Imaging, PoseDistribution
from ...core.models.distance_model import DistanceModel
from ...core.particles.grids import Grid
from ...core.particles.images import ResampledImages
from ...core.training.sources import SimulatedSource
from ...core.types import Volume
from ..infer.inputs import ModelInputs

_BATCH = 200
#: Number of CTFs over which the mean power of the signal is computed.
_CTF_SAMPLE = 512


def noise_of(images: ResampledImages, seed: int) -> Background:
    """Noise in the corners of the particles' images; InputError where it cannot be measured."""
    return measure_background(
        images, images.box_size_px * images.pixel_size_angstrom, seed, option="--reference-snr"
    )


def embed_references(
    model: DistanceModel,
    inputs: ModelInputs,
    volume: Volume,
    number: int,
    snr: Optional[float],
    seed: int,
) -> Tuple[np.ndarray, np.ndarray, float]:
    """Features (K, F) of K projections, their rotations (K, 3, 3), and their SNR.

    The rotations are drawn as in the training of the network: uniformly, or from a quarter of the
    sphere.

    Parameters
    ----------
    model : gives the features.
    inputs : the particles, whose CTFs and noise the projections get.
    volume : to project.
    number : K.
    snr : of the projections, in white noise; None: the noise is that of the particles, as measured.
    seed : of all random numbers.
    """
    table, images = inputs.table, inputs.images
    state = table.optics[np.bincount(table.optics_index).argmax()].image_state
    box = images.box_size_px
    background = noise_of(images, seed) if snr is None else Background(snr, np.ones((box, box)))
    ctf = table.ctf
    if ctf is not None:
        ctf = ctf.take(np.random.default_rng(seed).permutation(len(ctf))[:_CTF_SAMPLE])
    amplitude = np.sqrt(
        noise_power_like([volume], ctf, images, state, background)[:, : box // 2 + 1]
    )
    orientations = "quarter-sphere" if model.card.quarter_sphere else "uniform"
    imaging = Imaging(
        PoseDistribution(orientations), CtfDistribution() if ctf is not None else None
    )
    source = SimulatedSource(
        seed,
        imaging,
        [volume],
        Grid(box, images.pixel_size_angstrom),
        model.preprocessing,
        amplitude.astype(np.float32),
        state,
        table,
    )

    @tf.function(reduce_retracing=True)
    def embed(arrays):
        prepared, labels = source.images(arrays)
        return model.features_of(prepared)[0], labels.rotations

    features, rotations = [], []
    for step in range(-(-number // _BATCH)):
        found = embed(
            {name: tf.constant(value) for name, value in source.arrays(_BATCH, step).items()}
        )
        features.append(found[0].numpy())
        rotations.append(found[1].numpy().astype(np.float64))
    return np.concatenate(features)[:number], np.concatenate(rotations)[:number], background.snr
