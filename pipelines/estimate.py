"""From the measurements of a few clips to what a whole build will take."""

import io
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from pipelines.config import BuildConfig
from pipelines.plan import ClipTask, Plan, encode_plan
from pipelines.prepare import PreparedRun
from pipelines.probe import FileProbe, Probe
from schemas.ledger import LedgerRow, write_ledger
from schemas.outcome import Outcome

_LEDGER_SAMPLE = 5000
_DONE_ROW_BYTES = 900
"""A clip's row in the `done.json` of its shard."""
_RUN_INFO_BYTES = 8000
"""run.json and settings.json."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a build will take and give; counts of rows are whole numbers that add up."""

    num_rows: int
    num_found: int
    """Rows whose file is there."""
    settled: dict[str, int]
    """Rows by outcome that are known before any video is opened; exact."""
    predicted: dict[str, int]
    """All rows by outcome at the end."""
    failed_fraction: float
    num_shards: int
    num_frames: int
    video_hours: float
    workers: int
    hours: float
    """From start to end with that many workers on this machine."""
    hours_per_worker: float
    """Of each worker, if none waits for a processor."""
    core_hours: float
    """CPU time of all processes."""
    start_up_seconds: float
    """Of each worker's child process; part of the hours."""
    bytes_by_part: dict[str, int]
    """Shards of each format, and `state` for the ledger, the plan and so on."""
    total_bytes: int
    probed_files: int
    probed_clips: int
    probed_frames: int


def estimate_run(run: PreparedRun, probe: Probe) -> Estimate:
    """Predict a build.

    Args:
        run: What would be built.
        probe: Measurements of some of its clips.
    """
    config, plan = run.config, run.plan
    num_found = sum(len(spec.tasks) for spec in plan.shards)
    settled = Counter(row.outcome for row in plan.settled)
    outcomes = _predict_outcomes(probe, num_found)
    in_shard = sum(number for outcome, number in outcomes.items() if outcome.is_written)
    clip_seconds, read_seconds = _mean_lengths(probe.files)
    num_frames = in_shard * clip_seconds * config.decode.fps
    wall_seconds = _wall_seconds(probe, num_frames, in_shard * read_seconds, num_found)
    probed_wall = sum(each.wall_seconds for each in probe.clips)
    cpu_share = sum(each.cpu_seconds for each in probe.clips) / probed_wall if probed_wall else 0
    workers = max(1, min(config.workers, num_found))
    start_seconds = probe.program_seconds + workers * probe.start_up.cpu_seconds
    cpu_seconds = start_seconds + cpu_share * wall_seconds
    per_worker = probe.start_up.wall_seconds + wall_seconds / workers
    per_core = cpu_seconds / (os.cpu_count() or 1)
    parts = _bytes_by_part(run, probe, num_frames)
    rows = _round_counts({**settled, **{k: settled[k] + n for k, n in outcomes.items()}})
    return Estimate(
        num_rows=plan.num_rows,
        num_found=num_found,
        settled=_named(settled),
        predicted=_named(rows),
        failed_fraction=(plan.num_rows - in_shard) / max(1, plan.num_rows),
        num_shards=len(plan.shards),
        num_frames=round(num_frames),
        video_hours=num_frames / config.decode.fps / 3600,
        workers=config.workers,
        hours=max(probe.program_seconds + per_worker, per_core) / 3600,
        hours_per_worker=per_worker / 3600,
        core_hours=cpu_seconds / 3600,
        start_up_seconds=probe.start_up.wall_seconds,
        bytes_by_part=parts,
        total_bytes=sum(parts.values()),
        probed_files=len(probe.files),
        probed_clips=len(probe.clips),
        probed_frames=sum(each.num_frames for each in probe.clips),
    )


