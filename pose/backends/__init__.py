"""Sources of poses, one module each; `choose` makes the one that a run names."""

from pose.backends.choose import PoseBackendName, PoseConfig, make_backend

__all__ = ["PoseBackendName", "PoseConfig", "make_backend"]
