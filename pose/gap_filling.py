"""Give people who are missing for a few frames the poses between those around the gap."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses, TrackedPoses, merge_frame_poses, stack_frames
from pose.oks import box_iou_matrix
from schemas.pose_sequence import PoseSequence

_SAME_PLACE_IOU = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class _Sighting:
    """A person in one frame."""

    frame: int
    """Number of the frame in the clip."""
    source_index: int
    pose: FramePoses
    """One person."""


class GapFiller:
    """Fills gaps in the tracks of one clip; poses come out `most_frames` frames after they went in.

    A person who comes back with its id moves evenly, in source frames, from the pose before the gap
    to the one after it. A keypoint is as sure as at the less sure end, and not detected if it is
    not at both. The score of the box is 0: nobody was found there (`PoseSequence.is_filled`). Where
    somebody else was found in the same place, nobody is filled in.

    Args:
        most_frames: Fill gaps of up to so many frames. >= 1.
        most_people: Nobody is filled into a frame with so many people. >= 1.
    """

    def __init__(self, *, most_frames: int, most_people: int) -> None:
        self._most_frames = most_frames
        self._most_people = most_people
        self._waiting: list[TrackedPoses] = []
        self._indices: list[int] = []  # of the source frames of those that wait
        self._num_given = 0
        self._seen: dict[int, _Sighting] = {}  # by id, where a gap may still be filled

    def add(self, poses: PoseSequence, source_indices: npt.NDArray[np.int64]) -> PoseSequence:
        """Take the poses of the next frames; return those that nothing can change any more.

        Args:
            poses: T frames. Not modified.
            source_indices: int64 [T], index of each frame in the source file.

        Returns:
            All frames so far that were not returned before, but for the last `most_frames`.
        """
        for frame, index in enumerate(source_indices.tolist()):
            self._add_frame(_frame_of(poses, frame), index)
        return self._give(max(len(self._waiting) - self._most_frames, 0))

    def finish(self) -> PoseSequence:
        """Return the frames that still wait: nobody comes back after them."""
        return self._give(len(self._waiting))

    def _add_frame(self, tracked: TrackedPoses, source_index: int) -> None:
        """Fill the gaps of those who are back."""
        now = self._num_given + len(self._waiting)
        self._waiting.append(tracked)
        self._indices.append(source_index)
        oldest = now - self._most_frames - 1
        self._seen = {track: each for track, each in self._seen.items() if each.frame >= oldest}
        for person, track in enumerate(tracked.track_ids.tolist()):
            after = _Sighting(now, source_index, tracked.poses.select([person]))
            if track in self._seen:
                self._fill(track, self._seen[track], after)
            self._seen[track] = after

    def _fill(self, track: int, before: _Sighting, after: _Sighting) -> None:
        """Put the person into the frames between."""
        for frame in range(before.frame + 1, after.frame):
            place = frame - self._num_given
            there = self._waiting[place]
            pose = _pose_between(before, after, self._indices[place])
            is_taken = (box_iou_matrix(pose.boxes, there.poses.boxes) >= _SAME_PLACE_IOU).any()
            if there.poses.num_people < self._most_people and not is_taken:
                self._waiting[place] = TrackedPoses(
                    poses=merge_frame_poses([there.poses, pose]),
                    track_ids=np.append(there.track_ids, np.int32(track)),
                )

    def _give(self, num_frames: int) -> PoseSequence:
        """Stop waiting with the first frames."""
        given, self._waiting = self._waiting[:num_frames], self._waiting[num_frames:]
        del self._indices[:num_frames]
        self._num_given += num_frames
        return stack_frames(given)


def _frame_of(poses: PoseSequence, frame: int) -> TrackedPoses:
    """The people of one frame."""
    here = np.flatnonzero(poses.track_ids[frame] >= 0)
    people = FramePoses(
        keypoints=poses.keypoints[frame, here],
        scores=poses.scores[frame, here],
        boxes=poses.boxes[frame, here],
        box_scores=poses.box_scores[frame, here],
    )
    return TrackedPoses(poses=people, track_ids=poses.track_ids[frame, here])


def _pose_between(before: _Sighting, after: _Sighting, source_index: int) -> FramePoses:
    """One person on its way, with score 0."""
    first, last = before.pose, after.pose
    part = np.float32(
        (source_index - before.source_index) / (after.source_index - before.source_index)
    )
    return FramePoses(
        keypoints=first.keypoints + part * (last.keypoints - first.keypoints),
        scores=np.minimum(first.scores, last.scores),
        boxes=first.boxes + part * (last.boxes - first.boxes),
        box_scores=np.zeros(1, np.float32),
    )
