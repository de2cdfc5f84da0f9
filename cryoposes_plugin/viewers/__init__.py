"""What Scipion opens when a result is to be shown."""

from .viewer_run import CryoposesRunViewer, PoseModelViewer

__all__ = ["CryoposesRunViewer", "PoseModelViewer"]
