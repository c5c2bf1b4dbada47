"""Ways to the poses of clips that `bench_pose` compares: a back end as it is, and slower ones."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from pose.backends import PoseBackendName, PoseConfig, make_backend
from pose.backends.mediapipe import MediaPipeBackend
from pose.backends.movenet import MoveNetBackend
from pose.backends.onnx import OnnxBackend
from pose.estimator import FramePoses, PoseBackend, PoseRequest, TrackedPoses, stack_frames
from pose.followed_person import mean_seen_score
from pose.oks import suppress_duplicates
from pose.smoothing import OneEuroConfig, SmoothedEstimator
from pose.tiling import Square, detect_in_squares, whole_frame
from pose.track import Tracker, TrackerConfig
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence

Clip = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]
"""Frames uint8 [T, H, W, 3] RGB and their source indices int64 [T]."""

Way = Callable[[Clip], PoseSequence]


def run_in_turn(
    ways: Mapping[str, Way], clips: Sequence[Clip]
) -> tuple[dict[str, list[PoseSequence]], dict[str, float]]:
    """Run every way on one clip after the other, as a machine is not always equally fast.

    Args:
        ways: By name.
        clips: At least one; the first frame of the first is run once before, to load models.

    Returns:
        Poses of all clips, and seconds of CPU time of all threads, by way.
    """
    poses: dict[str, list[PoseSequence]] = {name: [] for name in ways}
    seconds = dict.fromkeys(ways, 0.0)
    for way in ways.values():
        way((clips[0][0][:1], clips[0][1][:1]))
    for clip in clips:
        for name, way in ways.items():
            start = time.process_time()
            poses[name].append(way(clip))
            seconds[name] += time.process_time() - start
    return poses, seconds


def as_it_is(backend: PoseBackend) -> Way:
    """Return the way of a build."""

    def run(clip: Clip) -> PoseSequence:
        request = PoseRequest.for_frames("clip", clip[0])
        return backend.start_clip(request).estimate(*clip)

    return run


def slow_way(backend: PoseBackend) -> Way:
    """Return brute-force tiling for MediaPipe, `naive` for back ends with a detector.

    Raises:
        ConfigError: If the back end is another one.
    """
    if isinstance(backend, MediaPipeBackend):
        return lambda clip: tile_everything(backend, clip)
    if isinstance(backend, OnnxBackend | MoveNetBackend):
        return lambda clip: naive(backend, clip)
    raise ConfigError(f"backend must estimate poses, got {backend.name}")


def search_always(name: PoseBackendName, config: PoseConfig) -> Way:
    """Return the way of a build that looks for people in every frame."""
    onnx = replace(config.onnx, follow=replace(config.onnx.follow, detect_every=1))
    movenet = replace(config.movenet, follow=replace(config.movenet.follow, detect_every=1))
    return as_it_is(make_backend(name, replace(config, onnx=onnx, movenet=movenet)))


def naive(backend: OnnxBackend | MoveNetBackend, clip: Clip, *, moved: float = 0.0) -> PoseSequence:
    """Run detector and pose model on every frame on its own.

    Args:
        backend: Has the models.
        clip: The frames.
        moved: Move the sides of every box at random by this part (standard deviation) of its size.
    """
    random = np.random.default_rng(0)
    frames, tracker = [], Tracker(TrackerConfig())
    for frame in clip[0]:
        found = backend.find_boxes(frame)
        sides = np.tile(found.boxes[:, 2:] - found.boxes[:, :2], 2)
        shifts = moved * random.standard_normal(sides.shape) * sides
        boxes = found.boxes + shifts.astype(np.float32)
        points, scores = backend.estimate_keypoints(frame, boxes)
        sure = np.array([mean_seen_score(each) for each in scores], np.float32) * found.scores
        poses = FramePoses(keypoints=points, scores=scores, boxes=boxes, box_scores=sure)
        strong = np.flatnonzero(sure >= backend.follow.min_person_score)
        poses = poses.select(strong[: backend.follow.max_people])
        frames.append(TrackedPoses(poses=poses, track_ids=tracker.update(poses)))
    return stack_frames(frames)


def brute_force_squares(*, width: int, height: int) -> tuple[Square, ...]:
    """Return the whole of a frame and 21 tiles, whatever its shape: 3 x 3 larger, 3 x 4 smaller."""
    squares = [whole_frame(width=width, height=height)]
    for share, rows, columns in ((2 / 3, 3, 3), (1 / 2, 3, 4)):
        side = int(min(width, height) * share)
        lefts = np.linspace(0, width - side, columns).round().astype(int).tolist()
        tops = np.linspace(0, height - side, rows).round().astype(int).tolist()
        squares += [Square(left, top, side) for top in tops for left in lefts]
    return tuple(squares)


def tile_everything(backend: MediaPipeBackend, clip: Clip) -> PoseSequence:
    """MediaPipe on the whole and 21 tiles of every frame, people made one as in a build."""
    tiling = backend.tiling
    height, width = clip[0].shape[1:3]
    squares = brute_force_squares(width=width, height=height)
    frames, tracker = [], Tracker(TrackerConfig())
    for frame in clip[0]:
        found = detect_in_squares(frame, squares, backend.detect)
        strong = found.select(np.flatnonzero(found.box_scores >= tiling.min_person_score))
        poses = suppress_duplicates(strong, threshold=tiling.duplicate_oks)
        poses = poses.select(list(range(min(poses.num_people, tiling.max_people))))
        frames.append(TrackedPoses(poses=poses, track_ids=tracker.update(poses)))
    return stack_frames(frames)


def smoothed(poses: PoseSequence, clip: Clip) -> PoseSequence:
    """Return the poses of a clip as `--pose.smooth` makes them."""
    return SmoothedEstimator(_Given(poses), OneEuroConfig()).estimate(*clip)


class _Given:
    """A `ClipPoseEstimator` of poses that are there."""

    def __init__(self, poses: PoseSequence) -> None:
        self._poses = poses

    def estimate(
        self,
        frames: npt.NDArray[np.uint8],  # noqa: ARG002 - protocol
        source_indices: npt.NDArray[np.int64],  # noqa: ARG002 - protocol
    ) -> PoseSequence:
        return self._poses
