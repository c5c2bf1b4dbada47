"""Samples are what the records hold: same window, crop and mirror flag in every stream."""

import dataclasses
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perfnet import SampleKey, ShardDataset, ViewConfig, collate_clips, to_model_input
from perfnet.data.augment import clip_rng, random_view
from renderers.pose import PoseRenderConfig, render_pose_clip
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError, ShardError
from schemas.pose_sequence import PoseSequence
from schemas.skeleton import SWAP_PAIRS
from video.jpeg import decode_jpeg

ALL = ("rgb", "flow", "pose")
VIEW = ViewConfig(num_frames=4, height=24, width=32)
PLAIN = dataclasses.replace(VIEW, contrast=0.0, brightness=0.0)
FORMATS = ("tfrecord", "parquet")


def _dataset(shards: Path, **options: Any) -> ShardDataset:
    return ShardDataset(shards, **{"modalities": ALL, "view": PLAIN, **options})


def _frames(record: ClipRecord) -> np.ndarray:
    return np.stack([decode_jpeg(jpeg) for jpeg in record.rgb])


def _record_of(sample: Any, records: list[ClipRecord]) -> ClipRecord:
    return next(record for record in records if record.clip_id == sample["clip_id"])


def _find(crop: np.ndarray, frames: np.ndarray) -> list[tuple[int, int, int]]:
    """Where (t, top, left) a crop of several frames lies in a clip."""
    length, height, width = crop.shape[:3]
    return [
        (t, top, left)
        for t in range(len(frames) - length + 1)
        for top in range(frames.shape[1] - height + 1)
        for left in range(frames.shape[2] - width + 1)
        if np.array_equal(frames[t : t + length, top : top + height, left : left + width], crop)
    ]


def _mirrored(poses: PoseSequence, width: int) -> PoseSequence:
    """What an estimator would say of the mirrored frames; written apart from the code."""
    keypoints, scores = poses.keypoints.copy(), poses.scores.copy()
    keypoints[..., 0] = width - 1 - keypoints[..., 0]
    for left, right in SWAP_PAIRS:
        keypoints[:, :, [left, right]] = keypoints[:, :, [right, left]]
        scores[:, :, [left, right]] = scores[:, :, [right, left]]
    boxes = poses.boxes[..., [2, 1, 0, 3]].copy()
    boxes[..., [0, 2]] = width - 1 - boxes[..., [0, 2]]
    return dataclasses.replace(poses, keypoints=keypoints, scores=scores, boxes=boxes)


@pytest.mark.parametrize("shard_format", FORMATS)
def test_streams_share_window_crop_and_mirror_flag(
    shards: Path, records: list[ClipRecord], shard_format: str
) -> None:
    dataset = _dataset(shards, shard_format=shard_format)
    seen = set()
    for epoch in range(12):
        sample = dataset[SampleKey(8, epoch)]
        record = _record_of(sample, records)
        rgb, flow, pose = (sample[name].numpy() for name in ALL)
        frames = _frames(record)
        places = [(place, False) for place in _find(rgb, frames)]
        places += [(place, True) for place in _find(rgb[:, :, ::-1], frames)]
        ((t, top, left), is_mirrored) = places[0]
        assert len(places) == 1
        seen.add(is_mirrored)
        box = (slice(t, t + 4), slice(top, top + 24), slice(left, left + 32))
        turn = slice(None, None, -1 if is_mirrored else None)
        # Flow: pixels turn round, dx changes its sign, dy does not.
        if shard_format == "parquet":
            dx = np.stack([decode_jpeg(jpeg) for jpeg in record.flow_x])[box][:, :, turn]
            dy = np.stack([decode_jpeg(jpeg) for jpeg in record.flow_y])[box][:, :, turn]
        else:
            codes = np.stack([decode_jpeg(jpeg) for jpeg in record.flow])[box][:, :, turn]
            dx, dy = codes[..., 0], codes[..., 1]
        np.testing.assert_array_equal(flow[..., 0], 255 - dx if is_mirrored else dx)
        np.testing.assert_array_equal(flow[..., 1], dy)
        # Pose: drawn as seen in the mirror, each side in its own colours.
        poses = record.poses
        assert poses is not None
        if is_mirrored:
            poses, frames = _mirrored(poses, frames.shape[2]), frames[:, :, ::-1]
            box = (box[0], box[1], slice(frames.shape[2] - left - 32, frames.shape[2] - left))
        drawn = render_pose_clip(np.ascontiguousarray(frames), poses, config=PoseRenderConfig())
        np.testing.assert_allclose(pose.astype(int), drawn[box].astype(int), atol=1)
        assert (pose != rgb).any()
    assert seen == {True, False}


