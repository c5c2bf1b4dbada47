"""Choose a pose back end by name."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pose.assets import MEDIAPIPE_POSE, require_asset
from pose.estimator import PoseBackend
from pose.mediapipe_backend import MediaPipeBackend, MediaPipeConfig
from pose.precomputed import PrecomputedBackend, PrecomputedConfig
from schemas.errors import ConfigError

PoseBackendName = Literal["mediapipe", "precomputed"]
"""mediapipe = estimate poses; precomputed = read poses that were estimated elsewhere."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseConfig:
    """Where poses come from."""

    model: Path | None = None
    """MediaPipe pose landmarker bundle (.task); the fetched one if not given."""
    poses: Path | None = None
    """PYSKL / mmaction2 pickle, JSON file, or folder of one JSON file per video to read."""
    mediapipe: MediaPipeConfig = field(default_factory=MediaPipeConfig)
    """Options of the MediaPipe back end."""
    precomputed: PrecomputedConfig = field(default_factory=PrecomputedConfig)
    """Options of poses that are read."""


def make_backend(name: PoseBackendName, config: PoseConfig) -> PoseBackend:
    """Return the back end of a run; the model is loaded with the first frame, nothing downloaded.

    Args:
        name: Which back end.
        config: Its options.

    Raises:
        ConfigError: If the model was not fetched, the poses cannot be read, or poses are given
            to a back end that does not read them.
    """
    if name == "precomputed":
        if config.poses is None:
            raise ConfigError("pose.poses must be a file or folder for pose_backend precomputed")
        return PrecomputedBackend(config.poses, config.precomputed)
    if config.poses is not None:
        raise ConfigError(
            f"pose.poses must not be given for pose_backend {name}, got {config.poses}; "
            "choose --pose-backend precomputed to read it"
        )
    model_path = config.model if config.model is not None else require_asset(MEDIAPIPE_POSE)
    return MediaPipeBackend(model_path, config.mediapipe)
