"""What the stages of a run take: memory and disk in bytes, by formulas of the sizes of the inputs.

Scipion's forms ask before a run, so that nothing here needs the inputs themselves, or a library that
only computing needs.
"""

from __future__ import annotations

import math

from .twin_size import FEWEST_PARTICLES, twin_numbers

#: Of the program with its libraries, without and with TensorFlow.
PROGRAM_BYTES, TENSOR_PROGRAM_BYTES = 250_000_000, 760_000_000
#: Paddings of the Fourier grid with which any map begins, and with which most are accurate enough.
LEAST_PADDING, TYPICAL_PADDING = 2.0, 3.0
#: Memory that the sums of both half sets may take; above, one is made after the other.
LARGEST_TOGETHER_BYTES = 2**31
#: Images of a reconstruction that are prepared together, in pixels.
LARGEST_BATCH_PX = 2**21
#: Of a float32 and of a complex64.
_FLOAT, _COMPLEX = 4, 8
#: Of a particle in memory, in all tables of a run.
_ROW_BYTES = 2500
#: Images of each round of poses and spectra, see `refinement.calibration`; the first round, without a
#: noise model, stays at low frequencies.
SPECTRA_ROUNDS = (256, 256, 768)
#: Of a coefficient of these, and of one in a batch with all that is made of it; coefficients of a
#: batch.
_SAMPLE_BYTES, _BATCH_BYTES, _COEFFICIENTS = 12, 110, 2**21
#: Of the test for junk and wrong poses, beside the images of its twin; of a pixel of these, and
#: coefficients of those that are made at once.
_JUDGED_BYTES, _TWIN_BYTES, _TWIN_COEFFICIENTS = 600_000_000, 24, 4 * 2**21
#: Box in which poses, map and images are examined.
_EXAMINED_BOX_PX = 64
#: Of a pixel of an image that is reconstructed or simulated, and of a voxel while maps are compared.
_IMAGE_BYTES, _COMPARED_BYTES = 25, 42
#: Oversampling of a table that images are simulated from; of a voxel while a map is checked, and
#: while it is made ready for a training.
_OVERSAMPLING, CHECK_BYTES, _TRAINED_BYTES = 1.25, 6, 29
#: Of a network and its compiled operations, and of a pixel of an image that it sees; the same in a
#: training.
_NETWORK_BYTES, _PREDICTED_BYTES = 150_000_000, 100
_TRAINING_BYTES, _LEARNED_BYTES = 250_000_000, 700
#: Report and pictures of a run.
REPORT_BYTES = 1_200_000


def coefficients(box_size_px: int) -> float:
    """Of an image: half the plane within its Nyquist circle."""
    return math.pi / 8 * box_size_px**2


def particles_bytes(number: int) -> float:
    """Memory of a set, without its images, and of all that is known of them in the end."""
    return float(_ROW_BYTES * number)


def map_table_bytes(box_size_px: int, padding: float = TYPICAL_PADDING) -> float:
    """Of the table from which a map's slices are read, see `likelihood.packed_nodes`: 4 bytes a node,
    two thirds of the nodes of half the padded cube.
    """
    return 4 / 3 * (padding * box_size_px) ** 3


def twin_images(number: int) -> int:
    """At most, of the twin by which junk is told in a set of so many particles."""
    return sum(twin_numbers(number).values()) if number >= FEWEST_PARTICLES else 0


def refinement_bytes(
    number: int,
    box_size_px: int,
    volume_box_px: int,
    padding: float,
    batch_size: int,
    threads: int,
) -> float:
    """Memory of a refinement against a map, without that of the program.

    Parameters
    ----------
    number : of particles.
    box_size_px, volume_box_px : of the working grid and of the map.
    padding : of the Fourier grid of the map.
    batch_size, threads : images in a batch, and threads that work on batches of their own.
    """
    volume, plane = _FLOAT * volume_box_px**3, volume_box_px**2
    building = 3 * _COMPLEX * 8 * (padding * box_size_px) ** 2 + _FLOAT * box_size_px**3
    if volume_box_px != box_size_px:  # without its solvent, and resampled in double precision
        building = max(building, volume + 2.0 * _COMPLEX * box_size_px * plane)
    examined = volume + 2 * _COMPLEX * _EXAMINED_BOX_PX * plane
    number_sampled = min(number, SPECTRA_ROUNDS[-1])
    sample = _SAMPLE_BYTES * number_sampled * coefficients(box_size_px)

    images = twin_images(number)
    made = min(images * coefficients(box_size_px), _TWIN_COEFFICIENTS)
    twin = _TWIN_BYTES * 8 / math.pi * made + _JUDGED_BYTES * bool(images)
    at_once = min(_COEFFICIENTS, min(batch_size, number) * coefficients(box_size_px))
    batches = threads * _BATCH_BYTES * at_once
    work = max(building, examined, max(sample, twin) + batches)
    held = volume + map_table_bytes(box_size_px, padding) + work
    return particles_bytes(number) + max(held, CHECK_BYTES * volume_box_px**3)


