"""Records that cannot be read are an error or named; checksums are verified once by a process."""

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perfnet import ShardDataset, ViewConfig, collate_clips
from schemas import shard_reader
from schemas.clip_record import ClipRecord
from schemas.errors import ShardError

VIEW = ViewConfig(num_frames=4, height=24, width=32, contrast=0.0, brightness=0.0)
ALL = ("rgb", "flow", "pose")


def _dataset(shards: Path, **options: Any) -> ShardDataset:
    return ShardDataset(shards, **{"modalities": ALL, "view": VIEW, **options})


def test_corrupt_record_is_an_error_or_named(
    write_shards: Callable[..., Path], records: list[ClipRecord]
) -> None:
    folder = write_shards(records)
    path = next((folder / "tfrecord").glob("*-00000-of-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    strict = _dataset(folder, shard_format="tfrecord")
    with pytest.raises(ShardError, match="must have the stored checksum"):
        [strict[clip] for clip in range(11)]
    lenient = _dataset(folder, shard_format="tfrecord", on_corrupt="skip")
    batch = collate_clips([lenient[clip] for clip in range(11)])
    assert len(batch["clip_id"]) == len(batch["rgb"]) == 10
    (text,) = batch["corrupt"]
    assert "must have the stored checksum" in text


def test_process_verifies_the_checksum_of_a_record_once(
    write_shards: Callable[..., Path], records: list[ClipRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, bool]] = []
    find = shard_reader.find_record

    def spy(data: Any, offset: int, *, name: str, is_verified: bool) -> tuple[int, int]:
        asked.append((offset, is_verified))
        return find(data, offset, name=name, is_verified=is_verified)

    monkeypatch.setattr(shard_reader, "find_record", spy)
    dataset = _dataset(write_shards(records[:2]), shard_format="tfrecord", modalities=("rgb",))
    for clip in (0, 1, 1, 0):
        dataset[clip]
    copy.copy(dataset)[0]  # as another process gets it
    assert [is_verified for _, is_verified in asked] == [False, False, True, True, False]


def test_corrupt_sample_names_its_clip(
    write_shards: Callable[..., Path], records: list[ClipRecord]
) -> None:
    bad = dataclasses.replace(records[3], rgb=tuple(b"no jpeg" for _ in records[3].rgb))
    folder = write_shards([*records[:3], bad])
    dataset = _dataset(folder, on_corrupt="skip", modalities=("rgb",))
    batch = collate_clips([dataset[clip] for clip in range(4)])
    assert batch["corrupt"] == [
        "clip-03: failed: data must be a complete JPEG file, got 7 bytes that are not"
    ]
