"""All native work on one clip: decode, flow, pose, render, encode; runs in a child process."""

import errno
import time
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flow.engine import FlowEngine, make_flow_engine
from flow.pa import PaEngine, make_pa_engine
from pipelines.clip_facts import ClipFacts
from pipelines.clip_run import ClipRun, OtherFramesError
from pipelines.config import BuildConfig
from pipelines.image_spool import ImageSpool
from pipelines.kept_clip import IMAGE_STREAMS, KeptClip
from pipelines.plan import ClipTask
from pipelines.system_errors import is_out_of_room
from pose.backends import make_backend
from pose.estimator import ClipPoseEstimator, PoseBackend, PoseRequest
from pose.smoothing import SmoothedEstimator
from schemas.clip_record import ClipRecord, Provenance
from schemas.errors import RecordError
from schemas.outcome import Outcome
from video.decode import ClipDecoder, DecodedFrame, open_clip
from video.fingerprint import hash_video


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessedClip:
    """A finished record and what the ledger says about it."""

    record: ClipRecord
    detail: str
    decoded_frames: int
    declared_frames: int
    facts: ClipFacts
    seconds: dict[str, float]
    """By stage; what was taken over from an earlier run took none."""
    took_over: bool = False
    """Whether streams of an earlier run are in the record."""
    declared_seconds: float | None = None
    """Duration that the file states; None = it states none."""
    process_cpu_seconds: float = 0.0
    """CPU time of the process that worked on it, since that began."""


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
    def _pa_engine(self) -> PaEngine:
        return make_pa_engine(self._config.pa)

    @cached_property
    def _pose_backend(self) -> PoseBackend:
        return make_backend(self._config.pose_backend, self._config.pose)

    def process(
        self,
        task: ClipTask,
        video_path: Path,
        kept: KeptClip | None = None,
        spool: Path | None = None,
    ) -> ProcessedClip:
        """Return the record of a clip.

        Args:
            task: The clip.
            video_path: Local file of its video.
            kept: Streams to take over; not used if the video has other frames.
            spool: File for the images of the record, which reads them from there; None = the
                record holds them.

        Raises:
            RecordError: If the clip cannot be read, decoded or posed, or is too large.
            MemoryError: If there is no more memory.
            OSError: If the machine is out of room, whatever the clip.
        """
        try:
            try:
                with closing(ImageSpool(spool)) as images:
                    return self._process(task, video_path, kept, images)
            except OtherFramesError:
                with closing(ImageSpool(spool)) as images:
                    return self._process(task, video_path, None, images)
        except cv2.error as error:
            if error.code == cv2.Error.StsNoMem:
                raise MemoryError(str(error)) from error
            raise
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError(str(error)) from error
            if is_out_of_room(error):
                raise
            detail = f"the system gave up on the file: {error.strerror or type(error).__name__}"
            raise RecordError(task.clip.clip_id, Outcome.FAILED, detail) from error

    def _process(
        self, task: ClipTask, video_path: Path, kept: KeptClip | None, images: ImageSpool
    ) -> ProcessedClip:
        clip = task.clip
        if kept is not None and kept.row.video_hash != hash_video(video_path):
            raise OtherFramesError
        run = ClipRun(self._config, kept, images)
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
                    if self._config.pose.smooth:
                        estimator = SmoothedEstimator(estimator, self._config.pose.one_euro)
                run.add_window(
                    window,
                    self._flow_engine if run.needs_flow else None,
                    self._pa_engine if run.needs_pa else None,
                    estimator,
                )
            run.finish()
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
                declared_seconds=decoder.info.declared_seconds,
                facts=run.facts(hash_video(video_path)),
                seconds=run.seconds,
                took_over=kept is not None,
                process_cpu_seconds=time.process_time(),
            )

    def _record(self, task: ClipTask, run: ClipRun, *, is_truncated: bool) -> ClipRecord:
        clip, times = task.clip, run.times
        start_us = round((clip.start_seconds or 0.0) * 1_000_000)
        length_us = round(len(times.timestamps_us) * 1_000_000 / self._config.decode.fps)
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
            timestamps_us=np.array(times.timestamps_us, np.int64),
            source_indices=np.array(times.source_indices, np.int64),
            source_timestamps_us=np.array(times.source_timestamps_us, np.int64),
            rgb=run.images.images("rgb"),
            pose_overlay=run.images.images("pose_overlay"),
            flow=run.images.images("flow"),
            flow_x=run.images.images("flow_x"),
            flow_y=run.images.images("flow_y"),
            flow_bound_px=self._config.flow.bound_px,
            pa=run.images.images("pa"),
            pa_bound=self._config.pa.bound,
            poses=run.stored_poses,
            is_truncated=is_truncated,
            provenance=self._provenance,
        )


def copy_clip(
    task: ClipTask, kept: KeptClip, config: BuildConfig, provenance: Provenance
) -> ProcessedClip:
    """Return the record of a clip whose streams are all taken over; no video is opened.

    Args:
        task: The clip; its label counts, not the one that the earlier run stored.
        kept: Holds at least `config.streams`.
        config: What to store.
        provenance: Stored with the record.
    """
    streams = config.streams
    dropped: dict[str, Any] = dict.fromkeys(IMAGE_STREAMS - streams, ())
    record = replace(
        kept.record,
        **dropped,
        poses=kept.record.poses if "poses" in streams else None,
        label_index=task.label_index,
        label_text=task.clip.label_text or "",
        flow_bound_px=config.flow.bound_px,
        pa_bound=config.pa.bound,
        provenance=provenance,
    )
    return ProcessedClip(
        record=record,
        detail=kept.row.detail,
        decoded_frames=kept.row.decoded_frames,
        declared_frames=kept.row.declared_frames,
        facts=kept.facts(config.modalities),
        seconds={},
        took_over=True,
    )


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
