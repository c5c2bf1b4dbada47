"""Choose a pose back end by name."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from pose.assets import MEDIAPIPE_POSE, require_asset
from pose.backends.mediapipe import MediaPipeBackend, MediaPipeConfig
from pose.backends.movenet import MoveNetBackend, MoveNetConfig
from pose.backends.onnx import OnnxBackend, OnnxConfig
from pose.backends.precomputed import PrecomputedBackend, PrecomputedConfig
from pose.estimator import PoseBackend
from pose.smoothing import OneEuroConfig
from schemas.errors import ConfigError

PoseBackendName = Literal["mediapipe", "onnx", "movenet", "precomputed"]
"""precomputed reads poses that were estimated elsewhere; the others estimate them."""

_MOST_FILLED_FRAMES = 64  # so many frames wait in memory for who may come back


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseConfig:
    """Where poses come from."""

    model: Path | None = None
    """MediaPipe pose landmarker bundle (.task); the fetched one if not given."""
    poses: Path | None = None
    """PYSKL / mmaction2 pickle, JSON file, or folder of one JSON file per video to read."""
    max_people: Annotated[int | None, arg(aliases=["--max-people"])] = None
    """Most people per frame, the best ones, whatever the back end; its own limit if not given."""
    fill_gaps: int = 0
    """Fill gaps of up to so many frames in which somebody is lost who is found again, with the
    poses between (and score 0 for the box); 0 to 64. Longer ones than `tracker.max_missed_frames`
    of the back end (8) are never filled: who comes back later has a new id."""
    smooth: bool = False
    """Smooth keypoints over time (One-Euro filter), so that they do not tremble."""
    one_euro: OneEuroConfig = field(default_factory=OneEuroConfig)
    """How much `smooth` smooths."""
    mediapipe: MediaPipeConfig = field(default_factory=MediaPipeConfig)
    """Options of the MediaPipe back end."""
    onnx: OnnxConfig = field(default_factory=OnnxConfig)
    """Options of models in ONNX files."""
    movenet: MoveNetConfig = field(default_factory=MoveNetConfig)
    """Options of MoveNet."""
    precomputed: PrecomputedConfig = field(default_factory=PrecomputedConfig)
    """Options of poses that are read."""

    def __post_init__(self) -> None:
        if self.max_people is not None and self.max_people < 1:
            raise ConfigError(f"max_people must be >= 1, got {self.max_people}")
        if not 0 <= self.fill_gaps <= _MOST_FILLED_FRAMES:
            raise ConfigError(
                f"fill_gaps must be 0 to {_MOST_FILLED_FRAMES} frames, got {self.fill_gaps}"
            )

    def limited(self) -> "PoseConfig":
        """Return the options with `max_people` as the limit of every back end."""
        most = self.max_people
        if most is None:
            return self
        tiling = replace(self.mediapipe.tiling, max_people=most)
        return replace(
            self,
            mediapipe=replace(self.mediapipe, tiling=tiling),
            onnx=replace(self.onnx, follow=replace(self.onnx.follow, max_people=most)),
            movenet=replace(self.movenet, follow=replace(self.movenet.follow, max_people=most)),
            precomputed=replace(self.precomputed, max_people=most),
        )

    def most_people(self, name: PoseBackendName) -> int:
        """Return the limit of people per frame of a back end."""
        limited = self.limited()
        limits = {
            "mediapipe": limited.mediapipe.tiling.max_people,
            "onnx": limited.onnx.follow.max_people,
            "movenet": limited.movenet.follow.max_people,
            "precomputed": limited.precomputed.max_people,
        }
        return limits[name]


def make_backend(name: PoseBackendName, config: PoseConfig) -> PoseBackend:
    """Return the back end of a run; the model is loaded with the first frame, nothing downloaded.

    Args:
        name: Which back end.
        config: Its options.

    Raises:
        ConfigError: If the model was not fetched, the poses cannot be read, or poses are given
            to a back end that does not read them.
    """
    config = config.limited()
    if name == "precomputed":
        if config.poses is None:
            raise ConfigError("pose.poses must be a file or folder for pose_backend precomputed")
        return PrecomputedBackend(config.poses, config.precomputed)
    if config.poses is not None:
        raise ConfigError(
            f"pose.poses must not be given for pose_backend {name}, got {config.poses}; "
            "choose --pose-backend precomputed to read it"
        )
    if name == "onnx":
        return OnnxBackend(config.onnx)
    if name == "movenet":
        return MoveNetBackend(config.movenet)
    model_path = config.model if config.model is not None else require_asset(MEDIAPIPE_POSE)
    return MediaPipeBackend(model_path, config.mediapipe)
