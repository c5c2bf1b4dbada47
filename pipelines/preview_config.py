"""Everything that `perfnet-prep preview` can be told."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from flow.engine import FlowConfig, FlowEngineName
from flow.pa import PaConfig
from pipelines.config import BuildConfig, JpegConfig, Modality
from pose.backends import PoseBackendName, PoseConfig
from renderers.pose import PoseRenderConfig
from schemas.errors import ConfigError
from video.decode import DecodeConfig

DEFAULT_SECONDS = 10.0
"""Length of a preview unless its end is given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PreviewConfig:
    """Show what `build` would store of a video: RGB, pose and flow side by side."""

    video: tyro.conf.Positional[str]
    """The video. A name that begins with `-` goes last, after `--`."""
    output: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """The .mp4 file to write; an older file of that name is replaced."""
    start_seconds: float = 0.0
    """Start of the preview in the video."""
    end_seconds: float | None = None
    """End of the preview in the video; by default 10 seconds after its start."""
    modalities: tuple[Modality, ...] = ("rgb", "flow", "pose")
    """What to show."""
    pose_backend: PoseBackendName = "mediapipe"
    """Estimator of the poses, or `precomputed` to read them (--pose.poses)."""
    flow_engine: FlowEngineName = "tvl1"
    """Optical flow, as of `build`."""
    clip_timeout_seconds: float = 3600.0
    """Wall-clock limit."""
    clip_cpu_seconds: float = 7200.0
    """Limit of the CPU time, all threads together."""
    clip_memory_mib: int = 4096
    """Limit of the resident memory of the process that works on the video, at least 512."""
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    """Frames."""
    flow: FlowConfig = field(default_factory=FlowConfig)
    """Flow."""
    pa: PaConfig = field(default_factory=PaConfig)
    """Persistence of appearance."""
    pose: PoseConfig = field(default_factory=PoseConfig)
    """Poses."""
    render: PoseRenderConfig = field(default_factory=PoseRenderConfig)
    """How poses are drawn."""
    jpeg: JpegConfig = field(default_factory=JpegConfig)
    """JPEG quality."""

    def __post_init__(self) -> None:
        for name in ("video", "output"):
            if getattr(self, name).startswith("~"):
                object.__setattr__(self, name, str(Path(getattr(self, name)).expanduser()))
        if not 0 <= self.start_seconds < math.inf:
            raise ConfigError(f"start_seconds must be >= 0 and finite, got {self.start_seconds}")
        if not self.start_seconds < self.stop_seconds < math.inf:
            raise ConfigError(
                f"end_seconds must be later than start_seconds ({self.start_seconds:g}) and "
                f"finite, got {self.end_seconds}"
            )

    @property
    def stop_seconds(self) -> float:
        """Where the preview ends."""
        if self.end_seconds is None:
            return self.start_seconds + DEFAULT_SECONDS
        return self.end_seconds

    def build_config(self) -> BuildConfig:
        """Return the settings of the build whose result is to be seen.

        Raises:
            ConfigError: As `BuildConfig`.
        """
        return BuildConfig(
            dataset="folder",
            videos=self.video,
            split="preview",
            output=self.output,
            modalities=self.modalities,
            formats=("parquet",),  # flow in two grey images: the better one of the two
            pose_backend=self.pose_backend,
            flow_engine=self.flow_engine,
            clip_timeout_seconds=self.clip_timeout_seconds,
            clip_cpu_seconds=self.clip_cpu_seconds,
            clip_memory_mib=self.clip_memory_mib,
            decode=self.decode,
            flow=self.flow,
            pa=self.pa,
            pose=self.pose,
            render=self.render,
            jpeg=self.jpeg,
        )
