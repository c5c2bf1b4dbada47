"""Estimate a clip with a person detector and a model that sees one person at a time.

The detector runs where the picture has changed enough; in the frames between, people are followed
by their own poses. The crop of a person stays the same until the person has moved on: such models
answer to a shift of the crop by one hundredth with a visibly different pose, and a crop that
follows every tremble of a box makes the pose tremble.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from pose.estimator import (
    FramePoses,
    TrackedPoses,
    empty_frame_poses,
    merge_frame_poses,
    stack_frames,
)
from pose.followed_person import FollowedPerson, confirm_people
from pose.oks import box_iou_matrix, distinct_people
from pose.person_boxes import PersonBoxes
from pose.search_clock import SearchClock
from pose.track import Tracker, TrackerConfig
from schemas.checks import check_array
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence

FindPeople = Callable[[npt.NDArray[np.uint8]], PersonBoxes]
"""Frame uint8 [H, W, 3] RGB in, boxes of the people in it out."""

Keypoints = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Keypoints float32 [P, 17, 2] in pixels of the frame, and their scores float32 [P, 17]."""

EstimateKeypoints = Callable[[npt.NDArray[np.uint8], npt.NDArray[np.float32]], Keypoints]
"""Frame uint8 [H, W, 3] RGB and boxes float32 [P, 4] in, keypoints of these people out."""

_DOUBT_FRAMES = 5  # search again so soon where somebody was lost or may be a person


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowConfig:
    """How often people are searched for and how they are followed."""

    detect_every: int = 20
    """Search for people at least in every n-th frame; in others where the picture changes."""
    detect_after_change: float = 60.0
    """Search again when the changes from frame to frame add up to so many grey levels."""
    hold_box_iou: float = 0.8
    """A person's crop stays while the box overlaps by this (IoU) with the one it was made for."""
    duplicate_oks: float = 0.9
    """Two poses of a frame at least this similar (OKS) are one person."""
    most_unseen_frames: int = 25
    """Who is followed but not found by a search for more frames than this is let go."""
    min_person_score: float = 0.25
    """Least score of a new person: score of its box times mean score of the keypoints seen."""
    keep_person_score: float = 0.15
    """Least score to follow a person who is known; under `min_person_score`, so that people do
    not come and go with every tremble of their score."""
    max_people: int = 10
    """Keep at most this many people per frame, the best ones."""
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    """Who is who from frame to frame."""

    def __post_init__(self) -> None:
        for name in ("detect_every", "max_people"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not self.detect_after_change > 0:
            raise ConfigError(f"detect_after_change must be > 0, got {self.detect_after_change}")
        for name in ("hold_box_iou", "duplicate_oks"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be over 0 and at most 1, got {getattr(self, name)}")
        if self.most_unseen_frames < 0:
            raise ConfigError(f"most_unseen_frames must be >= 0, got {self.most_unseen_frames}")
        if not 0 <= self.keep_person_score <= self.min_person_score <= 1:
            raise ConfigError(
                "keep_person_score must be 0 to min_person_score, and that at most 1, got "
                f"{self.keep_person_score} and {self.min_person_score}"
            )


class FollowingEstimator:
    """A `ClipPoseEstimator` on top of a detector and a model for one person at a time.

    A frame with the source index of its predecessor repeats its poses and takes no time.

    Args:
        find: Finds boxes of people; must not remember anything between calls.
        estimate: Finds the keypoints in boxes; the same.
        config: How often to do either.
    """

    def __init__(self, find: FindPeople, estimate: EstimateKeypoints, config: FollowConfig) -> None:
        self._find = find
        self._estimate = estimate
        self._config = config
        self._clock = SearchClock(
            most_frames=config.detect_every, change_levels=config.detect_after_change
        )
        self._tracker = Tracker(config.tracker)
        self._people: list[FollowedPerson] = []
        self._last_index: int | None = None
        self._last = TrackedPoses(poses=empty_frame_poses(), track_ids=np.zeros(0, np.int32))

    def estimate(
        self, frames: npt.NDArray[np.uint8], source_indices: npt.NDArray[np.int64]
    ) -> PoseSequence:
        """Return the poses of the next frames of the clip.

        Args:
            frames: uint8 [T, H, W, 3] RGB. Not modified.
            source_indices: int64 [T], index of each frame in the source file.

        Returns:
            T frames of poses in pixels of `frames`.

        Raises:
            ValueError: If the arrays have another dtype or shape than stated.
        """
        check_array("frames", frames, dtype=np.uint8, axes="T H W C", C=3)
        check_array("source_indices", source_indices, dtype=np.int64, axes="T", T=len(frames))
        tracked = []
        for frame, index in zip(frames, source_indices.tolist(), strict=True):
            if index != self._last_index:
                self._last = self._next_frame(frame)
                self._last_index = index
            tracked.append(self._last)
        return stack_frames(tracked)

    def _next_frame(self, frame: npt.NDArray[np.uint8]) -> TrackedPoses:
        """Search or follow in [H, W, 3]."""
        known = self._people
        if self._clock.is_due(frame):
            known = confirm_people(
                known,
                self._find(frame),
                most_unseen_frames=self._config.most_unseen_frames,
                min_new_score=self._config.min_person_score,  # a pose makes no box surer
            )
        people = self._posed(frame, [self._hold_crop(person) for person in known])
        poses = merge_frame_poses(person.pose for person in people if person.pose is not None)
        kept = self._best_people(poses, [person.score for person in known])
        self._look_out(known, people, kept)
        self._people = [people[index] for index in kept]
        poses = poses.select(kept)
        return TrackedPoses(poses=poses, track_ids=self._tracker.update(poses))

    def _look_out(
        self, known: list[FollowedPerson], people: list[FollowedPerson], kept: list[int]
    ) -> None:
        """Search soon if somebody was lost, or may turn out to be a person."""
        for index in set(range(len(people))) - set(kept):
            is_lost = known[index].pose is not None
            if is_lost or people[index].score >= self._config.keep_person_score:
                self._clock.search_within(_DOUBT_FRAMES)

    def _hold_crop(self, person: FollowedPerson) -> FollowedPerson:
        """The person with the crop of the frame before, unless it has moved on."""
        overlap = box_iou_matrix(person.crop_box[None], person.box[None])[0, 0]
        if overlap >= self._config.hold_box_iou:
            return person
        return replace(person, crop_box=person.box)

    def _posed(
        self, frame: npt.NDArray[np.uint8], people: list[FollowedPerson]
    ) -> list[FollowedPerson]:
        """The people with their poses in this frame."""
        boxes = np.array([person.crop_box for person in people], np.float32).reshape(-1, 4)
        points, scores = self._estimate(frame, boxes)
        size = frame.shape[:2]
        return [
            person.estimated(points[index], scores[index], size=size)
            for index, person in enumerate(people)
        ]

    def _best_people(self, poses: FramePoses, scores_before: list[float]) -> list[int]:
        """Different people with a sufficient score, best first."""
        config = self._config
        distinct = distinct_people(poses, threshold=config.duplicate_oks)
        strong = [
            person
            for person in distinct
            if poses.box_scores[person]
            >= (config.keep_person_score if scores_before[person] else config.min_person_score)
        ]
        return strong[: config.max_people]
