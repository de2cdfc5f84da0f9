"""Whether poses, starting volume and images belong together, tested before the first round."""

from __future__ import annotations

from typing import List, Optional

from ...core.refinement.multi_start import Settings
from ...core.refinement.refinement import Refinement
from ...core.trust.frame import examine_frame, sample_rows
from ...core.trust.verdict import FrameTest
from .rounds import RoundSettings, Start, first_starts


def examine_start(settings: RoundSettings, start: Start) -> FrameTest:
    """The test on particles of both halves, with the starting volume as it was given: filtered, it may
    fit its mirror image too.
    """
    starts, reach = first_starts(settings, start)
    refinement = Refinement(
        start.table,
        start.given,
        start.grid,
        starts,
        start.group,
        Settings(search_shift_px=reach),
        threads=settings.threads,
    )
    rows = sample_rows(refinement, settings.seed)
    poses = starts(rows).poses
    return examine_frame(refinement, rows, poses.take(poses.starts_image), poses, settings.seed)


def start_notes(path: Optional[str], frame: FrameTest, network: bool) -> List[str]:
    """The verdict, and what follows if most poses of the first round will be wrong.

    Parameters
    ----------
    path : of the starting volume.
    frame : the test.
    network : whether the poses are those of a network.
    """
    poses = "The network's poses" if network else "The given poses"
    notes = [frame.statement(poses, f"volume {path}")]
    if frame.refined_are_wrong:
        notes.append("Rounds that begin with wrong poses keep the shape of the starting volume.")
    return notes
