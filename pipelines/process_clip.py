"""All native work on one clip: decode, flow, pose, render, encode; runs in a child process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from flow.engine import FlowEngine, make_flow_engine
from flow.quantize import count_saturated, quantize_flow
from pipelines.clip_facts import ClipFacts, measure_clip
from pipelines.config import BuildConfig
from pipelines.plan import ClipTask
from pose.backends import make_backend
from pose.estimator import ClipPoseEstimator, PoseBackend, PoseRequest
from renderers.pose import render_pose_clip
from schemas.clip_record import ClipRecord, Provenance
from schemas.errors import RecordError
from schemas.outcome import Outcome
from schemas.pose_sequence import PoseSequence, join_pose_sequences
from video.decode import ClipDecoder, DecodedFrame, open_clip
from video.fingerprint import hash_video
from video.jpeg import encode_jpeg

WINDOW_FRAMES = 64
"""Frames held decoded at a time: memory does not grow with the length of a clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessedClip:
    """A finished record and what the ledger says about it."""

    record: ClipRecord
    detail: str
    decoded_frames: int
    declared_frames: int
    facts: ClipFacts
    seconds: dict[str, float]


@dataclass(slots=True)
class _Streams:
    """Encoded streams of a clip while it grows."""

    timestamps_us: list[int] = field(default_factory=list)
    source_indices: list[int] = field(default_factory=list)
    source_timestamps_us: list[int] = field(default_factory=list)
    rgb: list[bytes] = field(default_factory=list)
    pose_overlay: list[bytes] = field(default_factory=list)
    flow: list[bytes] = field(default_factory=list)
    flow_x: list[bytes] = field(default_factory=list)
    flow_y: list[bytes] = field(default_factory=list)