def _predict_outcomes(probe: Probe, num_found: int) -> dict[Outcome, float]:
    """Number of found rows by outcome: that of the files, and of the clips in sound files."""
    if not probe.files:
        return {}
    per_file = num_found / len(probe.files)
    by_file = Counter(each.outcome for each in probe.files)
    num_sound = by_file.pop(Outcome.WRITTEN, 0) * per_file
    numbers = Counter({outcome: number * per_file for outcome, number in by_file.items()})
    for each in probe.clips:
        numbers[each.outcome] += num_sound / len(probe.clips)  # type: ignore[assignment]
    return dict(numbers)


def _mean_lengths(files: Iterable[FileProbe]) -> tuple[float, float]:
    """Mean seconds of a clip, and of the video decoded for it, over sound files that say."""
    known = [
        (each.clip_seconds, each.read_seconds)
        for each in files
        if each.outcome.is_written
        and each.clip_seconds is not None
        and each.read_seconds is not None
    ]
    number = max(1, len(known))
    return sum(clip for clip, _ in known) / number, sum(read for _, read in known) / number


def _wall_seconds(probe: Probe, num_frames: float, read_seconds: float, num_found: int) -> float:
    """Seconds of all workers together, start-up apart."""
    good = [each for each in probe.clips if each.num_frames]
    lost = [each for each in probe.clips if not each.num_frames]
    seconds = sum(each.wall_seconds for each in lost) * num_found / max(1, len(probe.clips))
    if good:
        decode = sum(each.decode_seconds for each in good)
        other = sum(each.wall_seconds for each in good) - decode
        seconds += decode * read_seconds / sum(each.read_seconds for each in good)
        seconds += other * num_frames / sum(each.num_frames for each in good)
    return seconds


def _bytes_by_part(run: PreparedRun, probe: Probe, num_frames: float) -> dict[str, int]:
    """Bytes of the output folder."""
    probed_frames = max(1, sum(each.num_frames for each in probe.clips))
    parts = {
        name: round(records * num_frames / probed_frames)
        + probe.shard_bytes.empty[name] * len(run.plan.shards)
        for name, records in probe.shard_bytes.records.items()
    }
    parts["state"] = _state_bytes(run.plan, run.config, run.labels.to_text())
    return parts


def _state_bytes(plan: Plan, config: BuildConfig, labels: str) -> int:
    """Bytes of plan, ledger, `done.json` files, label map and run.json."""
    tasks = [task for spec in plan.shards for task in spec.tasks]
    rows = [*plan.settled, *(_future_row(task) for task in tasks)]
    step = max(1, len(rows) // _LEDGER_SAMPLE)
    sample = io.BytesIO()
    write_ledger(rows[::step], sample)
    num_label_maps = 2 if "tfrecord" in config.formats else 1
    return (
        len(encode_plan(plan).encode("utf-8"))
        + step * len(sample.getvalue())
        + _DONE_ROW_BYTES * len(tasks)
        + num_label_maps * len(labels.encode("utf-8"))
        + _RUN_INFO_BYTES
    )


def _future_row(task: ClipTask) -> LedgerRow:
    return LedgerRow(
        clip_id=task.clip.clip_id,
        outcome=Outcome.WRITTEN,
        source=task.clip.source,
        path=task.path,
        label_text=task.clip.label_text or "",
        media_id=task.clip.media_id,
    )


def _round_counts(numbers: dict[Outcome, float]) -> dict[Outcome, int]:
    """Whole numbers with the same sum; the largest fractions are rounded up."""
    total = round(sum(numbers.values()))
    whole = {outcome: int(number) for outcome, number in numbers.items()}
    by_fraction = sorted(numbers, key=lambda outcome: whole[outcome] - numbers[outcome])
    for outcome in by_fraction[: total - sum(whole.values())]:
        whole[outcome] += 1
    return whole


def _named(numbers: dict[Outcome, int] | Counter[Outcome]) -> dict[str, int]:
    """Counts by the names of the outcomes, in their order, without zeros."""
    return {outcome.value: numbers[outcome] for outcome in Outcome if numbers.get(outcome)}