def test_mirrored_pixels_differ_from_swapped_sides(shards: Path) -> None:
    swapped = _dataset(shards, modalities=("pose",))
    flipped = _dataset(
        shards, modalities=("pose",), view=dataclasses.replace(PLAIN, pose_mirror="pixels")
    )
    differs = [
        not torch.equal(swapped[SampleKey(8, e)]["pose"], flipped[SampleKey(8, e)]["pose"])
        for e in range(12)
    ]
    mirrored = [
        not torch.equal(
            flipped[SampleKey(8, e)]["pose"],
            _dataset(shards, modalities=("pose",), view=dataclasses.replace(PLAIN, mirror=False))[
                SampleKey(8, e)
            ]["pose"],
        )
        for e in range(12)
    ]
    assert differs == mirrored
    assert any(differs)


def test_stored_pose_is_what_was_drawn_by_the_build(
    shards: Path, records: list[ClipRecord]
) -> None:
    view = dataclasses.replace(PLAIN, is_random=False, pose_source="stored", height=40, width=56)
    sample = _dataset(shards, modalities=("pose",), view=view)[5]
    stored = np.stack([decode_jpeg(j) for j in _record_of(sample, records).pose_overlay])
    middle = (len(stored) - 4) // 2
    np.testing.assert_array_equal(sample["pose"].numpy(), stored[middle : middle + 4])


def test_colors_change_the_frames_but_never_the_bars(shards: Path) -> None:
    thick = PoseRenderConfig(min_thickness_px=6)
    view = dataclasses.replace(VIEW, mirror=False, render=thick)
    varied = _dataset(shards, view=view)
    plain = _dataset(shards, view=dataclasses.replace(view, contrast=0.0, brightness=0.0))
    before, after = plain[SampleKey(8)], varied[SampleKey(8)]
    assert torch.equal(before["rgb"], after["rgb"])
    assert torch.equal(before["flow"], after["flow"])
    recolored = before["rgb"] * after["contrast"] + after["offset"]
    far = (after["pose"] - recolored.clamp(0, 255)).abs() > 1
    bars = (before["pose"] != before["rgb"]).any(-1) & far.any(-1)
    solid = bars & (before["pose"] == after["pose"]).all(-1)
    assert solid.sum() > 0.5 * bars.sum()  # all but the blended rims


def test_contrast_and_brightness_are_applied_to_the_input_of_the_network(
    shards: Path, records: list[ClipRecord]
) -> None:
    view = dataclasses.replace(VIEW, contrast=0.5, brightness=0.3)
    dataset = _dataset(shards, view=view, modalities=("rgb", "flow"))
    keys = [SampleKey(clip) for clip in range(4)]
    batch = collate_clips(dataset.__getitems__(keys))
    codes = batch["rgb"].permute(0, 4, 1, 2, 3).double()
    expected = torch.empty_like(codes)
    for n, key in enumerate(keys):
        num_frames = _record_of({"clip_id": batch["clip_id"][n]}, records).num_frames
        drawn = random_view(
            view, num_frames=num_frames, rng=clip_rng(0, key.epoch, batch["clip_id"][n])
        )
        grey = (codes[n] - 127.5) * drawn.contrast + 127.5 + drawn.brightness
        expected[n] = grey.clamp(0, 255) / 255
    assert (expected == 0).any()
    assert (expected == 1).any()
    got = to_model_input(batch, "rgb")
    torch.testing.assert_close(got.double(), expected, atol=1e-6, rtol=0)
    signed = to_model_input(batch, "rgb", signed=True)
    torch.testing.assert_close(signed.double(), 2 * expected - 1, atol=1e-6, rtol=0)
    flow = batch["flow"].permute(0, 4, 1, 2, 3) / 127.5 - 1  # keeps its values
    torch.testing.assert_close(to_model_input(batch, "flow"), flow)


