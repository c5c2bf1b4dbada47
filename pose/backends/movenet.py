"""Poses by Google's MoveNet in TensorFlow: one person per crop, or all people of a frame."""

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from pose.assets import locate_model, require_asset
from pose.backends.onnx import DetectorConfig, OnnxDetector
from pose.estimator import ClipPoseEstimator, FramePoses, PoseRequest, empty_frame_poses
from pose.following_estimator import FollowConfig, FollowingEstimator, Keypoints
from pose.model_spec import SpecName
from pose.one_stage import EveryFrameEstimator
from pose.onnx_model import OnnxProvider
from pose.person_boxes import PersonBoxes
from pose.tensorflow_model import Infer, hash_model, load_model
from pose.tiling import cut_square, square_around
from schemas.errors import ConfigError
from schemas.skeleton import NUM_KEYPOINTS

SINGLE_POSE = "movenet-lightning-int8"
"""Name of the single-pose model among the assets."""

_SINGLE_SIDE = 192  # of the input of the single-pose model
_MULTI_SIDE = 256  # longer side of the input of the multi-pose model
_MULTI_STEP = 32  # its sides are multiples of this
_BOX_VALUES = 5  # ymin, xmin, ymax, xmax, score follow the keypoints


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveNetConfig:
    """Options of the MoveNet back end."""

    kind: Literal["single-pose", "multi-pose"] = "single-pose"
    """What the model sees: one person at a time, found by a detector, or all people of a frame."""
    model: Path | None = None
    """TensorFlow Lite file or folder of a SavedModel; the fetched single-pose one if not given."""
    detector: str = "yolox-nano"
    """Finds the people for a single-pose model: a name of `perfnet-prep models list` or an ONNX
    file."""
    detector_spec: SpecName | None = None
    """What the detector's file is; not needed for a model by name."""
    provider: OnnxProvider = "cpu"
    """Where the detector runs; `cuda` needs onnxruntime-gpu."""
    boxes: DetectorConfig = field(default_factory=lambda: DetectorConfig(min_score=0.1))
    """Boxes of people."""
    crop_scale: float = 1.25
    """Side of the square that a single-pose model sees over the longer side of the box."""
    follow: FollowConfig = field(default_factory=FollowConfig)
    """How often people are searched for and how they are followed."""

    def __post_init__(self) -> None:
        if self.crop_scale < 1:
            raise ConfigError(f"crop_scale must be >= 1, got {self.crop_scale}")
        if self.kind == "multi-pose" and self.model is None:
            raise ConfigError("pose.movenet.model must be given for kind multi-pose, got none")


