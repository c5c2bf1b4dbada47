"""Streams of one clip, computed and encoded window by window."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt

from flow.engine import FlowEngine
from flow.pa import PaEngine
from flow.quantize import count_saturated, quantize_flow, quantize_pa
from pipelines.clip_facts import ClipFacts, measure_clip
from pipelines.config import BuildConfig
from pipelines.image_spool import ImageSpool
from pipelines.kept_clip import IMAGE_STREAMS, KeptClip
from pose.estimator import ClipPoseEstimator
from pose.gap_filling import GapFiller
from renderers.pose import render_pose_clip
from schemas.pose_sequence import PoseSequence, join_pose_sequences
from video.decode import DecodedFrame
from video.jpeg import encode_jpeg

WINDOW_FRAMES = 64
"""Frames held decoded at a time: memory does not grow with the length of a clip."""


class OtherFramesError(Exception):
    """The frames of a clip are not those that an earlier run stored."""


@dataclass(slots=True)
class FrameTimes:
    """Where the frames of a clip are from, while it grows."""

    timestamps_us: list[int] = field(default_factory=list)
    source_indices: list[int] = field(default_factory=list)
    source_timestamps_us: list[int] = field(default_factory=list)


class ClipRun:
    """State of one clip between windows.

    Args:
        config: What to compute and how.
        kept: Streams to take over.
        images: Takes the encoded images.
    """

    def __init__(self, config: BuildConfig, kept: KeptClip | None, images: ImageSpool) -> None:
        self._config = config
        self._kept = kept
        self._kept_streams = kept.streams if kept is not None else frozenset[str]()
        self._todo = config.streams - self._kept_streams
        self._poses: list[PoseSequence] = []
        self._filler: GapFiller | None = None
        if config.pose.fill_gaps:
            most_people = config.pose.most_people(config.pose_backend)
            self._filler = GapFiller(most_frames=config.pose.fill_gaps, most_people=most_people)
        self._waiting: list[npt.NDArray[np.uint8]] = []  # frames whose gaps may be filled
        self._last_gray: npt.NDArray[np.uint8] | None = None
        self._last_rgb: npt.NDArray[np.uint8] | None = None
        self.times = FrameTimes()
        self.images = images
        self.seconds: dict[str, float] = {}
        self.size = (0, 0)
        self._num_saturated = self._num_vectors = 0

    @property
    def needs_flow(self) -> bool:
        """Whether flow has to be computed."""
        return bool(self._todo & {"flow", "flow_x", "flow_y"})

    @property
    def needs_pa(self) -> bool:
        """Whether persistence of appearance has to be computed."""
        return "pa" in self._todo

    @property
    def needs_estimator(self) -> bool:
        """Whether poses have to be estimated."""
        return self._needs_poses and "poses" not in self._kept_streams

    @property
    def _needs_poses(self) -> bool:
        return bool(self._todo & {"poses", "pose_overlay"})

    def facts(self, video_hash: str) -> ClipFacts:
        """Return what the ledger says about the streams."""
        saturation = self._num_saturated / self._num_vectors if self._num_vectors else None
        facts = measure_clip(video_hash=video_hash, flow_saturation=saturation, windows=self._poses)
        if self._kept is None:
            return facts
        kept = self._kept.facts(self._config.modalities)
        return replace(
            facts if self._needs_poses else kept,
            video_hash=video_hash,
            flow_saturation=facts.flow_saturation if self.needs_flow else kept.flow_saturation,
        )

    @property
    def stored_poses(self) -> PoseSequence | None:
        """Poses of the whole clip, if they are to be stored."""
        if "poses" in self._todo:
            return join_pose_sequences(self._poses)
        is_stored = "poses" in self._config.streams
        return self._kept.record.poses if self._kept is not None and is_stored else None

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
        pa_engine: PaEngine | None,
        estimator: ClipPoseEstimator | None,
    ) -> None:
        """Compute and encode every stream of the next frames that is not taken over."""
        height, width = window[0].rgb.shape[:2]
        self.size = (width, height)
        self.times.timestamps_us += [frame.timestamp_us for frame in window]
        self.times.source_indices += [frame.source_index for frame in window]
        self.times.source_timestamps_us += [frame.source_timestamp_us for frame in window]
        self._check_frames()
        if "rgb" in self._todo:
            self._add_rgb(window)
        if flow_engine is not None:
            self._add_flow(window, flow_engine)
        if pa_engine is not None:
            self._add_pa(window, pa_engine)
        if self._needs_poses:
            self._add_poses(window, estimator)

    def _check_frames(self) -> None:
        """Raise OtherFramesError unless the frames so far are those of the clip taken over."""
        times = self.times
        columns = (times.timestamps_us, times.source_indices, times.source_timestamps_us)
        if self._kept is not None and not self._kept.has_frames(self.size, *columns):
            raise OtherFramesError

    def _add_rgb(self, window: list[DecodedFrame]) -> None:
        quality = self._config.jpeg.rgb_quality
        with self._timed("encode"):
            previous: DecodedFrame | None = None
            for frame in window:
                if previous is not None and frame.rgb is previous.rgb:
                    self.images.repeat("rgb")
                else:
                    self.images.extend("rgb", [encode_jpeg(frame.rgb, quality=quality)])
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

    def finish(self) -> None:
        """Complete flow, PA and poses, and add the streams that are taken over."""
        self._finish_flow()
        self._finish_pa()
        if self._filler is not None:
            self._keep_poses(self._waiting, self._filler.finish())
        if self._kept is None:
            return
        if len(self.times.timestamps_us) != self._kept.record.num_frames:
            raise OtherFramesError
        for name in sorted(IMAGE_STREAMS & self._kept_streams & self._config.streams):
            self.images.extend(name, getattr(self._kept.record, name))

    def _finish_flow(self) -> None:
        """Give the last frame its flow: its predecessor's, or zero if it is alone."""
        if self._last_gray is None:
            return
        if len(self.times.timestamps_us) == 1:
            self._append_flow(np.zeros((*self._last_gray.shape, 2), np.float32))
            return
        for name in sorted(self._todo & {"flow", "flow_x", "flow_y"}):
            self.images.repeat(name)

    def _append_flow(self, flow: npt.NDArray[np.float32]) -> None:
        quality = self._config.jpeg.flow_quality
        with self._timed("encode"):
            code = quantize_flow(flow, bound_px=self._config.flow.bound_px)
            self._num_saturated += count_saturated(code)
            self._num_vectors += code.size // 2
            if "flow" in self._todo:
                image = np.dstack((code, np.zeros_like(code[..., :1])))
                self.images.extend("flow", [encode_jpeg(image, quality=quality, chroma="444")])
            for axis, name in enumerate(("flow_x", "flow_y")):
                if name in self._todo:
                    self.images.extend(name, [encode_jpeg(code[..., axis], quality=quality)])

    def _add_pa(self, window: list[DecodedFrame], engine: PaEngine) -> None:
        """PA up to the last frame of the window; its own comes with the next window."""
        with self._timed("pa"):
            frames = [frame.rgb for frame in window]
            if self._last_rgb is not None:
                frames.insert(0, self._last_rgb)
            self._last_rgb = frames[-1]
            pa = engine(np.stack(frames))
        for pair_pa in pa:
            self._append_pa(pair_pa)

    def _finish_pa(self) -> None:
        """Give the last frame its PA: its predecessor's, or zero if it is alone."""
        if self._last_rgb is None:
            return
        if len(self.times.timestamps_us) == 1:
            self._append_pa(np.zeros(self._last_rgb.shape[:2], np.float32))
        else:
            self.images.repeat("pa")

    def _append_pa(self, pa: npt.NDArray[np.float32]) -> None:
        quality = self._config.jpeg.pa_quality
        with self._timed("encode"):
            code = quantize_pa(pa, bound=self._config.pa.bound)
            self.images.extend("pa", [encode_jpeg(code, quality=quality)])

    def _add_poses(self, window: list[DecodedFrame], estimator: ClipPoseEstimator | None) -> None:
        frames = [frame.rgb for frame in window]
        if estimator is not None:
            indices = np.array([frame.source_index for frame in window], np.int64)
            with self._timed("pose"):
                poses = estimator.estimate(np.stack(frames), indices)
                if self._filler is not None:
                    poses = self._filler.add(poses, indices)
                    frames = self._hold_back(frames, poses.num_frames)
        elif self._kept is not None:
            start = len(self.times.timestamps_us) - len(window)
            poses = self._kept.poses_of(start, len(window))
        else:
            raise RuntimeError("poses must be estimated or taken over")
        self._keep_poses(frames, poses)

    def _hold_back(
        self, frames: list[npt.NDArray[np.uint8]], num_ready: int
    ) -> list[npt.NDArray[np.uint8]]:
        """The first frames that wait or have come; the rest waits on, if it will be drawn on."""
        if "pose_overlay" not in self._todo:
            return []
        frames = self._waiting + frames
        self._waiting = frames[num_ready:]
        return frames[:num_ready]

    def _keep_poses(self, frames: list[npt.NDArray[np.uint8]], poses: PoseSequence) -> None:
        self._poses.append(poses)
        if "pose_overlay" in self._todo and frames:
            self._add_overlay(np.stack(frames), poses)

    def _add_overlay(self, frames: npt.NDArray[np.uint8], poses: PoseSequence) -> None:
        with self._timed("render"):
            drawn = render_pose_clip(frames, poses, config=self._config.render)
        with self._timed("encode"):
            quality = self._config.jpeg.pose_quality
            jpegs = (encode_jpeg(image, quality=quality, chroma="444") for image in drawn)
            self.images.extend("pose_overlay", jpegs)
