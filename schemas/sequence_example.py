"""ClipRecord as a SequenceExample with the keys of MediaSequence and DMVR.

References: mediapipe `util/sequence/media_sequence.py`, dmvr `modalities.py`. One Feature per
frame and exactly one bytes value in each `*/encoded` Feature, as DMVR, Scenic and the TF Model
Garden expect. Regions are normalised to 0..1; keypoints also stand in pixels in `POSE/feature`.
"""

from collections.abc import Collection, Iterable, Sequence
from math import prod
from mmap import mmap
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from schemas.clip_record import ClipRecord, Provenance, Stream
from schemas.errors import ShardError
from schemas.example_proto import FeatureList, SequenceExample
from schemas.message_pieces import Pieces, field, image_list, joined, whole
from schemas.pose_sequence import PoseSequence, empty_pose_sequence
from schemas.skeleton import KEYPOINT_NAMES, NUM_KEYPOINTS
from schemas.wire_scan import Span, scan_sequence_example

_REGION = "PREDICTED/region"
_SOURCE = "SOURCE/image"
_FEATURE_LISTS = SequenceExample.DESCRIPTOR.fields_by_name["feature_lists"].number
_GRIDS = ("image", "POSE_RENDER/image", "FORWARD_FLOW/image", "PA/image", "POSE/feature")
"""Prefixes of streams that carry the times of the output grid."""
_ALWAYS_READ = (
    *(f"{_SOURCE}/{name}" for name in ("index", "timestamp")),
    *(f"{prefix}/timestamp" for prefix in _GRIDS),
)
_POSE_KEYS = (
    *(f"{_REGION}/{name}" for name in ("track/index", "label/confidence")),
    *(f"{name}/feature/floats" for name in ("POSE", "POSE_BOX")),
)
"""Feature lists that poses are read from."""
_IMAGE_KEYS: dict[str, Stream] = {
    "image/encoded": "rgb",
    "POSE_RENDER/image/encoded": "pose_overlay",
    "FORWARD_FLOW/image/encoded": "flow",
    "PA/image/encoded": "pa",
}
"""Streams by the feature list of their images."""
_HALF = np.float32(0.5)  # pixel centres are integers: the left edge of the image is at -0.5


def encode_sequence_example(record: ClipRecord) -> bytes:
    """Return the serialised SequenceExample of a clip; equal records give equal bytes.

    Args:
        record: The clip. Streams that are absent leave their keys out.
    """
    return b"".join(sequence_example_pieces(record).parts)


def sequence_example_pieces(record: ClipRecord) -> Pieces:
    """Return `encode_sequence_example` in pieces, none larger than an image or all poses.

    The bytes are those of a deterministic serialisation: entries of a map in order of their keys.

    Args:
        record: The clip; its images are read while the pieces are.
    """
    message = SequenceExample()
    _put_context(message.context.feature, record)
    entries = [
        field(1, joined([field(1, whole(key.encode("utf-8"))), field(2, value)]))
        for key, value in sorted(_feature_lists(record).items())
    ]
    context = whole(message.SerializeToString(deterministic=True))
    return joined([context, field(_FEATURE_LISTS, joined(entries))])


def decode_sequence_example(data: bytes) -> ClipRecord:
    """Return the clip that `encode_sequence_example` stored; grey flow streams are empty.

    Args:
        data: The serialised message.

    Raises:
        ShardError: If data is not a SequenceExample, lacks a key or a frame's value.
        RecordError: If its streams differ in length.
    """
    message = _parse(data)
    lists = _Lists(message.feature_lists.feature_list, None)
    images = {
        key: tuple(lists.single_values(key, "bytes_list")) for key in _IMAGE_KEYS if key in lists
    }
    return _to_record(_Context(message.context.feature), lists, images)


