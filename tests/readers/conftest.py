"""Shards with real JPEGs, written as the pipeline writes them, for readers nobody here wrote."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flow.quantize import quantize_flow
from schemas.clip_record import ClipRecord
from schemas.labels import LabelMap
from schemas.pose_sequence import empty_pose_sequence
from schemas.shard_writer import ParquetShard, TFRecordShard
from schemas.tfds import dataset_info_json, features_json
from video.jpeg import encode_jpeg

WIDTH, HEIGHT = 48, 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Shards:
    """Two clips of 3 and 2 frames in both formats."""

    tfrecord: Path
    parquet: Path
    records: tuple[ClipRecord, ...]
    labels: LabelMap


def _record(clip_id: str, num_frames: int, label_index: int, labels: LabelMap) -> ClipRecord:
    grid = np.arange(num_frames, dtype=np.int64)
    colours = [np.full((HEIGHT, WIDTH, 3), (50 * t, 90, 200), np.uint8) for t in range(num_frames)]
    fields = [np.full((HEIGHT, WIDTH, 2), (t, -t), np.float32) for t in range(num_frames)]
    codes = [quantize_flow(field) for field in fields]
    blue = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    poses = empty_pose_sequence(num_frames, 2)
    for t in range(1, num_frames):
        poses.keypoints[t, 0] = 10
        poses.scores[t, 0] = 0.5
        poses.boxes[t, 0] = (1, 2, 20, 30)
        poses.box_scores[t, 0] = 0.9
        poses.track_ids[t, 0] = 4
    return ClipRecord(
        clip_id=clip_id,
        dataset="ucf101",
        split="train1",
        label_index=label_index,
        label_text=labels.texts[label_index],
        media_id=clip_id,
        video_path=f"{clip_id}.avi",
        start_us=0,
        end_us=num_frames * 40_000,
        fps=25,
        width=WIDTH,
        height=HEIGHT,
        timestamps_us=grid * 40_000,
        source_indices=grid,
        source_timestamps_us=grid * 40_000,
        rgb=tuple(encode_jpeg(colour, quality=95) for colour in colours),
        pose_overlay=tuple(encode_jpeg(255 - colour, quality=95) for colour in colours),
        flow=tuple(
            encode_jpeg(np.dstack((code, blue)), quality=95, chroma="444") for code in codes
        ),
        flow_x=tuple(encode_jpeg(code[..., 0].copy(), quality=95) for code in codes),
        flow_y=tuple(encode_jpeg(code[..., 1].copy(), quality=95) for code in codes),
        poses=poses,
    )


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    """Paths of the shards and what is in them."""
    folder = tmp_path_factory.mktemp("shards")
    labels = LabelMap(("ApplyEyeMakeup", "YoYo"))
    records = (_record("clip_a", 3, 1, labels), _record("clip_é", 2, 0, labels))
    # TFDS wants <name>/<version>; the shards stand beside their metadata.
    tfrecord = folder / "ucf101" / "1.0.0" / "ucf101-train1.tfrecord-00000-of-00001"
    tfrecord.parent.mkdir(parents=True)
    parquet = folder / "train1-00000-of-00001.parquet"
    tables: dict[Path, Any] = {tfrecord: TFRecordShard, parquet: None}
    for path, kind in tables.items():
        file = io.BytesIO()
        shard = kind(file) if kind else ParquetShard(file, labels)
        for record in records:
            shard.write(record)
        shard.close()
        path.write_bytes(file.getvalue())
    info = dataset_info_json(dataset="ucf101", split="train1", shard_lengths=[2])
    tfrecord.with_name("dataset_info.json").write_text(info)
    tfrecord.with_name("features.json").write_text(features_json(labels))
    return Shards(tfrecord=tfrecord, parquet=parquet, records=records, labels=labels)
