"""What a person sees while a build runs: a bar on a terminal, plain log lines elsewhere."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from pipelines.build_shard import CLIP_LOGGER
from schemas.outcome import Outcome


class _ClipRateColumn(ProgressColumn):
    """Clips per second."""

    def render(self, task: Task) -> Text:
        return Text("-- clips/s" if task.speed is None else f"{task.speed:.2f} clips/s")


class _BarHandler(logging.Handler):
    """Moves the bar for every clip record; prints clips that are not written."""

    def __init__(self, progress: Progress, num_clips: int) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("clips", total=num_clips, failures=0)
        self._failures = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take one clip (`outcome`) or one shard that was done before (`num_clips`)."""
        outcome = getattr(record, "outcome", None)
        if outcome is not None and not Outcome(outcome).is_written:
            self._failures += 1
            self._progress.console.print(Text(record.getMessage()))
        advance = getattr(record, "num_clips", 1)
        self._progress.update(self._task, advance=advance, failures=self._failures)


@contextmanager
def show_progress(num_clips: int) -> Iterator[None]:
    """Show how far the clips of a build are, on standard error.

    Args:
        num_clips: Clips that the run will work on.
    """
    CLIP_LOGGER.setLevel(logging.INFO)
    console = Console(stderr=True)
    if not console.is_terminal:
        handler: logging.Handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        with _attached(handler):
            yield
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _ClipRateColumn(),
        TextColumn("{task.fields[failures]} failed"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=console) as progress,
        _attached(_BarHandler(progress, num_clips)),
    ):
        yield


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    was_propagating = CLIP_LOGGER.propagate
    CLIP_LOGGER.propagate = False
    CLIP_LOGGER.addHandler(handler)
    try:
        yield
    finally:
        CLIP_LOGGER.removeHandler(handler)
        CLIP_LOGGER.propagate = was_propagating