def decode_part(
    data: bytes | mmap,
    span: Span,
    *,
    streams: Collection[Stream],
    frames: Sequence[int] | None = None,
) -> ClipRecord:
    """Return a part of the clip that `encode_sequence_example` stored, without reading the rest.

    Args:
        data: Holds the serialised message.
        span: Where.
        streams: Streams to take out of it.
        frames: Indices of the frames to take out of it, in any order; None = all.

    Raises:
        ShardError: If data is not a SequenceExample, lacks a key, a frame or a frame's value.
        RecordError: If its streams differ in length.
    """
    image_keys = [key for key, stream in _IMAGE_KEYS.items() if stream in streams]
    keys = {*_ALWAYS_READ, *(_POSE_KEYS if "poses" in streams else ())}
    small, images = scan_sequence_example(
        data, span, keys=keys, image_keys=image_keys, frames=frames
    )
    message = _parse(small)
    lists = _Lists(message.feature_lists.feature_list, frames)
    return _to_record(_Context(message.context.feature), lists, images)


def _parse(data: bytes) -> Any:
    message = SequenceExample()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise ShardError("record must be a SequenceExample, got other bytes") from error
    return message


def _to_record(
    context: "_Context", lists: "_Lists", images: dict[str, tuple[bytes, ...]]
) -> ClipRecord:
    indices = context.integers("clip/label/index")
    return ClipRecord(
        clip_id=context.text("example/id"),
        dataset=context.text("example/dataset_name"),
        split=context.text("clip/alternative_media_id"),
        label_index=indices[0] if indices else -1,
        label_text=context.text("clip/label/text", default=""),
        media_id=context.text("clip/media_id"),
        video_path=context.text("clip/data_path"),
        start_us=context.integer("clip/start/timestamp"),
        end_us=context.integer("clip/end/timestamp"),
        fps=round(context.number("image/frame_rate")),
        width=context.integer("image/width"),
        height=context.integer("image/height"),
        timestamps_us=lists.int_column(_first_present(lists)),
        source_indices=lists.int_column(f"{_SOURCE}/index"),
        source_timestamps_us=lists.int_column(f"{_SOURCE}/timestamp"),
        rgb=images.get("image/encoded", ()),
        pose_overlay=images.get("POSE_RENDER/image/encoded", ()),
        flow=images.get("FORWARD_FLOW/image/encoded", ()),
        flow_bound_px=context.number("FORWARD_FLOW/image/saturation", default=20.0),
        pa=images.get("PA/image/encoded", ()),
        pa_bound=context.number("PA/image/saturation", default=0.5),
        poses=_read_poses(lists),
        is_truncated=bool(context.integer("perfnet/is_truncated")),
        provenance=Provenance(
            config_hash=context.text("perfnet/config_hash"),
            software=context.text("perfnet/software"),
            pose_model=context.text("perfnet/pose_model"),
            schema_version=context.integer("perfnet/schema_version"),
        ),
    )


def _put_context(features: Any, record: ClipRecord) -> None:
    texts = {
        "example/id": record.clip_id,
        "example/dataset_name": record.dataset,
        "clip/data_path": record.video_path,
        "clip/media_id": record.media_id,
        "clip/alternative_media_id": record.split,
        "perfnet/config_hash": record.provenance.config_hash,
        "perfnet/software": record.provenance.software,
        "perfnet/pose_model": record.provenance.pose_model,
    }
    ints = {
        "clip/start/timestamp": record.start_us,
        "clip/end/timestamp": record.end_us,
        "perfnet/schema_version": record.provenance.schema_version,
        "perfnet/is_truncated": int(record.is_truncated),
    }
    if record.label_index >= 0:
        ints["clip/label/index"] = record.label_index
        texts["clip/label/string"] = record.label_text  # MediaSequence
        texts["clip/label/text"] = record.label_text  # DMVR
    for key, text in texts.items():
        features[key].bytes_list.value.append(text.encode("utf-8"))
    for key, number in ints.items():
        features[key].int64_list.value.append(number)
    _put_image_facts(features, "image", record)
    if record.pose_overlay:
        _put_image_facts(features, "POSE_RENDER/image", record)
    if record.flow:
        _put_image_facts(features, "FORWARD_FLOW/image", record)
        features["FORWARD_FLOW/image/saturation"].float_list.value.append(record.flow_bound_px)
    if record.pa:
        _put_image_facts(features, "PA/image", record, colorspace=b"GRAYSCALE", channels=1)
        features["PA/image/saturation"].float_list.value.append(record.pa_bound)
    if record.poses is not None:
        parts = features[f"{_REGION}/parts"].bytes_list.value
        parts.extend(name.upper().encode("ascii") for name in KEYPOINT_NAMES)
        # -1: the number of people differs from frame to frame.
        features["POSE/feature/dimensions"].int64_list.value.extend([-1, NUM_KEYPOINTS, 3])


