"""Batches of loader processes are those of the data set, in memory that is used again."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perfnet import ClipBatch, SampleKey, ShardDataset, ViewConfig, collate_clips, load_batches
from schemas.clip_record import ClipRecord
from schemas.errors import ShardError

STREAMS = ("rgb", "flow", "pose")
VIEW = ViewConfig(num_frames=4, height=24, width=32)
BATCHES = [[SampleKey((3 * n + m) % 11, epoch=n) for m in range(3)] for n in range(9)]


def _same(batch: ClipBatch, expected: ClipBatch) -> bool:
    tensors = (*STREAMS, "label", "contrast", "offset")
    return (
        batch["clip_id"] == expected["clip_id"]
        and batch["epoch"] == expected["epoch"]
        and all(torch.equal(batch[name], expected[name]) for name in tensors)  # type: ignore[literal-required]
    )


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_are_those_of_the_data_set_while_they_are_looked_at(
    shards: Path, workers: int
) -> None:
    dataset = ShardDataset(shards, modalities=STREAMS, view=VIEW, seed=3)
    batches = [*BATCHES, BATCHES[0][:2]]
    number = 0
    for number, batch in enumerate(load_batches(dataset, batches, workers=workers), 1):
        assert _same(batch, collate_clips(dataset.__getitems__(batches[number - 1])))
    assert number == len(batches)


def test_memory_of_a_batch_is_filled_again(shards: Path) -> None:
    loaded = load_batches(ShardDataset(shards, view=VIEW), BATCHES, workers=0)
    places = {batch["rgb"].data_ptr() for batch in loaded}
    assert len(places) == 1


def test_rest_of_a_batch_with_a_corrupt_record_keeps_its_pixels(
    write_shards: Callable[..., Path], records: list[ClipRecord]
) -> None:
    bad = dataclasses.replace(records[1], rgb=tuple(b"no jpeg" for _ in records[1].rgb))
    folder = write_shards([records[0], bad, *records[2:4]])
    dataset = ShardDataset(folder, view=VIEW, on_corrupt="skip")
    keys = [SampleKey(clip) for clip in range(4)]
    (batch,) = load_batches(dataset, [keys], workers=0, on_corrupt="skip")
    expected = collate_clips([dataset[key] for key in keys])
    assert len(batch["clip_id"]) == 3
    assert torch.equal(batch["rgb"], expected["rgb"])
    with pytest.raises(ShardError, match=r"clip-01: failed.*--on-corrupt skip"):
        list(load_batches(dataset, [keys], workers=0))


def test_batch_of_nothing_but_corrupt_records_holds_no_stream(
    write_shards: Callable[..., Path], records: list[ClipRecord]
) -> None:
    bad = dataclasses.replace(records[0], rgb=tuple(b"no jpeg" for _ in records[0].rgb))
    dataset = ShardDataset(write_shards([bad]), view=VIEW, on_corrupt="skip")
    (batch,) = load_batches(dataset, [[SampleKey(0)]], workers=0, on_corrupt="skip")
    assert batch["clip_id"] == []
    assert "rgb" not in batch
    assert list(load_batches(dataset, [], workers=0)) == []


def test_batch_larger_than_the_first_is_refused(shards: Path) -> None:
    batches = [BATCHES[0][:1], BATCHES[1]]
    loaded = load_batches(ShardDataset(shards, view=VIEW), batches, workers=0)
    with pytest.raises(ValueError, match="batch must be no larger than the first, 1, got 3"):
        list(loaded)


def test_random_numbers_stay_untouched(shards: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    list(load_batches(ShardDataset(shards, view=VIEW), BATCHES, workers=0))
    assert torch.equal(torch.get_rng_state(), before)