def sums_bytes(box_size_px: int, padding: int) -> float:
    """Of the Fourier sums of a half set: 12 bytes for each node of half a ball."""
    return 12 * 2 / 3 * math.pi * (padding * box_size_px / 2 + 2) ** 3


def reconstruction_bytes(
    number: int, box_size_px: int, padding: int, batch_size: int, threads: int
) -> float:
    """Memory of half maps and full map, without that of the program.

    Parameters
    ----------
    number : of particles.
    box_size_px : of the grid on which all images meet.
    padding, batch_size, threads : see `reconstruction.fourier_method.fourier_sums`.
    """
    sums = sums_bytes(box_size_px, padding)
    held = sums if waits_in_file(box_size_px, padding) else 2 * sums
    at_once = max(1, min(batch_size, LARGEST_BATCH_PX // box_size_px**2))
    batches = (threads + 2) * _IMAGE_BYTES * min(at_once, number) * box_size_px**2
    radius = padding * box_size_px // 2
    inverse = _COMPLEX * box_size_px**2 * (radius + 64 * padding) + 3 * _FLOAT * box_size_px**3
    compared = _COMPARED_BYTES * box_size_px**3
    return particles_bytes(number) + max(held + max(batches, inverse), compared)


def waits_in_file(box_size_px: int, padding: int) -> bool:
    """Whether the sums of the first half set wait in a file for those of the second."""
    return 2 * sums_bytes(box_size_px, padding) > LARGEST_TOGETHER_BYTES


def projection_table_bytes(box_size_px: int) -> float:
    """Of the table that a map is projected from, see `imaging.kaiser_bessel`: 8 bytes a node of half
    the grid, with its rim.
    """
    size = _OVERSAMPLING * box_size_px + 4
    return _COMPLEX * size**2 * (size / 2 + 2)


def simulation_bytes(
    number: int, box_size_px: int, volumes: int, volume_box_px: int, threads: int
) -> float:
    """Memory of a simulation, without that of the program.

    Parameters
    ----------
    number : of images.
    box_size_px : that holds the images and the volumes.
    volumes, volume_box_px : how many volumes are projected, and the largest of their boxes.
    threads : that make images.
    """
    tables = volumes * projection_table_bytes(box_size_px)
    tables += _FLOAT * box_size_px**3  # without its solvent
    if volume_box_px != box_size_px:  # and resampled in double precision
        tables += _FLOAT * volume_box_px**3 + 2 * _COMPLEX * box_size_px * volume_box_px**2
    held = volumes * _FLOAT * volume_box_px**3
    images = threads * _IMAGE_BYTES * max(2**17, box_size_px**2)
    checked = CHECK_BYTES * volume_box_px**3
    return particles_bytes(number) / 5 + held + max(checked, tables + images)


def network_bytes(box_size_px: int, batch_size: int, threads: int) -> float:
    """Memory of a network that gives poses, at work on batches of its images."""
    return _NETWORK_BYTES + threads * _PREDICTED_BYTES * batch_size * box_size_px**2


def training_bytes(box_size_px: int, batch_size: int, volumes: int, volume_box_px: int) -> float:
    """Memory of a training, without that of the program.

    Parameters
    ----------
    box_size_px : of the network's images.
    batch_size : images of a step.
    volumes, volume_box_px : how many are projected, and the largest of their boxes.
    """
    slices = volumes * (_TRAINED_BYTES * volume_box_px**3 + 8 * _COMPLEX * (2 * box_size_px) ** 3)
    return _TRAINING_BYTES + _LEARNED_BYTES * batch_size * box_size_px**2 + slices
