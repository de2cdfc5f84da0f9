"""Grey values of particle images: background level, gain and faults, of each image by itself and against its set.

A detector's counts, images that nobody normalised, and normalised ones hold the same particle: the level of the
background is no signal, and where the images of a set differ in gain the noise around the particles tells it. Pixels
and images that are like no others are mended or said, so that one of them does not spoil a set.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Callable, Dict, Iterator, List, Optional, Tuple

import numpy as np
from scipy import ndimage

from ..errors import InputError
from ..types import ParticleTable

#: Images that tell what is usual in a set.
_SAMPLE = 512
#: A pixel so many standard deviations away from the image's middle is a fault of the detector ...
#: ... so many times further than this share of the others, if its neighbours do not go with it.
_HOT_DEVIATIONS, _TIMES_THE_REST, _REST, _ALONE = 20.0, 6.0, 0.95, 0.75
_AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
#: Pixels of an image that tell its standard deviation robustly.
_PIXELS_LOOKED_AT = 128
#: Of a normal distribution, standard deviation over median absolute deviation.
_MAD_TO_SIGMA = 1.4826
#: Backgrounds that differ by less than this are alike but for chance ...
_ALIKE, _SHARE_UNLIKE = 1.25, 0.05
#: ... and a single image is brought to the others' scale where it differs by more than this; beyond that it is named.
_OTHER_GAIN, _NAMED_GAIN = 1.5, 10.0
#: With a smaller share of an image's variance around the particle there is no noise that could tell its gain.
_LEAST_NOISE = 0.1
#: Below this share of the usual standard deviation an image is blank.
_BLANK = 1e-5
_NAMED, _AT_ONCE = 5, 64
#: Counts of 16 bits that were read as numbers with a sign jump by more than half their range, and do so often.
_SIGNED_RANGE, _SHARE_WRAPPED = 2.0**15, 0.01

#: What an image is found to be.
UNKNOWN, USABLE, HOT_PIXELS, OTHER_SCALE, BLANK = range(5)
_SENTENCES = {
    HOT_PIXELS: "{} with pixels far from all around them, which were replaced by their neighbours: {}.",
    OTHER_SCALE: "{} with grey values far larger or smaller than those of the others, brought to their scale: {}.",
    BLANK: "{} without any contrast (blank or constant), which tell nothing: {}.",
}


@dataclass(frozen=True)
class Usual:
    """What is usual in a set: standard deviations of background and of whole images, whether there is noise to tell
    an image's gain, whether gains differ throughout, and the share of neighbouring pixels between which counts seem
    to have wrapped around."""

    background: float
    whole: float
    noisy: bool
    gains_differ: bool
    wrapped: float = 0.0


class GreyValues:
    """Takes the level off the images of a table, mends hot pixels, and brings images of another gain to one scale.

    Images that are alike but for chance keep their relative scale. What each image was found to be is kept as images
    are read.

    read : rows -> (n, D, D) float32 as stored.
    """

    def __init__(self, table: ParticleTable, read: Callable[[np.ndarray], np.ndarray]):
        self._table, self._read = table, read
        self._found = np.zeros(len(table), np.int8)
        self._usual: Optional[Usual] = None
        self._lock = threading.Lock()

    @property
    def usual(self) -> Usual:
        """Measured on a sample of the set; InputError where all of it is blank."""
        with self._lock:
            if self._usual is None:
                self._usual = self._measure()
            return self._usual

    def read(self, rows) -> np.ndarray:
        """(n, D, D) float32 with a background of mean 0."""
        rows = np.asarray(rows)
        images, mended, background, whole = levelled(self._read(rows))
        usual = self.usual
        blank = whole <= _BLANK * usual.whole
        gain = np.where(blank, 1.0, self._gains(background, whole, rows))
        other = np.maximum(gain, 1 / gain) > _NAMED_GAIN ** (2 if usual.gains_differ else 1)
        self._found[rows] = np.select([blank, other, mended], [BLANK, OTHER_SCALE, HOT_PIXELS], USABLE)
        images[blank] = 0.0
        scaled = gain != 1.0
        images[scaled] /= gain[scaled, None, None].astype(np.float32)
        return images

    def _gains(self, background: np.ndarray, whole: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n,) by which images are divided: 1 where they are like the others."""
        usual = self.usual
        of_whole = np.maximum(whole, 1e-300) / usual.whole
        if not usual.noisy:
            return np.where(np.maximum(of_whole, 1 / of_whole) > _NAMED_GAIN, of_whole, 1.0)
        gain = np.maximum(background, 1e-300) / usual.background
        # Ice, dead lines, or a mask: an image whose background is not like the others' is judged by the whole of it.
        gain = np.where(gain * 3 < of_whole, of_whole, gain)
        if usual.gains_differ:
            return gain
        unlike = _beyond(gain, of_whole, _OTHER_GAIN * self._pixel_size_ratio(rows))
        return np.where(unlike, gain, 1.0)

    def _pixel_size_ratio(self, rows: np.ndarray) -> np.ndarray:
        """(n,) >= 1: by how much grey values of optics groups may differ without having been scaled."""
        pixel = np.array([optics.pixel_size_angstrom for optics in self._table.optics])
        smallest = pixel[np.unique(self._table.optics_index)].min()
        return pixel[self._table.optics_index[rows]] / smallest

    def _measure(self) -> Usual:
        rows = np.unique(np.linspace(0, len(self._table) - 1, _SAMPLE).astype(np.int64))
        background, whole, wrapped = np.zeros((3, len(rows)))
        for part in _of_one_group(self._table, rows):
            at = np.searchsorted(rows, part)
            images = self._read(part)
            wrapped[at] = share_wrapped(images)
            _, _, background[at], whole[at] = levelled(images)
        told = whole > 0
        if not told.any():
            raise InputError(
                f"The images are blank: none of the {len(rows)} that were looked at has any contrast "
                f"({_name(self._table, rows[0])} is the first); give the stack that holds the particles."
            )
        background, whole, rows = background[told], whole[told], rows[told]
        middle = max(float(np.median(background)), 1e-300), float(np.median(whole))
        noisy = float(np.median((background / whole) ** 2)) > _LEAST_NOISE
        ratio = np.maximum(background, 1e-300) / middle[0]
        unlike = _beyond(ratio, whole / middle[1], _ALIKE * self._pixel_size_ratio(rows))
        return Usual(*middle, noisy, bool(unlike.mean() > _SHARE_UNLIKE), float(wrapped.mean()))

    def check(self) -> None:
        """InputError for a set of blank images, as a sample of it tells."""
        _ = self.usual

    def tells(self, rows) -> np.ndarray:
        """(n,) bool: whether images that were read hold anything at all."""
        return self._found[rows] != BLANK

    def look_at_all(self) -> np.ndarray:
        """(N,) int8 of what every image was found to be; images that were not read yet are read."""
        for rows in _of_one_group(self._table, np.flatnonzero(self._found == UNKNOWN)):
            self.read(rows)
        return self._found

    def metrics(self) -> Dict[str, int]:
        """Numbers of images that are not like the others, for metrics.json."""
        found = self.look_at_all()
        names = {"images_blank": BLANK, "images_with_hot_pixels": HOT_PIXELS, "images_of_other_scale": OTHER_SCALE}
        return {name: int((found == kind).sum()) for name, kind in names.items()}

    @property
    def blank(self) -> np.ndarray:
        """(N,) bool: images that tell nothing."""
        return self.look_at_all() == BLANK

    def sentences(self) -> List[str]:
        """What there is to say of images that are not like the others, by their ids, stacks and slices."""
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
                f"Grey values seem to have wrapped around: {100 * self.usual.wrapped:.0f} % of neighbouring pixels "
                "differ by more than 32768, as where counts above 32767 were written as numbers with a sign (MRC mode "
                "1). Were they? Write the stack in mode 6 or 2."
            )
        return out


