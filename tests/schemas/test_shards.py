"""Shard numbers and names."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.shards import (
    default_num_shards,
    parquet_name,
    shard_of,
    shard_suffix,
    tfrecord_name,
)


@pytest.mark.parametrize(
    ("clip_id", "num_shards", "shard"),
    [
        ("v_ApplyEyeMakeup_g01_c01", 16, 10),
        ("-a_b-c_d-e__000007_000017", 1000, 489),
        ("名前", 7, 4),
    ],
)
def test_shard_of_a_clip_never_changes(clip_id: str, num_shards: int, shard: int) -> None:
    assert shard_of(clip_id, num_shards) == shard


@settings(max_examples=50, derandomize=True, deadline=None)
@given(st.text(max_size=20), st.integers(1, 10_000))
def test_shard_lies_in_range(clip_id: str, num_shards: int) -> None:
    assert 0 <= shard_of(clip_id, num_shards) < num_shards


def test_clips_spread_evenly() -> None:
    counts = Counter(shard_of(f"clip_{index}", 8) for index in range(4000))
    assert set(counts) == set(range(8))
    assert max(counts.values()) < 1.2 * 500


@pytest.mark.parametrize("num_shards", [0, -3])
def test_no_shards_are_refused(num_shards: int) -> None:
    with pytest.raises(ValueError, match=rf"^num_shards must be >= 1, got {num_shards}$"):
        shard_of("clip", num_shards)


@pytest.mark.parametrize(
    ("num_clips", "num_shards"),
    [(0, 1), (1, 1), (5, 5), (16, 16), (17, 16), (512, 16), (513, 17), (240_000, 7500)],
)
def test_default_is_one_shard_for_32_clips(num_clips: int, num_shards: int) -> None:
    assert default_num_shards(num_clips) == num_shards


def test_names_follow_tensorflow_and_hugging_face() -> None:
    assert shard_suffix(3, 10) == "00003-of-00010"
    assert tfrecord_name("ucf101", "train1", 0, 2) == (
        "tfrecord/ucf101-train1.tfrecord-00000-of-00002"
    )
    assert parquet_name("train1", 1, 2) == "parquet/train1-00001-of-00002.parquet"
