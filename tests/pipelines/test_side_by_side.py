"""RGB, pose and flow next to each other: each panel is the stored stream, in its place."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flow.quantize import quantize_flow
from pipelines.side_by_side import contact_sheet, side_by_side_frames
from renderers.contact_sheet import CAPTION_PX
from renderers.flow_color import flow_to_color
from renderers.pose import PoseRenderConfig
from schemas.clip_record import ClipRecord
from schemas.pose_sequence import PoseSequence, empty_pose_sequence
from video.jpeg import encode_jpeg

UInt8 = npt.NDArray[np.uint8]
PAD = 4
RGB, OVERLAY = (200, 40, 40), (40, 40, 200)
MOTION = (3.0, -1.0)


def poses(num_frames: int, width: int, height: int) -> PoseSequence:
    """One person in every frame but the first: a cross over the frame."""
    sequence = empty_pose_sequence(num_frames, 1)
    grid = np.linspace(0.1, 0.9, 17)
    sequence.keypoints[1:, 0] = np.stack([grid * width, grid * height], axis=1)
    sequence.scores[1:, 0] = 0.9
    sequence.boxes[1:, 0] = (0, 0, width, height)
    sequence.box_scores[1:, 0] = 0.9
    sequence.track_ids[1:, 0] = 3
    return sequence


def record(width: int = 320, height: int = 240, num_frames: int = 3) -> ClipRecord:
    def images(color: Any) -> tuple[bytes, ...]:
        image = np.full((height, width, 3), color, np.uint8)
        return (encode_jpeg(image, quality=95),) * num_frames

    code = quantize_flow(np.full((height, width, 2), MOTION, np.float32))
    grid = np.arange(num_frames, dtype=np.int64)
    return ClipRecord(
        clip_id="a",
        dataset="csv",
        split="all",
        label_index=0,
        label_text="x",
        media_id="a",
        video_path="a.mp4",
        start_us=0,
        end_us=num_frames * 40_000,
        fps=25,
        width=width,
        height=height,
        timestamps_us=grid * 40_000,
        source_indices=grid,
        source_timestamps_us=grid * 40_000,
        rgb=images(RGB),
        pose_overlay=images(OVERLAY),
        flow_x=(encode_jpeg(code[..., 0].copy(), quality=95),) * num_frames,
        flow_y=(encode_jpeg(code[..., 1].copy(), quality=95),) * num_frames,
        poses=poses(num_frames, width, height),
    )


def frames(of: ClipRecord, **render: Any) -> list[UInt8]:
    return list(side_by_side_frames(of, render=PoseRenderConfig(**render)))


def panel(frame: UInt8, column: int, width: int = 320, height: int = 240) -> UInt8:
    x = PAD + column * (width + PAD)
    return frame[PAD : PAD + height, x : x + width]


def flow_color(max_px: float) -> UInt8:
    color: UInt8 = flow_to_color(np.full((1, 1, 2), MOTION, np.float32), max_px=max_px)[0, 0]
    return color


def test_panels_are_the_stored_streams_in_order() -> None:
    made = frames(record())
    assert len(made) == 3
    for frame in made:
        assert frame.shape == (240 + CAPTION_PX + 2 * PAD, 3 * (320 + PAD) + PAD, 3)
        np.testing.assert_allclose(panel(frame, 0)[100, 100].astype(int), RGB, atol=3)
        np.testing.assert_allclose(panel(frame, 1)[100, 100].astype(int), OVERLAY, atol=3)
        seen = panel(frame, 2)[20, 20].astype(int)
        np.testing.assert_allclose(seen, flow_color(4).astype(int), atol=6)


def test_flow_of_tfrecord_looks_like_that_of_parquet() -> None:
    parquet = record()
    code = quantize_flow(np.full((240, 320, 2), MOTION, np.float32))
    image = np.dstack((code, np.zeros_like(code[..., :1])))
    tfrecord = replace(
        parquet, flow=(encode_jpeg(image, quality=95, chroma="444"),) * 3, flow_x=(), flow_y=()
    )
    difference = panel(frames(parquet)[1], 2).astype(int) - panel(frames(tfrecord)[1], 2)
    assert np.abs(difference).max() <= 8


def test_captions_change_with_time_and_people() -> None:
    first, second, third = frames(record())

    def caption(frame: UInt8, column: int) -> UInt8:
        x = PAD + column * (320 + PAD)
        return frame[PAD + 240 : PAD + 240 + CAPTION_PX, x : x + 320]

    assert all((caption(first, column) < 100).any() for column in range(3))
    assert (caption(first, 0) != caption(second, 0)).any()
    assert (caption(first, 1) != caption(second, 1)).any(), "no person and one person"
    assert (caption(second, 1) == caption(third, 1)).all()
    assert (caption(first, 2) == caption(third, 2)).all(), "one scale for the whole clip"


def test_poses_that_are_not_drawn_yet_are_drawn_with_the_settings() -> None:
    undrawn = replace(record(), pose_overlay=())
    first, second, _ = frames(undrawn, thickness_ratio=0.1)
    np.testing.assert_allclose(panel(first, 1).astype(int), panel(first, 0).astype(int), atol=0)
    assert (panel(second, 1) != panel(second, 0)).any(axis=-1).mean() > 0.02
    on_black = frames(undrawn, background="black")[1]
    assert (panel(on_black, 1) == 0).all(axis=-1).mean() > 0.5


def test_keypoints_alone_are_drawn_on_black() -> None:
    (_, second, _) = frames(replace(record(), rgb=(), pose_overlay=(), flow_x=(), flow_y=()))
    assert second.shape[1] == 320 + 2 * PAD
    drawn = (panel(second, 0) != 0).any(axis=-1).mean()
    assert 0.005 < drawn < 0.5


def test_pa_is_shown_in_gray_after_the_others() -> None:
    code = np.tile(np.arange(240, dtype=np.uint8)[:, None], (1, 320))
    pa = (encode_jpeg(code, quality=100),) * 3
    seen = panel(frames(replace(record(), pa=pa))[1], 3).astype(int)
    assert np.ptp(seen, axis=2).max() == 0
    np.testing.assert_allclose(seen[..., 0], code, atol=2)


def test_clip_without_motion_is_white() -> None:
    code = np.full((240, 320), 128, np.uint8)
    still = (encode_jpeg(code, quality=95),) * 3
    frame = frames(replace(record(), flow_x=still, flow_y=still))[0]
    assert (panel(frame, 2)[:150] == 255).all()


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((16, 16), (192 + CAPTION_PX + 2 * PAD, 3 * 196 + PAD)),  # enlarged for the captions
        ((64, 48), (144 + CAPTION_PX + 2 * PAD, 3 * 196 + PAD)),
        ((1500, 600), (512 + CAPTION_PX + 2 * PAD, 3 * 1284 + PAD)),
        ((4096, 32), (3 * (10 + CAPTION_PX + PAD) + PAD, 1280 + 2 * PAD)),  # below each other
        ((32, 2000), (1280 + CAPTION_PX + 2 * PAD, 3 * 24 + PAD)),
    ],
)
def test_any_size_becomes_one_that_players_show(
    size: tuple[int, int], shape: tuple[int, int]
) -> None:
    assert frames(record(*size, num_frames=1))[0].shape[:2] == shape


@pytest.mark.parametrize(("num_frames", "rows"), [(1, 1), (3, 3), (40, 6)])
def test_contact_sheet_shows_moments_from_the_first_to_the_last_frame(
    num_frames: int, rows: int
) -> None:
    of = record(num_frames=num_frames)
    sheet = contact_sheet(of, render=PoseRenderConfig())
    cell = 240 + CAPTION_PX + PAD
    assert sheet.shape == (rows * cell + PAD, 3 * 324 + PAD, 3)
    every = frames(of)
    np.testing.assert_array_equal(sheet[PAD : PAD + cell], every[0][PAD : PAD + cell])
    np.testing.assert_array_equal(sheet[-cell:], every[-1][-cell:])
