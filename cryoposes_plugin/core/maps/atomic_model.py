"""The scattering potential of an atomic model at a given resolution, on a grid.

Each atom's potential is its electron form factor (a sum of Gaussians, as gemmi has them), blurred
so that its transform falls to 1/e at the resolution d: by a Gaussian of sigma = d / (pi sqrt 2),
i.e. B = 4 d^2.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np

from ..conventions import centre
from ..errors import UNREADABLE, ConfigError, InputError
from ..fourier.resampling import resample_volume
from ..io.files import check_regular
from ..io.files import is_atomic_model as is_atomic_model
from ..memory import require_memory
from ..types import Volume
from ..values import shown_error

#: Samples of the finer grid on which the Gaussians are added up, in one resolution: aliasing is
#: below 1e-3 then.
_SAMPLES = 5
_LARGEST_GRID = 1024
#: Of the grid and what is made of it.
_BYTES_A_VOXEL = 16
_LARGEST_TEXT_BYTES, _PART_BYTES = 2**28, 2**20
_MOST_ATOMS = 2 * 10**7
_LARGEST_RADIUS_ANGSTROM, _FARTHEST_ANGSTROM, _LARGEST_OCCUPANCY = 5e3, 1e6, 2.0
#: Share of the box that a model spans where nobody gives a box.
_SPAN_SHARE = 2 / 3


class AtomicModel:
    """The atoms of a PDB or mmCIF file, without hydrogen and water, or of one of its biological
    assemblies.

    InputError for a file that cannot be read or has no atoms, ConfigError for an assembly that it
    does not have.
    """

    def __init__(self, path: Union[str, Path], assembly: Optional[str] = None):
        import gemmi

        self.path = Path(path)
        _check_text(self.path)
        try:
            structure = gemmi.read_structure(str(path))
            structure.remove_hydrogens()
            structure.remove_waters()
            structure.remove_empty_chains()
        except UNREADABLE as error:
            raise InputError(
                f"{path} cannot be read as PDB or mmCIF ({shown_error(error)}); give a valid "
                "atomic model."
            ) from error
        if len(structure) == 0 or structure[0].count_atom_sites() == 0:
            raise InputError(f"{path} holds no atoms; give a PDB or mmCIF file with coordinates.")
        _check_atoms(structure[0], self.path)
        self._model = (
            structure[0] if assembly is None else _assembled(structure, assembly, self.path)
        )
        self._centre = self._model.calculate_center_of_mass()
        positions = np.array([site.atom.pos.tolist() for site in self._model.all()])
        #: Å from the centre of mass to the farthest atom.
        self.radius_angstrom = float(
            np.linalg.norm(positions - self._centre.tolist(), axis=1).max()
        )
        if not self.radius_angstrom <= _LARGEST_RADIUS_ANGSTROM:
            raise InputError(
                f"{path} reaches {self.radius_angstrom:g} Å from its centre, more than "
                f"{_LARGEST_RADIUS_ANGSTROM:g} Å; repair its coordinates."
            )

    def box_size_px(self, pixel_size_angstrom: float) -> int:
        """An even box that the model fills to two thirds."""
        return 2 * math.ceil(self.radius_angstrom / _SPAN_SHARE / pixel_size_angstrom)

    def density(
        self, resolution_angstrom: float, box_size_px: int, pixel_size_angstrom: float
    ) -> Volume:
        """(D, D, D) with the centre of mass at voxel D // 2; ConfigError where the model does not
        fit into the box.
        """
        import gemmi

        width = box_size_px * pixel_size_angstrom
        needed = 2 * (self.radius_angstrom + resolution_angstrom)
        if needed > width:
            raise ConfigError(
                f"{self.path.name} at {resolution_angstrom:g} Å is {needed:.0f} Å wide and the box "
                f"is {width:.0f} Å; give --box-size-px "
                f"{2 * math.ceil(needed / pixel_size_angstrom / 2)} or more."
            )
        finer = max(1, math.ceil(_SAMPLES * pixel_size_angstrom / resolution_angstrom))
        size, step = finer * box_size_px, pixel_size_angstrom / finer
        if size > _LARGEST_GRID:
            raise ConfigError(
                f"{self.path.name} at {resolution_angstrom:g} Å in {box_size_px} px of "
                f"{pixel_size_angstrom:g} Å needs a grid of {size} voxels; give a coarser "
                "--resolution-angstrom or a smaller box."
            )
        require_memory(
            _BYTES_A_VOXEL * size**3, f"The density of {self.path.name} in {box_size_px} px"
        )
        model = self._model.clone()
        origin = centre(size) * step
        move = gemmi.Position(*(origin - c for c in self._centre.tolist()))
        for site in model.all():
            site.atom.pos += move
            site.atom.b_iso = 4.0 * resolution_angstrom**2
            site.atom.aniso = gemmi.SMat33f(0, 0, 0, 0, 0, 0)
        calculator = gemmi.DensityCalculatorE()
        calculator.grid.set_unit_cell(gemmi.UnitCell(width, width, width, 90, 90, 90))
        calculator.grid.spacegroup = gemmi.SpaceGroup("P 1")
        calculator.grid.set_size(size, size, size)
        calculator.add_model_density_to_grid(model)
        data = np.ascontiguousarray(
            np.asarray(calculator.grid.array, dtype=np.float32).T
        )  # gemmi: [x, y, z]
        return Volume(
            resample_volume(data, step, box_size_px, pixel_size_angstrom), pixel_size_angstrom
        )


def _check_text(path: Path) -> None:
    """InputError for what is no text of moderate length, or compressed text that is damaged."""
    subject = f"Atomic model {path}"
    check_regular(path, subject)
    try:
        with open(path, "rb") as raw:
            is_gzip = raw.read(2) == b"\x1f\x8b"
        length = 0
        with (gzip.open if is_gzip else open)(path, "rb") as handle:
            while length <= _LARGEST_TEXT_BYTES and (part := handle.read(_PART_BYTES)):
                if b"\0" in part:
                    raise InputError(f"{subject} is binary, not PDB or mmCIF; give one of these.")
                length += len(part)
    except UNREADABLE as error:
        raise InputError(
            f"{subject} cannot be read ({shown_error(error)}); copy it again."
        ) from error

    if length > _LARGEST_TEXT_BYTES:
        raise InputError(
            f"{subject} has more than {_LARGEST_TEXT_BYTES >> 20} MiB of text; give a smaller "
            "model."
        )


def _check_atoms(model: Any, path: Path) -> None:
    total = 0.0
    for number, site in enumerate(model.all(), 1):
        atom = site.atom
        what = f"{path}: atom {number}"
        if not all(abs(x) <= _FARTHEST_ANGSTROM for x in atom.pos.tolist()):
            position = ", ".join(f"{x:g}" for x in atom.pos.tolist())
            raise InputError(f"{what} lies at ({position}) Å; repair its coordinates.")
        if not 0 <= atom.occ <= _LARGEST_OCCUPANCY:
            raise InputError(
                f"{what} has occupancy {atom.occ:g}; it must be from 0 to {_LARGEST_OCCUPANCY:g}."
            )
        if atom.element.c4322 is None:
            raise InputError(
                f"{what} is of element {atom.element.name}, which scatters unknown; correct it."
            )
        total += atom.occ * (atom.element.name != "X")

    if total <= 0:
        raise InputError(
            f"{path} has {number} atoms, all of occupancy 0 or of unknown element; correct them."
        )


def _assembled(structure: Any, name: str, path: Path):
    import gemmi

    names = [assembly.name for assembly in structure.assemblies]
    if name not in names:
        there = f"it has {', '.join(names)}" if names else "it describes none"
        raise ConfigError(
            f"--assembly is {name!r} and {path.name} has no such biological assembly; {there}."
        )
    chosen = structure.assemblies[names.index(name)]
    copies = sum(len(generator.operators) for generator in chosen.generators)
    atoms = copies * structure[0].count_atom_sites()
    if not 0 < atoms <= _MOST_ATOMS:
        raise InputError(
            f"The assembly {name!r} of {path} would have {atoms} atoms; 1 to {_MOST_ATOMS} are "
            "taken: choose another."
        )
    return gemmi.make_assembly(chosen, structure[0], gemmi.HowToNameCopiedChain.Short)


def settle_grid(
    models: Sequence[AtomicModel],
    boxes: Tuple[Optional[int], ...],
    pixels: Tuple[Optional[float], ...],
    command: str,
) -> Tuple[int, float]:
    """Box in pixels and pixel size in Å for the densities of atomic models.

    Parameters
    ----------
    models : all of which must fit into the box.
    boxes, pixels : of the options, in order; the first that is not None is taken. Without a box
        size, the box is one that the largest model fills.
    command : for the sentences.
    """
    pixel = next((p for p in pixels if p is not None), None)
    if pixel is None:
        raise ConfigError(
            f"{command}: {models[0].path.name} is an atomic model and has no pixel size; give "
            "--pixel-size-angstrom."
        )
    box = next((b for b in boxes if b is not None), None)
    return box or max(model.box_size_px(pixel) for model in models), pixel
