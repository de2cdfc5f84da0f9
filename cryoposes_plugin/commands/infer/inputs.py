"""The input of `infer` and `recover`, read and checked before any long work."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Callable, Generic, Optional, TypeVar

from ...core.errors import InputError
from ...core.io.files import is_atomic_model
from ...core.io.folder import Folder
from ...core.io.mrc import read_volume
from ...core.io.particle_files import read_particles
from ...core.io.provenance import digest_path
from ...core.maps.atomic_model import AtomicModel
from ...core.models.distance_model import DistanceModel
from ...core.models.model_card import ModelCard
from ...core.models.pose_model import PoseModel
from ...core.particles.batches import ParticleBatches
from ...core.particles.checks import (
    check_covers_model,
    check_ctf_of_model,
    check_fits_model,
    check_volume,
)
from ...core.particles.images import ResampledImages
from ...core.refinement.shift_finder import ShiftFinder
from ...core.scores import FROM_NOTHING
from ...core.types import Volume
from ...core.values import check_pixel_size, integer, real
from ..imaging_inputs import write_densities

logger = logging.getLogger(__name__)

Model = TypeVar("Model", PoseModel, DistanceModel)


@dataclass(frozen=True)
class ModelInputs(ParticleBatches, Generic[Model]):
    """Particles with their images at the model's box and pixel size, the model, and the volume if
    there is one.

    pose_source : source of the poses, as written to the STAR file of the particles.
    """

    model: Model
    volume: Optional[Volume]
    pose_source: str


def read_model_inputs(
    load: Callable[[Any], Model],
    model_path: Optional[str],
    particles_path: Optional[str],
    images_from: Optional[str] = None,
    volume_path: Optional[str] = None,
    passthrough: Optional[str] = None,
) -> ModelInputs[Model]:
    """A model and the particles that it is applied to.

    Parameters
    ----------
    load : reads the model from its folder.
    model_path : folder of the model.
    particles_path : STAR or .cs file of the particles.
    images_from : folder for relative stack names, if it is given.
    volume_path : map, or atomic model, in the frame of the model, if it is given.
    passthrough : .cs file with further fields of the particles, if it is given.

    Raises
    ------
    InputError : if a part is unusable or the parts do not fit together.
    """
    model = load(model_path)
    table = read_particles(str(particles_path), (), images_from, passthrough)
    card = model.card
    check_fits_model(table, card.pixel_size_angstrom, card.mask_diameter_angstrom)
    images = ResampledImages(table, card.box_size_px, card.pixel_size_angstrom)
    check_ctf_of_model(table, particles_path, card.ctf_correction, model_path)

    volume = None
    if volume_path:
        volume = volume_of_training(volume_path, card)
        check_volume(volume_path, volume, table)
        check_covers_model(volume_path, volume, card.mask_diameter_angstrom)

    source = f"network:{digest_path(str(model_path))[:12]}"
    if card.learned_nothing:
        source += FROM_NOTHING
    return ModelInputs(table, images, model, volume, source)


def volume_of_training(path: str, card: ModelCard) -> Volume:
    """A map, or the density that the training of the network made of an atomic model."""
    if not is_atomic_model(path):
        return read_volume(path)
    resolution = card.training.get("resolution_angstrom")
    if resolution is None:
        raise InputError(
            f"{path} is an atomic model, but the network was not trained on one; give the map that "
            "it was trained on, volume.mrc in the folder of the training."
        )
    if digest_path(path) not in card.data_digests.values():
        logger.warning(
            "%s is not the atomic model that the network was trained on; is this intended?", path
        )

    what, remedy = "Model card: training", "train again, or give a map"
    return AtomicModel(path, card.training.get("assembly")).density(
        real(resolution, f"{what}: resolution_angstrom", remedy, 1e-2, 1e3),
        integer(card.training.get("box_size_px"), f"{what}: box_size_px", remedy, 8, 2048),
        check_pixel_size(card.training.get("pixel_size_angstrom"), what, remedy),
    )


def shift_finder(
    inputs: ModelInputs, volume: Volume, max_shift_px: float, batch_size: int
) -> ShiftFinder:
    """A finder of the particles' shifts, at the box and pixel size of the model.

    Parameters
    ----------
    inputs : the particles.
    volume : in the frame of their rotations.
    max_shift_px : the largest shift, in pixels of the model's images.
    batch_size : the largest number of images that are processed at once.
    """
    images = inputs.images
    return ShiftFinder(
        volume,
        images.box_size_px,
        images.pixel_size_angstrom,
        max_shift_px,
        min(batch_size, len(inputs.table)),
    )


def write_density(path: Optional[str], folder: Folder, volume: Optional[Volume]) -> None:
    """Write volume.mrc to a folder if the volume was made from an atomic model in the file at this
    path.
    """
    if path is not None and volume is not None and is_atomic_model(path):
        write_densities(folder, [volume])
