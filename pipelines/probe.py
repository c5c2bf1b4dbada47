"""Measure a few clips of a plan: what their files hold, and what they cost to build.

Everything native runs in the isolated children of `build`, with its limits.
"""

import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

from pipelines import storage
from pipelines.build_shard import video_of
from pipelines.config import BuildConfig
from pipelines.isolation import IsolatedProcessor
from pipelines.plan import ClipTask
from pipelines.prepare import PreparedRun
from pipelines.shard_bytes import ShardBytes, ShardSizer
from schemas.errors import RecordError
from schemas.outcome import Outcome
from video.decode import is_already_trimmed

PROBE_SECONDS = 10.0
"""Of a longer clip, this much is processed."""
_WARM_UP_FRAMES = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True, slots=True)
class FileProbe:
    """What the header and the first frame of a clip's file say."""

    task: ClipTask
    outcome: Outcome
    """WRITTEN if a frame can be decoded and no limit is passed."""
    clip_seconds: float | None
    """Length of the clip in the output; None = not known."""
    read_seconds: float | None
    """Length of the video that has to be decoded for it; None = not known."""
    is_trimmed: bool
    """Whether the file is the clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipProbe:
    """What a clip, or its first `PROBE_SECONDS`, cost."""

    outcome: Outcome
    wall_seconds: float
    cpu_seconds: float
    """Of the child and of writing the record."""
    num_frames: int = 0
    read_seconds: float = 0.0
    """Length of the video that was decoded."""
    decode_seconds: float = 0.0
    """Wall-clock time of decoding alone; part of `wall_seconds`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StartUp:
    """What a worker costs until its child is ready: imports and models."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """All that was measured."""

    program_seconds: float
    """CPU time that this program took to get here: imports, annotations, plan."""
    files: tuple[FileProbe, ...]
    clips: tuple[ClipProbe, ...]
    start_up: StartUp
    shard_bytes: ShardBytes
    """Of the clips that gave a record."""


def in_probe_order(tasks: Iterable[ClipTask]) -> list[ClipTask]:
    """Return tasks in an order that is the same in every run and spread over the data set."""
    return sorted(tasks, key=lambda task: blake2b(b"probe/" + task.clip.clip_id.encode()).digest())


def probe_run(run: PreparedRun, *, num_files: int, num_clips: int) -> Probe:
    """Measure clips of a run, as many at a time as it has workers.

    Args:
        run: What would be built.
        num_files: Files to open; remote ones are copied whole, so only `num_clips` of those.
        num_clips: Clips to process.
    """
    program_seconds = time.process_time()
    tasks = in_probe_order(task for spec in run.plan.shards for task in spec.tasks)
    tasks = tasks[: num_clips if storage.is_remote(run.config.videos) else num_files]
    files = _probe_files(run, tasks)
    sound = [each for each in files if each.outcome.is_written][:num_clips]
    with (
        tempfile.TemporaryDirectory(prefix="perfnet-prep-") as folder,
        ShardSizer(Path(folder), run.config, run.labels) as sizer,
    ):
        worker = _ClipWorker(run, sizer)
        _on_workers(run, replace(run.config, workers=1), sound[:1], worker.warm_up)
        clips = _on_workers(run, run.config, sound, worker.probe)
        shard_bytes = sizer.close()
    return Probe(
        program_seconds=program_seconds,
        files=tuple(files),
        clips=tuple(clips),
        start_up=worker.start_up,
        shard_bytes=shard_bytes,
    )


def _on_workers(
    run: PreparedRun,
    config: BuildConfig,
    items: list[Item],
    work: Callable[[IsolatedProcessor, Item], Result],
) -> list[Result]:
    """Return the result of every item, in order; each worker has a child process of its own."""
    num_workers = max(1, min(config.workers, len(items)))

    def work_through(first: int) -> list[Result]:
        processor = IsolatedProcessor(config, run.provenance)
        try:
            return [work(processor, item) for item in items[first::num_workers]]
        finally:
            processor.close()

    with ThreadPoolExecutor(num_workers) as pool:
        shares = list(pool.map(work_through, range(num_workers)))
    return [shares[place % num_workers][place // num_workers] for place in range(len(items))]


def _probe_files(run: PreparedRun, tasks: list[ClipTask]) -> list[FileProbe]:
    """Decode the first frame of every task's file."""
    config = replace(run.config, modalities=("rgb",), strict=False)

    def probe(processor: IsolatedProcessor, task: ClipTask) -> FileProbe:
        first_frame = _piece(task, start=0.0, end=1 / config.decode.fps)
        try:
            seconds = processor.process(first_frame, video_of(config, task)).declared_seconds
        except RecordError as error:
            return FileProbe(
                task=task, outcome=error.outcome, clip_seconds=0, read_seconds=0, is_trimmed=False
            )
        return _judge_file(task, seconds, config)

    return _on_workers(run, config, tasks, probe)


