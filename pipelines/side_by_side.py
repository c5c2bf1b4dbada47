"""The streams of a finished record next to each other: RGB, pose, flow, PA."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
import numpy.typing as npt

from flow.quantize import dequantize_flow
from renderers.contact_sheet import tile_images
from renderers.flow_color import draw_flow_legend, flow_to_color
from renderers.pose import PoseRenderConfig, render_pose
from schemas.clip_record import ClipRecord
from video.jpeg import decode_jpeg

UInt8 = npt.NDArray[np.uint8]

_MAX_PANEL_PX = 1280
_MIN_PANEL_PX = 192  # captions have to fit
_WIDE = 2.5  # panels wider than this in heights go below each other
_LEGEND_PX = 44
_SCALES_PX = (1, 1.5, 2, 3, 4, 5, 7, 10)  # even a flash of 20 px leaves small motion visible
_FRAMES_FOR_SCALE = 24
_LEAST_MOTION_PX = 0.25
_ZERO_CODE = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class _Panel:
    """One stream as pictures with captions."""

    image: Callable[[int], UInt8]
    """Gives uint8 [H, W, 3] of a frame."""
    caption: Callable[[int], str]


def side_by_side_frames(record: ClipRecord, *, render: PoseRenderConfig) -> Iterator[UInt8]:
    """Yield every frame of a clip with all its streams next to each other, captioned.

    Where the drawn poses are not stored they are drawn now, on black if the frames are not
    stored either. Flow is shown in the colours of `flow_to_color`; its scale is the same in the
    whole clip and stands in the caption.

    Args:
        record: The clip.
        render: How poses are drawn if they have to be.

    Yields:
        uint8 [H, W, 3] RGB, all of one size.
    """
    panels = _panels(record, render)
    for index in range(record.num_frames):
        yield _lay_out(record, panels, [index])


def contact_sheet(record: ClipRecord, *, render: PoseRenderConfig, num_moments: int = 6) -> UInt8:
    """Return moments spread evenly over a clip, each with all its streams next to each other.

    Args:
        record: The clip.
        render: How poses are drawn if they have to be.
        num_moments: Frames to show, >= 1; all if the clip has fewer.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    wanted = np.linspace(0, record.num_frames - 1, min(num_moments, record.num_frames))
    return _lay_out(record, _panels(record, render), [round(float(index)) for index in wanted])


def _lay_out(record: ClipRecord, panels: list[_Panel], indices: list[int]) -> UInt8:
    images = [_fit(panel.image(index)) for index in indices for panel in panels]
    captions = [panel.caption(index) for index in indices for panel in panels]
    is_wide = record.width > _WIDE * record.height
    return tile_images(images, columns=1 if is_wide else len(panels), labels=captions)


def _fit(image: UInt8) -> UInt8:
    """The image in a size that captions fit under and players can show."""
    height, width = image.shape[:2]
    zoom = ceil(_MIN_PANEL_PX / width) if width < _MIN_PANEL_PX else 1
    if zoom > 1 and height * zoom <= _MAX_PANEL_PX:
        return image.repeat(zoom, axis=0).repeat(zoom, axis=1)
    scale = min(1.0, _MAX_PANEL_PX / max(height, width))
    if scale == 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    smaller: UInt8 = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return smaller


def _panels(record: ClipRecord, render: PoseRenderConfig) -> list[_Panel]:
    panels = []
    if record.rgb:
        panels.append(
            _Panel(image=lambda t: decode_jpeg(record.rgb[t]), caption=lambda t: _time(record, t))
        )
    if record.pose_overlay or record.poses is not None:
        panels.append(
            _Panel(
                image=lambda t: _pose_image(record, t, render),
                caption=lambda t: _people(record, t),
            )
        )
    if record.flow or record.flow_x:
        max_px = _flow_scale(record)
        caption = f"flow  full colour = {max_px:g} px/frame"
        panels.append(
            _Panel(image=lambda t: _flow_image(record, t, max_px), caption=lambda _: caption)
        )
    if record.pa:
        bright = f"PA  white = {record.pa_bound:g}"
        panels.append(_Panel(image=lambda t: _pa_image(record, t), caption=lambda _: bright))
    return panels


def _time(record: ClipRecord, index: int) -> str:
    seconds = record.timestamps_us[index] / 1_000_000
    return f"RGB  {seconds:.2f} s  frame {index + 1}/{record.num_frames}"


def _people(record: ClipRecord, index: int) -> str:
    if record.poses is None:
        return "pose"
    number = int(record.poses.num_people[index])
    return f"pose  {number} {'person' if number == 1 else 'people'}"


def _pose_image(record: ClipRecord, index: int, render: PoseRenderConfig) -> UInt8:
    if record.pose_overlay:
        return decode_jpeg(record.pose_overlay[index])
    if record.poses is None:
        raise ValueError("record must have poses, got none")
    frame = np.zeros((record.height, record.width, 3), np.uint8)
    if record.rgb:
        frame = decode_jpeg(record.rgb[index])
    here = record.poses.track_ids[index] >= 0
    return render_pose(
        frame,
        record.poses.keypoints[index][here],
        record.poses.scores[index][here],
        record.poses.boxes[index][here],
        config=render,
    )


def _pa_image(record: ClipRecord, index: int) -> UInt8:
    code = decode_jpeg(record.pa[index])
    return np.dstack([code] * 3)


def _flow_image(record: ClipRecord, index: int, max_px: float) -> UInt8:
    image = flow_to_color(_flow(record, index), max_px=max_px)
    if min(image.shape[:2]) < 3 * _LEGEND_PX:
        return image
    return draw_flow_legend(image, diameter_px=_LEGEND_PX)


def _flow(record: ClipRecord, index: int) -> npt.NDArray[np.float32]:
    """Return float32 [H, W, 2]; the code of no motion is no motion, not its rounding error."""
    if record.flow_x:
        code = np.dstack([decode_jpeg(record.flow_x[index]), decode_jpeg(record.flow_y[index])])
    else:
        code = decode_jpeg(record.flow[index])[..., :2]
    flow = dequantize_flow(code, bound_px=record.flow_bound_px)
    return np.where(code == _ZERO_CODE, np.float32(0), flow)


def _flow_scale(record: ClipRecord) -> float:
    """The round number of pixels that motion reaches in a usual frame, repeated frames aside."""
    number = min(record.num_frames, _FRAMES_FOR_SCALE)
    lengths = []
    for index in np.linspace(0, record.num_frames - 1, number):
        flow = _flow(record, round(float(index)))
        lengths.append(float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 98)))
    moving = [length for length in lengths if length >= _LEAST_MOTION_PX]
    longest = float(np.median(moving)) if moving else 0.0
    return next((scale for scale in _SCALES_PX if scale >= longest), _SCALES_PX[-1])
