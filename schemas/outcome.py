"""The one outcome that every annotation row has at the end of a run."""

from enum import Enum


class Outcome(Enum):
    """What became of one annotation row; the value is what the ledger stores."""

    WRITTEN = "written"
    """The clip is in a shard."""
    TRUNCATED = "truncated"
    """The clip is in a shard, with fewer frames than its file declares."""
    MISSING = "missing"
    """No file of the video folder belongs to the row."""
    EMPTY = "empty"
    """The file has no bytes."""
    UNREADABLE = "unreadable"
    """The file is not a video, or no frame of it can be decoded."""
    NO_VIDEO_STREAM = "no_video_stream"
    """The file holds no video stream (audio only, for example)."""
    TOO_SHORT = "too_short"
    """The clip's time range holds no frame of the file."""
    TOO_LARGE = "too_large"
    """The frame size or number of frames is over the limit."""
    TIMEOUT = "timeout"
    """The clip passed the limit of wall or CPU time; its process was stopped."""
    CRASHED = "crashed"
    """The process that worked on the clip died or passed the limit of memory."""
    POSE_FAILED = "pose_failed"
    """The pose back end could not give a pose for the clip."""
    DUPLICATE = "duplicate"
    """An earlier row names the same clip."""
    UNKNOWN_LABEL = "unknown_label"
    """The row's label is not in the label map."""
    BAD_ANNOTATION = "bad_annotation"
    """The row breaks a rule of its file format."""
    FAILED = "failed"
    """Any other failure; the detail says which."""

    @property
    def is_written(self) -> bool:
        """Whether a clip with this outcome is written, unless a strict run leaves it out."""
        return self in (Outcome.WRITTEN, Outcome.TRUNCATED)