def _judge_file(task: ClipTask, file_seconds: float | None, config: BuildConfig) -> FileProbe:
    """Say what a clip is like, given the duration that its file states."""
    start, end = task.clip.start_seconds, task.clip.end_seconds
    is_trimmed = task.is_trimmed
    if is_trimmed is None:
        exact = [None if each is None else Fraction(each) for each in (file_seconds, start, end)]
        is_trimmed = is_already_trimmed(*exact)
    read_seconds = file_seconds
    if not is_trimmed and end is not None:
        read_seconds = end if file_seconds is None else min(end, file_seconds)
    clip_seconds = read_seconds
    outcome = Outcome.WRITTEN
    if clip_seconds is not None:
        clip_seconds -= 0.0 if is_trimmed else start or 0.0
        if clip_seconds <= 0:
            outcome, clip_seconds = Outcome.TOO_SHORT, 0.0
        elif clip_seconds * config.decode.fps > config.decode.max_frames:
            outcome, clip_seconds = Outcome.TOO_LARGE, 0.0
    return FileProbe(
        task=task,
        outcome=outcome,
        clip_seconds=clip_seconds,
        read_seconds=read_seconds,
        is_trimmed=is_trimmed,
    )


class _ClipWorker:
    """Processes clips as the build does; the first of every child is preceded by a warm-up."""

    def __init__(self, run: PreparedRun, sizer: ShardSizer) -> None:
        self._run = run
        self._sizer = sizer
        self._lock = threading.Lock()
        self._cpu_so_far: dict[IsolatedProcessor, float] = {}
        self.start_up = StartUp()
        """Of the child that was made last: earlier ones may have had kernels to compile."""

    def probe(self, processor: IsolatedProcessor, file: FileProbe) -> ClipProbe:
        """Process a clip, or its beginning."""
        if processor not in self._cpu_so_far:
            self.warm_up(processor, file)
        start = 0.0 if file.is_trimmed else file.task.clip.start_seconds or 0.0
        task = file.task
        if file.clip_seconds is None or file.clip_seconds > 1.25 * PROBE_SECONDS:
            task = _piece(task, start=start, end=start + PROBE_SECONDS)
        wall_start, cpu_start = time.perf_counter(), time.thread_time()
        try:
            done = processor.process(task, video_of(self._run.config, task))
        except RecordError as error:
            return ClipProbe(
                outcome=error.outcome,
                wall_seconds=time.perf_counter() - wall_start,
                cpu_seconds=time.thread_time() - cpu_start,
            )
        with self._lock:
            self._sizer.write(done.record)
        num_frames = done.record.num_frames
        cpu_seconds = self._child_cpu(processor, done.process_cpu_seconds)
        return ClipProbe(
            outcome=Outcome.TRUNCATED if done.record.is_truncated else Outcome.WRITTEN,
            wall_seconds=time.perf_counter() - wall_start,
            cpu_seconds=time.thread_time() - cpu_start + cpu_seconds,
            num_frames=num_frames,
            read_seconds=start + num_frames / self._run.config.decode.fps,
            decode_seconds=done.seconds["decode"],
        )

    def _child_cpu(self, processor: IsolatedProcessor, so_far: float) -> float:
        """Return the CPU time of a child since it was asked last; it may have been replaced."""
        before = self._cpu_so_far.get(processor, 0.0)
        self._cpu_so_far[processor] = so_far
        return so_far - before if so_far >= before else so_far

    def warm_up(self, processor: IsolatedProcessor, file: FileProbe) -> None:
        """Have a new child process a few frames."""
        end = _WARM_UP_FRAMES / self._run.config.decode.fps
        start = time.perf_counter()
        self._cpu_so_far[processor] = 0.0
        try:
            task = _piece(file.task, start=0.0, end=end)
            done = processor.process(task, video_of(self._run.config, task))
        except RecordError:
            return  # the clip's own probe says why
        cpu_seconds = self._child_cpu(processor, done.process_cpu_seconds)
        self.start_up = StartUp(wall_seconds=time.perf_counter() - start, cpu_seconds=cpu_seconds)


def _piece(task: ClipTask, *, start: float, end: float) -> ClipTask:
    """Return the task of [start, end) of its file."""
    clip = replace(task.clip, start_seconds=start, end_seconds=end)
    return replace(task, clip=clip, is_trimmed=False)
