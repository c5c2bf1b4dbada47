"""Write generated clips as output folders like those of `perfnet-prep build`."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from flow.quantize import count_saturated, quantize_flow
from perfnet.toy.config import Split, ToyConfig, toy_classes
from perfnet.toy.scene import make_clip
from renderers.pose import PoseRenderConfig, render_pose_clip
from schemas.clip_record import SCHEMA_VERSION, ClipRecord, Provenance
from schemas.errors import ConfigError
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow, count_outcomes, write_ledger
from schemas.outcome import Outcome
from schemas.run_folder import COMPLETED, LABEL_MAP, LEDGER, RUN_INFO
from schemas.sealed_json import hash_json, seal
from schemas.shard_writer import ParquetShard, ShardFile, TFRecordShard
from schemas.shards import (
    default_num_shards,
    parquet_name,
    shard_of,
    shard_suffix,
    tfrecord_name,
)
from schemas.tfds import dataset_info_json, features_json
from video.jpeg import encode_jpeg

DATASET = "toy"
FPS = 10
_FRAME_US = 1_000_000 // FPS


def write_toy(config: ToyConfig, output: Path) -> dict[Split, Path]:
    """Generate train, val and test clips; a split appears under its name when it is complete.

    Args:
        config: The world and the number of clips.
        output: Folder of the splits; a split without clips is left out.

    Returns:
        Folder of each split, as `ShardDataset` and `perfnet-prep verify` read it.

    Raises:
        ConfigError: If a split is there already, or there is no clip to write.
    """
    splits = {split: number for split, number in config.clips_per_class().items() if number}
    if not splits:
        raise ConfigError("train_per_class, val_per_class or test_per_class must be > 0, got 0")
    folders = {split: output / split for split in splits}
    for folder in folders.values():
        if folder.exists():
            raise ConfigError(f"output must have no such split yet, got {folder}; choose another")
    for split, folder in folders.items():
        unfinished = output / f".{split}.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        _write_split(config, split, splits[split], unfinished)
        unfinished.replace(folder)
    return folders


def make_record(
    config: ToyConfig, split: Split, number: int, *, provenance: Provenance
) -> tuple[ClipRecord, float]:
    """Return a clip as both shard formats store it, and the share of flow at its bound.

    Args:
        config: The world.
        split: Split of the clip.
        number: Place in the split; labels take turns.
        provenance: Stored with it.
    """
    label = number % config.num_classes
    clip_id = f"{split}-{number:05d}"
    clip = make_clip(config, clip_id, label)
    codes = quantize_flow(clip.flow, bound_px=config.flow_bound_px)
    drawn = render_pose_clip(clip.frames, clip.poses, config=PoseRenderConfig())
    grid = np.arange(config.num_frames, dtype=np.int64)

    def encode(images: Any) -> tuple[bytes, ...]:
        quality = config.jpeg_quality
        return tuple(encode_jpeg(image, quality=quality, chroma="444") for image in images)

    has_flow = {name: name in config.formats for name in ("tfrecord", "parquet")}
    three = np.concatenate((codes, np.zeros_like(codes[..., :1])), axis=-1)
    planes = np.ascontiguousarray(np.moveaxis(codes, -1, 0))
    record = ClipRecord(
        clip_id=clip_id,
        dataset=DATASET,
        split=split,
        label_index=label,
        label_text=toy_classes(config.num_classes)[label].text,
        media_id=clip_id,
        video_path=f"{clip_id}.mp4",
        start_us=0,
        end_us=config.num_frames * _FRAME_US,
        fps=FPS,
        width=config.size_px,
        height=config.size_px,
        timestamps_us=grid * _FRAME_US,
        source_indices=grid,
        source_timestamps_us=grid * _FRAME_US,
        rgb=encode(clip.frames),
        pose_overlay=encode(drawn),
        flow=encode(three) if has_flow["tfrecord"] else (),
        flow_x=encode(planes[0]) if has_flow["parquet"] else (),
        flow_y=encode(planes[1]) if has_flow["parquet"] else (),
        flow_bound_px=config.flow_bound_px,
        poses=clip.poses,
        provenance=provenance,
    )
    return record, count_saturated(codes) / codes[..., 0].size


def _write_split(config: ToyConfig, split: Split, per_class: int, folder: Path) -> None:
    """Write one finished output folder."""
    labels = LabelMap(tuple(each.text for each in toy_classes(config.num_classes)))
    settings = _settings(config, split)
    provenance = Provenance(
        config_hash=hash_json(settings),
        software=f"perfnet-prep={version('perfnet-prep')} numpy={version('numpy')}",
        pose_model="",
    )
    num_clips = per_class * config.num_classes
    num_shards = default_num_shards(num_clips)
    for name in (*config.formats, "state"):
        (folder / name).mkdir(parents=True)
    numbers: list[list[int]] = [[] for _ in range(num_shards)]
    for number in range(num_clips):  # in the order of their ids
        numbers[shard_of(f"{split}-{number:05d}", num_shards)].append(number)
    rows: list[LedgerRow] = []
    for shard, members in enumerate(numbers):
        records = (make_record(config, split, n, provenance=provenance) for n in members)
        names = _shard_names(config, split, shard, num_shards)
        rows += _write_shard(records, shard, folder, names, labels)
        done = {
            "settings_hash": provenance.config_hash,
            "software": provenance.software,
            "files": {name: _digest(folder / name) for name in names},
        }
        _write_json(folder / "state" / f"{shard_suffix(shard, num_shards)}.done.json", seal(done))
    info = {
        "config": settings,
        "config_hash": provenance.config_hash,
        "counts": count_outcomes(rows),
        "failed_fraction": 0.0,
        "num_frames": sum(row.num_frames for row in rows),
        "num_rows": len(rows),
        "num_shards": num_shards,
        "pose_model": provenance.pose_model,
        "schema_version": SCHEMA_VERSION,
        "software": provenance.software,
    }
    _write_results(config, folder, rows=rows, labels=labels, info=info)


def _settings(config: ToyConfig, split: Split) -> dict[str, Any]:
    """What run.json says of the making, with the names that readers of any run look for."""
    quality = dict.fromkeys(("rgb_quality", "pose_quality", "flow_quality"), config.jpeg_quality)
    settings = {
        "dataset": DATASET,
        "split": split,
        "modalities": ["rgb", "flow", "pose"],
        "pose_storage": "both",
        "formats": list(config.formats),
        "decode": {"fps": FPS},
        "flow": {"bound_px": config.flow_bound_px},
        "jpeg": quality,
        "render": asdict(PoseRenderConfig()),
        "toy": asdict(config),
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _shard_names(config: ToyConfig, split: Split, shard: int, num_shards: int) -> list[str]:
    names = {
        "tfrecord": tfrecord_name(DATASET, split, shard, num_shards),
        "parquet": parquet_name(split, shard, num_shards),
    }
    return [names[kind] for kind in config.formats]


def _write_shard(
    records: Iterator[tuple[ClipRecord, float]],
    shard: int,
    folder: Path,
    names: list[str],
    labels: LabelMap,
) -> list[LedgerRow]:
    """Write the records of a shard in all formats; returns their ledger rows."""
    files = {name: (folder / name).open("wb") for name in names}
    writers: list[ShardFile] = [
        ParquetShard(file, labels) if name.endswith(".parquet") else TFRecordShard(file)
        for name, file in files.items()
    ]
    rows = []
    for record, saturation in records:
        for writer in writers:
            writer.write(record)
        rows.append(_ledger_row(record, shard, saturation))
    for writer in writers:
        writer.close()
    for file in files.values():
        file.close()
    return rows


def _ledger_row(record: ClipRecord, shard: int, saturation: float) -> LedgerRow:
    poses = record.poses
    has_pose = poses is not None and bool(poses.num_people.any())
    return LedgerRow(
        clip_id=record.clip_id,
        outcome=Outcome.WRITTEN,
        source=f"{DATASET}:{record.clip_id}",
        path=record.video_path,
        label_text=record.label_text,
        media_id=record.media_id,
        shard=shard,
        num_frames=record.num_frames,
        decoded_frames=record.num_frames,
        declared_frames=record.num_frames,
        num_people=float(has_pose),
        num_tracks=int(has_pose),
        pose_coverage=float(has_pose),
        pose_score=float(poses.scores.mean()) if poses is not None and has_pose else None,
        flow_saturation=saturation,
        source_end_us=int(record.source_timestamps_us[-1]),
        record_bytes=record.num_image_bytes,
        stream_bytes=record.stream_bytes(),
    )


def _write_results(
    config: ToyConfig,
    folder: Path,
    *,
    rows: list[LedgerRow],
    labels: LabelMap,
    info: Mapping[str, Any],
) -> None:
    """Write ledger, label map, metadata, run.json and, last, COMPLETED."""
    with (folder / LEDGER).open("wb") as file:
        write_ledger(rows, file)
    (folder / LABEL_MAP).write_text(labels.to_text(), "utf-8")
    _write_json(folder / RUN_INFO, info)
    names = [LEDGER, LABEL_MAP, RUN_INFO]
    if "tfrecord" in config.formats:
        shards = [row.shard for row in rows]
        lengths = np.bincount(shards, minlength=info["num_shards"]).tolist()
        split = info["config"]["split"]
        about = dataset_info_json(dataset=DATASET, split=split, shard_lengths=lengths)
        for name, text in {"dataset_info": about, "features": features_json(labels)}.items():
            names.append(f"tfrecord/{name}.json")
            (folder / names[-1]).write_text(text, "utf-8")
    digests = {name: _digest(folder / name) for name in sorted(names)}
    _write_json(folder / COMPLETED, seal({"files": digests}))


def _digest(path: Path) -> dict[str, Any]:
    """Size and hash of a file, as `verify` compares them."""
    data = path.read_bytes()
    return {"num_bytes": len(data), "blake2b": blake2b(data, digest_size=16).hexdigest()}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", "utf-8")
