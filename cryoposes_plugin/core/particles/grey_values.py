"""Grey values of particle images: background level, gain, and defects of single images.

Raw detector counts and normalised images show the same particles. The background level carries no
signal, so it is subtracted. If the images of a set differ in gain, the gain is estimated from the
noise around the particles. Outlying pixels are replaced and outlying images are reported, so that a
few of them do not spoil a set.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
from scipy import ndimage

from ..errors import InputError
from ..fourier.masks import circular_mask
from ..types import ParticleTable

#: Number of images from which the usual values of a set are estimated.
_SAMPLE = 512
#: A pixel is a detector defect if it lies this many standard deviations from the median of the
#: image, this many times further than this share of the other pixels, while its neighbours do not
#: ...
_HOT_DEVIATIONS, _TIMES_THE_REST, _REST, _ALONE = 20.0, 6.0, 0.95, 0.75
#: ... and this many times further than the furthest pixel of most images, because the peaks of a
#: sharp particle occur in all of them.
_TIMES_THE_PEAK = 3.0
#: Fewest images from which the positions of permanent detector defects are found.
_FEWEST_FOR_PLACES = 16
_AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
#: Number of pixels from which the standard deviation of an image is estimated robustly.
_PIXELS_LOOKED_AT = 128
#: Standard deviation over median absolute deviation of a normal distribution.
_MAD_TO_SIGMA = 1.4826
#: Backgrounds that differ by less than this factor differ only by chance ...
_ALIKE, _SHARE_UNLIKE = 1.25, 0.05
#: ... a single image that differs by more than the first factor is rescaled, and it is also
#: reported beyond the second.
_OTHER_GAIN, _NAMED_GAIN = 1.5, 10.0
#: If less than this share of an image's variance lies around the particle, there is no noise from
#: which the gain could be estimated.
_LEAST_NOISE = 0.1
#: An image is blank if its standard deviation is below this share of the usual one.
_BLANK = 1e-5
_NAMED, _AT_ONCE = 5, 64
#: Unsigned 16-bit counts that were read as signed numbers often jump by more than half of their
#: range.
_SIGNED_RANGE, _SHARE_WRAPPED = 2.0**15, 0.01

#: The classes of images.
UNKNOWN, USABLE, HOT_PIXELS, OTHER_SCALE, BLANK = range(5)
_SENTENCES = {
    HOT_PIXELS: "{} with pixels far from all their neighbours, which replaced them: {}.",
    OTHER_SCALE: "{} with much larger or smaller grey values than the others, now rescaled: {}.",
    BLANK: "{} without any contrast (blank or constant), which carry no information: {}.",
}


@dataclass(frozen=True)
class Usual:
    """The usual values of a set: the standard deviations of the background and of whole images,
    whether there is noise from which the gain of an image can be estimated, whether gains differ
    throughout the set, and the share of neighbouring pixels between which counts seem to have
    wrapped around.
    """

    background: float
    whole: float
    noisy: bool
    gains_differ: bool
    wrapped: float = 0.0
    #: deviation of the furthest pixel of an image over that of the quantile `_REST` of its pixels
    peak: float = 0.0
    #: (D, D) bool of the pixels that are defective in all images, by optics group
    faulty: Dict[int, np.ndarray] = field(default_factory=dict)


class GreyValues:
    """Subtracts the background of the images of a table, replaces hot pixels, and rescales images
    of a different gain.

    Images that differ only by chance keep their relative scale. The class of each image is stored
    when the image is read.

    read : rows -> (n, D, D) float32 as stored. usual : of the set, if known.
    """

    def __init__(
        self,
        table: ParticleTable,
        read: Callable[[np.ndarray], np.ndarray],
        usual: Optional[Usual] = None,
    ):
        self._table, self._read = table, read
        self._found = np.zeros(len(table), np.int8)
        self._usual = usual
        self._lock = threading.Lock()

    @property
    def usual(self) -> Usual:
        """Measured on a sample of the set; InputError if the whole sample is blank."""
        with self._lock:
            if self._usual is None:
                self._usual = self._measure()
            return self._usual

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(n, D, D) float32 with a background of mean 0."""
        rows = np.asarray(rows)
        usual = self.usual
        faulty = usual.faulty.get(int(self._table.optics_index[rows[0]])) if len(rows) else None
        images, mended, background, whole = levelled(self._read(rows), usual.peak, faulty)
        blank = whole <= _BLANK * usual.whole
        gain = np.where(blank, 1.0, self._gains(background, whole, rows))
        other = np.maximum(gain, 1 / gain) > _NAMED_GAIN ** (2 if usual.gains_differ else 1)
        self._found[rows] = np.select(
            [blank, other, mended], [BLANK, OTHER_SCALE, HOT_PIXELS], USABLE
        )
        images[blank] = 0.0
        scaled = gain != 1.0
        images[scaled] /= gain[scaled, None, None].astype(np.float32)
        return images

    def _gains(self, background: np.ndarray, whole: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n,) factors by which images are divided: 1 for images like the others."""
        usual = self.usual
        of_whole = np.maximum(whole, 1e-300) / usual.whole
        if not usual.noisy:
            return np.where(np.maximum(of_whole, 1 / of_whole) > _NAMED_GAIN, of_whole, 1.0)
        gain = np.maximum(background, 1e-300) / usual.background
        # If the background is unlike that of the other images (ice, dead lines, or a mask), the
        # whole image is used instead.
        gain = np.where(gain * 3 < of_whole, of_whole, gain)
        if usual.gains_differ:
            return gain
        unlike = _beyond(gain, of_whole, _OTHER_GAIN * self._pixel_size_ratio(rows))
        return np.where(unlike, gain, 1.0)

    def _pixel_size_ratio(self, rows: np.ndarray) -> np.ndarray:
        """(n,) >= 1: factor by which the grey values of optics groups may differ because of their
        pixel sizes.
        """
        pixel = np.array([optics.pixel_size_angstrom for optics in self._table.optics])
        smallest = pixel[np.unique(self._table.optics_index)].min()
        return pixel[self._table.optics_index[rows]] / smallest

    def _measure(self) -> Usual:
        rows = np.unique(np.linspace(0, len(self._table) - 1, _SAMPLE).astype(np.int64))
        background, whole, wrapped, peak = np.zeros((4, len(rows)))
        faulty: Dict[int, np.ndarray] = {}
        for part in _of_one_group(self._table, rows):
            at, images = np.searchsorted(rows, part), self._read(part)
            wrapped[at] = share_wrapped(images)
            places = faulty.setdefault(
                int(self._table.optics_index[part[0]]), _faulty_places(images)
            )
            peak[at] = _peaks(images, places)

        usual_peak = float(np.median(peak[peak > 0])) if (peak > 0).any() else 0.0
        for part in _of_one_group(self._table, rows):
            at, places = np.searchsorted(rows, part), faulty[int(self._table.optics_index[part[0]])]
            _, _, background[at], whole[at] = levelled(self._read(part), usual_peak, places)
        told = whole > 0
        if not told.any():
            raise InputError(
                f"The images are blank: none of the {len(rows)} images examined has any contrast "
                f"({_name(self._table, rows[0])} is the first); give the stack that holds the "
                "particles."
            )

        background, whole, rows = background[told], whole[told], rows[told]
        middle = max(float(np.median(background)), 1e-300), float(np.median(whole))
        noisy = float(np.median((background / whole) ** 2)) > _LEAST_NOISE
        ratio = np.maximum(background, 1e-300) / middle[0]
        unlike = _beyond(ratio, whole / middle[1], _ALIKE * self._pixel_size_ratio(rows))
        gains_differ = bool(unlike.mean() > _SHARE_UNLIKE)
        return Usual(*middle, noisy, gains_differ, float(wrapped.mean()), usual_peak, faulty)

    @property
    def found(self) -> np.ndarray:
        """(N,) int8, the class of every image that was read, UNKNOWN of the others.

        What was found where the images were read can be put in.
        """
        return self._found

    @found.setter
    def found(self, found: np.ndarray) -> None:
        self._found = found

    def check(self) -> None:
        """InputError for a set of blank images, tested on a sample."""
        _ = self.usual

    def informative(self, rows: np.ndarray) -> np.ndarray:
        """(n,) bool: whether images that were read are not blank."""
        return self._found[rows] != BLANK

    def classes(self, rows: np.ndarray) -> np.ndarray:
        """(n,) int8, the class of each image; images that were not read yet are read."""
        for part in _of_one_group(self._table, rows[self._found[rows] == UNKNOWN]):
            self.read(part)
        return self._found[rows]

    def look_at_all(self) -> np.ndarray:
        """(N,) int8, the class of every image; images that were not read yet are read."""
        return self.classes(np.arange(len(self._table)))

    def metrics(self) -> Dict[str, int]:
        """Numbers of outlying images, for metrics.json."""
        found = self.look_at_all()
        names = {
            "images_blank": BLANK,
            "images_with_hot_pixels": HOT_PIXELS,
            "images_of_other_scale": OTHER_SCALE,
        }
        return {name: int((found == kind).sum()) for name, kind in names.items()}

    @property
    def blank(self) -> np.ndarray:
        """(N,) bool: images without any contrast."""
        return self.look_at_all() == BLANK

    def sentences(self) -> List[str]:
        """Sentences about outlying images, with their ids, stacks and slices."""
        found = self.look_at_all()
        out = []
        for kind, sentence in _SENTENCES.items():
            rows = np.flatnonzero(found == kind)
            if len(rows):
                names = ", ".join(_name(self._table, row) for row in rows[:_NAMED])
                more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
                number = "There is one image" if len(rows) == 1 else f"There are {len(rows)} images"
                out.append(sentence.format(number, names + more))

        if self.usual.wrapped > _SHARE_WRAPPED:
            out.append(
                f"Grey values seem to have wrapped around: {100 * self.usual.wrapped:.0f} % of "
                "neighbouring pixels differ by more than 32768, as if counts above 32767 had been "
                "written as signed numbers (MRC mode 1). Is that the case? If so, write the stack "
                "in mode 6 or 2."
            )
        return out


def _beyond(gain: np.ndarray, of_whole: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Whether gains lie beyond limit or 1 / limit and the whole images agree; signal in the corners
    is not a gain.
    """
    a, b = np.log(gain), np.log(of_whole)
    return (np.abs(a) > np.log(limit)) & (np.sign(a) * b > 0.5 * np.log(limit))


