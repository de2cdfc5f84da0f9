"""The inputs of a form that the wizards look at: the first volume and the first particle set."""

from __future__ import annotations

from typing import Optional

import numpy as np
from pwem.objects import SetOfParticles, Volume

#: Number of images in an average that shows the size of the particle.
_AVERAGED = 300
#: Pointers of the forms, in the order in which a wizard looks at them.
_PARTICLE_POINTERS = ("inputLike", "inputParticles")
_VOLUME_POINTERS = ("inputReference", "inputVolume")


def first_volume(protocol) -> Optional[Volume]:
    """The first volume of the form, including items of sets; None if there is none yet."""
    if protocol.hasAttribute("inputVolumes"):
        volumes = [volume for volume in protocol._input_volumes() if isinstance(volume, Volume)]
        if volumes:
            return volumes[0]
    return _first(protocol, _VOLUME_POINTERS)


def first_particles(protocol) -> Optional[SetOfParticles]:
    """The first particle set of the form; None if there is none yet."""
    return _first(protocol, _PARTICLE_POINTERS)


def _first(protocol, names):
    found = (protocol._pointed(name) for name in names if protocol.hasAttribute(name))
    return next((value for value in found if value is not None), None)


def volume_data(volume: Volume) -> np.ndarray:
    """(D, D, D) float32 [z, y, x]."""
    from pwem.emlib.image import ImageHandler

    return np.asarray(
        ImageHandler().read(volume.getLocation()).getData(), dtype=np.float32
    ).squeeze()


def average_image(particles: SetOfParticles, number: int = _AVERAGED) -> np.ndarray:
    """(D, D) mean of the first images, not aligned."""
    from pwem.emlib.image import ImageHandler

    handler, total, count = ImageHandler(), None, 0
    for particle in particles.iterItems():
        image = np.asarray(
            handler.read(particle.getLocation()).getData(), dtype=np.float64
        ).squeeze()
        total, count = image if total is None else total + image, count + 1
        if count == number:
            break
    return total / max(count, 1)


def average_projection(volume: Volume) -> np.ndarray:
    """(D, D) mean of the projections along x, y and z."""
    data = volume_data(volume).astype(np.float64)
    return np.mean([data.sum(axis=axis) for axis in range(3)], axis=0)
