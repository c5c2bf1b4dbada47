"""Sparse sampling and crops of several scales: where frames and pixels come from."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfnet import SampleKey, ShardDataset, ViewConfig
from perfnet.data.augment import clip_rng, place_crop, random_view
from perfnet.data.windows import random_segments, spaced_segments
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError
from video.jpeg import decode_jpeg

SCALES = (1.0, 0.875, 0.75, 0.66)
VIEW = ViewConfig(num_frames=8, num_segments=2, height=24, width=32, contrast=0, brightness=0)


def _random(num_frames: int, *, each: int, segments: int, seed: int) -> np.ndarray:
    frames = random_segments(
        num_frames,
        each * segments,
        num_segments=segments,
        padding="last",
        rng=np.random.default_rng(seed),
    )
    return frames.reshape(segments, each)


@given(
    num_frames=st.integers(1, 90),
    each=st.integers(1, 5),
    segments=st.integers(1, 9),
    seed=st.integers(0, 9),
)
def test_every_part_gives_adjacent_frames_that_start_inside_it(
    num_frames: int, each: int, segments: int, seed: int
) -> None:
    rows = _random(num_frames, each=each, segments=segments, seed=seed)
    num_starts = max(1, num_frames - each + 1)
    for part, row in enumerate(rows):
        assert int(part * num_starts / segments) <= row[0] <= (part + 1) * num_starts / segments
        expected = [min(row[0] + step, num_frames - 1) for step in range(each)]
        assert row.tolist() == expected


def test_all_places_of_a_part_are_drawn_equally_often() -> None:
    rows = np.stack([_random(27, each=4, segments=3, seed=seed)[:, 0] for seed in range(2400)])
    for part in range(3):  # 24 starts, 8 in each part
        values, counts = np.unique(rows[:, part], return_counts=True)
        assert values.tolist() == list(range(8 * part, 8 * part + 8))
        assert counts.min() > 230
    assert len({tuple(row) for row in rows.tolist()}) > 400  # the parts are drawn on their own


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (35, [2, 6, 10, 14, 19, 23, 27, 31]),  # 34 starts: middles at 2.125, 6.375, 10.625, ...
        (9, [0, 1, 2, 3, 4, 5, 6, 7]),
        (5, [0, 0, 1, 1, 2, 2, 3, 3]),
        (2, [0] * 8),
    ],
)
def test_central_view_takes_the_middle_of_each_part(num_frames: int, expected: list[int]) -> None:
    frames = spaced_segments(num_frames, 16, num_segments=8, padding="last").reshape(8, 2)
    assert frames[:, 0].tolist() == expected
    assert frames[:, 1].tolist() == [start + 1 for start in expected]


def test_views_are_spaced_evenly_over_each_part() -> None:
    """40 starts, parts of 20: two views stand at one and at three quarters of a part."""
    views = [
        spaced_segments(40, 2, num_segments=2, padding="last", view=view, num_views=2).tolist()
        for view in range(2)
    ]
    assert views == [[5, 25], [15, 35]]


@pytest.mark.parametrize(("padding", "expected"), [("last", [0, 1, 1, 1]), ("both", [0, 0, 1, 1])])
def test_clip_shorter_than_the_frames_of_a_part_is_filled_up(
    padding: Any, expected: list[int]
) -> None:
    frames = spaced_segments(2, 8, num_segments=2, padding=padding)
    assert frames.tolist() == expected * 2


def test_samples_hold_the_frames_of_the_parts(shards: Path, records: list[ClipRecord]) -> None:
    """Also where parts of a short clip overlap, so that frames come more than once."""
    view = dataclasses.replace(VIEW, is_random=False, height=40, width=56)
    dataset = ShardDataset(shards, view=view)
    for clip, clip_id in enumerate(dataset.clip_ids):
        record = next(each for each in records if each.clip_id == clip_id)
        frames = np.stack([decode_jpeg(jpeg) for jpeg in record.rgb])
        taken = spaced_segments(len(frames), 8, num_segments=2, padding="last")
        np.testing.assert_array_equal(dataset[clip]["rgb"].numpy(), frames[taken])


def test_every_scale_fills_the_crop_with_its_share_of_the_frame() -> None:
    """As plain arithmetic: a share of the shorter side of 256 becomes 224 pixels."""
    config = ViewConfig(crop_scales=SCALES)
    seen = set()
    for epoch in range(40):
        view = random_view(config, num_frames=100, rng=clip_rng(0, epoch, "clip"))
        crop = place_crop(view, config, height=256, width=340)
        side = 224 / crop.scale  # in pixels of the stored frame
        assert side / 256 == pytest.approx(view.crop_scale)
        assert (crop.height, crop.width) == (224, 224)
        assert 0 <= crop.top / crop.scale <= 256 - side + 1
        assert 0 <= crop.left / crop.scale <= 340 - side + 1
        seen.add(view.crop_scale)
    assert seen == set(SCALES)


def test_draws_of_a_view_without_scales_are_those_of_one_with_them() -> None:
    """The scale is drawn last: window, place and mirror flag stay what they were."""
    for epoch in range(5):
        plain, scaled = (
            random_view(config, num_frames=50, rng=clip_rng(0, epoch, "clip"))
            for config in (VIEW, dataclasses.replace(VIEW, crop_scales=SCALES))
        )
        assert plain.crop_scale is None
        assert scaled.frames.tolist() == plain.frames.tolist()
        assert (scaled.down, scaled.right) == (plain.down, plain.right)
        assert scaled.is_mirrored == plain.is_mirrored


def test_all_streams_are_scaled_alike(shards: Path) -> None:
    """A crop of half the frame: dx, a linear ramp, is twice as large and rises half as fast."""
    view = ViewConfig(num_frames=4, height=40, width=56, contrast=0, brightness=0, mirror=False)
    half = dataclasses.replace(view, crop_scales=(0.5,))
    names = ("rgb", "flow", "pose")
    for clip_id in ("clip-05", "clip-08"):
        whole, part = (
            dataset[SampleKey(dataset.clip_ids.index(clip_id))]
            for dataset in (
                ShardDataset(shards, modalities=names, view=each) for each in (view, half)
            )
        )
        num_frames = 5 + 2 * int(clip_id[-2:])
        drawn = random_view(half, num_frames=num_frames, rng=clip_rng(0, 0, clip_id))
        crop = place_crop(drawn, half, height=40, width=56)
        assert crop.scale == 2
        rows, columns = (
            slice(start // 2, start // 2 + size // 2)
            for start, size in ((crop.top, 40), (crop.left, 56))
        )
        small = {name: whole[name].float()[:, rows, columns] for name in names}
        large = {
            name: part[name].float().unfold(1, 2, 2).unfold(2, 2, 2).mean(dim=(-1, -2))
            for name in names
        }
        inner = (slice(None), slice(2, -2), slice(2, -2))
        assert (large["rgb"] - small["rgb"])[inner].abs().mean() < 12
        moved = 2 * (small["flow"] - 127.5) + 127.5
        far = (moved > 2) & (moved < 253)
        assert (large["flow"] - moved)[inner][far[inner]].abs().mean() < 2
        bars = (small["pose"] - small["rgb"]).abs().amax(-1)[inner] > 30
        still = (large["pose"] - large["rgb"]).abs().amax(-1)[inner] > 30
        assert (bars & still).sum() > 0.5 * bars.sum() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_segments": 0}, "view.num_segments must be >= 1, got 0"),
        (
            {"num_frames": 30, "num_segments": 8},
            r"view.num_frames must be a multiple of view.num_segments \(8\), got 30",
        ),
        ({"crop_scales": (1.0, 0.0)}, "view.crop_scales must be > 0 and <= 1, got 0.0"),
        ({"crop_scales": (1.5,)}, "view.crop_scales must be > 0 and <= 1, got 1.5"),
    ],
)
def test_impossible_segments_and_scales_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ViewConfig(**changes)
