"""Poses by MediaPipe's pose landmarker, several people per frame.

MediaPipe prints a few lines to standard error when a model is loaded, whatever the log settings;
loading and a first detection therefore run with file descriptor 2 on the null device.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pose.estimator import ClipPoseEstimator, FramePoses, PoseRequest
from pose.landmarks import poses_from_landmarks
from pose.tiled_estimator import TiledPoseEstimator, TilingConfig
from schemas.errors import ConfigError, RecordError
from schemas.outcome import Outcome

_WARM_UP_SIDE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaPipeConfig:
    """Options of the MediaPipe back end."""

    min_detection_confidence: float = 0.5
    """Least confidence of MediaPipe's person detector where people are searched for."""
    min_follow_confidence: float = 0.25
    """Least confidence of the same detector around a person of the frame before."""
    min_presence_confidence: float = 0.5
    """Least confidence of MediaPipe's landmark model that there is a person."""
    max_people_per_tile: int = 4
    """Most people to look for in one tile."""
    max_people_per_crop: int = 2
    """Most people to look for around a person of the frame before."""
    tiling: TilingConfig = field(default_factory=TilingConfig)
    """Where and how often to look for people."""

    def __post_init__(self) -> None:
        for name in (
            "min_detection_confidence",
            "min_follow_confidence",
            "min_presence_confidence",
        ):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be over 0 and at most 1, got {getattr(self, name)}")
        for name in ("max_people_per_tile", "max_people_per_crop"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be >= 1, got {getattr(self, name)}")


def block_tensorflow_import() -> None:
    """Keep MediaPipe from importing TensorFlow, which takes seconds and is not needed.

    For a process that never uses TensorFlow: any later `import tensorflow` in it raises
    ModuleNotFoundError. Call before the first import of mediapipe. Does nothing in a process
    that has imported TensorFlow already.
    """
    if "tensorflow" not in sys.modules:
        sys.modules["tensorflow"] = None  # type: ignore[assignment]


class MediaPipeBackend:
    """A `PoseBackend` that runs a MediaPipe pose landmarker bundle on the CPU.

    The model is loaded at the first frame, and again after a frame on which MediaPipe failed
    (its graph cannot be used any more). Use as a context manager, or call `close`.

    Args:
        model_path: The `.task` bundle (see `pose.assets`).
        config: Options.

    Raises:
        ConfigError: If there is no file at model_path.
    """

    name = "mediapipe"

    def __init__(self, model_path: Path, config: MediaPipeConfig) -> None:
        if not model_path.is_file():
            raise ConfigError(
                f"model_path must be a file, got {model_path}; run `perfnet-prep models fetch`"
            )
        self._model_path = model_path
        self._config = config
        self._landmarkers: dict[str, Any] = {}  # by purpose
        self.model_hash = hashlib.sha256(model_path.read_bytes()).hexdigest()

    def __enter__(self) -> "MediaPipeBackend":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def start_clip(self, request: PoseRequest) -> ClipPoseEstimator:  # noqa: ARG002 - protocol
        """Return an estimator without tracks; it uses the model of this back end."""
        return TiledPoseEstimator(self.detect, self._config.tiling, follow=self.detect_known)

    @property
    def tiling(self) -> TilingConfig:
        """Where and how often people are searched for."""
        return self._config.tiling

    def detect(self, frame: npt.NDArray[np.uint8]) -> FramePoses:
        """Find people in one image.

        Args:
            frame: uint8 [H, W, 3] RGB, contiguous. Landmarks are exact for square images only.

        Returns:
            At most `max_people_per_tile` people in pixels of the image.

        Raises:
            RecordError: If MediaPipe fails on the image (POSE_FAILED).
            ConfigError: If the model cannot be loaded.
        """
        return self._detect(frame, "search")

    def detect_known(self, frame: npt.NDArray[np.uint8]) -> FramePoses:
        """Do the same as `detect` with the confidence for people of the frame before."""
        return self._detect(frame, "follow")

    def close(self) -> None:
        """Free the model; a later detection loads it again."""
        landmarkers, self._landmarkers = self._landmarkers, {}
        for landmarker in landmarkers.values():
            _close_landmarker(landmarker)

    def _detect(self, frame: npt.NDArray[np.uint8], purpose: str) -> FramePoses:
        """People in [H, W, 3]."""
        if purpose not in self._landmarkers:
            self._landmarkers[purpose] = _load_landmarker(self._model_path, self._config, purpose)
        try:
            landmarks = _detect_landmarks(self._landmarkers[purpose], frame)
        except RuntimeError as error:
            self.close()
            lines = str(error).strip().splitlines() or ["no reason given"]
            raise RecordError(
                "", Outcome.POSE_FAILED, f"MediaPipe failed on a frame: {lines[0]}"
            ) from error
        return poses_from_landmarks(landmarks, width=frame.shape[1], height=frame.shape[0])


def _load_landmarker(model_path: Path, config: MediaPipeConfig, purpose: str) -> Any:
    """A pose landmarker in IMAGE mode: it remembers nothing between images."""
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    is_search = purpose == "search"
    options = vision.PoseLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(model_path)),
        running_mode=vision.RunningMode.IMAGE,
        num_poses=config.max_people_per_tile if is_search else config.max_people_per_crop,
        min_pose_detection_confidence=(
            config.min_detection_confidence if is_search else config.min_follow_confidence
        ),
        min_pose_presence_confidence=config.min_presence_confidence,
    )
    try:
        with _quiet_stderr():
            landmarker = vision.PoseLandmarker.create_from_options(options)
            _warm_up(landmarker)
    except (RuntimeError, ValueError, OSError) as error:
        raise ConfigError(
            f"model_path must be a MediaPipe pose landmarker bundle, got {model_path} ({error})"
        ) from error
    return landmarker


def _warm_up(landmarker: Any) -> None:
    """Detect once, so that the messages of the first detection are printed."""
    try:
        _detect_landmarks(landmarker, np.zeros((_WARM_UP_SIDE, _WARM_UP_SIDE, 3), np.uint8))
    except RuntimeError:
        _close_landmarker(landmarker)
        raise


def _close_landmarker(landmarker: Any) -> None:
    """Free a landmarker once: freeing it again from its `__del__` fails or hangs."""
    try:
        landmarker.close()
    except RuntimeError:  # a graph that failed raises its error again when it is freed
        landmarker._handle = None  # noqa: SLF001 - what `__del__` looks at


def _detect_landmarks(landmarker: Any, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """float32 [P, 33, 4]: x, y, visibility, presence."""
    import mediapipe

    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame)
    people = landmarker.detect(image).pose_landmarks
    rows = [[(m.x, m.y, m.visibility, m.presence) for m in person] for person in people]
    return np.array(rows, np.float32).reshape(len(rows), 33, 4)


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send what C++ code writes to standard error to the null device."""
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
