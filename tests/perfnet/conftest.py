"""A small finished output folder, written by the codecs alone."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flow.quantize import quantize_flow
from renderers.pose import PoseRenderConfig, render_pose_clip
from schemas.clip_record import ClipRecord
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow, write_ledger
from schemas.outcome import Outcome
from schemas.parquet_rows import parquet_schema, to_parquet_row
from schemas.pose_sequence import PoseSequence, empty_pose_sequence
from schemas.sequence_example import encode_sequence_example
from schemas.shards import parquet_name, tfrecord_name
from schemas.tfrecord import frame_record
from video.jpeg import encode_jpeg

HEIGHT, WIDTH = 40, 56
LABELS = LabelMap(("jump", "squat", "wave"))


def _standing_person(num_frames: int) -> PoseSequence:
    """One person whose left arm is stretched out and whose right arm hangs, moving right."""
    poses = empty_pose_sequence(num_frames, 1)
    figure = np.array(
        [
            *([20, 6], [22, 5], [18, 5], [24, 6], [16, 6], [26, 13], [14, 13], [34, 14], [13, 19]),
            *([42, 14], [12, 25], [24, 24], [16, 24], [24, 30], [16, 30], [24, 37], [16, 37]),
        ],
        np.float32,
    )
    for t in range(num_frames):
        poses.keypoints[t, 0] = figure + np.float32([t % 6, 0])
        poses.scores[t, 0] = 0.9
        poses.boxes[t, 0] = (10 + t % 6, 2, 44 + t % 6, 39)
        poses.box_scores[t, 0] = 0.8
        poses.track_ids[t, 0] = 0
    return poses


def make_clip(clip_id: str, *, num_frames: int, label: int, seed: int = 0) -> ClipRecord:
    """A record whose frames, flow and poses differ from frame to frame."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (num_frames, HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8)
    frames = small.repeat(8, axis=1).repeat(8, axis=2)
    ramp = np.linspace(-15, 15, WIDTH, dtype=np.float32)
    flow = np.zeros((num_frames, HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = ramp + np.arange(num_frames, dtype=np.float32)[:, None, None] % 3
    flow[..., 1] = 5
    codes = quantize_flow(flow)
    poses = _standing_person(num_frames)
    drawn = render_pose_clip(frames, poses, config=PoseRenderConfig())
    grid = np.arange(num_frames, dtype=np.int64)
    three = np.concatenate((codes, np.zeros_like(codes[..., :1])), axis=-1)
    return ClipRecord(
        clip_id=clip_id,
        dataset="csv",
        split="train",
        label_index=label,
        label_text=LABELS.texts[label],
        media_id=clip_id,
        video_path=f"{clip_id}.mp4",
        start_us=0,
        end_us=num_frames * 40_000,
        fps=25,
        width=WIDTH,
        height=HEIGHT,
        timestamps_us=grid * 40_000,
        source_indices=grid,
        source_timestamps_us=grid * 40_000,
        rgb=tuple(encode_jpeg(frame, quality=95, chroma="444") for frame in frames),
        pose_overlay=tuple(encode_jpeg(frame, quality=95, chroma="444") for frame in drawn),
        flow=tuple(encode_jpeg(code, quality=98, chroma="444") for code in three),
        flow_x=tuple(encode_jpeg(np.ascontiguousarray(c[..., 0]), quality=98) for c in codes),
        flow_y=tuple(encode_jpeg(np.ascontiguousarray(c[..., 1]), quality=98) for c in codes),
        poses=poses,
    )


def write_folder(folder: Path, records: list[ClipRecord], *, num_shards: int = 3) -> Path:
    """Write records as a finished output folder with both kinds of shards."""
    has_pa = any(record.pa for record in records)
    shards: list[list[ClipRecord]] = [[] for _ in range(num_shards)]
    for place, record in enumerate(sorted(records, key=lambda each: each.clip_id)):
        shards[place % num_shards].append(record)
    rows = []
    for name in ("tfrecord", "parquet"):
        (folder / name).mkdir(parents=True)
    for shard, clips in enumerate(shards):
        data = b"".join(frame_record(encode_sequence_example(clip)) for clip in clips)
        (folder / tfrecord_name("csv", "train", shard, num_shards)).write_bytes(data)
        plain = [to_parquet_row(clip) for clip in clips]
        table = pa.Table.from_pylist(plain, schema=parquet_schema(LABELS, has_pa=has_pa))
        path = folder / parquet_name("train", shard, num_shards)
        pq.write_table(table, path, row_group_size=2, write_page_checksum=True)
        rows += [
            LedgerRow(
                clip_id=clip.clip_id,
                outcome=Outcome.WRITTEN,
                label_text=clip.label_text,
                shard=shard,
                num_frames=clip.num_frames,
            )
            for clip in clips
        ]
    rows.append(LedgerRow(clip_id="aaa-lost", outcome=Outcome.MISSING, label_text="jump"))
    with (folder / "ledger.parquet").open("wb") as file:
        write_ledger(rows, file)
    modalities = ["rgb", "flow", "pose", *(["pa"] if has_pa else [])]
    config = {
        "dataset": "csv", "split": "train", "modalities": modalities,
        "formats": ["tfrecord", "parquet"], "render": asdict(PoseRenderConfig()),
    }  # fmt: skip
    info = {"config": config, "num_shards": num_shards, "counts": {"written": len(records)}}
    (folder / "run.json").write_text(json.dumps(info))
    (folder / "label_map.txt").write_text(LABELS.to_text())
    (folder / "COMPLETED").touch()
    return folder


@pytest.fixture(scope="session")
def records() -> list[ClipRecord]:
    """Eleven clips of 5 to 25 frames and three labels."""
    return [
        make_clip(f"clip-{n:02d}", num_frames=5 + 2 * n, label=n % 3, seed=n) for n in range(11)
    ]


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory, records: list[ClipRecord]) -> Path:
    """An output folder with all records; read only."""
    return write_folder(tmp_path_factory.mktemp("shards") / "out", records)


@pytest.fixture
def write_shards(tmp_path: Path) -> Callable[..., Path]:
    """Writes records as an output folder of their own."""

    def write(records: list[ClipRecord], **options: int) -> Path:
        return write_folder(tmp_path / "own", records, **options)

    return write
