"""Keypoints that do not tremble: a One-Euro filter along every track."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pose.estimator import ClipPoseEstimator
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence

_SPEED_CUTOFF = 0.2  # cycles per frame, of the filter that the speed goes through


@dataclass(frozen=True, kw_only=True, slots=True)
class OneEuroConfig:
    """How much keypoints are smoothed."""

    cutoff: float = 0.05
    """Cut-off frequency for a keypoint at rest, cycles per frame; smaller is smoother."""
    speed_weight: float = 4.0
    """How much the cut-off rises with speed, which is in sizes of the person per frame; larger
    lags less."""

    def __post_init__(self) -> None:
        if not 0 < self.cutoff <= 1:
            raise ConfigError(f"cutoff must be over 0 and at most 1, got {self.cutoff}")
        if not self.speed_weight >= 0:
            raise ConfigError(f"speed_weight must be >= 0, got {self.speed_weight}")


@dataclass(slots=True, eq=False)
class _Track:
    """Smoothed keypoints [17, 2] and speeds [17, 2], in float64, and which of them began."""

    points: npt.NDArray[np.float64]
    speeds: npt.NDArray[np.float64]
    is_known: npt.NDArray[np.bool_]


class SmoothedEstimator:
    """A `ClipPoseEstimator` that smooths the keypoints of another one.

    The filter looks back only. A keypoint that is not detected, and a person who is missing for a
    frame, starts anew. Boxes, scores and ids stay as they are.

    Args:
        estimator: Gives the poses.
        config: How much to smooth.

    References:
        Casiez, Roussel, Vogel 2012, "1 euro filter", eq. 3-6; speed over the size of the person.
    """

    def __init__(self, estimator: ClipPoseEstimator, config: OneEuroConfig) -> None:
        self._estimator = estimator
        self._config = config
        self._tracks: dict[int, _Track] = {}
        self._last_index: int | None = None

    def estimate(
        self, frames: npt.NDArray[np.uint8], source_indices: npt.NDArray[np.int64]
    ) -> PoseSequence:
        """Return the smoothed poses of the next frames; see `ClipPoseEstimator`."""
        poses = self._estimator.estimate(frames, source_indices)
        keypoints = poses.keypoints.copy()
        for frame, index in enumerate(source_indices.tolist()):
            people = np.flatnonzero(poses.track_ids[frame] >= 0)
            ids = poses.track_ids[frame, people].tolist()
            if index != self._last_index:
                self._tracks = {
                    track: self._advance(track, poses, frame, int(slot))
                    for track, slot in zip(ids, people, strict=True)
                }
                self._last_index = index
            for track, slot in zip(ids, people, strict=True):
                keypoints[frame, slot] = self._tracks[track].points
        return PoseSequence(
            keypoints=keypoints,
            scores=poses.scores,
            boxes=poses.boxes,
            box_scores=poses.box_scores,
            track_ids=poses.track_ids,
        )

    def _advance(self, track: int, poses: PoseSequence, frame: int, slot: int) -> _Track:
        """The state of a track after one more frame."""
        points = poses.keypoints[frame, slot].astype(np.float64)
        is_seen = poses.scores[frame, slot] > 0
        before = self._tracks.get(track)
        if before is None:
            return _Track(points, np.zeros_like(points), is_seen)
        x0, y0, x1, y1 = poses.boxes[frame, slot].tolist()
        size = max(math.sqrt(max(x1 - x0, 0) * max(y1 - y0, 0)), 1.0)
        is_old = (is_seen & before.is_known)[:, None]
        share = _share(_SPEED_CUTOFF)
        speeds = share * (points - before.points) + (1 - share) * before.speeds
        speeds = np.where(is_old, speeds, 0.0)
        fastness = np.linalg.norm(speeds, axis=-1, keepdims=True) / size
        new_share = _share(self._config.cutoff + self._config.speed_weight * fastness)  # eq. 5
        smooth = new_share * points + (1 - new_share) * before.points  # eq. 1
        return _Track(np.where(is_old, smooth, points), speeds, is_seen)


def _share(cutoff: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How much the newest value counts in a low-pass filter, eq. 3 with one frame as unit."""
    return np.asarray(1 / (1 + 1 / (2 * math.pi * np.asarray(cutoff))), np.float64)
