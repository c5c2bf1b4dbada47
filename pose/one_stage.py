"""Models that find all people of a frame, with their keypoints, at once (the RTMO family)."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses, TrackedPoses, empty_frame_poses, stack_frames
from pose.following_estimator import FollowConfig
from pose.image_input import Placement
from pose.model_spec import ModelSpec
from pose.oks import distinct_people
from pose.person_boxes import suppress_boxes
from pose.track import Tracker
from schemas.checks import check_array
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence


def decode_people(
    outputs: Sequence[npt.NDArray[np.float32]],
    spec: ModelSpec,
    placement: Placement,
    *,
    min_score: float,
    max_iou: float,
) -> FramePoses:
    """Return the people that a one-stage model has found.

    Args:
        outputs: Boxes [1, N, 5] of (x0, y0, x1, y1, score) and keypoints [1, N, K, 3] of
            (x, y, score), both in pixels of the input.
        spec: What the output means.
        placement: Where the frame lies in the input.
        min_score: Leave out people below this score.
        max_iou: Of two boxes that overlap by more (IoU), the worse one is left out.

    Raises:
        ConfigError: If the outputs are not those of such a model.
    """
    shapes = [output.shape for output in outputs]
    is_fitting = (
        len(shapes) == 2
        and len(shapes[0]) == 3
        and len(shapes[1]) == 4
        and shapes[0][:2] == shapes[1][:2]
        and shapes[0][2] == 5
        and shapes[1][2] > max(spec.keypoints)
        and shapes[1][3] == 3
    )
    if not is_fitting:
        shown = ", ".join(str(list(shape)) for shape in shapes)
        raise ConfigError(
            f"model must give boxes [1, N, 5] and keypoints [1, N, K, 3] (head one-stage), "
            f"got {shown}; choose the spec that fits it"
        )
    found, points = outputs[0][0], outputs[1][0][:, list(spec.keypoints)]
    strong = np.flatnonzero(found[:, 4] >= min_score)
    order = strong[np.argsort(-found[strong, 4], kind="stable")]
    boxes = placement.to_frame(found[order, :4].reshape(-1, 2, 2)).reshape(-1, 4)
    kept = suppress_boxes(boxes, max_iou=max_iou)
    people = order[kept]
    return FramePoses(
        keypoints=placement.to_frame(points[people, :, :2]),
        scores=points[people, :, 2].clip(0, 1),
        boxes=boxes[kept],
        box_scores=found[people, 4].clip(0, 1),
    )


class EveryFrameEstimator:
    """A `ClipPoseEstimator` that looks at every frame as a whole.

    A frame with the source index of its predecessor repeats its poses and takes no time.

    Args:
        find: Frame uint8 [H, W, 3] RGB in, people out; must not remember anything.
        config: Whom to keep, and the tracker.
    """

    def __init__(
        self, find: Callable[[npt.NDArray[np.uint8]], FramePoses], config: FollowConfig
    ) -> None:
        self._find = find
        self._config = config
        self._tracker = Tracker(config.tracker)
        self._last_index: int | None = None
        self._last = TrackedPoses(poses=empty_frame_poses(), track_ids=np.zeros(0, np.int32))

    def estimate(
        self, frames: npt.NDArray[np.uint8], source_indices: npt.NDArray[np.int64]
    ) -> PoseSequence:
        """Return the poses of the next frames of the clip; see `ClipPoseEstimator`."""
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
        found = self._find(frame)
        limit = np.array([frame.shape[1], frame.shape[0]], np.float32) - np.float32(0.5)
        inside = ((found.keypoints >= -0.5) & (found.keypoints <= limit)).all(axis=-1)
        found = FramePoses(
            keypoints=found.keypoints,
            scores=(found.scores * inside).astype(np.float32),
            boxes=found.boxes,
            box_scores=found.box_scores,
        )
        config = self._config
        distinct = distinct_people(found, threshold=config.duplicate_oks)
        strong = [p for p in distinct if found.box_scores[p] >= config.min_person_score]
        poses = found.select(strong[: config.max_people])
        return TrackedPoses(poses=poses, track_ids=self._tracker.update(poses))
