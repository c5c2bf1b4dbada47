"""Persistence of appearance in the trainer: one channel that shares window, crop and mirror."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perfnet import SampleKey, ShardDataset, ViewConfig, collate_clips, to_model_input
from perfnet.evaluation.gradcam_figure import stream_pictures
from perfnet.modality import channels_of
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError
from tests.perfnet.training_runs import TINY_R3D, run, tiny_fit
from video.jpeg import decode_jpeg, encode_jpeg

VIEW = ViewConfig(num_frames=4, height=24, width=32, contrast=0.5, brightness=0.3)


def with_pa(record: ClipRecord) -> ClipRecord:
    """The record with a PA that is the mean of the colours of each frame."""
    codes = [decode_jpeg(jpeg).mean(axis=-1).round().astype(np.uint8) for jpeg in record.rgb]
    return dataclasses.replace(record, pa=tuple(encode_jpeg(code, quality=98) for code in codes))


@pytest.fixture
def pa_shards(records: list[ClipRecord], write_shards: Callable[..., Path]) -> Path:
    return write_shards([with_pa(record) for record in records])


@pytest.mark.parametrize("shard_format", ["tfrecord", "parquet"])
def test_pa_has_the_window_crop_and_mirroring_of_the_frames(
    pa_shards: Path, shard_format: Any
) -> None:
    dataset = ShardDataset(
        pa_shards, modalities=("rgb", "pa"), view=VIEW, shard_format=shard_format
    )
    for clip in range(11):
        sample = dataset[SampleKey(clip)]
        assert sample["pa"].shape == (4, 24, 32, 1)
        assert sample["pa"].dtype == torch.uint8
        gray = sample["rgb"].float().mean(dim=-1, keepdim=True)
        assert (sample["pa"].float() - gray).abs().mean() < 2
        assert (sample["pa"].flip(2).float() - gray).abs().mean() > 20
        assert (sample["pa"].flip(0).float() - gray).abs().mean() > 20


def test_mirrored_pa_is_the_mirror_image_with_its_values(pa_shards: Path) -> None:
    view = dataclasses.replace(VIEW, height=40, width=56)  # the whole frame
    plain = dataclasses.replace(view, mirror=False)
    mirrored = 0
    for clip in range(11):
        as_drawn, stored = (
            ShardDataset(pa_shards, modalities=("pa",), view=each)[SampleKey(clip)]["pa"]
            for each in (view, plain)
        )
        if not torch.equal(as_drawn, stored):
            assert torch.equal(as_drawn, stored.flip(2))
            mirrored += 1
    assert 0 < mirrored < 11


def test_small_frames_grow_and_their_values_do_not(pa_shards: Path) -> None:
    small = ViewConfig(num_frames=4, height=40, width=56, is_random=False)
    large = dataclasses.replace(small, height=80, width=112)
    before, after = (
        ShardDataset(pa_shards, modalities=("pa",), view=view)[8]["pa"].float()
        for view in (small, large)
    )
    assert (after[:, ::2, ::2] - before).abs().mean() < 8
    assert after.mean() == pytest.approx(float(before.mean()), abs=1)


@pytest.mark.parametrize("signed", [False, True])
def test_network_sees_one_channel_from_0_to_1_without_changes_of_colour(
    pa_shards: Path, *, signed: bool
) -> None:
    batch = collate_clips([ShardDataset(pa_shards, modalities=("pa",), view=VIEW)[0]])
    assert "contrast" in batch
    got = to_model_input(batch, "pa", signed=signed)
    assert got.shape == (1, 1, 4, 24, 32)
    torch.testing.assert_close(got, batch["pa"].permute(0, 4, 1, 2, 3) / 255)
    assert channels_of("pa") == 1


def test_shards_without_pa_say_how_to_get_it(shards: Path) -> None:
    with pytest.raises(ConfigError, match=r"build them with --modalities rgb flow pose pa$"):
        ShardDataset(shards, modalities=("pa",), view=VIEW)


def test_network_learns_what_pa_alone_tells(
    records: list[ClipRecord], write_shards: Callable[..., Path], tmp_path: Path
) -> None:
    """Frames of noise, and a PA as bright as the label is large."""
    told = []
    for record in records:
        jpeg = encode_jpeg(np.full((40, 56), 20 + 100 * record.label_index, np.uint8), quality=90)
        told.append(dataclasses.replace(record, pa=(jpeg,) * record.num_frames))
    still = dataclasses.replace(TINY_R3D, dropout=0.0)
    options = {"steps": 16, "model": still, "batch_size": 4, "modality": "pa"}
    checkpoint, objective = run(tiny_fit(write_shards(told), tmp_path / "run", **options))
    assert (checkpoint.card.modality, checkpoint.card.in_channels) == ("pa", 1)
    assert np.mean(objective.losses[-4:]) < 0.6 * np.mean(objective.losses[:4])


def test_grad_cam_shows_it_in_gray() -> None:
    codes = np.arange(24, dtype=np.uint8).reshape(2, 3, 4, 1)
    shown = stream_pictures(codes, "pa")
    assert shown.shape == (2, 3, 4, 3)
    assert (shown == codes).all()