def test_view_without_changes_of_colour_carries_none(shards: Path) -> None:
    central = dataclasses.replace(VIEW, is_random=False)
    for view in (PLAIN, central):
        batch = collate_clips([_dataset(shards, view=view)[0]])
        assert not {"contrast", "offset"} & batch.keys()
        assert torch.equal(
            to_model_input(batch, "rgb"), batch["rgb"].permute(0, 4, 1, 2, 3).float() / 255
        )


def test_central_view_is_central_and_unchanged(shards: Path, records: list[ClipRecord]) -> None:
    view = ViewConfig(num_frames=4, height=24, width=32, is_random=False)
    sample = _dataset(shards, view=view, modalities=("rgb",))[7]
    frames = _frames(_record_of(sample, records))
    assert _find(sample["rgb"].numpy(), frames) == [((len(frames) - 4) // 2, 8, 12)]


def test_views_are_spaced_from_first_to_last_frame(shards: Path, records: list[ClipRecord]) -> None:
    view = ViewConfig(num_frames=4, height=24, width=32, is_random=False, num_views=3)
    dataset = _dataset(shards, view=view, modalities=("rgb",))
    assert len(dataset) == 33
    starts = []
    for number in range(3):
        sample = dataset[SampleKey(7, view=number)]
        frames = _frames(_record_of(sample, records))
        starts.append(_find(sample["rgb"].numpy(), frames)[0][0])
        assert torch.equal(dataset[11 * number + 7]["rgb"], sample["rgb"])
    assert starts == [0, round((len(frames) - 4) / 2), len(frames) - 4]


@pytest.mark.parametrize(
    ("padding", "expected"),
    [("last", [0, 1, 2, 3, 4, 4, 4, 4]), ("both", [0, 0, 1, 2, 3, 4, 4, 4])],
)
def test_short_clip_is_filled_up(
    shards: Path, records: list[ClipRecord], padding: str, expected: list[int]
) -> None:
    view = ViewConfig(
        num_frames=8,
        height=40,
        width=56,
        is_random=False,
        padding=padding,  # type: ignore[arg-type]
    )
    dataset = _dataset(shards, view=view, modalities=("rgb",))
    sample = dataset[dataset.clip_ids.index("clip-00")]
    np.testing.assert_array_equal(sample["rgb"].numpy(), _frames(records[0])[expected])


def test_small_frames_grow_and_so_does_their_flow(shards: Path) -> None:
    small = ViewConfig(num_frames=4, height=40, width=56, is_random=False)
    large = dataclasses.replace(small, height=80, width=112)
    before = _dataset(shards, view=small)[8]
    after = _dataset(shards, view=large)[8]
    assert after["rgb"].shape == (4, 80, 112, 3)
    # Far from the bound; a resized linear ramp stays one.
    grown = after["flow"][:, 20:60, 40:70].float().mean(dim=(1, 2))
    stored = before["flow"][:, 10:30, 20:35].float().mean(dim=(1, 2))
    torch.testing.assert_close(grown - 127.5, 2 * (stored - 127.5), atol=1.0, rtol=0.0)


def test_same_seed_same_sample_whatever_the_order(shards: Path) -> None:
    one, other = _dataset(shards, view=VIEW, seed=5), _dataset(shards, view=VIEW, seed=5)
    keys = [SampleKey(clip, epoch) for clip in (0, 9, 4) for epoch in (0, 1)]
    first = {key: one[key] for key in keys}
    for key in reversed(keys):
        for name in ALL:
            assert torch.equal(other[key][name], first[key][name])
    different = _dataset(shards, view=VIEW, seed=6)
    assert any(not torch.equal(different[key]["rgb"], first[key]["rgb"]) for key in keys)


@pytest.mark.parametrize("shard_format", FORMATS)
def test_labels_and_ids_are_those_of_the_records(
    shards: Path, records: list[ClipRecord], shard_format: str
) -> None:
    dataset = _dataset(shards, shard_format=shard_format)
    assert sorted(dataset.clip_ids) == [record.clip_id for record in records]
    assert sum(dataset.shard_sizes) == len(dataset) == 11
    for clip, clip_id in enumerate(dataset.clip_ids):
        record = next(each for each in records if each.clip_id == clip_id)
        assert dataset.label_indices[clip] == dataset[clip]["label"] == record.label_index
        assert dataset.labels.texts[record.label_index] == record.label_text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ()}, r"modalities must name at least one, each once, got \[\]"),
        ({"modalities": ("rgb", "rgb")}, "each once"),
        ({"shard_format": "zip"}, "shard_format must be one that .*, tfrecord, parquet, got zip"),
    ],
)
def test_wrong_option_is_refused(shards: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _dataset(shards, **options)


def test_stream_that_the_shards_lack_is_refused_with_the_way_out(
    write_shards: Callable[..., Path], records: list[ClipRecord]
) -> None:
    folder = write_shards(records[:2])
    info = (folder / "run.json").read_text()
    (folder / "run.json").write_text(info.replace('"flow", ', ""))
    with pytest.raises(
        ConfigError, match=r"flow must be in the shards.*--modalities rgb pose flow"
    ):
        _dataset(folder)


@pytest.mark.parametrize(
    ("storage", "source", "way_out"),
    [("overlay", "render", "stored"), ("keypoints", "stored", "render")],
)
def test_pose_that_is_stored_in_the_other_form_is_refused(
    write_shards: Callable[..., Path],
    records: list[ClipRecord],
    storage: str,
    source: Any,
    way_out: str,
) -> None:
    folder = write_shards(records[:2])
    info = (folder / "run.json").read_text()
    (folder / "run.json").write_text(
        info.replace('"config": {', f'"config": {{"pose_storage": "{storage}", ')
    )
    view = dataclasses.replace(PLAIN, pose_source=source, pose_mirror="pixels")
    with pytest.raises(ConfigError, match=f"pose_source must be {way_out} with shards of --pose"):
        _dataset(folder, view=view)


def test_folder_of_no_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without the file COMPLETED"):
        _dataset(tmp_path)


@pytest.mark.parametrize("name", ["run.json", "ledger.parquet"])
def test_damaged_metadata_is_named(
    write_shards: Callable[..., Path], records: list[ClipRecord], name: str
) -> None:
    folder = write_shards(records[:2])
    (folder / name).write_bytes(b"garbage")
    with pytest.raises(ShardError, match=r"must be JSON|readable ledger"):
        _dataset(folder)


def test_pickled_data_set_gives_the_same_samples(shards: Path) -> None:
    dataset = _dataset(shards)
    copy = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own bytes
    assert torch.equal(copy[3]["rgb"], dataset[3]["rgb"])


def test_model_input_has_the_stated_range_and_layout() -> None:
    codes = torch.tensor([0, 255], dtype=torch.uint8).repeat(6).reshape(1, 1, 2, 2, 3)
    plain = to_model_input({"rgb": codes}, "rgb")
    assert plain.shape == (1, 3, 1, 2, 2)
    assert plain.is_contiguous(memory_format=torch.channels_last_3d)
    assert (plain.min(), plain.max()) == (0, 1)
    signed = to_model_input({"rgb": codes}, "rgb", signed=True)
    assert (signed.min(), signed.max()) == (-1, 1)
    flow = to_model_input({"flow": codes[..., :2]}, "flow")
    assert (flow.min(), flow.max()) == (-1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 0}, "view.num_frames must be >= 1, got 0"),
        ({"contrast": 1.0}, "view.contrast must be >= 0 and < 1, got 1.0"),
        ({"num_views": 2}, "view.num_views must be 1 in a random view, got 2"),
        ({"pose_source": "stored"}, "view.pose_mirror must be pixels with pose_source=stored"),
    ],
)
def test_impossible_view_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ViewConfig(**changes)
