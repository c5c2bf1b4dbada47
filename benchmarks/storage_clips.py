"""Clips to measure storage on: frames, flow in floats and poses, real or synthetic."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.flow_pairs import VIDEO_SUFFIXES, make_texture
from flow.engine import FlowConfig, FlowEngineName, make_flow_engine
from pose.backends import PoseConfig, make_backend
from pose.estimator import PoseRequest
from schemas.pose_sequence import PoseSequence, empty_pose_sequence
from video.decode import DecodeConfig, open_clip

_SIZE = (340, 256)
_STEP_PX = (2, 1)
# Of a figure one unit high and 0.5 wide: (x, y) of the 17 COCO keypoints.
_FIGURE = np.array(
    [
        *([0.25, 0.08], [0.28, 0.06], [0.22, 0.06], [0.31, 0.07], [0.19, 0.07], [0.36, 0.22]),
        *([0.14, 0.22], [0.42, 0.36], [0.08, 0.36], [0.46, 0.5], [0.04, 0.5], [0.33, 0.54]),
        *([0.17, 0.54], [0.34, 0.76], [0.16, 0.76], [0.34, 0.97], [0.16, 0.97]),
    ],
    np.float32,
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StorageClip:
    """One clip, nothing of it encoded yet."""

    name: str
    frames: npt.NDArray[np.uint8]
    """uint8 [T, H, W, 3] RGB."""
    flow: npt.NDArray[np.float32]
    """float32 [T - 1, H, W, 2] pixels; the last frame's repeats and costs no error of its own."""
    poses: PoseSequence


def find_videos(folders: Sequence[Path], *, num_clips: int) -> list[Path]:
    """Return up to `num_clips` videos of each folder, evenly chosen by name.

    Raises:
        ValueError: If a folder holds none.
    """
    chosen: list[Path] = []
    for folder in folders:
        files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
        if not files:
            raise ValueError(
                f"folder must hold a video ({', '.join(VIDEO_SUFFIXES)}), got {folder}"
            )
        step = max(1.0, len(files) / num_clips)
        chosen += [files[int(index * step)] for index in range(min(num_clips, len(files)))]
    return chosen


def read_clip(
    path: Path, *, num_frames: int, engine: FlowEngineName, use_model: bool
) -> StorageClip:
    """Decode the first frames of a video, and compute flow and poses as a build does.

    Args:
        path: The video.
        num_frames: Frames to take, at 25 per second.
        engine: Flow engine.
        use_model: Poses by MediaPipe; otherwise one drawn figure.
    """
    with open_clip(
        path, start_seconds=None, end_seconds=None, is_trimmed=True, config=DecodeConfig()
    ) as decoder:
        frames = np.stack([frame.rgb for frame in islice(decoder.frames(), num_frames)])
    poses = _estimate(frames, path.stem) if use_model else walking_figure(len(frames), frames.shape)
    flow = float_flow(frames, engine=engine)
    return StorageClip(name=path.stem, frames=frames, flow=flow, poses=poses)


def synthetic_clips(
    *, num_clips: int, num_frames: int, engine: FlowEngineName
) -> Iterator[StorageClip]:
    """Yield seeded textures that move under a still window, each with one walking figure."""
    for seed in range(num_clips):
        rng = np.random.default_rng(seed)
        width, height = _SIZE
        dx, dy = _STEP_PX
        whole = (width + dx * num_frames, height + dy * num_frames)
        texture = np.dstack([make_texture(rng, size=whole) for _ in range(3)])
        corners = [(t * dy, t * dx) for t in range(num_frames)]
        frames = np.stack([texture[y : y + height, x : x + width] for y, x in corners])
        poses = walking_figure(num_frames, frames.shape)
        flow = float_flow(frames, engine=engine)
        yield StorageClip(name=f"texture{seed}", frames=frames, flow=flow, poses=poses)


def float_flow(frames: npt.NDArray[np.uint8], *, engine: FlowEngineName) -> npt.NDArray[np.float32]:
    """Return float32 [T - 1, H, W, 2]: the flow of the frames before it is rounded."""
    grays = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames])
    return make_flow_engine(engine, FlowConfig())(grays)


def walking_figure(num_frames: int, shape: tuple[int, ...]) -> PoseSequence:
    """Return one person who crosses the middle of frames [T, H, W, 3]."""
    height, width = shape[1:3]
    tall = 0.7 * height
    poses = empty_pose_sequence(num_frames, 1)
    for t in range(num_frames):
        left = (width - tall / 2) * t / max(1, num_frames - 1)
        corner = np.array([left, 0.15 * height], np.float32)
        poses.keypoints[t, 0] = _FIGURE * np.float32(tall) + corner
        poses.scores[t, 0] = 0.9
        poses.boxes[t, 0] = (*corner, *(corner + np.array([tall / 2, tall])))
    poses.box_scores[:] = 0.9
    poses.track_ids[:] = 0
    return poses


def _estimate(frames: npt.NDArray[np.uint8], name: str) -> PoseSequence:
    """Poses of a whole clip by MediaPipe."""
    height, width = frames.shape[1:3]
    backend = make_backend("mediapipe", PoseConfig())
    request = PoseRequest(
        clip_id=name,
        media_id=name,
        relative_path=name,
        frame_width=width,
        frame_height=height,
        source_width=width,
        source_height=height,
    )
    try:
        return backend.start_clip(request).estimate(frames, np.arange(len(frames), dtype=np.int64))
    finally:
        backend.close()