def _put_image_facts(
    features: Any,
    prefix: str,
    record: ClipRecord,
    *,
    colorspace: bytes = b"RGB",
    channels: int = 3,
) -> None:
    features[f"{prefix}/format"].bytes_list.value.append(b"JPEG")
    features[f"{prefix}/colorspace"].bytes_list.value.append(colorspace)
    features[f"{prefix}/channels"].int64_list.value.append(channels)
    features[f"{prefix}/height"].int64_list.value.append(record.height)
    features[f"{prefix}/width"].int64_list.value.append(record.width)
    features[f"{prefix}/frame_rate"].float_list.value.append(float(record.fps))


def _feature_lists(record: ClipRecord) -> dict[str, Pieces]:
    """Serialised feature lists by key."""
    times = [int(time) for time in record.timestamps_us]
    lists: dict[str, Pieces] = {}
    for prefix, images in (
        ("image", record.rgb),
        ("POSE_RENDER/image", record.pose_overlay),
        ("FORWARD_FLOW/image", record.flow),
        ("PA/image", record.pa),
    ):
        if images:
            lists[f"{prefix}/encoded"] = image_list(images)
            lists[f"{prefix}/timestamp"] = _int_list([time] for time in times)
    lists[f"{_SOURCE}/index"] = _int_list([int(index)] for index in record.source_indices)
    lists[f"{_SOURCE}/timestamp"] = _int_list([int(time)] for time in record.source_timestamps_us)
    if record.poses is not None:
        _put_poses(lists, record, times)
    return lists


def _put_poses(lists: dict[str, Pieces], record: ClipRecord, times: list[int]) -> None:
    """Boxes, tracks and keypoints of the people of every frame, in slot order."""
    poses = record.poses
    if poses is None:
        return
    here = [np.flatnonzero(tracks >= 0) for tracks in poses.track_ids]
    frames = range(poses.num_frames)
    boxes = [poses.boxes[t, here[t]] for t in frames]
    sides = ("xmin", "ymin", "xmax", "ymax")
    sizes = (record.width, record.height) * 2
    for column, (side, size) in enumerate(zip(sides, sizes, strict=True)):
        values = ((b[:, column] + _HALF) / size for b in boxes)
        lists[f"{_REGION}/bbox/{side}"] = _float_list(values)
    lists[f"{_REGION}/label/confidence"] = _float_list(poses.box_scores[t, here[t]] for t in frames)
    tracks = [poses.track_ids[t, here[t]].tolist() for t in frames]
    lists[f"{_REGION}/track/index"] = _int_list(tracks)
    lists[f"{_REGION}/num_regions"] = _int_list([len(people)] for people in here)
    lists[f"{_REGION}/is_annotated"] = _int_list([[1]] * poses.num_frames)
    points = [poses.keypoints[t, here[t]] for t in frames]
    for index, name in enumerate(KEYPOINT_NAMES):
        prefix = f"{name.upper()}/region/point"
        lists[f"{prefix}/x"] = _float_list((p[:, index, 0] + _HALF) / record.width for p in points)
        lists[f"{prefix}/y"] = _float_list((p[:, index, 1] + _HALF) / record.height for p in points)
    scores = [poses.scores[t, here[t]] for t in frames]
    lists["POSE/feature/floats"] = _float_list(
        np.dstack((p, s)).ravel() for p, s in zip(points, scores, strict=True)
    )
    # The pixel boxes: the normalised ones above do not come back bit by bit.
    lists["POSE_BOX/feature/floats"] = _float_list(b.ravel() for b in boxes)
    for prefix in (_REGION, "POSE/feature", "POSE_BOX/feature"):
        lists[f"{prefix}/timestamp"] = _int_list([time] for time in times)


