"""What Scipion opens when a result is to be shown."""

from .viewer_run import CryoposesRunViewer, PoseModelViewer
from .viewer_volume import CentralSlicesViewer

__all__ = ["CentralSlicesViewer", "CryoposesRunViewer", "PoseModelViewer"]
