"""Figures of poses over time: how they tremble, how ids hold, who is there, who differs."""

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses
from pose.oks import box_areas, box_iou_matrix, oks_matrix
from schemas.pose_sequence import PoseSequence

DRAWN_SCORE = 0.3
"""Keypoints below are not drawn, and not compared."""
ALIKE_OKS = 0.95
"""Two results for a person that are less similar differ."""
_SAME_PLACE_IOU = 0.5
_SAME_PERSON_IOU = 0.3


def people_of(poses: PoseSequence, frame: int) -> FramePoses:
    """Return the people of one frame; keypoints that are not drawn get score 0."""
    here = np.flatnonzero(poses.track_ids[frame] >= 0)
    scores = poses.scores[frame, here]
    return FramePoses(
        keypoints=poses.keypoints[frame, here],
        scores=(scores * (scores >= DRAWN_SCORE)).astype(np.float32),
        boxes=poses.boxes[frame, here],
        box_scores=poses.box_scores[frame, here],
    )


def differing_people(poses: PoseSequence, reference: PoseSequence) -> npt.NDArray[np.bool_]:
    """Return bool [N]: who of the reference is not found with OKS .95 in the same frame.

    Args:
        poses: T frames.
        reference: T frames with N people who have a keypoint that is drawn.
    """
    differ = []
    for frame in range(reference.num_frames):
        wanted, found = people_of(reference, frame), people_of(poses, frame)
        wanted = wanted.select(np.flatnonzero(wanted.scores.any(axis=1)))
        best = oks_matrix(wanted, found).max(axis=1, initial=0.0)
        differ.extend((best < ALIKE_OKS).tolist())
    return np.array(differ, bool)


def people_there(
    poses: PoseSequence, truth: PoseSequence
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Compare who is found with who is there, by the overlap of boxes in the same frame.

    Args:
        poses: T frames with P people.
        truth: T frames with Q people.

    Returns:
        bool [Q], who is found, and bool [P], who is there.
    """
    found, right = [], []
    for frame in range(truth.num_frames):
        overlap = box_iou_matrix(people_of(truth, frame).boxes, people_of(poses, frame).boxes)
        found.extend((overlap.max(axis=1, initial=0.0) >= _SAME_PERSON_IOU).tolist())
        right.extend((overlap.max(axis=0, initial=0.0) >= _SAME_PERSON_IOU).tolist())
    return np.array(found, bool), np.array(right, bool)


def box_tremble(poses: PoseSequence) -> npt.NDArray[np.float64]:
    """Return float64 [N]: squares of the errors of the sides of boxes over the size of the box.

    From the second difference over three frames, whose variance is six times that of a side.
    """
    errors = [np.zeros(0)]
    for frame in range(1, poses.num_frames - 1):
        slots = [_slots(poses, frame + step) for step in (-1, 0, 1)]
        for track in slots[0].keys() & slots[1].keys() & slots[2].keys():
            boxes = [poses.boxes[frame - 1 + step, slots[step][track]] for step in range(3)]
            sides = np.tile(boxes[1][2:] - boxes[1][:2], 2)
            errors.append(((boxes[0] - 2 * boxes[1] + boxes[2]) / sides) ** 2 / 6)
    return np.concatenate(errors)


def jitter(poses: PoseSequence) -> float:
    """Return how much keypoints tremble: the mean second difference over the size of the person.

    In per cent of the square root of the area of the box; 0 for people who move evenly. NaN where
    nobody is followed through three frames.
    """
    values = []
    for frame in range(1, poses.num_frames - 1):
        slots = [_slots(poses, frame + step) for step in (-1, 0, 1)]
        for track in slots[0].keys() & slots[1].keys() & slots[2].keys():
            points, scores = zip(
                *(
                    (
                        poses.keypoints[frame + step, slots[step + 1][track]],
                        poses.scores[frame + step, slots[step + 1][track]],
                    )
                    for step in (-1, 0, 1)
                ),
                strict=True,
            )
            drawn = np.min(scores, axis=0) >= DRAWN_SCORE
            if drawn.any():
                size = np.sqrt(box_areas(poses.boxes[frame, slots[1][track]][None])[0])
                trembling = np.linalg.norm(points[0] - 2 * points[1] + points[2], axis=-1)
                values.append(100 * trembling[drawn].mean() / max(size, 1.0))
    return float(np.mean(values)) if values else float("nan")


def id_changes(poses: PoseSequence) -> int:
    """Return how often somebody in the place of a person of the frame before has another id."""
    changes = 0
    for frame in range(1, poses.num_frames):
        before, after = people_of(poses, frame - 1), people_of(poses, frame)
        ids = [poses.track_ids[t][poses.track_ids[t] >= 0] for t in (frame - 1, frame)]
        overlap = box_iou_matrix(before.boxes, after.boxes)
        for row in range(before.num_people):
            if after.num_people and ids[0][row] not in ids[1]:
                changes += bool(overlap[row].max() >= _SAME_PLACE_IOU)
    return changes


def _slots(poses: PoseSequence, frame: int) -> dict[int, int]:
    """Track id -> slot."""
    return {int(track): slot for slot, track in enumerate(poses.track_ids[frame]) if track >= 0}
