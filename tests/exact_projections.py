"""Exact images y = C S P x for the tests of the reconstruction: slices by finufft, independent of
the package.
"""

import dataclasses

import finufft
import numpy as np

from cryoposes_plugin.core.io.mrc import write_stack
from cryoposes_plugin.core.io.particle_files import write_particles
from cryoposes_plugin.core.types import CtfTable, OpticsGroup, ParticleTable


def exact_projections(data, rotations, shifts_px=None, transfer=None, matrix=None):
    """(B, D, D) float32; `transfer` (B, D, D) in the order of fft2 multiplies the slices, which are
    taken at `matrix` k.
    """
    box = data.shape[0]
    k = np.fft.fftfreq(box, 1 / box)
    plane = np.stack([v.ravel() for v in np.meshgrid(k, k)])
    origin = plane.sum(axis=0) * (box // 2)
    kx, ky = plane if matrix is None else matrix @ plane
    points = np.einsum("nij,ik->njk", rotations[:, :2], np.stack([kx, ky])) * 2 * np.pi / box
    flat = [np.ascontiguousarray(points[:, axis].ravel()) for axis in range(3)]
    volume = np.ascontiguousarray(data.transpose(2, 1, 0), dtype=np.complex128)
    slices = finufft.nufft3d2(*flat, volume, isign=-1, eps=1e-9).reshape(len(rotations), box, box)
    shifts = np.zeros((len(rotations), 2)) if shifts_px is None else np.asarray(shifts_px)
    phase = (kx * shifts[:, :1] + ky * shifts[:, 1:] + origin) / box
    slices *= np.exp(-2j * np.pi * phase).reshape(slices.shape)
    slices[:, box // 2, :] = slices[:, :, box // 2] = 0
    if transfer is not None:
        slices *= transfer
    return np.fft.ifft2(slices).real.astype(np.float32)


class ExactProjector:
    """P below the Nyquist sphere and its exact adjoint, for the operator that CGLS is given."""

    def __init__(self, box):
        self.box = box
        k = np.fft.fftfreq(box, 1 / box)
        kx, ky = (v.ravel() for v in np.meshgrid(k, k))
        self.inside = kx**2 + ky**2 < (box / 2) ** 2
        self.plane = np.stack([kx[self.inside], ky[self.inside]]) * 2 * np.pi / box
        self.origin = np.exp(-1j * (self.plane.sum(axis=0)) * (box // 2))

    def _points(self, rotations):
        points = np.einsum("nij,ik->njk", rotations[:, :2], self.plane)
        return [np.ascontiguousarray(points[:, axis].ravel()) for axis in range(3)]

    def project(self, volume, rotations):
        data = np.ascontiguousarray(volume.transpose(2, 1, 0), dtype=np.complex128)
        slices = np.zeros((len(rotations), self.box**2), dtype=complex)
        values = finufft.nufft3d2(*self._points(rotations), data, isign=-1, eps=1e-9)
        slices[:, self.inside] = values.reshape(len(rotations), -1) * self.origin
        return np.fft.ifft2(slices.reshape(-1, self.box, self.box)).real.astype(np.float32)

    def back_project(self, images, rotations):
        slices = np.fft.fft2(images).reshape(len(images), -1)[:, self.inside] * self.origin.conj()
        values = np.ascontiguousarray(slices.ravel(), dtype=np.complex128)
        volume = finufft.nufft3d1(
            *self._points(rotations), values, (self.box,) * 3, isign=1, eps=1e-9
        )
        return (volume.transpose(2, 1, 0).real / self.box**2).astype(np.float32)


def ctf_table(number, rng, voltage=300.0):
    def full(value):
        return np.full(number, float(value))

    defocus = rng.uniform(8000, 25000, number)
    return CtfTable(
        defocus + 300,
        defocus - 300,
        rng.uniform(0, 180, number),
        full(0),
        full(voltage),
        full(2.7),
        full(0.1),
        full(0),
    )


def transfer_of(ctf, box, pixel):
    """(N, D, D) CTF in the order of fft2: textbook formula, written out once more."""
    s = np.fft.fftfreq(box, pixel)
    x, y = np.meshgrid(s, s)
    s2, angle = x**2 + y**2, np.arctan2(y, x)
    out = np.empty((len(ctf), box, box))
    for i in range(len(ctf)):
        c = {f.name: getattr(ctf, f.name)[i] for f in dataclasses.fields(ctf)}
        volts = 1e3 * c["voltage_kv"]
        wavelength = 12.2643247 / np.sqrt(volts * (1 + 0.978466e-6 * volts))
        mean, half = (
            (c["defocus_u_angstrom"] + c["defocus_v_angstrom"]) / 2,
            (c["defocus_u_angstrom"] - c["defocus_v_angstrom"]) / 2,
        )
        defocus = mean + half * np.cos(2 * (angle - np.deg2rad(c["defocus_angle_deg"])))
        phase = (
            np.pi * wavelength * defocus * s2
            - np.pi / 2 * c["spherical_aberration_mm"] * 1e7 * wavelength**3 * s2**2
        )
        out[i] = np.sin(phase + np.arcsin(c["amplitude_contrast"]))
    return out


def particle_set(
    folder,
    images,
    rotations,
    shifts_px,
    pixel,
    ctf=None,
    image_state="raw",
    name="particles",
    **more,
):
    """Writes NAME.mrcs and NAME.star; returns the STAR's path and the table."""
    stack = folder / f"{name}.mrcs"
    write_stack(stack, images, pixel)
    number, box = images.shape[:2]
    optics = (
        OpticsGroup("one", pixel, box, 300.0, 2.7, 0.1, image_state)
        if ctf is not None
        else OpticsGroup("one", pixel, box)
    )
    table = ParticleTable(
        ids=np.arange(number) + 11,
        stack_paths=(stack,),
        stack_index=np.zeros(number, int),
        slice_index=np.arange(number),
        optics=(optics,),
        optics_index=np.zeros(number, int),
        rotations=rotations,
        shifts_px=shifts_px,
        ctf=ctf,
        **more,
    )
    write_particles(folder / f"{name}.star", table)
    return folder / f"{name}.star", table
