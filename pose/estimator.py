"""What a pose back end is: clip in, windows of frames in, poses of every person out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from schemas.checks import check_array
from schemas.pose_sequence import PoseSequence, empty_pose_sequence
from schemas.skeleton import NUM_KEYPOINTS


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseRequest:
    """The clip whose poses are wanted."""

    clip_id: str
    """Identity of the clip."""
    media_id: str
    """Identity of the video that the clip is a piece of."""
    relative_path: str
    """Path of the video file as annotated."""
    frame_width: int
    """Width in pixels of the frames that `estimate` gets, and of the poses it returns."""
    frame_height: int
    """Height of the same frames."""
    source_width: int
    """Width in pixels of the video as displayed."""
    source_height: int
    """Height of the video as displayed."""

    @classmethod
    def for_frames(cls, name: str, frames: npt.NDArray[np.uint8]) -> "PoseRequest":
        """Return the request for frames that are of no data set, in the size of their video.

        Args:
            name: Stands for clip, video and path.
            frames: uint8 [T, H, W, 3].
        """
        height, width = frames.shape[1:3]
        return cls(
            clip_id=name,
            media_id=name,
            relative_path=name,
            frame_width=width,
            frame_height=height,
            source_width=width,
            source_height=height,
        )


class ClipPoseEstimator(Protocol):
    """Estimates the poses of one clip, window by window."""

    def estimate(
        self, frames: npt.NDArray[np.uint8], source_indices: npt.NDArray[np.int64]
    ) -> PoseSequence:
        """Return the poses of the next frames of the clip.

        Windows follow each other without gap or overlap. The result for a frame does not depend
        on where the windows are cut.

        Args:
            frames: uint8 [T, H, W, 3] RGB. Not modified.
            source_indices: int64 [T], index of each frame in the order the source file decodes.

        Returns:
            T frames of poses in pixels of `frames`; P is the largest number of people in a frame.

        Raises:
            RecordError: If the clip has no poses to give (outcome POSE_FAILED, empty clip id).
            ValueError: If the arrays have another dtype or shape than stated.
        """
        ...


class PoseBackend(Protocol):
    """A source of poses, made once per process."""

    @property
    def name(self) -> str:
        """Short name, stored with every record."""
        ...

    @property
    def model_hash(self) -> str:
        """SHA-256 hex digest of the model file, or of the poses that are read."""
        ...

    def start_clip(self, request: PoseRequest) -> ClipPoseEstimator:
        """Return the estimator of one clip; it starts without tracks.

        Raises:
            RecordError: If the clip is unknown to the back end (outcome POSE_FAILED).
        """
        ...

    def close(self) -> None:
        """Free the model; the back end cannot be used afterwards."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FramePoses:
    """The people in one frame.

    Raises:
        ValueError: If an array has another dtype or shape than stated.
    """

    keypoints: npt.NDArray[np.float32]
    """float32 [P, 17, 2], (x, y) in pixels; pixel centres are integers."""
    scores: npt.NDArray[np.float32]
    """float32 [P, 17], 0 to 1; 0 = not detected."""
    boxes: npt.NDArray[np.float32]
    """float32 [P, 4], (x0, y0, x1, y1) in pixels."""
    box_scores: npt.NDArray[np.float32]
    """float32 [P], 0 to 1."""

    def __post_init__(self) -> None:
        f32, k, p = np.float32, NUM_KEYPOINTS, self.keypoints.shape[0]
        check_array("keypoints", self.keypoints, dtype=f32, axes="P K C", K=k, C=2)
        check_array("scores", self.scores, dtype=f32, axes="P K", P=p, K=k)
        check_array("boxes", self.boxes, dtype=f32, axes="P C", P=p, C=4)
        check_array("box_scores", self.box_scores, dtype=f32, axes="P", P=p)

    @property
    def num_people(self) -> int:
        """Number of people P."""
        return int(self.keypoints.shape[0])

    def select(self, people: Sequence[int] | npt.NDArray[np.intp]) -> "FramePoses":
        """Return the people at these indices, in this order."""
        index = np.asarray(people, np.intp)
        return FramePoses(
            keypoints=self.keypoints[index],
            scores=self.scores[index],
            boxes=self.boxes[index],
            box_scores=self.box_scores[index],
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrackedPoses:
    """The people in one frame and who they are."""

    poses: FramePoses
    """P people."""
    track_ids: npt.NDArray[np.int32]
    """int32 [P], all >= 0 and different."""


def empty_frame_poses() -> FramePoses:
    """Return a frame without people."""
    return FramePoses(
        keypoints=np.zeros((0, NUM_KEYPOINTS, 2), np.float32),
        scores=np.zeros((0, NUM_KEYPOINTS), np.float32),
        boxes=np.zeros((0, 4), np.float32),
        box_scores=np.zeros(0, np.float32),
    )


def merge_frame_poses(parts: Iterable[FramePoses]) -> FramePoses:
    """Return the people of all parts of one frame, in the order given."""
    parts = [empty_frame_poses(), *parts]
    return FramePoses(
        keypoints=np.concatenate([part.keypoints for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        boxes=np.concatenate([part.boxes for part in parts]),
        box_scores=np.concatenate([part.box_scores for part in parts]),
    )


def best_first(poses: FramePoses) -> npt.NDArray[np.intp]:
    """Return int [P]: the people from the highest box score to the lowest; ties keep order."""
    return np.argsort(-poses.box_scores, kind="stable")


def stack_frames(frames: Sequence[TrackedPoses]) -> PoseSequence:
    """Return the frames of a window as one dense sequence, best people first in each frame.

    Args:
        frames: T frames of tracked people.

    Returns:
        T frames with as many slots as the fullest frame has people.
    """
    num_slots = max((frame.poses.num_people for frame in frames), default=0)
    sequence = empty_pose_sequence(len(frames), num_slots)
    for t, frame in enumerate(frames):
        order = best_first(frame.poses)
        poses = frame.poses.select(order)
        sequence.keypoints[t, : len(order)] = poses.keypoints
        sequence.scores[t, : len(order)] = poses.scores
        sequence.boxes[t, : len(order)] = poses.boxes
        sequence.box_scores[t, : len(order)] = poses.box_scores
        sequence.track_ids[t, : len(order)] = frame.track_ids[order]
    return sequence