def _beyond(gain: np.ndarray, of_whole: np.ndarray, limit: np.ndarray) -> np.ndarray:
    """Whether gains lie beyond limit or 1 / limit and whole images bear it out: signal in corners is no gain."""
    a, b = np.log(gain), np.log(of_whole)
    return (np.abs(a) > np.log(limit)) & (np.sign(a) * b > 0.5 * np.log(limit))


def share_wrapped(images: np.ndarray) -> np.ndarray:
    """(n,) share of neighbouring pixels, of images (n, D, D) of 16-bit integers with a sign, that differ by more than
    half of their range; 0 for other grey values."""
    if not np.ptp(images) > _SIGNED_RANGE or np.abs(images).max() > _SIGNED_RANGE or (images != np.rint(images)).any():
        return np.zeros(len(images))
    return (np.abs(np.diff(images, axis=2)) > _SIGNED_RANGE).mean(axis=(1, 2))


def levelled(images: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (n, D, D) float32, changed in place: their background at mean 0, hot pixels mended.

    Returns them, and (n,) each: whether pixels were mended, and the standard deviations of the background and of the
    whole image.
    """
    mended = _mend_hot_pixels(images)
    flat = images.reshape(len(images), -1)
    ring = np.take(flat, _background_pixels(images.shape[-1]), axis=1)
    level = ring.mean(axis=1, dtype=np.float64).astype(np.float32)[:, None]
    flat -= level
    ring -= level
    return images, mended, _root_mean_square(ring), _root_mean_square(flat)


def _root_mean_square(values: np.ndarray) -> np.ndarray:
    """(n,) float64 of rows (n, m); 0 for a constant row, whatever rounding left of it."""
    with np.errstate(over="ignore"):
        power = np.einsum("ij,ij->i", values, values).astype(np.float64) / values.shape[1]
    if not np.isfinite(power).all():
        power = np.einsum("ij,ij->i", values, values, dtype=np.float64) / values.shape[1]
    return np.where(np.ptp(values, axis=1) > 0, np.sqrt(power), 0.0)


@lru_cache(maxsize=8)
def _background_pixels(box_size_px: int) -> np.ndarray:
    """Places of the pixels beyond the inscribed circle: particles do not reach there."""
    axis = np.arange(box_size_px) - box_size_px // 2
    return np.flatnonzero(axis[:, None] ** 2 + axis**2 > (box_size_px / 2) ** 2)


def _mend_hot_pixels(images: np.ndarray) -> np.ndarray:
    """(n,) bool: images in which pixels far from all around them were replaced by the median of these."""
    flat = images.reshape(len(images), -1)
    some = flat[:, :: max(1, flat.shape[1] // _PIXELS_LOOKED_AT)]
    middle = _middle(some)
    limit = _HOT_DEVIATIONS * _MAD_TO_SIGMA * _middle(np.abs(some - middle[:, None]))
    mended = np.zeros(len(images), bool)
    for i in np.flatnonzero(np.maximum(flat.max(axis=1) - middle, middle - flat.min(axis=1)) > limit):
        around = ndimage.median_filter(images[i], footprint=_AROUND, mode="mirror")
        deviation = np.abs(images[i] - middle[i])
        usual = _TIMES_THE_REST * np.quantile(deviation, _REST)
        hot = (deviation > max(limit[i], usual)) & (np.abs(images[i] - around) > _ALONE * deviation)
        images[i][hot] = around[hot]
        mended[i] = hot.any()
    return mended


def _of_one_group(table: ParticleTable, rows: np.ndarray) -> Iterator[np.ndarray]:
    """These rows in pieces of one optics group."""
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
