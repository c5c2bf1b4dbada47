"""Poses that were estimated elsewhere, out of PYSKL / mmaction2 pickles and COCO style JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from pose.estimator import FramePoses, empty_frame_poses, merge_frame_poses
from pose.landmarks import poses_with_boxes
from schemas.errors import ConfigError
from schemas.skeleton import NUM_KEYPOINTS

_LEAST_SCORE = 1e-6  # of a box; 0 is that of people who are filled in
_UNBOUNDED_PX = 2**20  # boxes are clipped later, when the size of the video is known


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecordedPoses:
    """The poses of one video, by source frame."""

    frames: list[FramePoses]
    """People of source frame 0, 1, ... in pixels of the recorded size."""
    track_ids: list[npt.NDArray[np.int32]] | None
    """Ids of the same people, or None where the file does not say who is who."""
    size: tuple[int, int] | None
    """(width, height) in pixels that the coordinates belong to; None: the video as displayed."""
    is_complete: bool
    """Whether the number of frames is known; if not, the frames after the last are empty."""


def from_pickle_annotation(annotation: Mapping[str, Any]) -> RecordedPoses:
    """Return the poses of one PYSKL / mmaction2 annotation.

    Args:
        annotation: `keypoint` [M, T, 17, 2 or 3] with `keypoint_score` [M, T, 17], or the
            compressed form `keypoint` [N, 17, 3] with 1-based `frame_inds` [N]. Where those
            skip frames evenly, a skipped frame has the people of the sampled one before it.

    Returns:
        Poses in pixels of `img_shape` (else `original_shape`), both (height, width). In the full
        form the place of a person in M is its track id; people with score 0 only are padding.
        An array `source_indices` [T], as `perfnet-prep export pyskl` writes it, says which source
        frame each of the T frames shows; the source frames between two have the earlier one's
        people.

    Raises:
        ValueError: If a key is missing or an array has another shape.
    """
    keypoint = np.asarray(_required(annotation, "keypoint"), np.float32)
    shape = annotation.get("img_shape") or annotation.get("original_shape")
    size = (int(shape[1]), int(shape[0])) if shape else None
    if "frame_inds" in annotation:
        return _from_compressed(annotation, keypoint, size)
    points, scores = _points_and_scores(keypoint, annotation.get("keypoint_score"))
    if points.ndim != 4:
        raise ValueError(f"keypoint must be [M, T, 17, 2], got {list(keypoint.shape)}")
    frames, track_ids = [], []
    for t in _grid_frames(annotation, points.shape[1]):
        there = np.flatnonzero(scores[:, t].any(axis=1))
        frames.append(_poses(points[there, t], scores[there, t]))
        track_ids.append(there.astype(np.int32))
    return RecordedPoses(frames=frames, track_ids=track_ids, size=size, is_complete=True)


def _grid_frames(annotation: Mapping[str, Any], num_frames: int) -> list[int]:
    """For every source frame the frame of the annotation that stands for it."""
    if annotation.get("source_indices") is None:
        return list(range(num_frames))
    indices = np.asarray(annotation["source_indices"], np.int64)
    if indices.shape != (num_frames,) or (np.diff(indices, prepend=0) < 0).any():
        raise ValueError(
            f"source_indices must be {num_frames} growing frame numbers beside keypoint, "
            f"got {list(indices.shape)}"
        )
    last = int(indices.max(initial=-1))
    found = np.searchsorted(indices, np.arange(last + 1), side="right") - 1
    return [max(0, each) for each in found.tolist()]


def from_json(document: Any) -> RecordedPoses:
    """Return the poses of one video from parsed JSON.

    Args:
        document: A COCO results list `[{image_id, keypoints[51], score}]`, where image_id is the
            0-based source frame (a number, or a file name with one such as "12.jpg"), or an
            MMPose video document `{instance_info: [{frame_id (1-based), instances}]}`.

    Returns:
        Poses without tracks, in pixels of the video.

    Raises:
        ValueError: If the document is neither, or an entry of it lacks a key or is malformed.
    """
    if isinstance(document, Mapping) and "instance_info" in document:
        entries = {
            int(_required(info, "frame_id")) - 1: [
                _person(instance) for instance in _required(info, "instances")
            ]
            for info in document["instance_info"]
        }
        return _by_frame(entries, is_complete=True)
    if isinstance(document, Sequence) and not isinstance(document, str):
        results: dict[int, list[FramePoses]] = {}
        for entry in document:
            frame = _frame_number(_required(entry, "image_id"))
            results.setdefault(frame, []).append(_person(entry))
        return _by_frame(results, is_complete=False)
    raise ValueError("JSON must be a COCO results list or have `instance_info`")


def annotations_of(document: Any, *, source: str) -> dict[str, dict[str, Any]]:
    """Return the annotations of a loaded pickle by `frame_dir`.

    Args:
        document: `{'split', 'annotations'}`, a list of annotations, or one annotation.
        source: Name of the file for messages.

    Raises:
        ConfigError: If the document has another form or a `frame_dir` is missing.
    """
    if isinstance(document, dict) and "annotations" in document:
        document = document["annotations"]
    if isinstance(document, dict):
        document = [document]
    if not isinstance(document, list) or not all(
        isinstance(item, dict) and isinstance(item.get("frame_dir"), str) for item in document
    ):
        raise ConfigError(
            f"{source} must hold `annotations` that are dicts with a `frame_dir`, "
            f"got {type(document).__name__}"
        )
    return {item["frame_dir"]: item for item in document}


def _from_compressed(
    annotation: Mapping[str, Any], keypoint: npt.NDArray[np.float32], size: tuple[int, int] | None
) -> RecordedPoses:
    """Poses of the form [N, 17, 3] with a frame number per person; no identities."""
    numbers = np.asarray(annotation["frame_inds"], np.int64) - 1
    if keypoint.shape != (len(numbers), NUM_KEYPOINTS, 3):
        raise ValueError(
            f"keypoint must be [{len(numbers)}, 17, 3] beside frame_inds, "
            f"got {list(keypoint.shape)}"
        )
    poses = _poses(keypoint[..., :2], keypoint[..., 2])
    total = max(int(annotation.get("total_frames", 0)), int(numbers.max(initial=-1)) + 1)
    known = np.unique(numbers)
    stride = int(np.gcd.reduce(np.diff(known))) if len(known) > 1 else 1  # K400: every other frame
    first = int(known[0]) if len(known) else 0
    sampled = [number - (number - first) % stride for number in range(total)]
    frames = [poses.select(np.flatnonzero(numbers == number)) for number in sampled]
    return RecordedPoses(frames=frames, track_ids=None, size=size, is_complete=True)


def _by_frame(entries: Mapping[int, list[FramePoses]], *, is_complete: bool) -> RecordedPoses:
    """People by frame number, with empty frames where a number is missing."""
    if min(entries, default=0) < 0:
        raise ValueError(f"frame numbers must not be negative, got {min(entries)}")
    frames = [empty_frame_poses() for _ in range(max(entries, default=-1) + 1)]
    for number, people in entries.items():
        frames[number] = merge_frame_poses(people)
    return RecordedPoses(frames=frames, track_ids=None, size=None, is_complete=is_complete)


def _person(entry: Mapping[str, Any]) -> FramePoses:
    """One person of a JSON document."""
    keypoints = np.asarray(_required(entry, "keypoints"), np.float32)
    if keypoints.size == NUM_KEYPOINTS * 3:
        keypoints = keypoints.reshape(NUM_KEYPOINTS, 3)
    points, scores = _points_and_scores(keypoints, entry.get("keypoint_scores"))
    if points.shape != (NUM_KEYPOINTS, 2):
        raise ValueError(f"keypoints must be 17 points, got {list(keypoints.shape)}")
    poses = _poses(points[None], scores[None])
    box = np.asarray(entry.get("bbox", poses.boxes), np.float32).reshape(-1)[:4]
    score = entry.get("bbox_score", entry.get("score", poses.box_scores[0]))
    if "score" in entry and "bbox" in entry:  # COCO boxes are (x, y, width, height)
        box = np.concatenate([box[:2], box[:2] + box[2:]])
    return FramePoses(
        keypoints=poses.keypoints,
        scores=poses.scores,
        boxes=box[None],
        box_scores=np.clip(np.array([score], np.float32), _LEAST_SCORE, 1),
    )


def _poses(points: npt.NDArray[np.float32], scores: npt.NDArray[np.float32]) -> FramePoses:
    """People from points [P, 17, 2] and scores [P, 17]."""
    return poses_with_boxes(points, scores, width=_UNBOUNDED_PX, height=_UNBOUNDED_PX)


def _points_and_scores(
    keypoints: npt.NDArray[np.float32], scores: Any
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Points [..., 17, 2] and scores [..., 17]; without scores a point at (0, 0) is missing."""
    points = keypoints[..., :2]
    if scores is None:
        scores = keypoints[..., 2] if keypoints.shape[-1] == 3 else points.any(axis=-1)
    clipped = np.clip(np.nan_to_num(np.asarray(scores, np.float32)), 0, 1)
    if points.shape[-2:] != (NUM_KEYPOINTS, 2) or clipped.shape != points.shape[:-1]:
        raise ValueError(
            f"keypoints must be [..., 17, 2] with scores [..., 17], "
            f"got {list(keypoints.shape)} with {list(clipped.shape)}"
        )
    return np.nan_to_num(points), clipped


def _frame_number(image_id: Any) -> int:
    """The 0-based frame of a COCO result."""
    text = PurePosixPath(str(image_id)).stem
    if not text.isdigit():
        raise ValueError(f"image_id must be the number of a frame, got {image_id!r}")
    return int(text)


def _required(entry: Any, key: str) -> Any:
    """The value of a key that must be there."""
    if not isinstance(entry, Mapping) or key not in entry:
        raise ValueError(f"an entry must have the key {key!r}")
    return entry[key]