class ClipProcessor:
    """Turns clips into records; holds the models, so make one per process.

    Args:
        config: What to compute and how.
        provenance: Stored with every record.
    """

    def __init__(self, config: BuildConfig, provenance: Provenance) -> None:
        cv2.setNumThreads(1)
        self._config = config
        self._provenance = provenance

    @cached_property
    def _flow_engine(self) -> FlowEngine:
        return make_flow_engine(self._config.flow_engine, self._config.flow)

    @cached_property
    def _pose_backend(self) -> PoseBackend:
        return make_backend(self._config.pose_backend, self._config.pose)

    def process(self, task: ClipTask, video_path: Path) -> ProcessedClip:
        """Return the record of a clip.

        Args:
            task: The clip.
            video_path: Local file of its video.

        Raises:
            RecordError: If the clip cannot be read, decoded or posed.
        """
        try:
            return self._process(task, video_path)
        except (OSError, MemoryError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            detail = f"the system gave up on the file: {reason}"
            raise RecordError(task.clip.clip_id, Outcome.FAILED, detail) from error

    def _process(self, task: ClipTask, video_path: Path) -> ProcessedClip:
        clip = task.clip
        run = _ClipRun(self._config)
        with open_clip(
            video_path,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            is_trimmed=task.is_trimmed,
            config=self._config.decode,
        ) as decoder:
            frames = decoder.frames()
            estimator: ClipPoseEstimator | None = None
            while window := run.read_window(frames):
                if estimator is None and run.needs_estimator:
                    request = _pose_request(task, decoder, window[0])
                    estimator = self._pose_backend.start_clip(request)
                run.add_window(window, self._flow_engine if run.needs_flow else None, estimator)
            run.finish_flow()
            truncation = decoder.truncation()
            if truncation and self._config.strict:
                raise RecordError(
                    clip.clip_id, Outcome.TRUNCATED, f"{truncation}; left out (strict)"
                )
            record = self._record(task, run, is_truncated=bool(truncation))
            return ProcessedClip(
                record=record,
                detail="; ".join(filter(None, (truncation, decoder.notes()))),
                decoded_frames=decoder.num_decoded,
                declared_frames=decoder.info.declared_frames,
                facts=run.facts(hash_video(video_path)),
                seconds=run.seconds,
            )

    def _record(self, task: ClipTask, run: "_ClipRun", *, is_truncated: bool) -> ClipRecord:
        clip, streams = task.clip, run.streams
        start_us = round((clip.start_seconds or 0.0) * 1_000_000)
        length_us = round(len(streams.timestamps_us) * 1_000_000 / self._config.decode.fps)
        end_us = start_us + length_us
        if clip.end_seconds is not None:
            end_us = round(clip.end_seconds * 1_000_000)
        width, height = run.size
        return ClipRecord(
            clip_id=clip.clip_id,
            dataset=clip.dataset,
            split=clip.split,
            label_index=task.label_index,
            label_text=clip.label_text or "",
            media_id=clip.media_id,
            video_path=task.path,
            start_us=start_us,
            end_us=end_us,
            fps=self._config.decode.fps,
            width=width,
            height=height,
            timestamps_us=np.array(streams.timestamps_us, np.int64),
            source_indices=np.array(streams.source_indices, np.int64),
            source_timestamps_us=np.array(streams.source_timestamps_us, np.int64),
            rgb=tuple(streams.rgb),
            pose_overlay=tuple(streams.pose_overlay),
            flow=tuple(streams.flow),
            flow_x=tuple(streams.flow_x),
            flow_y=tuple(streams.flow_y),
            flow_bound_px=self._config.flow.bound_px,
            poses=run.stored_poses,
            is_truncated=is_truncated,
            provenance=self._provenance,
        )


class _ClipRun:
    """State of one clip between windows."""

    def __init__(self, config: BuildConfig) -> None:
        self._config = config
        self._todo = config.streams
        self._poses: list[PoseSequence] = []
        self._last_gray: npt.NDArray[np.uint8] | None = None
        self.streams = _Streams()
        self.seconds: dict[str, float] = {}
        self.size = (0, 0)
        self._num_saturated = self._num_vectors = 0

    @property
    def needs_flow(self) -> bool:
        """Whether flow has to be computed."""
        return bool(self._todo & {"flow", "flow_x", "flow_y"})

    @property
    def needs_estimator(self) -> bool:
        """Whether poses have to be estimated."""
        return bool(self._todo & {"poses", "pose_overlay"})

    def facts(self, video_hash: str) -> ClipFacts:
        """Return what the ledger says about the streams."""
        saturation = self._num_saturated / self._num_vectors if self._num_vectors else None
        return measure_clip(video_hash=video_hash, flow_saturation=saturation, windows=self._poses)

    @property
    def stored_poses(self) -> PoseSequence | None:
        """Poses of the whole clip, if they are to be stored."""
        return join_pose_sequences(self._poses) if "poses" in self._todo else None

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def read_window(self, frames: Iterator[DecodedFrame]) -> list[DecodedFrame]:
        """Decode the next frames; [] at the end of the clip."""
        with self._timed("decode"):
            return list(islice(frames, WINDOW_FRAMES))

    def add_window(
        self,
        window: list[DecodedFrame],
        flow_engine: FlowEngine | None,
        estimator: ClipPoseEstimator | None,
    ) -> None:
        """Compute and encode every stream of the next frames."""
        height, width = window[0].rgb.shape[:2]
        self.size = (width, height)
        self.streams.timestamps_us += [frame.timestamp_us for frame in window]
        self.streams.source_indices += [frame.source_index for frame in window]
        self.streams.source_timestamps_us += [frame.source_timestamp_us for frame in window]
        if "rgb" in self._todo:
            self._add_rgb(window)
        if flow_engine is not None:
            self._add_flow(window, flow_engine)
        if estimator is not None:
            self._add_poses(window, estimator)

    def _add_rgb(self, window: list[DecodedFrame]) -> None:
        quality = self._config.jpeg.rgb_quality
        with self._timed("encode"):
            previous: DecodedFrame | None = None
            for frame in window:
                if previous is not None and frame.rgb is previous.rgb:
                    self.streams.rgb.append(self.streams.rgb[-1])
                else:
                    self.streams.rgb.append(encode_jpeg(frame.rgb, quality=quality))
                previous = frame

    def _add_flow(self, window: list[DecodedFrame], engine: FlowEngine) -> None:
        """Flow up to the last frame of the window; its own comes with the next window."""
        with self._timed("flow"):
            grays = [cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2GRAY) for frame in window]
            if self._last_gray is not None:
                grays.insert(0, self._last_gray)
            self._last_gray = grays[-1]
            flow = engine(np.stack(grays))
        for pair_flow in flow:
            self._append_flow(pair_flow)

    def finish_flow(self) -> None:
        """Give the last frame its flow: its predecessor's, or zero if it is alone."""
        if self._last_gray is None:
            return
        streams = self.streams
        if len(streams.timestamps_us) == 1:
            self._append_flow(np.zeros((*self._last_gray.shape, 2), np.float32))
            return
        for images in (streams.flow, streams.flow_x, streams.flow_y):
            images.extend(images[-1:])

    def _append_flow(self, flow: npt.NDArray[np.float32]) -> None:
        quality = self._config.jpeg.flow_quality
        with self._timed("encode"):
            code = quantize_flow(flow, bound_px=self._config.flow.bound_px)
            self._num_saturated += count_saturated(code)
            self._num_vectors += code.size // 2
            if "flow" in self._todo:
                image = np.dstack((code, np.zeros_like(code[..., :1])))
                self.streams.flow.append(encode_jpeg(image, quality=quality, chroma="444"))
            for axis, name in enumerate(("flow_x", "flow_y")):
                if name in self._todo:
                    jpeg = encode_jpeg(code[..., axis], quality=quality)
                    getattr(self.streams, name).append(jpeg)

    def _add_poses(self, window: list[DecodedFrame], estimator: ClipPoseEstimator) -> None:
        frames = np.stack([frame.rgb for frame in window])
        indices = np.array([frame.source_index for frame in window], np.int64)
        with self._timed("pose"):
            poses = estimator.estimate(frames, indices)
        self._poses.append(poses)
        if "pose_overlay" in self._todo:
            self._add_overlay(frames, poses)

    def _add_overlay(self, frames: npt.NDArray[np.uint8], poses: PoseSequence) -> None:
        with self._timed("render"):
            drawn = render_pose_clip(frames, poses, config=self._config.render)
        with self._timed("encode"):
            quality = self._config.jpeg.pose_quality
            self.streams.pose_overlay += [
                encode_jpeg(image, quality=quality, chroma="444") for image in drawn
            ]


def _pose_request(task: ClipTask, decoder: ClipDecoder, frame: DecodedFrame) -> PoseRequest:
    height, width = frame.rgb.shape[:2]
    source_width, source_height = decoder.display_size
    return PoseRequest(
        clip_id=task.clip.clip_id,
        media_id=task.clip.media_id,
        relative_path=task.path,
        frame_width=width,
        frame_height=height,
        source_width=source_width,
        source_height=source_height,
    )
