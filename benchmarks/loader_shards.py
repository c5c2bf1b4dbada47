"""A finished output folder of moving textures at the size of Kinetics clips, for measurements."""

import json
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from renderers.pose import PoseRenderConfig
from schemas.clip_record import ClipRecord
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow, write_ledger
from schemas.outcome import Outcome
from schemas.run_folder import COMPLETED, LABEL_MAP, LEDGER, RUN_INFO
from schemas.shard_writer import ParquetShard, TFRecordShard
from schemas.shards import parquet_name, tfrecord_name
from video.jpeg import encode_jpeg

_LABELS = LabelMap(("moving",))


def write_texture_shards(
    folder: Path, *, num_clips: int, num_frames: int = 250, size_hw: tuple[int, int] = (256, 340)
) -> Path:
    """Write one shard of each format; frames are JPEG of quality 90 of 17 to 20 kB.

    Args:
        folder: Made; must not exist.
        num_clips: Clips.
        num_frames: Frames of each; 250 is ten seconds.
        size_hw: Height and width of the frames.

    Returns:
        `folder`, as `perfnet.ShardDataset` reads it.
    """
    names = {
        "tfrecord": tfrecord_name("csv", "train", 0, 1),
        "parquet": parquet_name("train", 0, 1),
    }
    for name in names:
        (folder / name).mkdir(parents=True)
    rows = []
    with (
        (folder / names["tfrecord"]).open("wb") as records,
        (folder / names["parquet"]).open("wb") as table,
    ):
        writers = (TFRecordShard(records), ParquetShard(table, _LABELS))
        for number in range(num_clips):
            clip = _make_clip(number, num_frames, size_hw)
            for writer in writers:
                writer.write(clip)
            rows.append(
                LedgerRow(
                    clip_id=clip.clip_id,
                    outcome=Outcome.WRITTEN,
                    label_text="moving",
                    shard=0,
                    num_frames=num_frames,
                )
            )
        for writer in writers:
            writer.close()
    with (folder / LEDGER).open("wb") as ledger:
        write_ledger(rows, ledger)
    config = {
        "dataset": "csv", "split": "train", "modalities": ["rgb"],
        "formats": ["tfrecord", "parquet"], "render": asdict(PoseRenderConfig()),
    }  # fmt: skip
    info = {"config": config, "num_shards": 1, "counts": {"written": num_clips}}
    (folder / RUN_INFO).write_text(json.dumps(info))
    (folder / LABEL_MAP).write_text(_LABELS.to_text())
    (folder / COMPLETED).touch()
    return folder


def _make_clip(number: int, num_frames: int, size_hw: tuple[int, int]) -> ClipRecord:
    rng = np.random.default_rng(number)
    height, width = size_hw
    canvas = np.zeros((height + 64, width + num_frames + 64, 3), np.float32)
    for sigma, strength in ((1.0, 25.0), (4.0, 120.0), (16.0, 600.0)):
        noise = rng.standard_normal(canvas.shape, dtype=np.float32)
        canvas += strength * cv2.GaussianBlur(noise, (0, 0), sigma)
    pixels = np.clip(canvas + 127.5, 0, 255).astype(np.uint8)
    frames = [
        np.ascontiguousarray(pixels[t % 32 : t % 32 + height, t : t + width])
        for t in range(num_frames)
    ]
    times = np.arange(num_frames, dtype=np.int64)
    return ClipRecord(
        clip_id=f"texture-{number:03d}",
        dataset="csv",
        split="train",
        label_index=0,
        label_text="moving",
        media_id="",
        video_path="",
        start_us=0,
        end_us=num_frames * 40_000,
        fps=25,
        width=width,
        height=height,
        timestamps_us=times * 40_000,
        source_indices=times,
        source_timestamps_us=times * 40_000,
        rgb=tuple(encode_jpeg(frame, quality=90) for frame in frames),
    )
