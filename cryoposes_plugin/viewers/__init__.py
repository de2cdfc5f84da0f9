"""The viewers that Scipion opens for results."""

from .viewer_run import CryoposesRunViewer, PoseModelViewer
from .viewer_volume import CentralSlicesViewer

__all__ = ["CentralSlicesViewer", "CryoposesRunViewer", "PoseModelViewer"]
