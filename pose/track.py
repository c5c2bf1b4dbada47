"""Give the same person the same number from frame to frame."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses, best_first, empty_frame_poses, merge_frame_poses
from pose.oks import box_iou_matrix, oks_matrix
from schemas.errors import ConfigError

_VELOCITY_MEMORY = 0.5  # weight of the velocity so far against the newest step
_MAX_EXTRAPOLATED_FRAMES = 4  # a person unseen for longer is looked for where it would be by then


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackerConfig:
    """When two poses of different frames are the same person."""

    min_similarity: float = 0.2
    """Least mean of object keypoint similarity and box overlap (IoU) to be the same person."""
    max_missed_frames: int = 8
    """A person unseen for more frames than this gets a new id when it comes back."""

    def __post_init__(self) -> None:
        if not 0 < self.min_similarity <= 1:
            raise ConfigError(
                f"min_similarity must be over 0 and at most 1, got {self.min_similarity}"
            )
        if self.max_missed_frames < 0:
            raise ConfigError(f"max_missed_frames must be >= 0, got {self.max_missed_frames}")


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedPerson:
    """A known person in the next frame."""

    track_id: int
    pose: FramePoses
    """One person, where it is expected."""
    missed_frames: int
    """Frames since it was seen; 0 for one of the last frame."""


@dataclass(frozen=True, slots=True, eq=False)
class _Track:
    """A person: where it was last seen, how it moves, and since when it is unseen."""

    track_id: int
    pose: FramePoses
    """One person."""
    velocity: npt.NDArray[np.float32]
    """float32 [2], pixels per frame."""
    missed_frames: int

    def predicted_pose(self) -> FramePoses:
        """The pose in the next frame if the person keeps moving as it did."""
        steps = min(self.missed_frames + 1, _MAX_EXTRAPOLATED_FRAMES)
        return _shifted(self.pose, self.velocity * np.float32(steps))


class Tracker:
    """Ids of the people of one clip; feed it every frame, in order.

    People are paired with tracks by descending similarity to where the track is expected
    (constant velocity); ties go to the older track. The result depends on nothing but the frames.

    Args:
        config: Thresholds.
    """

    def __init__(self, config: TrackerConfig) -> None:
        self._config = config
        self._tracks: list[_Track] = []  # by ascending id
        self._next_id = 0

    def expected(self, *, max_missed_frames: int) -> list[ExpectedPerson]:
        """Return the known people as expected in the next frame, oldest track first.

        Args:
            max_missed_frames: Leave out people unseen for more frames than this.
        """
        return [
            ExpectedPerson(track.track_id, track.predicted_pose(), track.missed_frames)
            for track in self._tracks
            if track.missed_frames <= max_missed_frames
        ]

    def update(self, poses: FramePoses) -> npt.NDArray[np.int32]:
        """Return the id of each person of the next frame.

        Args:
            poses: P different people. Not modified.

        Returns:
            int32 [P]; new people get the next numbers from 0 on, best first.
        """
        expected = merge_frame_poses(track.predicted_pose() for track in self._tracks)
        pairs = match_people(
            expected, poses, min_similarity=self._config.min_similarity
        )  # track -> person
        ids = np.full(poses.num_people, -1, np.int32)
        tracks = []
        for number, track in enumerate(self._tracks):
            if number in pairs:
                ids[pairs[number]] = track.track_id
                tracks.append(_seen(track, poses.select([pairs[number]])))
            elif track.missed_frames < self._config.max_missed_frames:
                tracks.append(
                    _Track(track.track_id, track.pose, track.velocity, track.missed_frames + 1)
                )
        for person in best_first(poses).tolist():
            if ids[person] < 0:
                ids[person] = self._next_id
                tracks.append(
                    _Track(self._next_id, poses.select([person]), np.zeros(2, np.float32), 0)
                )
                self._next_id += 1
        self._tracks = tracks
        return ids


def match_people(
    expected: FramePoses, poses: FramePoses, *, min_similarity: float
) -> dict[int, int]:
    """Pair people of two frames, the most similar pair first.

    Args:
        expected: P people.
        poses: Q people.
        min_similarity: Least similarity of a pair, over 0 to 1.

    Returns:
        Index into `expected` -> index into `poses`; each index at most once.
    """
    similarity = (
        oks_matrix(expected, poses) + box_iou_matrix(expected.boxes, poses.boxes)
    ) / 2  # [P, Q]
    pairs: dict[int, int] = {}
    for flat in np.argsort(-similarity, axis=None, kind="stable").tolist():
        first, second = divmod(flat, poses.num_people)
        if similarity[first, second] < min_similarity:
            break
        if first not in pairs and second not in pairs.values():
            pairs[first] = second
    return pairs


def _seen(track: _Track, pose: FramePoses) -> _Track:
    """The track after it was seen again."""
    step = _displacement(track.pose, pose) / np.float32(track.missed_frames + 1)
    velocity = _VELOCITY_MEMORY * track.velocity + (1 - _VELOCITY_MEMORY) * step
    return _Track(track.track_id, pose, velocity.astype(np.float32), 0)


def _displacement(before: FramePoses, after: FramePoses) -> npt.NDArray[np.float32]:
    """Mean motion float32 [2] of the keypoints of one person that are seen in both frames."""
    shared = (before.scores[0] > 0) & (after.scores[0] > 0)
    if not shared.any():
        return np.zeros(2, np.float32)
    motion: npt.NDArray[np.float32] = (after.keypoints - before.keypoints)[0, shared].mean(axis=0)
    return motion


def _shifted(pose: FramePoses, shift: npt.NDArray[np.float32]) -> FramePoses:
    """The people moved by (x, y) pixels."""
    if not pose.num_people:
        return empty_frame_poses()
    return FramePoses(
        keypoints=pose.keypoints + shift,
        scores=pose.scores,
        boxes=pose.boxes + np.tile(shift, 2),
        box_scores=pose.box_scores,
    )
