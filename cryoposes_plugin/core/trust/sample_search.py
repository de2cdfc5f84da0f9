"""Poses of a sample of images, found near given ones or anywhere, with spectra measured on the
poses found.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Optional, Tuple

import numpy as np

from ..fourier.points import FourierPoints
from ..likelihood.pose_likelihood import PoseLikelihood
from ..maps.size import radius_of_gyration_angstrom
from ..parallel import in_order
from ..particles.grids import Grid
from ..refinement import global_search
from ..refinement.calibration import measure_spectra, reprojections
from ..refinement.multi_start import MultiStart, Refined, joined
from ..refinement.observations import Observations
from ..refinement.poses import Poses
from ..refinement.reference_bank import ReferenceBank
from ..refinement.search_grids import first_shell, stage_radii
from ..refinement.spectra import Spectra, first_spectra
from ..types import Volume
from .explained import Explained, band_powers, explained_share, risen_share

#: All orientations are compared up to this share of the first stage's frequency, and no further
#: than so many cycles per box: that finds the pose of most images, and takes a tenth of the time.
_SEARCH_SHARE, _MOST_CYCLES = 0.6, 8.0
_AT_ONCE = 16
#: Images on which a share of explained signal is measured: those of the larger scales, since the
#: others may show something else.
_BEST_SHARE = 0.5


@dataclass(frozen=True)
class Found:
    """Poses of the sample's images, and the spectra measured on them."""

    refined: Refined
    spectra: Spectra


