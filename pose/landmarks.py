"""MediaPipe's 33 body landmarks as COCO-17 poses in pixels."""

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses
from schemas.checks import check_array

COCO_FROM_LANDMARKS = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""The landmark of each COCO keypoint; left and right are the person's own in both."""

_SEEN_SCORE = 0.3  # keypoints below are guesses: they do not stretch the box
_BOX_MARGIN = 0.1  # of the longer side: the body reaches beyond its joints


def poses_from_landmarks(
    landmarks: npt.NDArray[np.float32], *, width: int, height: int
) -> FramePoses:
    """Return the people as COCO-17 poses in pixels.

    A normalised coordinate u is the pixel u * size - 0.5, so that the centre of the first pixel
    is 0. Keypoints outside of the image get score 0.

    Args:
        landmarks: float32 [P, 33, 4]: x and y as fractions of the image, visibility, presence.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        P people. A keypoint's score is visibility * presence. A person's score is the geometric
        mean of two means: over all 17 keypoints (how much of the person is there) and over those
        that are seen (how sure the model is); on COCO images it ranks better than either.

    Raises:
        ValueError: If landmarks is not float32 [P, 33, 4].
    """
    check_array("landmarks", landmarks, dtype=np.float32, axes="P L C", L=33, C=4)
    chosen = landmarks[:, COCO_FROM_LANDMARKS, :]
    size = np.array([width, height], np.float32)
    keypoints = chosen[..., :2] * size - np.float32(0.5)
    inside = ((chosen[..., :2] >= 0) & (chosen[..., :2] <= 1)).all(axis=-1)
    scores = np.clip(chosen[..., 2] * chosen[..., 3], 0, 1) * inside
    return poses_with_boxes(keypoints, scores.astype(np.float32), width=width, height=height)


def poses_with_boxes(
    keypoints: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    *,
    width: int,
    height: int,
) -> FramePoses:
    """Return poses with boxes around the keypoints that are seen.

    Args:
        keypoints: float32 [P, 17, 2] in pixels.
        scores: float32 [P, 17].
        width: Width of the image in pixels; boxes are clipped to it.
        height: Height of the image in pixels.

    Returns:
        P people with a margin around the keypoints, and the score of `poses_from_landmarks`.
    """
    boxes = np.zeros((len(scores), 4), np.float32)
    limit = np.array([width, height], np.float32)
    for person, (points, score) in enumerate(zip(keypoints, scores, strict=True)):
        seen = points[score >= min(_SEEN_SCORE, float(score.max()))] if score.any() else points
        low, high = seen.min(axis=0), seen.max(axis=0)
        margin = _BOX_MARGIN * float((high - low).max())
        boxes[person, :2] = np.clip(low - margin, -0.5, limit - 0.5)
        boxes[person, 2:] = np.clip(high + margin, -0.5, limit - 0.5)
    return FramePoses(
        keypoints=keypoints, scores=scores, boxes=boxes, box_scores=person_scores(scores)
    )


def person_scores(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return float32 [P]: how sure it is that there is a person, from its [P, 17] scores."""
    seen = scores >= _SEEN_SCORE
    mean_seen = (scores * seen).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    mean_all = scores.sum(axis=1) / scores.shape[1]
    people: npt.NDArray[np.float32] = np.sqrt(mean_all * mean_seen).astype(np.float32)
    return people
