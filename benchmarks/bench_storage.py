"""Bytes of each stream by JPEG quality, what the quality costs, and bytes of whole shards.

python -m benchmarks.bench_storage --clips FOLDER ... --poses mediapipe
"""

import argparse
import io
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.storage_clips import StorageClip, find_videos, read_clip, synthetic_clips
from flow.engine import FlowEngineName
from flow.pa import persistence_of_appearance
from flow.quantize import DEFAULT_BOUND_PX, dequantize_flow, quantize_flow, quantize_pa
from pipelines.config import JpegConfig
from pipelines.streams import streams_in
from renderers.pose import PoseRenderConfig, render_pose_clip
from schemas.clip_record import ClipRecord
from schemas.labels import LabelMap
from schemas.ledger import STREAMS
from schemas.shard_writer import ParquetShard, TFRecordShard
from video.jpeg import decode_jpeg, encode_jpeg

QUALITIES = (75, 85, 90, 95)
CLIP_FRAMES = 250
"""Frames of the ten second clip that all bytes are given for."""

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamCost:
    """One stream of one clip at one JPEG quality."""

    clip: str
    stream: str
    """rgb, pose_overlay, pa, flow (one 4:4:4 image), or flow_xy (two grey images)."""
    quality: int | None
    """None: rounded to 8 bit, no JPEG."""
    bytes_per_frame: float
    mean_error: float
    """Grey levels of luma for images, end-point error in pixels for flow."""
    max_error: float
    psnr_db: float | None = None
    """Of the RGB values; None for flow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardCost:
    """All that a shard keeps of one clip, by format and pose storage, at default qualities."""

    clip: str
    shard_format: str
    pose_storage: str
    bytes_per_frame: float


def image_costs(
    name: str, stream: str, frames: UInt8, qualities: Sequence[int]
) -> list[StreamCost]:
    """Return the cost of uint8 [T, H, W, 3] or grey [T, H, W] frames at every quality."""
    chroma = "420" if stream == "rgb" else "444"
    costs = []
    for quality in qualities:
        jpegs = [encode_jpeg(frame, quality=quality, chroma=chroma) for frame in frames]
        pairs = [(frame, decode_jpeg(jpeg)) for frame, jpeg in zip(frames, jpegs, strict=True)]
        errors = [np.abs(_luma(frame) - _luma(back)) for frame, back in pairs]
        costs.append(
            StreamCost(
                clip=name,
                stream=stream,
                quality=quality,
                bytes_per_frame=statistics.mean(len(jpeg) for jpeg in jpegs),
                mean_error=statistics.mean(float(error.mean()) for error in errors),
                max_error=max(float(error.max()) for error in errors),
                psnr_db=statistics.mean(psnr_db(frame, back) for frame, back in pairs),
            )
        )
    return costs


def psnr_db(image: UInt8, other: UInt8) -> float:
    """Return the peak signal-to-noise ratio of two images in dB; 100 if they are equal."""
    square = float(np.square(image.astype(np.float32) - other).mean())
    return 10 * float(np.log10(255.0**2 / square)) if square else 100.0


def flow_costs(
    name: str, flow: npt.NDArray[np.float32], qualities: Sequence[int]
) -> list[StreamCost]:
    """Return the cost of float32 [T, H, W, 2] flow in both forms at every quality.

    Errors are against the flow clipped to the bound: what lies beyond is lost in any form.
    """
    codes = [quantize_flow(field) for field in flow]
    costs = [_flow_cost(name, "flow_xy", None, flow, [(code, 0) for code in codes])]
    for quality in qualities:
        one = [_through_one_image(code, quality) for code in codes]
        two = [_through_two_images(code, quality) for code in codes]
        costs.append(_flow_cost(name, "flow", quality, flow, one))
        costs.append(_flow_cost(name, "flow_xy", quality, flow, two))
    return costs


def _through_one_image(code: UInt8, quality: int) -> tuple[UInt8, int]:
    """uint8 [H, W, 2] as the TFRecord image gives it back, and the bytes of that image."""
    image = np.dstack((code, np.zeros_like(code[..., :1])))
    jpeg = encode_jpeg(image, quality=quality, chroma="444")
    return decode_jpeg(jpeg)[..., :2], len(jpeg)


def _through_two_images(code: UInt8, quality: int) -> tuple[UInt8, int]:
    """uint8 [H, W, 2] as the two Parquet images give it back, and their bytes."""
    jpegs = [encode_jpeg(code[..., axis], quality=quality) for axis in (0, 1)]
    return np.dstack([decode_jpeg(jpeg) for jpeg in jpegs]), sum(map(len, jpegs))


def _flow_cost(
    name: str,
    stream: str,
    quality: int | None,
    flow: npt.NDArray[np.float32],
    stored: Sequence[tuple[UInt8, int]],
) -> StreamCost:
    errors = [
        np.linalg.norm(
            dequantize_flow(code) - np.clip(field, -DEFAULT_BOUND_PX, DEFAULT_BOUND_PX), axis=-1
        )
        for field, (code, _) in zip(flow, stored, strict=True)
    ]
    return StreamCost(
        clip=name,
        stream=stream,
        quality=quality,
        bytes_per_frame=statistics.mean(size for _, size in stored),
        mean_error=statistics.mean(float(error.mean()) for error in errors),
        max_error=max(float(error.max()) for error in errors),
    )


def shard_costs(clip: StorageClip, overlay: UInt8) -> Iterator[ShardCost]:
    """Yield the bytes of the clip in a shard of each format and pose storage."""
    record = _record(clip, overlay)
    for shard_format in ("tfrecord", "parquet"):
        for pose_storage in ("overlay", "keypoints", "both"):
            streams = streams_in(
                shard_format, modalities=("rgb", "flow", "pose"), pose_storage=pose_storage
            )
            dropped: dict[str, Any] = dict.fromkeys(set(STREAMS) - streams, ())
            poses = clip.poses if "poses" in streams else None
            file = io.BytesIO()
            shard: TFRecordShard | ParquetShard = TFRecordShard(file)
            if shard_format == "parquet":
                shard = ParquetShard(file, LabelMap(()))
            shard.write(replace(record, **dropped, poses=poses))
            shard.close()
            yield ShardCost(
                clip=clip.name,
                shard_format=shard_format,
                pose_storage=pose_storage,
                bytes_per_frame=len(file.getvalue()) / len(clip.frames),
            )


def _record(clip: StorageClip, overlay: UInt8) -> ClipRecord:
    """The clip with all streams at the default qualities."""
    jpeg, grid = JpegConfig(), np.arange(len(clip.frames), dtype=np.int64)
    codes = [quantize_flow(field) for field in clip.flow]
    codes.append(codes[-1])
    quality = jpeg.flow_quality
    blank = np.zeros_like(codes[0][..., :1])
    height, width = clip.frames.shape[1:3]
    return ClipRecord(
        clip_id=clip.name,
        dataset="csv",
        split="all",
        label_index=0,
        label_text="label",
        media_id=clip.name,
        video_path=clip.name,
        start_us=0,
        end_us=len(grid) * 40_000,
        fps=25,
        width=width,
        height=height,
        timestamps_us=grid * 40_000,
        source_indices=grid,
        source_timestamps_us=grid * 40_000,
        rgb=tuple(encode_jpeg(frame, quality=jpeg.rgb_quality) for frame in clip.frames),
        pose_overlay=tuple(
            encode_jpeg(frame, quality=jpeg.pose_quality, chroma="444") for frame in overlay
        ),
        flow=tuple(
            encode_jpeg(np.dstack((code, blank)), quality=quality, chroma="444") for code in codes
        ),
        flow_x=tuple(encode_jpeg(code[..., 0], quality=quality) for code in codes),
        flow_y=tuple(encode_jpeg(code[..., 1], quality=quality) for code in codes),
        poses=clip.poses,
    )


def _luma(image: UInt8) -> npt.NDArray[np.float32]:
    if image.ndim == 2:
        return image.astype(np.float32)
    gray: npt.NDArray[np.float32] = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return gray


def measure(
    clip: StorageClip, qualities: Sequence[int]
) -> tuple[list[StreamCost], list[ShardCost]]:
    """Return the costs of one clip."""
    overlay = render_pose_clip(clip.frames, clip.poses, config=PoseRenderConfig())
    streams = image_costs(clip.name, "rgb", clip.frames, qualities)
    streams += image_costs(clip.name, "pose_overlay", overlay, qualities)
    pa = quantize_pa(persistence_of_appearance(clip.frames))
    streams += image_costs(clip.name, "pa", pa, qualities)
    streams += flow_costs(clip.name, clip.flow, qualities)
    return streams, list(shard_costs(clip, overlay))


def stream_table(costs: Sequence[StreamCost]) -> list[str]:
    """Return Markdown lines: means over the clips, the largest error of all, bytes per 10 s."""
    lines = [
        "| stream | quality | MB per 10 s | mean error | largest error | PSNR |",
        "|---|---|---|---|---|---|",
    ]
    for stream in dict.fromkeys(cost.stream for cost in costs):
        unit = "px" if stream.startswith("flow") else "grey"
        for quality in dict.fromkeys(cost.quality for cost in costs if cost.stream == stream):
            chosen = [c for c in costs if (c.stream, c.quality) == (stream, quality)]
            size = _megabytes([cost.bytes_per_frame for cost in chosen])
            mean = statistics.mean(cost.mean_error for cost in chosen)
            psnr = [cost.psnr_db for cost in chosen if cost.psnr_db is not None]
            cells = (
                f"`{stream}`",
                "8 bit, no JPEG" if quality is None else str(quality),
                size if quality is not None else "",
                f"{mean:.3f} {unit}",
                f"{max(cost.max_error for cost in chosen):.2f} {unit}",
                f"{statistics.mean(psnr):.1f} dB" if psnr else "",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def shard_table(costs: Sequence[ShardCost]) -> list[str]:
    """Return Markdown lines: megabytes of a ten second clip by format and pose storage."""
    storages = list(dict.fromkeys(cost.pose_storage for cost in costs))
    lines = [f"| MB per 10 s | {' | '.join(f'`{each}`' for each in storages)} |"]
    lines.append("|---" * (len(storages) + 1) + "|")
    for shard_format in dict.fromkeys(cost.shard_format for cost in costs):
        cells = [
            _megabytes(
                c.bytes_per_frame
                for c in costs
                if (c.shard_format, c.pose_storage) == (shard_format, storage)
            )
            for storage in storages
        ]
        lines.append(f"| {shard_format} | {' | '.join(cells)} |")
    return lines


def _megabytes(bytes_per_frame: Any) -> str:
    return f"{statistics.mean(bytes_per_frame) * CLIP_FRAMES / 1e6:.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all clips, print two tables and write a JSON file if asked."""
    options = _parse(argv)
    streams: list[StreamCost] = []
    shards: list[ShardCost] = []
    for clip in _clips(options):
        height, width = clip.frames.shape[1:3]
        beyond = float((np.abs(clip.flow) > DEFAULT_BOUND_PX).any(axis=-1).mean())
        people = float(clip.poses.num_people.mean())
        _write(
            f"{clip.name[:32]:32} {len(clip.frames)} frames {width}x{height}, "
            f"{people:.2f} people, {beyond:.3%} of the flow beyond the bound"
        )
        of_streams, of_shards = measure(clip, options.qualities)
        streams += of_streams
        shards += of_shards
    _write("\n".join(["", *stream_table(streams), "", *shard_table(shards)]))
    if options.output:
        content = {"streams": [asdict(c) for c in streams], "shards": [asdict(c) for c in shards]}
        options.output.write_text(json.dumps(content, indent=1))
    return 0


def _clips(options: argparse.Namespace) -> Iterator[StorageClip]:
    if not options.clips:
        yield from synthetic_clips(
            num_clips=options.num_clips, num_frames=options.frames, engine=options.engine
        )
        return
    for path in find_videos(options.clips, num_clips=options.num_clips):
        yield read_clip(
            path,
            num_frames=options.frames,
            engine=options.engine,
            use_model=options.poses == "mediapipe",
        )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--clips", type=Path, nargs="+", help="folders of videos")
    parser.add_argument("--num-clips", type=int, default=5, help="videos of each folder")
    parser.add_argument("--frames", type=int, default=100, help="frames of each, from the start")
    parser.add_argument("--qualities", type=int, nargs="+", default=list(QUALITIES))
    parser.add_argument("--engine", choices=get_args(FlowEngineName), default="tvl1")
    parser.add_argument("--poses", choices=("figure", "mediapipe"), default="figure")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
