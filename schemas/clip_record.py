"""One finished clip, encoded: what both shard formats store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from schemas.errors import RecordError
from schemas.outcome import Outcome
from schemas.pose_sequence import PoseSequence
from schemas.stored_images import image_sizes

SCHEMA_VERSION = 1
"""Bumped by every change of the bytes written."""


Stream = Literal["rgb", "pose_overlay", "flow", "pa", "poses"]
"""What a record can hold for each frame; flow is one 3-channel image or two grey ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """How a record came to be."""

    config_hash: str
    """Hash of every setting that can change the bytes of a record."""
    software: str
    """Names and versions of the packages that make the pixels, "a=1 b=2"."""
    pose_model: str
    """Name and SHA-256 of the pose model, or "" without poses."""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClipRecord:
    """All streams of one clip; every stream that is present has one entry per frame.

    Raises:
        RecordError: FAILED, if the streams differ in length or there is no frame.
    """

    clip_id: str
    dataset: str
    split: str
    label_index: int
    """-1 where the data set publishes no label."""
    label_text: str
    media_id: str
    video_path: str
    """Path of the video below the video folder."""
    start_us: int
    """Start of the clip in its untrimmed video, microseconds; 0 if not known."""
    end_us: int
    """End of the clip in its untrimmed video, microseconds; length of the clip if not known."""
    fps: int
    width: int
    height: int
    timestamps_us: npt.NDArray[np.int64]
    """int64 [T]: position of each frame on the output grid."""
    source_indices: npt.NDArray[np.int64]
    """int64 [T]: index of the source frame in decoder order."""
    source_timestamps_us: npt.NDArray[np.int64]
    """int64 [T]: presentation time of the source frame."""
    rgb: Sequence[bytes] = ()
    """JPEG of each frame."""
    pose_overlay: Sequence[bytes] = ()
    """JPEG of each frame with the poses drawn on it."""
    flow: Sequence[bytes] = ()
    """RGB JPEG of each frame, 4:4:4: R = dx, G = dy, B = 0."""
    flow_x: Sequence[bytes] = ()
    """Grey JPEG of each frame: dx."""
    flow_y: Sequence[bytes] = ()
    """Grey JPEG of each frame: dy."""
    flow_bound_px: float = 20.0
    """Code 0 = -flow_bound_px, 255 = +flow_bound_px."""
    pa: Sequence[bytes] = ()
    """Grey JPEG of each frame: persistence of appearance."""
    pa_bound: float = 0.5
    """Code 0 = no change, 255 = pa_bound."""
    poses: PoseSequence | None = None
    is_truncated: bool = False
    """Whether the file declares more frames than could be decoded."""
    provenance: Provenance = field(
        default_factory=lambda: Provenance(config_hash="", software="", pose_model="")
    )

    def __post_init__(self) -> None:
        lengths = self.stream_lengths()
        if self.num_frames == 0 or any(length != self.num_frames for length in lengths.values()):
            detail = (
                f"all streams must have the clip's {self.num_frames} frames (at least 1), "
                f"got {lengths}"
            )
            raise RecordError(self.clip_id, Outcome.FAILED, detail)

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.timestamps_us)

    @property
    def num_image_bytes(self) -> int:
        """Bytes of all JPEGs."""
        return sum(self.stream_bytes().values())

    def stream_bytes(self) -> dict[str, int]:
        """Return the bytes of the JPEGs of every image stream, by name; 0 if it is not stored."""
        streams = {
            "rgb": self.rgb,
            "pose_overlay": self.pose_overlay,
            "flow": self.flow,
            "flow_x": self.flow_x,
            "flow_y": self.flow_y,
            "pa": self.pa,
        }
        return {name: sum(image_sizes(images)) for name, images in streams.items()}

    def stream_lengths(self) -> dict[str, int]:
        """Return the number of entries of every stream that is present, by name."""
        named = {
            "rgb": self.rgb,
            "pose_overlay": self.pose_overlay,
            "flow": self.flow,
            "flow_x": self.flow_x,
            "flow_y": self.flow_y,
            "pa": self.pa,
        }
        lengths = {name: len(entries) for name, entries in named.items() if entries}
        lengths["source_indices"] = len(self.source_indices)
        lengths["source_timestamps_us"] = len(self.source_timestamps_us)
        if self.poses is not None:
            lengths["poses"] = self.poses.num_frames
        return lengths
