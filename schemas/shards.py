"""Names of shard files, and which clip goes into which shard."""

from hashlib import blake2b
from math import ceil

CLIPS_PER_SHARD = 32
"""Clips a shard holds on average unless a number of shards is given (about 400 MB)."""
MIN_SHARDS = 16


def default_num_shards(num_clips: int) -> int:
    """Return the number of shards for a number of annotation rows.

    One per 32 clips; small data sets get up to 16, so that several workers have work.
    """
    return max(1, min(num_clips, MIN_SHARDS), ceil(num_clips / CLIPS_PER_SHARD))


def shard_of(clip_id: str, num_shards: int) -> int:
    """Return the shard of a clip, 0 <= shard < num_shards; depends on nothing else.

    Raises:
        ValueError: If num_shards < 1.
    """
    if num_shards < 1:
        raise ValueError(f"num_shards must be >= 1, got {num_shards}")
    digest = blake2b(clip_id.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % num_shards


def shard_suffix(shard: int, num_shards: int) -> str:
    """Return `00003-of-00010`."""
    return f"{shard:05d}-of-{num_shards:05d}"


def tfrecord_name(dataset: str, split: str, shard: int, num_shards: int) -> str:
    """Return the path of a TFRecord shard below the output folder."""
    return f"tfrecord/{dataset}-{split}.tfrecord-{shard_suffix(shard, num_shards)}"


def parquet_name(split: str, shard: int, num_shards: int) -> str:
    """Return the path of a Parquet shard below the output folder."""
    return f"parquet/{split}-{shard_suffix(shard, num_shards)}.parquet"