def _read_poses(lists: "_Lists") -> PoseSequence | None:
    if "POSE/feature/floats" not in lists:
        return None
    tracks = [
        list(feature.int64_list.value) for feature in lists.features(f"{_REGION}/track/index")
    ]
    num_people = [len(frame) for frame in tracks]
    triples = lists.people_column("POSE/feature/floats", num_people, NUM_KEYPOINTS, 3)
    boxes = lists.people_column("POSE_BOX/feature/floats", num_people, 4)
    box_scores = lists.people_column(f"{_REGION}/label/confidence", num_people)
    poses = empty_pose_sequence(len(tracks), max(num_people, default=0))
    for t, frame in enumerate(tracks):
        people = slice(0, len(frame))
        poses.keypoints[t, people] = triples[t][..., :2]
        poses.scores[t, people] = triples[t][..., 2]
        poses.boxes[t, people] = boxes[t]
        poses.box_scores[t, people] = box_scores[t]
        poses.track_ids[t, people] = frame
    return poses


class _Context:
    """Typed look-up of context features."""

    def __init__(self, features: Any) -> None:
        self._features = features

    def _value(self, key: str, kind: str, default: Any) -> Any:
        values: Any = getattr(self._features[key], kind).value if key in self._features else ()
        if len(values):
            return values[0]
        if default is None:
            raise ShardError(f"record must have the context key {key!r}, got none")
        return default

    def text(self, key: str, default: str | None = None) -> str:
        value = self._value(key, "bytes_list", default)
        return value if isinstance(value, str) else value.decode("utf-8")

    def integer(self, key: str) -> int:
        return int(self._value(key, "int64_list", None))

    def number(self, key: str, default: float | None = None) -> float:
        return float(self._value(key, "float_list", default))

    def integers(self, key: str) -> list[int]:
        return list(self._features[key].int64_list.value) if key in self._features else []


def _int_list(rows: Iterable[Sequence[int]]) -> Pieces:
    """A FeatureList with one Feature for each row."""
    message = FeatureList()
    for row in rows:
        message.feature.add().int64_list.value.extend(row)
    return whole(message.SerializeToString())


def _float_list(rows: Iterable[npt.NDArray[np.float32]]) -> Pieces:
    """A FeatureList with one Feature for each row."""
    message = FeatureList()
    for row in rows:
        message.feature.add().float_list.value.extend(row.tolist())
    return whole(message.SerializeToString())


def _first_present(lists: "_Lists") -> str:
    """The key of the output grid: every image and pose stream carries it."""
    for prefix in _GRIDS:
        if f"{prefix}/timestamp" in lists:
            return f"{prefix}/timestamp"
    raise ShardError("record must have an image, flow or pose stream, got none")


class _Lists:
    """Feature lists by key, reduced to the frames asked for."""

    def __init__(self, lists: Any, frames: Sequence[int] | None) -> None:
        self._lists = lists
        self._frames = frames

    def __contains__(self, key: str) -> bool:
        return key in self._lists

    def features(self, key: str) -> Sequence[Any]:
        """One Feature for each frame."""
        if key not in self._lists:
            raise ShardError(f"record must have the feature list {key!r}, got none")
        features: Sequence[Any] = self._lists[key].feature
        if self._frames is None:
            return features
        if self._frames and not 0 <= min(self._frames) <= max(self._frames) < len(features):
            wanted = f"{min(self._frames)} to {max(self._frames)}"
            raise ShardError(f"{key!r} must have the frames {wanted}, got {len(features)} frames")
        return [features[t] for t in self._frames]

    def single_values(self, key: str, kind: str) -> list[Any]:
        """The one value of every frame."""
        rows = [getattr(feature, kind).value for feature in self.features(key)]
        for t, row in enumerate(rows):
            if len(row) != 1:
                raise ShardError(f"frame {t} of {key!r} must have one value, got {len(row)}")
        return [row[0] for row in rows]

    def int_column(self, key: str) -> npt.NDArray[np.int64]:
        """int64 [frames]."""
        return np.array(self.single_values(key, "int64_list"), np.int64)

    def people_column(self, key: str, num_people: list[int], *shape: int) -> list[Any]:
        """float32 [people, *shape] of every frame."""
        rows = [np.array(feature.float_list.value, np.float32) for feature in self.features(key)]
        wanted = [count * prod(shape) for count in num_people]
        if [row.size for row in rows] != wanted:
            raise ShardError(f"{key!r} must have values for the people of every frame, got others")
        return [row.reshape(n, *shape) for row, n in zip(rows, num_people, strict=True)]