class MoveNetBackend:
    """A `PoseBackend` that runs MoveNet; it is loaded with the first frame.

    Args:
        config: Which model, and how it is used.

    Raises:
        ConfigError: If a model is missing, or onnxruntime where a detector is needed.
    """

    name = "movenet"

    def __init__(self, config: MoveNetConfig) -> None:
        self._config = config
        self._path = config.model if config.model is not None else require_asset(SINGLE_POSE)
        if not self._path.exists():
            raise ConfigError(f"pose.movenet.model must be a file or folder, got {self._path}")
        self._infer: Infer | None = None
        self._detector: OnnxDetector | None = None
        parts = [f"{hash_model(self._path)} {config.kind}"]
        if config.kind == "single-pose":
            place = locate_model("pose.movenet.detector", config.detector, config.detector_spec)
            self._detector = OnnxDetector(*place, config.provider, config.boxes)
            parts.append(f"{self._detector.model_hash} {self._detector.spec.head}")
        self.model_hash = hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def start_clip(self, request: PoseRequest) -> ClipPoseEstimator:  # noqa: ARG002 - protocol
        """Return an estimator without tracks; it uses the models of this back end."""
        if self._detector is None:
            return EveryFrameEstimator(self.find_people, self._config.follow)
        return FollowingEstimator(self._detector.find, self.estimate_keypoints, self._config.follow)

    @property
    def follow(self) -> FollowConfig:
        """How people are followed, and whom to keep."""
        return self._config.follow

    def find_boxes(self, frame: npt.NDArray[np.uint8]) -> PersonBoxes:
        """Return the boxes of the people in uint8 [H, W, 3] RGB.

        Raises:
            ConfigError: If the model finds all people of a frame without a detector.
        """
        if self._detector is None:
            raise ConfigError(f"back end {self.name} has no detector with a model of this kind")
        return self._detector.find(frame)

    def estimate_keypoints(
        self, frame: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]
    ) -> Keypoints:
        """Return the keypoints and scores of the people in float32 [P, 4] boxes of a frame."""
        empty = empty_frame_poses()
        points, scores = [empty.keypoints], [empty.scores]
        for box in boxes:
            square = square_around(box, scale=self._config.crop_scale)
            side = (_SINGLE_SIDE, _SINGLE_SIDE)
            rows = self._rows(cv2.resize(cut_square(frame, square), side), 3)  # [1, 51]
            found, sure = _keypoints(rows, width=square.side, height=square.side)
            points.append(found + np.array([square.left, square.top], np.float32))
            scores.append(sure)
        return np.concatenate(points), np.concatenate(scores)

    def find_people(self, frame: npt.NDArray[np.uint8]) -> FramePoses:
        """Return everybody in uint8 [H, W, 3] RGB, by a multi-pose model."""
        height, width = frame.shape[:2]
        scale = _MULTI_SIDE / max(height, width)
        inner_width, inner_height = max(round(width * scale), 1), max(round(height * scale), 1)
        padded = np.zeros((_ceil(inner_height), _ceil(inner_width), 3), np.uint8)
        padded[:inner_height, :inner_width] = cv2.resize(frame, (inner_width, inner_height))
        rows = self._rows(padded, _BOX_VALUES + 3 * NUM_KEYPOINTS)
        full = {"width": padded.shape[1] / scale, "height": padded.shape[0] / scale}
        points, scores = _keypoints(rows, **full)
        y0, x0, y1, x1, sure = rows[:, 3 * NUM_KEYPOINTS :].T
        size = np.array([full["width"], full["height"]] * 2, np.float32)
        boxes = np.stack((x0, y0, x1, y1), axis=-1) * size - np.float32(0.5)
        people = np.flatnonzero(sure >= self._config.boxes.min_score)
        return FramePoses(
            keypoints=points[people],
            scores=scores[people],
            boxes=boxes[people].astype(np.float32),
            box_scores=sure[people].clip(0, 1),
        )

    def close(self) -> None:
        """Free the models; a later frame loads them again."""
        self._infer = None
        if self._detector is not None:
            self._detector.close()

    def _rows(self, image: npt.NDArray[np.uint8], values: int) -> npt.NDArray[np.float32]:
        """float32 [people, numbers] that the model gives for uint8 [h, w, 3]."""
        if self._infer is None:
            self._infer = load_model(self._path)
        output = self._infer(image[None])
        if output.shape[-1] != values:
            raise ConfigError(
                f"pose.movenet.model must be of kind {self._config.kind} and give rows of "
                f"{values}, got output {list(output.shape)}"
            )
        return output.reshape(-1, values if values > 3 else 3 * NUM_KEYPOINTS)


def _keypoints(
    rows: npt.NDArray[np.float32], *, width: float, height: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Keypoints [P, 17, 2] in pixels and scores [P, 17] of rows of (y, x, score), 0 to 1."""
    triples = rows[:, : 3 * NUM_KEYPOINTS].reshape(-1, NUM_KEYPOINTS, 3)
    points = triples[..., 1::-1] * np.array([width, height], np.float32) - np.float32(0.5)
    return points.astype(np.float32), triples[..., 2].clip(0, 1)


def _ceil(pixels: int) -> int:
    """The next multiple of the step of the multi-pose model's input."""
    return math.ceil(pixels / _MULTI_STEP) * _MULTI_STEP
