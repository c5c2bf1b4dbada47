"""ClipRecord as one Parquet row that Hugging Face `datasets`, DuckDB and pandas read as it is."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.clip_record import ClipRecord, Provenance, Stream
from schemas.errors import ShardError
from schemas.labels import LabelMap
from schemas.pose_sequence import PoseSequence, empty_pose_sequence
from schemas.skeleton import NUM_KEYPOINTS

_IMAGES = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
_PEOPLE = pa.list_(pa.list_(pa.float32()))
IMAGE_COLUMNS = ("rgb", "pose_overlay", "flow_x", "flow_y", "pa")
STREAM_COLUMNS: dict[Stream, tuple[str, ...]] = {
    "rgb": ("rgb",),
    "pose_overlay": ("pose_overlay",),
    "flow": ("flow_x", "flow_y"),
    "pa": ("pa",),
    "poses": ("keypoints", "boxes", "track_ids"),
}
"""Columns by the stream they hold."""

_FIELDS: dict[str, pa.DataType] = {
    "clip_id": pa.string(),
    "dataset": pa.string(),
    "split": pa.string(),
    "label": pa.int64(),
    "label_text": pa.string(),
    "media_id": pa.string(),
    "video_path": pa.string(),
    "start_us": pa.int64(),
    "end_us": pa.int64(),
    "fps": pa.int32(),
    "num_frames": pa.int32(),
    "height": pa.int32(),
    "width": pa.int32(),
    "is_truncated": pa.bool_(),
    "timestamps_us": pa.list_(pa.int64()),
    "source_indices": pa.list_(pa.int64()),
    "source_timestamps_us": pa.list_(pa.int64()),
    "rgb": _IMAGES,
    "pose_overlay": _IMAGES,
    "flow_x": _IMAGES,
    "flow_y": _IMAGES,
    "flow_bound_px": pa.float32(),
    "pa": _IMAGES,
    "pa_bound": pa.float32(),
    "keypoints": pa.list_(_PEOPLE),
    "boxes": pa.list_(_PEOPLE),
    "track_ids": pa.list_(pa.list_(pa.int32())),
    "config_hash": pa.string(),
    "software": pa.string(),
    "pose_model": pa.string(),
    "schema_version": pa.int32(),
}
_ONLY_WITH_PA = frozenset({"pa", "pa_bound"})
"""Columns that shards without persistence of appearance do not have."""
_BY_FRAME = {
    *("timestamps_us", "source_indices", "source_timestamps_us"),
    *(name for columns in STREAM_COLUMNS.values() for name in columns),
}
_PLAIN_COLUMNS = (
    *("clip_id", "dataset", "split", "label_text", "media_id", "video_path"),
    *("start_us", "end_us", "fps", "height", "width", "is_truncated"),
)


def parquet_schema(labels: LabelMap, *, has_pa: bool = False) -> pa.Schema:
    """Return the Arrow schema of a clip row, with the features Hugging Face reads.

    `keypoints` is frames x people x 51: (x, y, score) of the 17 keypoints in pixels;
    `boxes` is frames x people x 5: (x0, y0, x1, y1, score). Absent streams are null.

    Args:
        labels: Names of the classes of `label`.
        has_pa: Whether there are columns for persistence of appearance.
    """
    absent = frozenset[str]() if has_pa else _ONLY_WITH_PA
    fields = {name: kind for name, kind in _FIELDS.items() if name not in absent}
    features = {name: _feature(name, kind, labels) for name, kind in fields.items()}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(list(fields.items()), metadata=metadata)


def _feature(name: str, kind: pa.DataType, labels: LabelMap) -> Any:
    """The Hugging Face feature of a column."""
    if name == "label" and len(labels):
        return {"names": list(labels.texts), "_type": "ClassLabel"}
    if kind == _IMAGES:
        return {"feature": {"_type": "Image"}, "_type": "List"}
    if pa.types.is_list(kind):
        return {"feature": _feature("", kind.value_type, labels), "_type": "List"}
    dtype = {"double": "float64", "float": "float32"}.get(str(kind), str(kind))
    return {"dtype": dtype, "_type": "Value"}


def to_parquet_row(record: ClipRecord) -> dict[str, Any]:
    """Return the values of a row by column name; those of PA only if the record has it."""
    row = to_row_without_images(record)
    for name in IMAGE_COLUMNS:
        row[name] = [{"bytes": jpeg, "path": None} for jpeg in getattr(record, name)] or None
    absent = frozenset[str]() if record.pa else _ONLY_WITH_PA
    return {name: row[name] for name in _FIELDS if name not in absent}


def to_row_without_images(record: ClipRecord) -> dict[str, Any]:
    """Return the values of a row by column name, but for the `IMAGE_COLUMNS`."""
    names = _FIELDS.keys() - set(IMAGE_COLUMNS)
    row: dict[str, Any] = {name: getattr(record, name, None) for name in names}
    row["label"] = record.label_index
    for name in ("timestamps_us", "source_indices", "source_timestamps_us"):
        row[name] = row[name].tolist()
    if not record.flow_x:
        row["flow_bound_px"] = None
    if not record.pa:
        row["pa_bound"] = None
    for name in ("config_hash", "software", "pose_model", "schema_version"):
        row[name] = getattr(record.provenance, name)
    row.update(_pose_columns(record.poses))
    return row


def _pose_columns(poses: PoseSequence | None) -> dict[str, Any]:
    if poses is None:
        return {"keypoints": None, "boxes": None, "track_ids": None}
    columns: dict[str, Any] = {"keypoints": [], "boxes": [], "track_ids": []}
    triples = np.concatenate((poses.keypoints, poses.scores[..., None]), axis=-1)
    triples = triples.reshape(*poses.track_ids.shape, NUM_KEYPOINTS * 3)
    scored = np.concatenate((poses.boxes, poses.box_scores[..., None]), axis=-1)  # [T, P, 5]
    for t, tracks in enumerate(poses.track_ids):
        here = tracks >= 0
        columns["keypoints"].append(triples[t, here].tolist())
        columns["boxes"].append(scored[t, here].tolist())
        columns["track_ids"].append(tracks[here].tolist())
    return columns


def from_parquet_row(row: dict[str, Any]) -> ClipRecord:
    """Return the clip of a row given as Python values by column name.

    The 3-channel flow stream is empty: Parquet stores the two grey ones.

    Raises:
        RecordError: If its streams differ in length.
    """

    def images(name: str) -> tuple[bytes, ...]:
        return tuple(image["bytes"] for image in row.get(name) or ())

    return ClipRecord(
        **{name: row[name] for name in _PLAIN_COLUMNS},
        label_index=row["label"],
        timestamps_us=np.array(row["timestamps_us"], np.int64),
        source_indices=np.array(row["source_indices"], np.int64),
        source_timestamps_us=np.array(row["source_timestamps_us"], np.int64),
        rgb=images("rgb"),
        pose_overlay=images("pose_overlay"),
        flow_x=images("flow_x"),
        flow_y=images("flow_y"),
        flow_bound_px=20.0 if row["flow_bound_px"] is None else row["flow_bound_px"],
        pa=images("pa"),
        pa_bound=0.5 if row.get("pa_bound") is None else row["pa_bound"],
        poses=_read_poses(row),
        provenance=Provenance(
            config_hash=row["config_hash"],
            software=row["software"],
            pose_model=row["pose_model"],
            schema_version=row["schema_version"],
        ),
    )


def columns_of(streams: Collection[Stream]) -> list[str]:
    """Return the columns that a record with just these streams needs."""
    absent = {
        name for stream in STREAM_COLUMNS.keys() - set(streams) for name in STREAM_COLUMNS[stream]
    }
    return [name for name in _FIELDS if name not in absent]


def read_row(
    table: pa.Table,
    index: int,
    *,
    frames: Sequence[int] | None,
    images: Mapping[str, Sequence[bytes]],
) -> ClipRecord:
    """Return one clip of a table; streams whose columns it lacks are absent from the record.

    Only the frames asked for are taken out of Arrow's memory.

    Args:
        table: Rows of a shard with all columns but those of streams, at least.
        index: Row of the table.
        frames: Indices of the frames to take, in any order; None = all.
        images: Images of these frames by column, for columns that are not in the table.

    Raises:
        RecordError: If its streams differ in length.
        ShardError: If the clip does not have the frames asked for.
    """
    row: dict[str, Any] = dict.fromkeys(_FIELDS)
    for name in table.column_names:
        value = table.column(name)[index]
        is_by_frame = name in _BY_FRAME and value.is_valid
        row[name] = _take(value.values, frames, name) if is_by_frame else value.as_py()
    for name, jpegs in images.items():
        row[name] = [{"bytes": jpeg} for jpeg in jpegs]
    return from_parquet_row(row)


def _take(values: pa.Array, frames: Sequence[int] | None, name: str) -> list[Any]:
    """Entries of a list column at some frames."""
    if frames is None:
        return list(values.to_pylist())
    if frames and not 0 <= min(frames) <= max(frames) < len(values):
        wanted = f"{min(frames)} to {max(frames)}"
        raise ShardError(f"{name} must have the frames {wanted}, got {len(values)} frames")
    return [values[t].as_py() for t in frames]


def _read_poses(row: dict[str, Any]) -> PoseSequence | None:
    if row["track_ids"] is None:
        return None
    most = max((len(tracks) for tracks in row["track_ids"]), default=0)
    poses = empty_pose_sequence(len(row["track_ids"]), most)
    for t, tracks in enumerate(row["track_ids"]):
        people = slice(0, len(tracks))
        triples = np.array(row["keypoints"][t], np.float32).reshape(len(tracks), NUM_KEYPOINTS, 3)
        scored = np.array(row["boxes"][t], np.float32).reshape(len(tracks), 5)
        if tracks:
            poses.keypoints[t, people] = triples[..., :2]
            poses.scores[t, people] = triples[..., 2]
            poses.boxes[t, people] = scored[:, :4]
            poses.box_scores[t, people] = scored[:, 4]
            poses.track_ids[t, people] = tracks
    return poses
