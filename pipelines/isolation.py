"""One child process for all native work, with a wall-clock limit per clip.

A decoder may crash, hang or leak on a damaged file; here that costs one clip. The child is
spawned, never forked, and imports neither Beam nor TensorFlow.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as ClipTimeoutError
from functools import cache, partial
from multiprocessing import connection
from pathlib import Path

from pebble import ProcessExpired, ProcessPool

from pipelines.config import BuildConfig
from pipelines.kept_clip import read_kept_clip
from pipelines.plan import ClipTask
from pipelines.process_clip import ClipProcessor, ProcessedClip
from pose.mediapipe_backend import block_tensorflow_import
from schemas.clip_record import Provenance
from schemas.errors import RecordError
from schemas.outcome import Outcome


class IsolatedProcessor:
    """A `ClipProcessor` in a process of its own, replaced when it dies.

    Args:
        config: What to compute and how.
        provenance: Stored with every record.
    """

    def __init__(self, config: BuildConfig, provenance: Provenance) -> None:
        self._timeout_seconds = config.clip_timeout_seconds
        self._pool = ProcessPool(
            max_workers=1,
            context=multiprocessing.get_context("spawn"),
            initializer=_start_child,
            initargs=(config, provenance),
        )

    def process(
        self, task: ClipTask, video_path: Path, kept_file: Path | None = None
    ) -> ProcessedClip:
        """Return the record of a clip; see `ClipProcessor.process`.

        Args:
            task: The clip.
            video_path: Local file of its video.
            kept_file: Streams to take over, see `kept_clip_file`.

        Raises:
            RecordError: Also TIMEOUT and CRASHED.
        """
        clip_id = task.clip.clip_id
        future = self._pool.schedule(
            _process_in_child, args=(task, video_path, kept_file), timeout=self._timeout_seconds
        )
        try:
            result: ProcessedClip = future.result()
        except ClipTimeoutError:
            detail = f"took longer than {self._timeout_seconds:g} s (clip_timeout_seconds)"
            raise RecordError(clip_id, Outcome.TIMEOUT, detail) from None
        except ProcessExpired as error:
            detail = f"the process working on it died (exit code {error.exitcode})"
            raise RecordError(clip_id, Outcome.CRASHED, detail) from None
        except RecordError as error:
            raise RecordError(clip_id, error.outcome, error.detail) from None
        return result

    def close(self) -> None:
        """End the child."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


_make_processor: Callable[[], ClipProcessor] | None = None
"""Gives the child's one processor: models live as long as the process does."""


def _start_child(config: BuildConfig, provenance: Provenance) -> None:
    """Get a new child ready; models are loaded with the first clip, where errors have a name."""
    global _make_processor  # noqa: PLW0603
    threading.Thread(target=_die_with_parent, daemon=True).start()
    # Native libraries chat on standard error, past any log level; what fails is in the ledger.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    block_tensorflow_import()
    _make_processor = cache(partial(ClipProcessor, config, provenance))


def _process_in_child(
    task: ClipTask, video_path: Path, kept_file: Path | None = None
) -> ProcessedClip:
    if _make_processor is None:
        raise RuntimeError("the child process was not initialised")
    kept = read_kept_clip(kept_file) if kept_file is not None else None
    return _make_processor().process(task, video_path, kept)


def _die_with_parent() -> None:
    """End this process at once when the coordinator is gone, however it went."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
