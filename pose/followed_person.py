"""A person who is followed from frame to frame: box, crop, pose, and when it was estimated."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses
from pose.oks import box_iou_matrix
from pose.person_boxes import PersonBoxes

_SEEN_SCORE = 0.2  # keypoints below do not count in the score of a person
_SAME_BOX_IOU = 0.3  # least overlap of a detection with a person who is known
_DRIFTED_IOU = 0.5  # a followed box that overlaps less with the detection is replaced by it
_LEAST_SPREAD_PX = 1.0  # keypoints closer together do not say how a person grows
_MOST_GROWTH = 0.1  # of a box in one frame
_LEAST_SHARED = 4  # keypoints that say how a person has moved


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FollowedPerson:
    """One person of a clip, between two frames."""

    box: npt.NDArray[np.float32]
    """float32 [4], (x0, y0, x1, y1): where the person is."""
    crop_box: npt.NDArray[np.float32]
    """float32 [4]: the box that its crop is made for."""
    box_score: float
    """How sure the detector was, 0 to 1."""
    pose: FramePoses | None = None
    """The person in the last frame; None if it was not posed yet."""
    unseen_frames: int = 0
    """Frames since a search found it."""

    def estimated(
        self,
        keypoints: npt.NDArray[np.float32],
        scores: npt.NDArray[np.float32],
        *,
        size: tuple[int, ...],
    ) -> "FollowedPerson":
        """Return the person with new keypoints.

        The box moves and grows as the keypoints did since the frame before.

        Args:
            keypoints: float32 [17, 2] in pixels of the frame.
            scores: float32 [17], 0 to 1.
            size: (height, width) of the frame in pixels; keypoints outside get score 0.
        """
        limit = np.array([size[1], size[0]], np.float32) - np.float32(0.5)
        inside = ((keypoints >= -0.5) & (keypoints <= limit)).all(axis=-1)
        scores = (scores * inside).astype(np.float32)
        box = self.box
        if self.pose is not None:
            is_shared = (scores >= _SEEN_SCORE) & (self.pose.scores[0] >= _SEEN_SCORE)
            box = carry_box(box, self.pose.keypoints[0][is_shared], keypoints[is_shared])
        score = np.array([self.box_score * mean_seen_score(scores)], np.float32)
        pose = FramePoses(
            keypoints=keypoints[None], scores=scores[None], boxes=box[None], box_scores=score
        )
        return replace(self, box=box, pose=pose, unseen_frames=self.unseen_frames + 1)

    @property
    def score(self) -> float:
        """Score of the pose; 0 before there is one."""
        return 0.0 if self.pose is None else float(self.pose.box_scores[0])


def mean_seen_score(scores: npt.NDArray[np.float32]) -> float:
    """Return the mean of those of float32 [17] scores that say that a keypoint is there."""
    seen = scores[scores > _SEEN_SCORE]
    return float(seen.mean()) if seen.size else 0.0


def carry_box(
    box: npt.NDArray[np.float32],
    before: npt.NDArray[np.float32],
    after: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Move and scale a box as the keypoints of its person move and spread.

    Args:
        box: float32 [4], (x0, y0, x1, y1). Not modified.
        before: float32 [K, 2], keypoints in the frame of the box.
        after: float32 [K, 2], the same ones in the next frame.

    Returns:
        float32 [4]; the box as it was if there are too few keypoints to tell.
    """
    if len(before) < _LEAST_SHARED:
        return box
    spread_before = float(np.linalg.norm(before - before.mean(axis=0), axis=1).mean())
    spread_after = float(np.linalg.norm(after - after.mean(axis=0), axis=1).mean())
    growth = 1.0
    if spread_before >= _LEAST_SPREAD_PX:
        growth = float(np.clip(spread_after / spread_before, 1 - _MOST_GROWTH, 1 + _MOST_GROWTH))
    shift = np.median(after - before, axis=0)
    centre = (box[:2] + box[2:]) / 2 + shift
    half = (box[2:] - box[:2]) / 2 * growth
    return np.concatenate((centre - half, centre + half)).astype(np.float32)


def confirm_people(
    known: list[FollowedPerson],
    found: PersonBoxes,
    *,
    most_unseen_frames: int,
    min_new_score: float,
) -> list[FollowedPerson]:
    """Bring the people who are followed in line with what a search has found.

    Args:
        known: People of the frame before.
        found: Boxes of the people in this frame, best first.
        most_unseen_frames: Who was not found by a search for longer is let go.
        min_new_score: Who is not known and has a lower score is left out.

    Returns:
        Everybody who was found, best first, then those who were not. Who was known keeps its pose
        and its box, unless that has drifted off.
    """
    overlap = box_iou_matrix(
        found.boxes, np.array([each.box for each in known], np.float32).reshape(-1, 4)
    )
    people, matched = [], set[int]()
    for row, seen_box in enumerate(found.boxes):
        score = float(found.scores[row])
        free = [number for number in range(len(known)) if number not in matched]
        best = max(free, key=lambda number: overlap[row, number], default=None)
        if best is None or overlap[row, best] < _SAME_BOX_IOU:
            if score >= min_new_score:
                people.append(FollowedPerson(box=seen_box, crop_box=seen_box, box_score=score))
            continue
        matched.add(best)
        is_off = overlap[row, best] < _DRIFTED_IOU
        box = seen_box if is_off else known[best].box
        people.append(replace(known[best], box=box, box_score=score, unseen_frames=0))
    unseen = [known[number] for number in range(len(known)) if number not in matched]
    return people + [each for each in unseen if each.unseen_frames <= most_unseen_frames]
