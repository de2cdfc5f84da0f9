"""Projections in real space by ASTRA's parallel-beam projector, which requires CUDA."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np

from ..errors import ResourceError
from ..fourier.resampling import projected_density
from ..types import Volume
from .padding import working_box_size_px


def require_cuda() -> None:
    """ResourceError unless ASTRA is installed and finds a CUDA device."""
    try:
        import astra
    except ImportError as error:
        raise ResourceError(
            "The projector 'astra' needs the package astra-toolbox, which is not installed; "
            "install it, or choose the projector 'fourier'."
        ) from error
    if not astra.use_cuda():
        raise ResourceError(
            "The projector 'astra' needs a CUDA device and ASTRA finds none on this machine; "
            "choose the projector 'fourier', which needs no GPU."
        )


def projection_vectors(rotations: np.ndarray, box_size_px: int) -> np.ndarray:
    """(N, 3, 3) rotations A -> (N, 12) rows (ray, d, u, v) of ASTRA's `parallel3d_vec`.

    In the volume frame the image's x, y and the beam are the rows of A: u = A^T x, v = A^T y, ray =
    A^T z. In ASTRA the origin of an even grid lies half a voxel before ours, between the voxels D
    // 2 - 1 and D // 2. So the detector's centre d is moved so that voxel D // 2 projects onto
    pixel D // 2.
    """
    rotations = np.asarray(rotations, dtype=np.float64).reshape(-1, 3, 3)
    u, v, ray = rotations[:, 0], rotations[:, 1], rotations[:, 2]
    # Coordinate of the centre D // 2 in ASTRA's frame, along every axis of the volume and of the
    # detector.
    offset = box_size_px // 2 - (box_size_px - 1) / 2
    centre = offset * np.ones(3) - offset * (u + v)
    return np.concatenate([ray, centre, u, v], axis=1)


class AstraProjector:
    """Line integrals through V volumes (D, D, D) [z, y, x] of one box; ResourceError without CUDA."""

    def __init__(self, volumes: Sequence[np.ndarray]):
        require_cuda()
        self.volumes = [np.ascontiguousarray(v, dtype=np.float32) for v in volumes]
        self.box_size_px = self.volumes[0].shape[0]

    def project(self, volume_index: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        """(B, D, D) float32 sums along the beam, in units of the volume."""
        images = np.empty((len(rotations), self.box_size_px, self.box_size_px), np.float32)
        for index in np.unique(volume_index):
            mine = np.flatnonzero(volume_index == index)
            images[mine] = self._project_one(self.volumes[index], rotations[mine])
        return images

    def _project_one(self, volume: np.ndarray, rotations: np.ndarray) -> np.ndarray:
        import astra

        d = self.box_size_px
        geometry = astra.create_proj_geom("parallel3d_vec", d, d, projection_vectors(rotations, d))
        grid = astra.create_vol_geom(d, d, d)
        volume_id = astra.data3d.link("-vol", grid, volume)
        try:
            sinogram_id, sinogram = astra.create_sino3d_gpu(volume_id, geometry, grid)
            astra.data3d.delete(sinogram_id)
        finally:
            astra.data3d.delete(volume_id)
        # ASTRA's rows are detector rows first: (row y, image, column x).
        return np.swapaxes(sinogram, 0, 1)


class AstraForwardModel:
    """Noise-free images y = C S P x with P in real space: the interface of
    `image_model.ImageModel`.
    """

    def __init__(self, volumes: Sequence[Volume], box_size_px: int, pixel_size_angstrom: float):
        self.box_size_px, self.pixel_size_angstrom = int(box_size_px), float(pixel_size_angstrom)
        self.working_box_size_px = working_box_size_px(volumes, box_size_px, pixel_size_angstrom)
        self._projector = AstraProjector(
            [
                projected_density(v, self.working_box_size_px, self.pixel_size_angstrom)
                for v in volumes
            ]
        )

    def images(
        self,
        volume_index: np.ndarray,
        rotations: np.ndarray,
        shifts_px: np.ndarray,
        ctf: Optional[np.ndarray] = None,
    ) -> np.ndarray:
        """(B, D, D) float32; arguments as `ImageModel.images`.

        Parameters
        ----------
        volume_index, rotations, shifts_px, ctf : see `ImageModel.images`.
        """
        from .forward_model import crop, modulate

        projections = self._projector.project(volume_index, rotations)
        modulated = modulate(projections, shifts_px, ctf, self.pixel_size_angstrom)
        return crop(modulated, self.box_size_px).numpy()