def share_wrapped(images: np.ndarray) -> np.ndarray:
    """(n,) share of neighbouring pixels that differ by more than half of the range of 16-bit
    integers, for images (n, D, D) of signed integers; 0 for other grey values.
    """
    if (
        not np.ptp(images) > _SIGNED_RANGE
        or np.abs(images).max() > _SIGNED_RANGE
        or (images != np.rint(images)).any()
    ):
        return np.zeros(len(images))
    return (np.abs(np.diff(images, axis=2)) > _SIGNED_RANGE).mean(axis=(1, 2))


def levelled(
    images: np.ndarray, usual_peak: float = 0.0, faulty: Optional[np.ndarray] = None
) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Subtract the background of images (n, D, D) float32 in place and replace hot pixels.

    usual_peak, faulty : see `Usual`; given if they are known.

    Returns the images, and (n,) each: whether pixels were replaced, and the standard deviations of
    the background and of the whole image.
    """
    mended = _mend_hot_pixels(images, usual_peak, faulty)
    flat = images.reshape(len(images), -1)
    ring = np.take(flat, _background_pixels(images.shape[-1]), axis=1)
    level = ring.mean(axis=1, dtype=np.float64).astype(np.float32)[:, None]
    flat -= level
    ring -= level
    return images, mended, _root_mean_square(ring), _root_mean_square(flat)


def _root_mean_square(values: np.ndarray) -> np.ndarray:
    """(n,) float64 of rows (n, m); exactly 0 for a constant row, despite rounding."""
    with np.errstate(over="ignore"):
        power = np.einsum("ij,ij->i", values, values).astype(np.float64) / values.shape[1]
    if not np.isfinite(power).all():
        power = np.einsum("ij,ij->i", values, values, dtype=np.float64) / values.shape[1]
    return np.where(np.ptp(values, axis=1) > 0, np.sqrt(power), 0.0)


@lru_cache(maxsize=8)
def _background_pixels(box_size_px: int) -> np.ndarray:
    """Indices of the pixels outside the inscribed circle, which particles do not reach."""
    return np.flatnonzero(~circular_mask(box_size_px, box_size_px / 2))


def _mend_hot_pixels(
    images: np.ndarray, usual_peak: float, faulty: Optional[np.ndarray]
) -> np.ndarray:
    """(n,) bool: images in which pixels far from all their neighbours were replaced by the median
    of these.
    """
    flat = images.reshape(len(images), -1)
    some = _some(flat)
    middle = _middle(some)
    limit = _HOT_DEVIATIONS * _MAD_TO_SIGMA * _middle(np.abs(some - middle[:, None]))
    mended = np.zeros(len(images), bool)
    far = np.maximum(flat.max(axis=1) - middle, middle - flat.min(axis=1)) > limit
    rest = np.zeros(len(images))
    if far.any():
        rest[far] = _deviations(images[far])[1]

    # Without noise, a defect cannot be distinguished from a sharp particle.
    for i in np.flatnonzero(far & (limit > 0)):
        hot, around = _hot(images[i], middle[i], limit[i], _TIMES_THE_REST)
        hot &= _in_lines(hot) | (
            np.abs(images[i] - middle[i]) > _TIMES_THE_PEAK * usual_peak * rest[i]
        )
        if faulty is not None:
            hot |= faulty & (np.abs(images[i] - around) > limit[i])
        images[i][hot] = around[hot]
        mended[i] = hot.any()
    return mended


def _hot(
    image: np.ndarray, middle: float, limit: float, times: float
) -> Tuple[np.ndarray, np.ndarray]:
    """(D, D) bool of pixels that lie further from the median than `limit`, than `times` the rest,
    and than their neighbours; and the median of the neighbours of each pixel.
    """
    around = ndimage.median_filter(image, footprint=_AROUND, mode="mirror")
    deviation = np.abs(image - middle)
    hot = deviation > max(limit, times * np.quantile(deviation, _REST))
    return hot & (np.abs(image - around) > _ALONE * deviation), around


def _in_lines(hot: np.ndarray) -> np.ndarray:
    """(D, D) bool of rows and columns of which most pixels are hot."""
    return (hot.mean(axis=1, keepdims=True) > 0.5) | (hot.mean(axis=0, keepdims=True) > 0.5)


def _faulty_places(images: np.ndarray) -> np.ndarray:
    """(D, D) bool of pixels that are hot in the median over images of one detector, in which
    particles average out.
    """
    if len(images) < _FEWEST_FOR_PLACES:
        return np.zeros(images.shape[1:], bool)
    deviation, rest = _deviations(images)
    typical = (
        np.median(deviation[rest > 0] / rest[rest > 0, None], axis=0)
        if (rest > 0).any()
        else deviation[0]
    )
    middle = float(np.median(typical))
    limit = _HOT_DEVIATIONS * _MAD_TO_SIGMA * float(np.median(np.abs(typical - middle)))
    return _hot(typical.reshape(images.shape[1:]), middle, limit, _TIMES_THE_REST)[0]


def _peaks(images: np.ndarray, faulty: np.ndarray) -> np.ndarray:
    """(n,) values of `Usual.peak` without the defective pixels; 0 for an image without contrast."""
    deviation, rest = _deviations(images)
    furthest = np.abs(deviation[:, ~faulty.ravel()]).max(axis=1)
    return np.divide(furthest, rest, out=np.zeros(len(images)), where=rest > 0)


def _deviations(images: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """(n, D * D) differences of the pixels from the median of their image, and (n,) the quantile
    `_REST` of their sizes.
    """
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= _middle(_some(flat))[:, None]
    place = int(_REST * (flat.shape[1] - 1))
    return flat, np.partition(np.abs(flat), place, axis=1)[:, place]


def _some(flat: np.ndarray) -> np.ndarray:
    return flat[:, :: max(1, flat.shape[1] // _PIXELS_LOOKED_AT)]


def _of_one_group(table: ParticleTable, rows: np.ndarray) -> Iterator[np.ndarray]:
    """The rows in batches of one optics group each."""
    for group in np.unique(table.optics_index[rows]):
        mine = rows[table.optics_index[rows] == group]
        yield from np.array_split(mine, -(-len(mine) // _AT_ONCE))


def _name(table: ParticleTable, row: int) -> str:
    stack = table.stack_paths[table.stack_index[row]]
    return f"particle {table.ids[row]} (image {table.slice_index[row] + 1} of {stack})"


def _middle(values: np.ndarray) -> np.ndarray:
    """(n,) medians of rows (n, m), the upper one where m is even."""
    place = values.shape[1] // 2
    return np.partition(values, place, axis=1)[:, place]