class SampleSearch:
    """A sample of images of one optics group and a map.

    Parameters
    ----------
    volume : the map.
    observed : B images on the grid.
    grid : of the images.
    group : (G, 3, 3) symmetry operations of the map.
    last_shell : beyond which nothing is compared.
    threads : 0 takes all cores.
    likelihood : of the map on the grid, if it has been made.
    """

    def __init__(
        self,
        volume: Volume,
        observed: Observations,
        grid: Grid,
        group: np.ndarray,
        last_shell: int,
        threads: int = 0,
        likelihood: Optional[PoseLikelihood] = None,
    ):
        self.volume, self.observed, self.grid, self.group = volume, observed, grid, group
        self.last_shell, self.threads = last_shell, threads
        self.points = FourierPoints(grid.box_size_px)
        self.likelihood = likelihood or PoseLikelihood(
            volume, self.points, grid.pixel_size_angstrom
        )
        self.radius_px = radius_of_gyration_angstrom(volume) / grid.pixel_size_angstrom
        self._bank: Optional[ReferenceBank] = None

    def __len__(self) -> int:
        return len(self.observed.coefficients)

    def of(self, observed: Observations) -> SampleSearch:
        """The same map and other images on the same grid."""
        other = copy.copy(self)
        other.observed = observed
        return other

    def at_scale(self, factor: float) -> SampleSearch:
        """The same images and the map with its pixel size times a factor."""
        volume = Volume(self.volume.data, self.volume.pixel_size_angstrom * factor)
        return SampleSearch(
            volume, self.observed, self.grid, self.group, self.last_shell, self.threads
        )

    # ---- poses --------------------------------------------------------------------------------

    def near(
        self,
        starts: Poses,
        spectra: Optional[Spectra] = None,
        rounds: int = 2,
        reach_px: float = 0.0,
    ) -> Found:
        """Poses refined in turns with their spectra.

        Parameters
        ----------
        starts : one or more for each image.
        spectra : to begin with; None: flat ones, up to a low frequency.
        rounds : at least one.
        reach_px : the largest distance of shifts from those of the starts.
        """
        spectra = self._first_spectra() if spectra is None else spectra
        for _ in range(rounds):
            search = self._search(spectra, reach_px)
            refined = search.refine_in_parts(self.observed, starts, self.threads)
            spectra = self.spectra(refined)
            if spectra.last_shell == 0:
                break
        return Found(refined, spectra)

    def anywhere(
        self, shifts_px: np.ndarray, reach_px: float, spectra: Optional[Spectra] = None
    ) -> Found:
        """The best of all orientations at shifts up to a distance from the given ones (B, 2)."""
        spectra = self._first_spectra() if spectra is None else spectra
        search, bank = self._search(spectra, reach_px), self._reference_bank()
        pieces = np.array_split(np.arange(len(self)), -(-len(self) // _AT_ONCE))

        def work(rows: np.ndarray) -> Refined:
            return search.search_globally(self.observed.take(rows), shifts_px[rows], bank)

        refined = joined([part for _, part in in_order(work, pieces, self.threads)])
        return Found(refined, self.spectra(refined))

    def spectra(self, refined: Refined) -> Spectra:
        """Amplitude and noise at poses."""
        return measure_spectra(
            self.likelihood,
            self.points,
            self.observed,
            refined.rotations,
            refined.shifts_px,
            refined.scale,
        ).up_to(self.last_shell)

    # ---- what they are worth ------------------------------------------------------------------

    def explained(self, found: Found, best_of: bool = False) -> Explained:
        """The share of the signal that the map explains; with `best_of`, the larger of the shares
        of all images and of those with the larger scales.
        """
        model, explained = self._explanation(found)
        bands = band_powers(
            self.points, self.observed.coefficients, model, explained, self.last_shell
        )
        shares = [explained_share(bands)]
        if best_of:
            best = np.argsort(-found.refined.scale)[: max(int(_BEST_SHARE * len(self)), 3)]
            shares.append(explained_share(bands, best))
        return max(shares, key=lambda share: share.share if share.known else -1.0)

    def more_explained(self, found: Found, other: SampleSearch, theirs: Found) -> Explained:
        """By how much more of the signal of the same images another map explains.

        Noise that both leave cancels image by image, so that the difference is better known than
        either share.
        """
        model, explained = other._explanation(theirs)
        signal, own = self.observed.coefficients, self._explanation(found)[1]
        before, after = (
            band_powers(self.points, signal, model, values, self.last_shell)
            for values in (own, explained)
        )
        return risen_share(before, after, other.explained(theirs).last_shell)

    def _explanation(self, found: Found) -> Tuple[np.ndarray, np.ndarray]:
        """(B, P) reprojections of unit amplitude, and what they explain of the images."""
        refined = found.refined
        model = self._reprojected(refined)
        scale = refined.scale / max(float(np.median(refined.scale)), 1e-12)
        return model, model * (scale[:, None] * found.spectra.amplitude[self.points.shell])

    def misfit(self, poses: Poses) -> float:
        """Minus twice the log likelihood of the images at poses, with spectra of their own."""
        noise = measure_spectra(
            self.likelihood, self.points, self.observed, poses.rotations, poses.shifts_px
        ).noise_variance
        shells = slice(1, self.last_shell + 1)
        counts = 2 * len(self) * self.points.shell_counts()
        return float((counts * np.log(np.maximum(noise, 1e-300)))[shells].sum())

    def twin(self, found: Found, seed: int) -> SampleSearch:
        """Images simulated from the map at the poses found, with the signal's power and the noise
        of the real ones.
        """
        refined = found.refined
        model = self._reprojected(refined)
        points, observed = self.points, self.observed.coefficients
        bands = band_powers(points, observed, model, 0 * model, self.last_shell)

        power = np.zeros(points.number_of_shells)
        first = 0
        for band in bands:
            share = float(band.signal.mean()) / max(band.model, 1e-300)
            power[first : band.last_shell + 1] = max(share, 0.0)
            first = band.last_shell + 1

        total = points.shell_means((np.abs(observed) ** 2).mean(axis=0))
        signal = power * points.shell_means((np.abs(model) ** 2).mean(axis=0))
        noise = np.maximum(total - signal, 0.05 * total)
        rng = np.random.default_rng(seed)
        random = rng.standard_normal((2, *model.shape)).astype(np.float32)
        simulated = (
            model * np.sqrt(power)[points.shell]
            + (random[0] + 1j * random[1]) * np.sqrt(noise / 2)[points.shell]
        )
        return self.of(Observations(simulated.astype(np.complex64), self.observed.modulation))

    def _reprojected(self, refined: Refined) -> np.ndarray:
        """(B, P) reprojections of unit amplitude."""
        return reprojections(
            self.likelihood,
            self.points,
            self.observed.modulation,
            refined.rotations,
            refined.shifts_px,
        )

    def _first_spectra(self) -> Spectra:
        last = first_shell(self.grid.field_of_view_angstrom, self.last_shell)
        return first_spectra(self.points, self.observed.coefficients, last)

    def _search(self, spectra: Spectra, reach_px: float = 0.0) -> MultiStart:
        return MultiStart(
            self.likelihood,
            self.points,
            spectra,
            self.radius_px,
            self.group,
            global_search.settings(reach_px),
        )

    def _reference_bank(self) -> ReferenceBank:
        if self._bank is None:
            first = stage_radii(self.grid.box_size_px, self.radius_px, self.last_shell)[0]
            radius = min(_SEARCH_SHARE * first, _MOST_CYCLES)
            self._bank = ReferenceBank(self.likelihood, self.points, radius, self.threads)
        return self._bank
