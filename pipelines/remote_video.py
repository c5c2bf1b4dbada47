"""Videos behind gs:// and the like, as local files that vanish with the process that made them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipelines.nameless_file import nameless_file
from pipelines.system_errors import is_out_of_room
from schemas.errors import RecordError, ShardError
from schemas.outcome import Outcome

_BLOCK_BYTES = 1 << 20
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteVideo:
    """A video that a child process copies to a file of its own."""

    path: str
    """With its scheme."""
    num_bytes: int
    """Its size when the run was planned."""
    max_mib: int
    """Largest copy that may be made."""
    beam_flags: tuple[str, ...]
    """How to reach it, from `pipelines.storage.options_in_use`."""


Video = Path | RemoteVideo
"""What a child process reads a clip from."""


@contextmanager
def local_video(video: Video) -> Iterator[Path]:
    """Give a local file with the bytes of a video: itself, or a copy.

    The copy is a `nameless_file`; at most a block of it is in memory.

    Args:
        video: Local file, or where it is.

    Raises:
        RecordError: FAILED if the video is gone or larger than allowed.
        ShardError: If the storage cannot be reached or refuses: every clip would fail.
        OSError: If the disk is full.
    """
    if isinstance(video, Path):
        yield video
        return
    with nameless_file(None) as (file, path):
        _copy(video, file)
        file.flush()
        yield path


def _copy(video: RemoteVideo, target: IO[bytes]) -> None:
    # Not at the top: a child that reads local files does without Beam.
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipelines import storage

    _check_size(video, video.num_bytes)
    storage.use_options(PipelineOptions(list(video.beam_flags)))
    num_bytes = 0
    try:
        with storage.open_input(video.path) as source:
            while block := source.read(_BLOCK_BYTES):
                num_bytes += len(block)
                _check_size(video, num_bytes)
                target.write(block)
    except FileNotFoundError as error:
        detail = "the file is gone: it was there when the run was planned"
        raise RecordError("", Outcome.FAILED, detail) from error
    except OSError as error:
        if is_out_of_room(error):
            raise
        raise ShardError(
            f"{video.path} must be read from remote storage, got: {error.strerror or error}; "
            "once that is mended, the same command goes on where it stopped"
        ) from error


def _check_size(video: RemoteVideo, num_bytes: int) -> None:
    if num_bytes > video.max_mib * _MIB:
        rule = f"file must have <= {video.max_mib} MiB to be copied from remote storage"
        got = f"got {num_bytes / _MIB:.0f} MiB or more"
        way_out = "raise --clip-disk-mib and run again with --retry-failed"
        raise RecordError("", Outcome.FAILED, f"{rule}, {got}; {way_out}")
