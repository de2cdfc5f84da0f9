"""The options of `relax-symmetry`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional, Tuple

from ..config import INPUT, REFINEMENT, SEARCH, Config, option
from ..plausibility import check_diameter, check_resolution
from ..refinement_config import batch_size_option, refinement_box_option

FROM_VOLUME, FROM_IMAGES = "volume", "images"


@dataclass(frozen=True)
class RelaxSymmetryConfig(Config):
    command: ClassVar[str] = "relax-symmetry"
    title: ClassVar[str] = "resolve pseudo-symmetry"
    description: ClassVar[str] = (
        "find which symmetry mate of its pose each particle has, if it lacks part of a symmetry"
    )
    place: ClassVar[int] = 55
    image_fields: ClassVar[Tuple[str, ...]] = ("particles",)
    last_bits: ClassVar[Tuple[str, ...]] = ("threads", "batch_size")
    required: ClassVar[Tuple[str, ...]] = ("volume", "particles")
    thread_per_batch: ClassVar[bool] = True

    particles: Optional[str] = option(
        None,
        "Particles with poses that are right up to an operation of the pseudo-symmetry, such as "
        "those of a refinement with that symmetry.",
        label="Particles",
        group=INPUT,
        path="STAR",
    )
    volume: Optional[str] = option(
        None,
        "Volume in the frame of the poses, its axes those of the pseudo-symmetry: one that lacks "
        "the symmetry, or with --asymmetry-from 'images' the symmetric one.",
        label="Volume",
        group=INPUT,
        path="MRC",
    )
    pseudo_symmetry: str = option(
        "C1",
        "Point group that the particle seems to have (C4, D2, T, O, I, ...).",
        label="Pseudo-symmetry",
        group=INPUT,
    )
    symmetry: str = option(
        "C1",
        "Point group that the particle really has, a subgroup of the pseudo-symmetry.",
        label="True symmetry",
        group=INPUT,
    )
    asymmetry_from: str = option(
        FROM_VOLUME,
        "What shows where the symmetry is broken: 'volume', the given one, or 'images', in which "
        "it is searched for, beginning with mates drawn at random. A volume that was "
        "reconstructed from these particles at poses without symmetry holds their noise at these "
        "poses and confirms them.",
        label="Asymmetry from",
        group=INPUT,
        choices=(FROM_VOLUME, FROM_IMAGES),
        titles={FROM_VOLUME: "the volume", FROM_IMAGES: "the images"},
    )
    focus_mask: Optional[str] = option(
        None,
        "Mask from 0 to 1 on the grid of the volume: the region that breaks the symmetry. "
        "Elsewhere the volume is made symmetric. Default: no mask.",
        label="Focus mask",
        group=INPUT,
        path="MRC",
    )
    resolution_angstrom: Optional[float] = option(
        None,
        "Images and volume are compared up to this resolution. Default: the resolution up to "
        "which they agree.",
        label="Resolution limit",
        group=REFINEMENT,
        unit="Å",
        minimum=0.1,
        maximum=1000,
    )
    working_box_px: Optional[int] = refinement_box_option(
        "Images larger than this are binned to this box size, with the same field of view. "
        "Default: 128."
    )
    search_resolution_angstrom: float = option(
        20.0,
        "Finest detail of the asymmetric part that the search in the images uses. Coarser values "
        "suit larger differences between the subunits and noisier images.",
        label="Resolution of the search",
        group=SEARCH,
        unit="Å",
        minimum=1,
        maximum=1000,
    )
    rounds: int = option(
        60,
        "Largest number of rounds of the search in the images. It ends earlier if the mates "
        "settle.",
        label="Largest number of rounds",
        group=SEARCH,
        minimum=1,
        maximum=1000,
    )
    starts: int = option(
        2,
        "Number of times that the search begins with other random mates; the result that tells "
        "most is kept.",
        label="Random starts",
        group=SEARCH,
        expert=True,
        minimum=1,
        maximum=100,
    )
    mask_diameter_angstrom: Optional[float] = option(
        None,
        "Diameter of the sphere in which the search looks for the asymmetric part. Default: 75 % "
        "of the box.",
        label="Mask diameter",
        alias="--mask-diameter",
        group=SEARCH,
        unit="Å",
        minimum=1,
        maximum=1e5,
    )
    batch_size: int = batch_size_option()

    def check_images(self, width_angstrom: float) -> None:
        """Raise if mask or resolution do not suit images of this width."""
        check_resolution(self.command, self.resolution_angstrom, width_angstrom)
        check_resolution(self.command, self.search_resolution_angstrom, width_angstrom)
        check_diameter(
            self.command, "mask_diameter_angstrom", self.mask_diameter_angstrom, width_angstrom
        )
