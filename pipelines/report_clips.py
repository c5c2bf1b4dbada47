"""A few clips of a data set as small films: rgb, pose, flow and PA beside each other."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from flow.quantize import dequantize_flow
from pipelines.finished_output import FinishedOutput
from renderers.flow_color import flow_to_color
from renderers.pose import PoseRenderConfig, render_pose_clip
from schemas.clip_record import ClipRecord
from schemas.ledger import LedgerRow
from schemas.pose_sequence import PoseSequence
from video.jpeg import decode_jpeg
from video.write import REPEATABLE_X264

EXCERPT_SECONDS = 2.5
"""Length of a film, from the middle of its clip."""

PANEL_HEIGHT_PX = 240
MAX_PANEL_WIDTH_PX = 428
_MIN_PANEL_PX = 16
_NO_MOTION = 128  # the code of zero, half a step off
_FULL_COLOR_PERCENTILE = 98.0  # longer flow is darkened; a few wild vectors must not pale the rest

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """A clip as the page shows it, JSON-ready by `asdict`."""

    folder: str
    split: str
    clip_id: str
    label_text: str
    note: str
    """Detail of the ledger, and what the panels do not say themselves."""
    panels: tuple[str, ...]
    """Names of the pictures beside each other."""
    panel_width: int
    panel_height: int
    fps: int
    num_frames: int
    mp4: str
    """H.264 in MP4, base64."""


def choose_clips(
    outputs: Sequence[FinishedOutput], num_clips: int
) -> list[tuple[FinishedOutput, LedgerRow]]:
    """Return clips by the hash of their ids, each with another label as far as there are labels.

    Args:
        outputs: Where to choose from.
        num_clips: How many; fewer if there are not as many in shards.
    """
    written = [(output, row) for output in outputs for row in output.ledger if row.is_in_shard]
    written.sort(key=lambda pair: _hash(f"{pair[0].config['split']}/{pair[1].clip_id}"))
    first: dict[str, tuple[FinishedOutput, LedgerRow]] = {}
    for pair in written:
        first.setdefault(pair[1].label_text, pair)
    taken = {id(row) for _, row in first.values()}
    others = [pair for pair in written if id(pair[1]) not in taken]
    return [*first.values(), *others][:num_clips]


def make_film(output: FinishedOutput, row: LedgerRow) -> Film | None:
    """Return the film of a clip; None if its shards hold no pictures.

    Args:
        output: Where the clip is.
        row: Its row of the ledger.

    Raises:
        ShardError: If its shard is missing or damaged.
    """
    record = output.read_record(row.clip_id)
    length = min(record.num_frames, round(EXCERPT_SECONDS * record.fps))
    first = (record.num_frames - length) // 2
    panels, notes = _draw_panels(record, slice(first, first + length), output.config)
    if not panels:
        return None
    if length < record.num_frames:
        notes.insert(0, f"{length / record.fps:.1f} s from the middle of {row.num_frames} frames")
    width, height = _panel_size(record.width, record.height)
    return Film(
        folder=output.folder,
        split=record.split,
        clip_id=record.clip_id,
        label_text=record.label_text,
        note="; ".join(filter(None, (*notes, row.detail))),
        panels=tuple(panels),
        panel_width=width,
        panel_height=height,
        fps=record.fps,
        num_frames=length,
        mp4=_encode(list(panels.values()), (width, height), record.fps),
    )


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "backslashreplace"), digest_size=16).digest()


def _draw_panels(
    record: ClipRecord, part: slice, config: dict[str, Any]
) -> tuple[dict[str, list[UInt8]], list[str]]:
    """The frames of each panel by its name, uint8 [H, W, 3] each, and notes."""
    panels: dict[str, list[UInt8]] = {}
    notes = []
    if record.rgb:
        panels["RGB"] = [decode_jpeg(jpeg) for jpeg in record.rgb[part]]
    if record.pose_overlay:
        panels["Pose"] = [decode_jpeg(jpeg) for jpeg in record.pose_overlay[part]]
    elif record.poses is not None and record.rgb:
        render = PoseRenderConfig(**config["render"])
        frames = np.stack(panels["RGB"])
        panels["Pose"] = list(render_pose_clip(frames, _cut(record.poses, part), config=render))
    codes = _flow_codes(record, part)
    if codes:
        flows = [_flow_of(code, record.flow_bound_px) for code in codes]
        lengths = np.stack([np.hypot(flow[..., 0], flow[..., 1]) for flow in flows])
        full = max(1.0, float(np.percentile(lengths, _FULL_COLOR_PERCENTILE)))
        panels["Flow"] = [flow_to_color(flow, max_px=full) for flow in flows]
        notes.append(f"full flow colour = {full:.1f} px per frame")
    if record.pa:
        panels["PA"] = [np.dstack([decode_jpeg(jpeg)] * 3) for jpeg in record.pa[part]]
    return panels, notes


def _cut(poses: PoseSequence, part: slice) -> PoseSequence:
    return PoseSequence(
        keypoints=poses.keypoints[part],
        scores=poses.scores[part],
        boxes=poses.boxes[part],
        box_scores=poses.box_scores[part],
        track_ids=poses.track_ids[part],
    )


def _flow_codes(record: ClipRecord, part: slice) -> list[UInt8]:
    """Codes of each frame, uint8 [H, W, 2], from whichever form is stored."""
    if record.flow_x:
        pairs = zip(record.flow_x[part], record.flow_y[part], strict=True)
        return [np.dstack([decode_jpeg(x), decode_jpeg(y)]) for x, y in pairs]
    return [decode_jpeg(jpeg)[..., :2] for jpeg in record.flow[part]]


def _flow_of(code: UInt8, bound_px: float) -> npt.NDArray[np.float32]:
    """Flow in pixels; what does not move is exactly white."""
    return np.where(code == _NO_MOTION, np.float32(0), dequantize_flow(code, bound_px=bound_px))


def _panel_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of a panel: even, as H.264 wants them."""
    scale = min(PANEL_HEIGHT_PX / height, MAX_PANEL_WIDTH_PX / width, 1.0)
    even = [max(_MIN_PANEL_PX, round(side * scale / 2) * 2) for side in (width, height)]
    return even[0], even[1]


def _encode(panels: list[list[UInt8]], size: tuple[int, int], fps: int) -> str:
    """MP4 of the panels side by side, base64; the same bytes on every run."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        # A key frame every half second makes the slider of the page quick.
        options = {"crf": "24", "g": str(max(1, fps // 2)), **REPEATABLE_X264}
        stream = container.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = size[0] * len(panels), size[1], "yuv420p"
        for pictures in zip(*panels, strict=True):
            row = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in pictures]
            frame = av.VideoFrame.from_ndarray(np.hstack(row), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return base64.b64encode(file.getvalue()).decode("ascii")
