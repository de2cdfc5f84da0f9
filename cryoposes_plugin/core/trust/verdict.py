"""The verdict on poses, map and images that are tested for belonging together, and its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Optional

import numpy as np
from scipy.spatial.transform import Rotation

from ..conventions import rotations_to_euler_deg
from ..values import counted
from .common_frame import CommonFrame
from .explained import Explained

BELONG, WRONG_POSES, OTHER_FRAME, OTHER_HAND, OTHER_SCALE, RELATED, UNRELATED, UNTESTED = (
    "belong",
    "wrong poses",
    "other frame",
    "other hand",
    "other scale",
    "related map",
    "other map",
    "not tested",
)
#: The verdicts in a few words.
IN_SHORT = {
    BELONG: "poses, map and images belong together",
    WRONG_POSES: "most poses are wrong",
    OTHER_FRAME: "the poses are in another frame than the map",
    OTHER_HAND: "the poses have the other hand than the map",
    OTHER_SCALE: "the map is of another scale than the images",
    RELATED: "the images show something similar to the map, but not this map",
    UNRELATED: "the images do not show the map",
    UNTESTED: "not tested, the images are too few or too noisy",
}
#: Most poses are wrong if this share is.
MOST = 0.5


@dataclass(frozen=True)
class FrameTest:
    """The result of the test.

    Attributes
    ----------
    verdict : one of the names above.
    sampled : number of particles tested.
    explained : share of the signal that the map explains, at the best poses found.
    frame : how the map lies in the frame of the given poses, if one transform holds for many.
    wrong_share : of the refined poses, those with a much likelier pose elsewhere; None: not
        searched for, because the refined poses explain the signal.
    scale : by which the map's pixel size must be multiplied.
    """

    verdict: str
    sampled: int
    explained: Optional[Explained] = None
    frame: Optional[CommonFrame] = None
    wrong_share: Optional[float] = None
    scale: float = 1.0
    pixel_size_angstrom: float = 1.0
    field_of_view_angstrom: float = 1.0

    @property
    def alarming(self) -> bool:
        """Whether poses, map and images do not belong together."""
        return self.verdict not in (BELONG, UNTESTED)

    @property
    def refined_are_wrong(self) -> bool:
        """Whether most of the refined poses are wrong."""
        if self.verdict in (WRONG_POSES, UNRELATED):
            return True
        return self.alarming and self.wrong_share is not None and self.wrong_share > MOST

    @property
    def hand(self) -> str:
        """Of the given poses: "same" as that of the map, "opposite", "undecided" if they do not
        belong to it, "open" if it was not tested.
        """
        if self.verdict == UNTESTED:
            return "open"
        if self.frame is None:
            return "undecided"
        return "opposite" if self.frame.mirrored else "same"

    def metrics(self) -> Dict[str, Any]:
        """For metrics.json: angles in degrees, lengths in Å."""
        frame = self.frame
        explained = self.explained if self.explained and self.explained.known else None

        return {
            "verdict": self.verdict,
            "frame": {
                "particles_tested": self.sampled,
                "explained_share": None if explained is None else explained.share,
                "explained_share_error": None if explained is None else explained.error,
                "explained_to_angstrom": None if explained is None else self._resolution,
                "share_of_wrong_poses": self.wrong_share,
                "scale": self.scale,
                "mirrored": None if frame is None else frame.mirrored,
                "flipped_axis": None if frame is None else frame.flip,
                "share_in_frame": None if frame is None else frame.share,
                "rotation_deg": None if frame is None else float(np.rad2deg(frame.angle_rad)),
                "rotation_euler_deg": None if frame is None else self._euler_deg.tolist(),
                "rotation_matrix": None if frame is None else frame.rotation.tolist(),
                "shift_angstrom": None if frame is None else self._shift_angstrom.tolist(),
            },
        }

    def statement(self, poses: str, volume: str) -> str:
        """The verdict in words.

        Parameters
        ----------
        poses : whose, as "The given poses".
        volume : its name, as "volume map.mrc".
        """
        say = {
            BELONG: self._belong,
            WRONG_POSES: self._wrong_poses,
            OTHER_FRAME: self._other_frame,
            OTHER_HAND: self._other_frame,
            OTHER_SCALE: self._other_scale,
            RELATED: self._related,
            UNRELATED: self._unrelated,
            UNTESTED: self._untested,
        }
        return say[self.verdict](poses, volume)

    def _belong(self, poses: str, volume: str) -> str:
        explained = f"it explains {self._share_text} of the signal of {self._images}"
        if self.frame is None:
            return (
                f"The refined poses belong to {volume}: {explained}. No common transform takes "
                f"{_inside(poses)} there: most of these were far off."
            )
        if self.frame.share < MOST:
            return (
                f"The refined poses belong to {volume}: {explained}. Most of {_inside(poses)} were "
                f"far off: {self.frame.share:.0%} were near those."
            )
        return f"{poses} belong to {volume} and have the hand of the map: {explained}."

    def _untested(self, poses: str, volume: str) -> str:
        return (
            f"Whether {_inside(poses)} belong to {volume} could not be tested on {self._images}: "
            "these are too few or too noisy. The hand of the poses is kept."
        )

    def _wrong_poses(self, poses: str, volume: str) -> str:
        share = "most" if self.wrong_share is None else f"{self.wrong_share:.0%}"
        return (
            f"Most of the poses are wrong: the images show {volume}, but {share} of "
            f"{self._images} have a much likelier pose elsewhere, and no common transform takes "
            f"{_inside(poses)} there."
        )

    def _other_frame(self, poses: str, volume: str) -> str:
        share = 0.0 if self.frame is None else self.frame.share
        return (
            f"{poses} are in another frame than {volume}: {self._transform} (so say {share:.0%} of "
            f"{self._images})."
        )

    def _other_scale(self, poses: str, volume: str) -> str:
        return (
            f"The map is of another scale: {volume} fits the images best with its pixel size times "
            f"{self.scale:.3g}; it then explains {self._share_text} of the signal of "
            f"{self._images}. Correct the pixel size of the map or of the images.{self._also}"
        )

    def _related(self, poses: str, volume: str) -> str:
        return (
            f"The images show something similar to {volume}, but not this map: at the best of all "
            f"orientations and scales it explains only {self._share_text} of the signal of "
            f"{self._images}.{self._also}"
        )

    def _unrelated(self, poses: str, volume: str) -> str:
        return (
            f"The images do not show {volume}: at the best of all orientations and scales it "
            f"explains only {self._share_text} of the signal of {self._images}, and no common "
            f"transform takes {_inside(poses)} there. Check that map, pixel size and particles "
            "belong together."
        )

    @property
    def _images(self) -> str:
        return counted(self.sampled, "image")

    @property
    def _also(self) -> str:
        frame = self.frame
        return "" if frame is None or frame.same else f" Moreover, {self._transform}."

    @property
    def _transform(self) -> str:
        """What takes the map into the frame of the poses."""
        frame = self.frame
        if frame is None:
            return ""

        parts = []
        if frame.mirrored:
            axis = frame.flip or "z"
            parts.append(
                f"it is the mirror image (along {axis}) of theirs: they have the other hand"
            )
        if frame.turned:
            rot, tilt, psi = self._euler_deg
            parts.append(
                f"it is turned by {np.rad2deg(frame.angle_rad):.1f}° about "
                f"({_vector(_axis(frame.rotation), 2)}), rot {rot:.1f}°, tilt {tilt:.1f}°, psi "
                f"{psi:.1f}°"
            )
        if frame.moved:
            length = float(np.linalg.norm(self._shift_angstrom))
            parts.append(f"it is moved by {length:.1f} Å, ({_vector(self._shift_angstrom, 1)})")
        return ", and ".join(parts)

    @property
    def _share_text(self) -> str:
        explained = self.explained
        if explained is None or not explained.known:
            return "an unknown share"
        share = min(max(explained.share, 0.0), 1.0)
        return f"{share:.0%} (up to {self._resolution:.3g} Å)"

    @property
    def _resolution(self) -> float:
        last = 1 if self.explained is None else max(self.explained.last_shell, 1)
        return self.field_of_view_angstrom / last

    @property
    def _euler_deg(self) -> np.ndarray:
        frame = self.frame
        return np.zeros(3) if frame is None else rotations_to_euler_deg(frame.rotation[None])[0]

    @property
    def _shift_angstrom(self) -> np.ndarray:
        frame = self.frame
        return np.zeros(3) if frame is None else frame.shift_px * self.pixel_size_angstrom


def _inside(poses: str) -> str:
    """The name of poses within a sentence."""
    return poses[:1].lower() + poses[1:]


def _axis(rotation: np.ndarray) -> np.ndarray:
    vector = Rotation.from_matrix(rotation).as_rotvec()
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _vector(values: np.ndarray, digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)
