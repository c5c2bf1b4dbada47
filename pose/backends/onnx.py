"""Poses by models in ONNX files: a person detector and a pose model, or one for both."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pose.assets import locate_model
from pose.estimator import ClipPoseEstimator, FramePoses, PoseRequest, empty_frame_poses
from pose.following_estimator import FollowConfig, FollowingEstimator, Keypoints
from pose.image_input import crop_matrix, cut_person, from_crop, letterbox
from pose.keypoint_maps import decode_keypoints
from pose.model_spec import CROP_HEADS, DETECTOR_HEADS, ModelSpec, SpecName
from pose.one_stage import EveryFrameEstimator, decode_people
from pose.onnx_model import OnnxModel, OnnxProvider
from pose.person_boxes import PersonBoxes, decode_boxes
from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorConfig:
    """How sure a person detector must be."""

    min_score: float = 0.2
    """Leave out boxes below this score."""
    max_iou: float = 0.6
    """Of two boxes that overlap by more (IoU), the worse one is left out."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"min_score must be 0 to 1, got {self.min_score}")
        if not 0 < self.max_iou <= 1:
            raise ConfigError(f"max_iou must be over 0 and at most 1, got {self.max_iou}")


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxConfig:
    """Options of the ONNX back end."""

    detector: str = "yolox-nano"
    """Person detector: a name of `perfnet-prep models list` or an ONNX file; not used where the
    estimator finds all people of a frame by itself."""
    detector_spec: SpecName | None = None
    """What the detector's file is; not needed for a model by name."""
    estimator: str = "tinypose-256x192"
    """Pose model: a name of `perfnet-prep models list` or an ONNX file."""
    estimator_spec: SpecName | None = None
    """What the estimator's file is; not needed for a model by name."""
    provider: OnnxProvider = "cpu"
    """Where the models run; `cuda` needs onnxruntime-gpu."""
    boxes: DetectorConfig = field(default_factory=DetectorConfig)
    """Boxes of people."""
    follow: FollowConfig = field(default_factory=FollowConfig)
    """How often people are searched for and how they are followed."""


class OnnxDetector:
    """Finds the people in a frame.

    Args:
        path: The ONNX file.
        spec: What it is.
        provider: Where to run it.
        config: How sure it must be.

    Raises:
        ConfigError: If the spec is not one of a detector, or the model cannot be used.
    """

    def __init__(
        self, path: Path, spec: ModelSpec, provider: OnnxProvider, config: DetectorConfig
    ) -> None:
        if spec.head not in DETECTOR_HEADS:
            raise ConfigError(
                f"detector must be a model with head {', '.join(DETECTOR_HEADS)}, got {spec.head}"
            )
        self._model = OnnxModel(path, provider)
        self.spec = spec
        self._config = config
        self.model_hash = self._model.model_hash

    def find(self, frame: npt.NDArray[np.uint8]) -> PersonBoxes:
        """Return the boxes of the people in uint8 [H, W, 3] RGB."""
        batch, placement = letterbox(frame, self.spec)
        outputs = self._model.run(batch)
        limits = self._config
        return decode_boxes(
            outputs, self.spec, placement, min_score=limits.min_score, max_iou=limits.max_iou
        )

    def close(self) -> None:
        """Free the model."""
        self._model.close()


class OnnxBackend:
    """A `PoseBackend` that runs models in onnxruntime; they are loaded with the first frame.

    Args:
        config: Which models, and how they are used.

    Raises:
        ConfigError: If onnxruntime or a model is missing, or a model is of the wrong kind.
    """

    name = "onnx"

    def __init__(self, config: OnnxConfig) -> None:
        self._config = config
        path, spec = locate_model("pose.onnx.estimator", config.estimator, config.estimator_spec)
        if spec.head in DETECTOR_HEADS:
            raise ConfigError(f"estimator must be a model of poses, got one with head {spec.head}")
        self._spec = spec
        self._model = OnnxModel(path, config.provider)
        self._detector: OnnxDetector | None = None
        if spec.head in CROP_HEADS:
            place = locate_model("pose.onnx.detector", config.detector, config.detector_spec)
            self._detector = OnnxDetector(*place, config.provider, config.boxes)
        self.model_hash = self._hash()

    def _hash(self) -> str:
        parts = [f"{self._model.model_hash} {self._spec.head}"]
        if self._detector is not None:
            parts.append(f"{self._detector.model_hash} {self._detector.spec.head}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

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
        matrices = [crop_matrix(box, self._spec) for box in boxes]
        points, scores = [], []
        for matrix in matrices:  # one by one: a batch is no faster on a CPU, and depends on P
            outputs = self._model.run(cut_person(frame, matrix, self._spec)[None])
            found, sure = decode_keypoints(outputs, self._spec)
            points.append(from_crop(found[0], matrix))
            scores.append(sure[0])
        empty = empty_frame_poses()
        if not matrices:
            return empty.keypoints, empty.scores
        return np.stack(points), np.stack(scores)

    def find_people(self, frame: npt.NDArray[np.uint8]) -> FramePoses:
        """Return everybody in uint8 [H, W, 3] RGB, by a model that needs no detector."""
        batch, placement = letterbox(frame, self._spec)
        limits = self._config.boxes
        return decode_people(
            self._model.run(batch),
            self._spec,
            placement,
            min_score=limits.min_score,
            max_iou=limits.max_iou,
        )

    def close(self) -> None:
        """Free the models; a later frame loads them again."""
        self._model.close()
        if self._detector is not None:
            self._detector.close()
