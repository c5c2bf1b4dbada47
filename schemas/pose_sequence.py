"""Poses of every person in every frame of a clip, as dense arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from schemas.checks import check_array
from schemas.skeleton import NUM_KEYPOINTS


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PoseSequence:
    """People in T frames; slot p of frame t is empty where its track id is -1.

    Empty slots have zeros everywhere else. People fill the slots from 0 on, best first.

    Raises:
        ValueError: If an array has another dtype or shape than stated.
    """

    keypoints: npt.NDArray[np.float32]
    """float32 [T, P, 17, 2], (x, y) in pixels of the frame; pixel centres are integers."""
    scores: npt.NDArray[np.float32]
    """float32 [T, P, 17], 0 to 1; 0 = not detected."""
    boxes: npt.NDArray[np.float32]
    """float32 [T, P, 4], (x0, y0, x1, y1) in pixels."""
    box_scores: npt.NDArray[np.float32]
    """float32 [T, P], 0 to 1; 0 = not found in this frame, but filled in between two others."""
    track_ids: npt.NDArray[np.int32]
    """int32 [T, P]; the same person keeps the same id; -1 = empty slot."""

    def __post_init__(self) -> None:
        check_array("track_ids", self.track_ids, dtype=np.int32, axes="T P")
        num_frames, num_slots = self.track_ids.shape
        size = {"T": num_frames, "P": num_slots}
        f32 = np.float32
        check_array(
            "keypoints", self.keypoints, dtype=f32, axes="T P K C", **size, K=NUM_KEYPOINTS, C=2
        )
        check_array("scores", self.scores, dtype=f32, axes="T P K", **size, K=NUM_KEYPOINTS)
        check_array("boxes", self.boxes, dtype=f32, axes="T P C", **size, C=4)
        check_array("box_scores", self.box_scores, dtype=f32, axes="T P", **size)

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return int(self.track_ids.shape[0])

    @property
    def is_filled(self) -> npt.NDArray[np.bool_]:
        """Which slots hold people who were not found: bool [T, P]."""
        filled: npt.NDArray[np.bool_] = (self.track_ids >= 0) & (self.box_scores == 0)
        return filled

    @property
    def num_people(self) -> npt.NDArray[np.int32]:
        """int32 [T]: people in each frame."""
        people: npt.NDArray[np.int32] = (self.track_ids >= 0).sum(axis=1).astype(np.int32)
        return people


def empty_pose_sequence(num_frames: int, num_slots: int = 0) -> PoseSequence:
    """Return a sequence of `num_frames` frames without people.

    Args:
        num_frames: T >= 0.
        num_slots: P >= 0, empty slots to make room for.

    Returns:
        A PoseSequence whose arrays may be filled by the caller.
    """
    shape = (num_frames, num_slots)
    return PoseSequence(
        keypoints=np.zeros((*shape, NUM_KEYPOINTS, 2), np.float32),
        scores=np.zeros((*shape, NUM_KEYPOINTS), np.float32),
        boxes=np.zeros((*shape, 4), np.float32),
        box_scores=np.zeros(shape, np.float32),
        track_ids=np.full(shape, -1, np.int32),
    )


def join_pose_sequences(windows: Sequence[PoseSequence]) -> PoseSequence:
    """Return the poses of consecutive windows of one clip as one sequence.

    Args:
        windows: At least one; the number of slots may differ, empty slots are added.

    Raises:
        ValueError: If windows is empty.
    """
    if not windows:
        raise ValueError("windows must have at least one pose sequence, got 0")
    num_slots = max(window.track_ids.shape[1] for window in windows)
    joined = empty_pose_sequence(sum(window.num_frames for window in windows), num_slots)
    start = 0
    for window in windows:
        rows = slice(start, start + window.num_frames)
        slots = slice(0, window.track_ids.shape[1])
        for name in ("keypoints", "scores", "boxes", "box_scores", "track_ids"):
            getattr(joined, name)[rows, slots] = getattr(window, name)
        start += window.num_frames
    return joined
