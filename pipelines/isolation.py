"""Clips are processed in a child process: a crash, a hang or a leak costs that clip only.

A clip counts as crashed only if it ends two processes, the second one fresh: what an earlier
clip did to the memory of a child is no later clip's fault.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from pipelines.child_process import ChildLimits, ChildProcess, ChildStopped
from pipelines.config import BuildConfig
from pipelines.kept_clip import read_kept_clip
from pipelines.plan import ClipTask
from pipelines.process_clip import ClipProcessor, ProcessedClip
from pipelines.remote_video import Video, local_video
from pose.backends.mediapipe import block_tensorflow_import
from schemas.clip_record import Provenance
from schemas.errors import RecordError
from schemas.outcome import Outcome

_MOST_KEPT_MEMORY = 0.5
"""A child that still holds more than this share of the limit after a clip is replaced."""


class IsolatedProcessor:
    """A `ClipProcessor` in a process of its own, replaced when it dies.

    Args:
        config: What to compute and how, and the limits of a clip.
        provenance: Stored with every record.
    """

    def __init__(self, config: BuildConfig, provenance: Provenance) -> None:
        self._limits = ChildLimits(
            wall_seconds=config.clip_timeout_seconds,
            cpu_seconds=config.clip_cpu_seconds,
            memory_mib=config.clip_memory_mib,
        )
        self._start_arguments = (config, provenance)
        self._child = self._start()

    def process(
        self,
        task: ClipTask,
        video: Video,
        kept_file: Path | None = None,
        spool: Path | None = None,
    ) -> ProcessedClip:
        """Return the record of a clip; see `ClipProcessor.process`.

        Args:
            task: The clip.
            video: Its video; a remote one is copied by the child, within the limits of the clip.
            kept_file: Streams to take over, see `kept_clip_file`.
            spool: File for the images of the record.

        Raises:
            RecordError: Also TIMEOUT and CRASHED.
        """
        for is_last in (False, True):
            is_fresh = self._child.num_calls == 0
            try:
                return self._process(task, video, kept_file, spool)
            except ChildStopped as stop:
                is_certain = stop.limit is not None and (stop.limit != "memory" or is_fresh)
                if is_certain or is_last:
                    raise self._error(task, stop) from None
        raise RuntimeError("the last attempt must return or raise")

    def close(self) -> None:
        """End the child."""
        self._child.close()

    def _start(self) -> ChildProcess:
        return ChildProcess(_start_child, self._start_arguments, self._limits)

    def _process(
        self, task: ClipTask, video: Video, kept_file: Path | None, spool: Path | None
    ) -> ProcessedClip:
        try:
            result: ProcessedClip = self._child.call(
                _process_in_child, task, video, kept_file, spool
            )
        except ChildStopped:
            self._child = self._start()  # it gets ready while the caller goes on
            raise
        except RecordError as error:
            self._replace_if_large()
            raise RecordError(task.clip.clip_id, error.outcome, error.detail) from None
        self._replace_if_large()
        return result

    def _replace_if_large(self) -> None:
        if self._child.resident_mib > _MOST_KEPT_MEMORY * self._limits.memory_mib:
            self._child.close()
            self._child = self._start()

    def _error(self, task: ClipTask, stop: ChildStopped) -> RecordError:
        limits = self._limits
        outcome, detail = {
            "wall": (
                Outcome.TIMEOUT,
                f"took longer than {limits.wall_seconds:g} s (clip_timeout_seconds)",
            ),
            "cpu": (
                Outcome.TIMEOUT,
                f"used more than {limits.cpu_seconds:g} s of CPU time (clip_cpu_seconds)",
            ),
            "memory": (
                Outcome.CRASHED,
                f"needed more than {limits.memory_mib} MiB of memory (clip_memory_mib)",
            ),
            None: (Outcome.CRASHED, f"the process working on it died twice ({stop.exit_text})"),
        }[stop.limit]
        return RecordError(task.clip.clip_id, outcome, detail)


_make_processor: Callable[[], ClipProcessor] | None = None
"""Gives the child's one processor: models live as long as the process does."""


def _start_child(config: BuildConfig, provenance: Provenance) -> None:
    """Get a new child ready; models are loaded with the first clip, where errors have a name."""
    global _make_processor  # noqa: PLW0603
    block_tensorflow_import()
    _make_processor = cache(partial(ClipProcessor, config, provenance))


def _process_in_child(
    task: ClipTask, video: Video, kept_file: Path | None, spool: Path | None
) -> ProcessedClip:
    if _make_processor is None:
        raise RuntimeError("the child process was not initialised")
    kept = read_kept_clip(kept_file) if kept_file is not None else None
    with local_video(video) as path:
        return _make_processor().process(task, path, kept, spool)
