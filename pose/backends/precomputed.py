"""Read poses that were estimated elsewhere instead of estimating them."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from pose.estimator import (
    ClipPoseEstimator,
    FramePoses,
    PoseRequest,
    TrackedPoses,
    best_first,
    empty_frame_poses,
    stack_frames,
)
from pose.recorded import RecordedPoses, annotations_of, from_json, from_pickle_annotation
from pose.restricted_pickle import load_arrays
from pose.track import Tracker, TrackerConfig
from schemas.checks import check_array
from schemas.errors import ConfigError, RecordError
from schemas.outcome import Outcome
from schemas.pose_sequence import PoseSequence

_PICKLE_SUFFIXES = (".pkl", ".pickle")


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecomputedConfig:
    """Options of poses that are read from files."""

    min_person_score: float = 0.0
    """Drop people below this score."""
    max_people: int = 10
    """Keep at most this many people per frame, the best ones."""
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    """Who is who from frame to frame, where the file does not say it."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_person_score <= 1:
            raise ConfigError(f"min_person_score must be 0 to 1, got {self.min_person_score}")
        if self.max_people < 1:
            raise ConfigError(f"max_people must be >= 1, got {self.max_people}")


class PrecomputedBackend:
    """A `PoseBackend` that reads a pickle, a JSON file, or a folder of one JSON per video.

    A clip is found by `frame_dir` (pickle) or file stem (JSON), which must equal the clip id,
    the media id, or the path of the video without suffix, with or without its folders.

    Args:
        path: PYSKL / mmaction2 pickle (`.pkl`), JSON file, or folder of JSON files.
        config: Options.

    Raises:
        ConfigError: If the path does not exist or is of another kind, a folder holds no JSON
            file, or a pickle is damaged or names anything but arrays and containers.
    """

    name = "precomputed"

    def __init__(self, path: Path, config: PrecomputedConfig) -> None:
        self._path = path
        self._config = config
        self._annotations: dict[str, dict[str, Any]] | dict[str, Path]
        if path.is_dir():
            files = sorted(path.glob("*.json"))
            if not files:
                raise ConfigError(f"pose folder must hold .json files, got none in {path}")
            self._annotations = {file.stem: file for file in files}
            self.model_hash = _hash_files(files)
            return
        if not path.is_file():
            raise ConfigError(f"pose file must exist, got {path}")
        self.model_hash = _hash_files([path])
        if path.suffix in _PICKLE_SUFFIXES:
            document = load_arrays(path.read_bytes(), source=str(path))
            self._annotations = annotations_of(document, source=str(path))
        elif path.suffix == ".json":
            self._annotations = {path.stem: path}
        else:
            raise ConfigError(f"pose file must be .pkl, .pickle or .json, got {path}")

    def start_clip(self, request: PoseRequest) -> ClipPoseEstimator:
        """Return the estimator of one clip.

        Raises:
            RecordError: If the file has no poses for the clip, or malformed ones (POSE_FAILED).
        """
        names = clip_names(request)
        found = next((self._annotations[name] for name in names if name in self._annotations), None)
        if found is None:
            raise RecordError(
                "",
                Outcome.POSE_FAILED,
                f"{self._path} has no poses for any of {', '.join(names)}; add them, "
                "or estimate poses with the mediapipe back end",
            )
        try:
            recorded = (
                from_json(json.loads(found.read_text(encoding="utf-8")))
                if isinstance(found, Path)
                else from_pickle_annotation(found)
            )
        except (ValueError, TypeError, IndexError) as error:  # of the file's content, not of ours
            raise RecordError(
                "", Outcome.POSE_FAILED, f"poses in {self._path} are malformed: {error}"
            ) from error
        return _RecordedClip(recorded, request, self._config)

    def close(self) -> None:
        """Do nothing: no model is held."""


class _RecordedClip:
    """A `ClipPoseEstimator` that looks up recorded poses."""

    def __init__(
        self, recorded: RecordedPoses, request: PoseRequest, config: PrecomputedConfig
    ) -> None:
        self._recorded = recorded
        self._request = request
        self._config = config
        self._tracker = Tracker(config.tracker)
        self._last_index: int | None = None
        self._last = TrackedPoses(poses=empty_frame_poses(), track_ids=np.zeros(0, np.int32))

    def estimate(
        self, frames: npt.NDArray[np.uint8], source_indices: npt.NDArray[np.int64]
    ) -> PoseSequence:
        """Return the recorded poses of the next frames, scaled to the size of the frames.

        A source index after the last recorded frame gets the poses of the last one, because
        other decoders count a few frames less; in a JSON results list, whose length is unknown,
        it gets no people.

        Args:
            frames: uint8 [T, H, W, 3] RGB; only T counts.
            source_indices: int64 [T].

        Returns:
            T frames of poses in pixels of the frames.

        Raises:
            ValueError: If the arrays have another dtype or shape than stated.
        """
        check_array("frames", frames, dtype=np.uint8, axes="T H W C", C=3)
        check_array("source_indices", source_indices, dtype=np.int64, axes="T", T=len(frames))
        tracked = []
        for index in source_indices.tolist():
            if index != self._last_index:
                self._last = self._look_up(index)
                self._last_index = index
            tracked.append(self._last)
        return stack_frames(tracked)

    def _look_up(self, index: int) -> TrackedPoses:
        """The people of one source frame, best first, with ids."""
        recorded = self._recorded
        last = len(recorded.frames) - 1
        if last < 0 or (index > last and not recorded.is_complete):
            return TrackedPoses(
                poses=empty_frame_poses(), track_ids=self._tracker.update(empty_frame_poses())
            )
        place = min(max(index, 0), last)
        poses = recorded.frames[place]
        order = best_first(poses)
        strong = order[poses.box_scores[order] >= self._config.min_person_score]
        kept = strong[: self._config.max_people]
        people = self._scaled(poses.select(kept))
        if recorded.track_ids is not None:
            return TrackedPoses(poses=people, track_ids=recorded.track_ids[place][kept])
        return TrackedPoses(poses=people, track_ids=self._tracker.update(people))

    def _scaled(self, poses: FramePoses) -> FramePoses:
        """Poses in pixels of the frames; keypoints outside of them get score 0."""
        request = self._request
        width, height = self._recorded.size or (request.source_width, request.source_height)
        scale = np.array([request.frame_width / width, request.frame_height / height], np.float32)
        half = np.float32(0.5)
        limit = np.array([request.frame_width, request.frame_height], np.float32) - half
        keypoints = (poses.keypoints + half) * scale - half
        inside = ((keypoints >= -half) & (keypoints <= limit)).all(axis=-1)
        corners = (poses.boxes.reshape(-1, 2, 2) + half) * scale - half
        return FramePoses(
            keypoints=keypoints,
            scores=poses.scores * inside,
            boxes=corners.clip(-half, limit).reshape(-1, 4),
            box_scores=poses.box_scores,
        )


def clip_names(request: PoseRequest) -> tuple[str, ...]:
    """Return the names under which the poses of a clip are looked for, in this order."""
    path = PurePosixPath(request.relative_path.replace("\\", "/"))
    names = (request.clip_id, request.media_id, str(path.with_suffix("")), path.stem)
    return tuple(dict.fromkeys(name for name in names if name))


def _hash_files(files: list[Path]) -> str:
    """SHA-256 hex digest of one file, or of the names and digests of several."""
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    if len(files) == 1:
        return digests[0]
    lines = [f"{digest}  {file.name}\n" for digest, file in zip(digests, files, strict=True)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
