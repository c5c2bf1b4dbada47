"""Small records; the "JPEGs" are plain bytes, since codecs never look into them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from schemas.clip_record import ClipRecord, Provenance
from schemas.pose_sequence import PoseSequence, empty_pose_sequence


def _poses(people: list[int], seed: int = 0) -> PoseSequence:
    """Poses with people[t] people in frame t; slot p has track id 10 + p."""
    generator = np.random.default_rng(seed)
    poses = empty_pose_sequence(len(people), max(people, default=0))
    for t, count in enumerate(people):
        here = (t, slice(0, count))
        poses.keypoints[here] = generator.uniform(-5, 400, (count, 17, 2))
        poses.scores[here] = generator.uniform(0, 1, (count, 17))
        poses.boxes[here] = generator.uniform(0, 300, (count, 4))
        poses.box_scores[here] = generator.uniform(0, 1, count)
        poses.track_ids[here] = np.arange(10, 10 + count)
    return poses


def _images(name: str, num_frames: int) -> tuple[bytes, ...]:
    return tuple(b"\xff\xd8" + f"{name} {t}".encode() + b"\xff\xd9" for t in range(num_frames))


@pytest.fixture(scope="session")
def make_poses() -> Callable[..., PoseSequence]:
    """Poses with a given number of people in each frame."""
    return _poses


@pytest.fixture(scope="session")
def make_record() -> Callable[..., ClipRecord]:
    """A record with every stream; keyword arguments replace fields."""

    def make(num_frames: int = 3, **changes: Any) -> ClipRecord:
        grid: npt.NDArray[np.int64] = np.arange(num_frames, dtype=np.int64)
        names = ("rgb", "pose_overlay", "flow", "flow_x", "flow_y")
        fields: dict[str, Any] = {
            "clip_id": "clip_000001_000011",
            "dataset": "kinetics400",
            "split": "val",
            "label_index": 1,
            "label_text": "play golf",
            "media_id": "-a_b-c_d-e_",
            "video_path": "val/clip.mp4",
            "start_us": 1_000_000,
            "end_us": 11_000_000,
            "fps": 25,
            "width": 341,
            "height": 256,
            "timestamps_us": grid * 40_000,
            "source_indices": grid * 6 // 5,
            "source_timestamps_us": grid * 33_367,
            **{name: _images(name, num_frames) for name in names},
            "flow_bound_px": 20.0,
            "poses": _poses([t % 3 for t in range(num_frames)]),
            "is_truncated": False,
            "provenance": Provenance(
                config_hash="0123abcd", software="av=18.1 numpy=2.4", pose_model="lite@sha"
            ),
        }
        return ClipRecord(**{**fields, **changes})

    return make


@pytest.fixture(scope="session")
def assert_same_record() -> Callable[..., None]:
    """Assert that two records are equal bit by bit, but for the fields named."""

    def check(left: ClipRecord, right: ClipRecord, *, but: tuple[str, ...] = ()) -> None:
        for name in ClipRecord.__dataclass_fields__:
            if name in but or name == "poses":
                continue
            mine, other = getattr(left, name), getattr(right, name)
            if isinstance(mine, np.ndarray):
                assert mine.dtype == other.dtype, name
                assert mine.tolist() == other.tolist(), name
            else:
                assert mine == other, name
                assert type(mine) is type(other), name
        assert (left.poses is None) == (right.poses is None)
        if left.poses is not None and right.poses is not None:
            for name in PoseSequence.__dataclass_fields__:
                mine, other = getattr(left.poses, name), getattr(right.poses, name)
                assert (mine.dtype, mine.shape) == (other.dtype, other.shape), name
                assert mine.tobytes() == other.tobytes(), name

    return check
