"""Whether particles, maps and models belong together: each check raises InputError in one sentence."""

from __future__ import annotations

from typing import Optional

import numpy as np

from ..errors import InputError
from ..types import OpticsGroup, ParticleTable, Volume
from .grids import Grid, groups_in_use

#: Relative difference up to which pixel sizes count as the same: calibration is no more accurate.
PIXEL_SIZE_TOLERANCE = 0.01
#: A map is narrower, or wider, than its images by these factors at most: beyond, a pixel size is
#: wrong.
NARROWEST_MAP, WIDEST_MAP = 0.4, 4.0


def same_pixel_size(a_angstrom: float, b_angstrom: float) -> bool:
    """Whether a pixel size equals another one, b, as closely as pixel sizes are known."""
    return abs(a_angstrom - b_angstrom) <= PIXEL_SIZE_TOLERANCE * b_angstrom


def pixel_sizes_differ(
    what: str, box_size_px: int, own_angstrom: float, images_angstrom: float
) -> str:
    """The sentence on a map, named by `what`, that has the images' box and another pixel size.

    Parameters
    ----------
    what : names the map.
    box_size_px : of both.
    own_angstrom, images_angstrom : pixel size of the map and of the images.
    """
    return (
        f"{what} and the images both have a box of {box_size_px} px, but their pixel sizes are "
        f"{own_angstrom:g} and {images_angstrom:g} Å/px; correct the one that is wrong."
    )


def has_grid_of(volume: Volume, optics: OpticsGroup) -> bool:
    """Whether a map has the box and the pixel size of an optics group."""
    return volume.box_size_px == optics.box_size_px and same_pixel_size(
        volume.pixel_size_angstrom, optics.pixel_size_angstrom
    )


def check_volume(path: Optional[str], volume: Volume, table: ParticleTable) -> None:
    """A map that is constant, or does not fit the images' pixel size or width."""
    if not np.ptp(volume.data) > 0:
        value = float(volume.data.flat[0]) + 0.0
        raise InputError(
            f"Volume {path} is constant ({value:g} everywhere); give a map with density."
        )
    check_same_pixel_size(path, volume, table)
    for optics in groups_in_use(table):
        _check_width(path, volume, Grid(optics.box_size_px, optics.pixel_size_angstrom))


def check_same_pixel_size(path: Optional[str], volume: Volume, table: ParticleTable) -> None:
    """A map with the box of the images and another pixel size, unless one group of images has both."""
    groups = groups_in_use(table)
    if any(has_grid_of(volume, optics) for optics in groups):
        return
    for optics in groups:
        if volume.box_size_px == optics.box_size_px:
            raise InputError(
                pixel_sizes_differ(
                    f"Volume {path}",
                    volume.box_size_px,
                    volume.pixel_size_angstrom,
                    optics.pixel_size_angstrom,
                )
            )


def check_scale(path: Optional[str], volume: Volume, grid: Grid) -> None:
    """A map that does not fit the pixel size or the width of images to be simulated from it."""
    own, pixel = volume.pixel_size_angstrom, grid.pixel_size_angstrom
    if volume.box_size_px == grid.box_size_px and not same_pixel_size(own, pixel):
        raise InputError(pixel_sizes_differ(f"Volume {path}", volume.box_size_px, own, pixel))
    _check_width(path, volume, grid)


def _check_width(path: Optional[str], volume: Volume, grid: Grid) -> None:
    width = volume.box_size_px * volume.pixel_size_angstrom
    view = grid.field_of_view_angstrom
    if not NARROWEST_MAP < width / view < WIDEST_MAP:
        raise InputError(
            f"Volume {path} is {width:.0f} Å wide and the images are {view:.0f} Å wide; check both "
            "pixel sizes."
        )


def check_covers_model(path: Optional[str], volume: Volume, mask_diameter_angstrom: float) -> None:
    """A map that is narrower than the mask through which a model sees images."""
    box, pixel = volume.box_size_px, volume.pixel_size_angstrom
    if box * pixel < mask_diameter_angstrom * (1 - PIXEL_SIZE_TOLERANCE):
        raise InputError(
            f"Volume {path} is {box} px x {pixel:g} Å = {box * pixel:.0f} Å wide and the model "
            f"looks at {mask_diameter_angstrom:.0f} Å; check its pixel size, or give the model's "
            "volume."
        )


def check_fits_model(
    table: ParticleTable, pixel_size_angstrom: float, field_of_view_angstrom: float
) -> None:
    """Images that lack the resolution or the field of view that a model was trained for."""
    for optics in groups_in_use(table):
        pixel, box = optics.pixel_size_angstrom, optics.box_size_px
        if pixel > pixel_size_angstrom * (1 + PIXEL_SIZE_TOLERANCE):
            raise InputError(
                f"The particles of optics group {optics.name} have {pixel:g} Å/px (Nyquist "
                f"{2 * pixel:.3g} Å) and the model needs {pixel_size_angstrom:g} Å/px or finer; "
                "give less binned particles or train a model for them."
            )
        if box * pixel < field_of_view_angstrom * (1 - PIXEL_SIZE_TOLERANCE):
            raise InputError(
                f"The images of optics group {optics.name} are {box} px x {pixel:g} Å = "
                f"{box * pixel:.0f} Å wide and the model looks at {field_of_view_angstrom:.0f} Å; "
                "extract larger boxes or train a model for them."
            )


def check_ctf(table: ParticleTable, path: Optional[str]) -> None:
    """A defocus that is incomplete, or missing for images that were corrected by it."""
    if table.ctf is not None:
        return
    partly = sorted(label for label in table.extra if "Defocus" in label)
    if partly:
        raise InputError(
            f"{path} has _{partly[0]} and lacks the other defocus values; give both defoci and "
            "their angle, or no CTF column at all for images without a CTF."
        )
    for optics in groups_in_use(table):
        if optics.image_state != "raw":
            raise InputError(
                f"The images of optics group {optics.name} in {path} are {optics.image_state} "
                "according to the file and have no defocus values; give particles with their CTF."
            )


def check_defocus(table: ParticleTable) -> None:
    """InputError for particles whose defocus cannot be refined."""
    if table.ctf is None:
        raise InputError(
            "The particles have no CTF, so there is no defocus to refine; leave out "
            "--defocus-prior-angstrom."
        )
    states = {table.optics[group].image_state for group in np.unique(table.optics_index)}
    corrected = sorted(states - {"raw"})
    if corrected:
        raise InputError(
            f"The images are {corrected[0]}: their CTF was applied with the defocus of the file, "
            "which cannot be refined afterwards; give the images as recorded, or leave out "
            "--defocus-prior-angstrom."
        )


def check_ctf_of_model(
    table: ParticleTable, path: Optional[str], ctf_correction: str, model: Optional[str]
) -> None:
    """Particles without a CTF for a model that corrects for it.

    Parameters
    ----------
    table, path : the particles and the file that they come from.
    ctf_correction : that of the model's card.
    model : folder of the model.
    """
    if table.ctf is None and ctf_correction != "none":
        raise InputError(
            f"{path} has no CTF (_rlnDefocusU, ...) and model {model} corrects for it "
            f"({ctf_correction}); estimate the CTF, or train a model with --no-ctf."
        )
