"""What a person sees of a training run: a bar on a terminal, plain log lines elsewhere."""

import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from perfnet.evaluation.metrics import Accuracy

LOGGER = logging.getLogger("perfnet_train")


class RunSummary(logging.Handler):
    """Keeps the last figures that the log of a run tells."""

    def __init__(self) -> None:
        super().__init__()
        self.first_step = 0
        self.total_steps = 0  # stays 0 in processes that help the first one
        self.step_clips = 0
        self.figures: Mapping[str, float] = {}
        self.accuracy: Accuracy | None = None
        self._start = self._end = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line of the log."""
        for name in ("first_step", "total_steps", "step_clips", "figures", "accuracy"):
            if hasattr(record, name):
                setattr(self, name, getattr(record, name))
        if hasattr(record, "total_steps"):
            self._start = time.monotonic()
        elif hasattr(record, "figures"):
            self._end = time.monotonic()

    def describe(self) -> str:
        """Return one line: steps, clips per second, last loss and accuracy."""
        steps = self.total_steps - self.first_step
        if steps <= 0:
            return f"nothing to do: all {self.total_steps} steps are done"
        seconds = self._end - self._start  # without start and evaluation at the end
        parts = [
            f"{steps} steps in {seconds:.1f} s, {steps * self.step_clips / seconds:.2f} clips/s",
            f"loss {self.figures.get('loss', float('nan')):.4g}",
        ]
        if self.accuracy is not None:
            parts.append(f"validation {self.accuracy.describe()}")
        return "; ".join(parts)


class _BarHandler(logging.Handler):
    """Moves the bar for every line about a step; prints the others."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._task = progress.add_task("steps", total=None, loss="")

    def emit(self, record: logging.LogRecord) -> None:
        """Take one line of the log."""
        if hasattr(record, "total_steps") and hasattr(record, "first_step"):
            self._progress.update(self._task, total=record.total_steps, completed=record.first_step)
        elif hasattr(record, "step") and hasattr(record, "figures"):
            loss = f"loss {record.figures.get('loss', float('nan')):.4g}"
            self._progress.update(self._task, completed=record.step, loss=loss)
        else:
            self._progress.console.print(Text(record.getMessage()))


@contextmanager
def show_training() -> Iterator[RunSummary]:
    """Show how far a run is, on standard error; give what its log told."""
    summary = RunSummary()
    console = Console(stderr=True)
    if not console.is_terminal:
        with _attached(_line_handler(), summary):
            yield summary
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with (
        Progress(*columns, console=console) as progress,
        _attached(_BarHandler(progress), summary),
    ):
        yield summary


@contextmanager
def show_lines() -> Iterator[None]:
    """Show the log as lines on standard error."""
    with _attached(_line_handler()):
        yield


def _line_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    return handler


@contextmanager
def _attached(*handlers: logging.Handler) -> Iterator[None]:
    level, propagated = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    for handler in handlers:
        LOGGER.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagated
