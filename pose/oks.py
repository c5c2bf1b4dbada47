"""How alike two poses are, and which of several poses belong to the same person."""

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses, best_first
from schemas.errors import ConfigError
from schemas.skeleton import OKS_SIGMAS

_KEYPOINT_VARIANCES = (2 * np.array(OKS_SIGMAS, np.float64)) ** 2


def box_areas(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return float64 [P]: areas in square pixels of float32 [P, 4] boxes; 0 if empty."""
    sides = np.maximum(boxes[:, 2:].astype(np.float64) - boxes[:, :2], 0)
    areas: npt.NDArray[np.float64] = sides[:, 0] * sides[:, 1]
    return areas


def oks_matrix(poses: FramePoses, others: FramePoses) -> npt.NDArray[np.float64]:
    """Compare every pose with every other by object keypoint similarity (OKS).

    Only keypoints that both poses have (score over 0) count. The area of a pair is the mean of
    the areas of their boxes, at least one square pixel.

    Args:
        poses: P people.
        others: Q people.

    Returns:
        float64 [P, Q], 0 to 1; 0 for a pair that shares no keypoint.

    References:
        COCO keypoint evaluation: mean of exp(-d^2 / (2 s^2 k^2)) with s^2 = area, k = 2 sigma.
    """
    shared = (poses.scores[:, None] > 0) & (others.scores[None] > 0)  # [P, Q, 17]
    first, second = poses.keypoints[:, None].astype(np.float64), others.keypoints[None]
    squared = ((first - second) ** 2).sum(axis=-1)  # [P, Q, 17]
    areas = (box_areas(poses.boxes)[:, None] + box_areas(others.boxes)[None]) / 2
    alike = np.exp(-squared / (2 * np.maximum(areas, 1.0)[..., None] * _KEYPOINT_VARIANCES))
    similarity: npt.NDArray[np.float64] = (alike * shared).sum(axis=-1) / np.maximum(
        shared.sum(axis=-1), 1
    )
    return similarity


def box_iou_matrix(
    boxes: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Return float64 [P, Q]: intersection over union of float32 [P, 4] and [Q, 4] boxes."""
    shared = _shared_areas(boxes, others)
    union = box_areas(boxes)[:, None] + box_areas(others)[None] - shared
    iou: npt.NDArray[np.float64] = np.where(union > 0, shared / np.where(union > 0, union, 1), 0)
    return iou


def suppress_duplicates(poses: FramePoses, *, threshold: float) -> FramePoses:
    """Return the people of `distinct_people`.

    Raises:
        ConfigError: If threshold is not over 0 and at most 1.
    """
    return poses.select(distinct_people(poses, threshold=threshold))


def distinct_people(poses: FramePoses, *, threshold: float) -> list[int]:
    """Choose the best pose of every person.

    From the highest box score to the lowest, a pose is dropped if it is as similar as
    `threshold` to one that was kept. Ties keep the order given.

    Args:
        poses: P people, some of them found more than once.
        threshold: Object keypoint similarity, over 0 to 1.

    Returns:
        Indices of the people kept, best first.

    Raises:
        ConfigError: If threshold is not over 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(f"threshold must be over 0 and at most 1, got {threshold}")
    similarity = oks_matrix(poses, poses)
    kept: list[int] = []
    for person in best_first(poses).tolist():
        if not kept or similarity[person, kept].max() < threshold:
            kept.append(person)
    return kept


def _shared_areas(
    boxes: npt.NDArray[np.float32], others: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """Areas of intersection [P, Q] in square pixels."""
    first, second = boxes[:, None].astype(np.float64), others[None].astype(np.float64)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    sides = np.maximum(high - low, 0)
    areas: npt.NDArray[np.float64] = sides[..., 0] * sides[..., 1]
    return areas
