"""From measurements of some clips to the whole: known answers."""

from pathlib import Path

import pytest

from pipelines.config import BuildConfig
from pipelines.estimate import estimate_run
from pipelines.plan import ClipTask, Plan, ShardSpec
from pipelines.plan_report import _warnings, show_bytes, show_hours
from pipelines.prepare import PreparedRun
from pipelines.probe import ClipProbe, FileProbe, Probe, StartUp, _judge_file, in_probe_order
from pipelines.shard_bytes import ShardBytes
from schemas.clip import Clip
from schemas.clip_record import Provenance
from schemas.labels import sorted_label_map
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome


def _task(
    name: str,
    start: float | None = None,
    end: float | None = None,
    *,
    is_trimmed: bool | None = True,
) -> ClipTask:
    clip = Clip(
        clip_id=name,
        dataset="csv",
        split="all",
        label_text="x",
        media_id=name,
        relative_path=f"{name}.mp4",
        start_seconds=start,
        end_seconds=end,
        source="rows.csv:2",
    )
    path = f"{name}.mp4"
    return ClipTask(clip=clip, label_index=0, path=path, size_bytes=1, is_trimmed=is_trimmed)


def _config(**options: object) -> BuildConfig:
    values: dict[str, object] = {"dataset": "csv", "annotations": "rows.csv", "videos": "videos"}
    values |= {"split": "all", "output": "out", "formats": ("parquet",), **options}
    return BuildConfig(**values)  # type: ignore[arg-type]


def _run(
    num_found: int, num_missing: int = 0, num_shards: int = 4, **options: object
) -> PreparedRun:
    tasks = [_task(f"clip{number}") for number in range(num_found)]
    shards = tuple(
        ShardSpec(shard=shard, num_shards=num_shards, tasks=tuple(tasks[shard::num_shards]))
        for shard in range(num_shards)
    )
    missing = LedgerRow(clip_id="gone", outcome=Outcome.MISSING)
    return PreparedRun(
        config=_config(**options),
        labels=sorted_label_map("x"),
        provenance=Provenance(config_hash="c", software="s", pose_model=""),
        plan=Plan(shards=shards, settled=(missing,) * num_missing),
    )


def _file(outcome: Outcome = Outcome.WRITTEN, seconds: float | None = 4.0) -> FileProbe:
    return FileProbe(
        task=_task("a"),
        outcome=outcome,
        clip_seconds=seconds,
        read_seconds=seconds,
        is_trimmed=True,
    )


def _probe(files: list[FileProbe], clips: list[ClipProbe], records: int = 5000) -> Probe:
    sizes = ShardBytes(records={"parquet": records}, empty={"parquet": 10})
    start_up = StartUp(wall_seconds=3.0, cpu_seconds=2.0)
    return Probe(
        program_seconds=5.0,
        files=tuple(files),
        clips=tuple(clips),
        start_up=start_up,
        shard_bytes=sizes,
    )


GOOD = ClipProbe(
    outcome=Outcome.WRITTEN,
    wall_seconds=10.0,
    cpu_seconds=9.0,
    num_frames=50,
    read_seconds=2.0,
    decode_seconds=1.0,
)
LOST = ClipProbe(outcome=Outcome.TIMEOUT, wall_seconds=60.0, cpu_seconds=0.0)


def test_costs_scale_with_frames_and_failures_with_rows() -> None:
    files = [_file()] * 8 + [_file(Outcome.UNREADABLE, 0)] * 2
    estimate = estimate_run(_run(1000, 100), _probe(files, [GOOD] * 4))
    assert estimate.predicted == {"written": 800, "missing": 100, "unreadable": 200}
    assert estimate.settled == {"missing": 100}
    assert estimate.failed_fraction == pytest.approx(300 / 1100)
    assert estimate.num_frames == 800 * 4 * 25
    wall = 80_000 * 9 / 50 + 800 * 4 * 1 / 2  # 9 s for 50 frames, 1 s to decode 2 s
    assert estimate.hours * 3600 == pytest.approx(5 + 3 + wall)
    assert estimate.core_hours * 3600 == pytest.approx(5 + 2 + 0.9 * wall)
    assert estimate.bytes_by_part["parquet"] == 5000 * 80_000 // 200 + 4 * 10


def test_workers_share_the_clips_and_start_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    one, four = (
        estimate_run(_run(100, workers=number), _probe([_file()], [GOOD])) for number in (1, 4)
    )
    assert (one.hours * 3600 - 8) / 4 == pytest.approx(four.hours * 3600 - 8)
    assert four.core_hours * 3600 == pytest.approx(one.core_hours * 3600 + 3 * 2)


def test_more_workers_than_processors_wait_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    estimate = estimate_run(_run(100, workers=50), _probe([_file()], [GOOD]))
    assert estimate.hours == pytest.approx(estimate.core_hours / 2)
    assert estimate.hours_per_worker < estimate.hours


def test_clip_that_is_lost_costs_its_time_and_gives_no_frames() -> None:
    estimate = estimate_run(_run(100), _probe([_file()], [GOOD, LOST]))
    assert estimate.predicted == {"written": 50, "timeout": 50}
    assert estimate.num_frames == 50 * 4 * 25
    assert estimate.hours * 3600 == pytest.approx(5 + 3 + 50 * 60 + 5000 * 9 / 50 + 50 * 4 / 2)


def test_counts_are_whole_and_add_up() -> None:
    files = [_file(), _file(Outcome.EMPTY, 0), _file(Outcome.UNREADABLE, 0)]
    estimate = estimate_run(_run(100, 7), _probe(files, [GOOD]))
    assert sum(estimate.predicted.values()) == estimate.num_rows == 107


def test_duration_that_no_file_states_counts_as_the_mean_of_the_others() -> None:
    estimate = estimate_run(_run(100), _probe([_file(), _file(seconds=None)], [GOOD]))
    assert estimate.num_frames == 100 * 4 * 25


def test_run_without_clips_takes_nothing() -> None:
    estimate = estimate_run(_run(0, 5), _probe([], [], records=0))
    assert (estimate.num_frames, estimate.predicted) == (0, {"missing": 5})
    assert estimate.failed_fraction == 1


@pytest.mark.parametrize(
    ("task", "file_seconds", "outcome", "clip_seconds", "read_seconds"),
    [
        (_task("a"), 8.0, Outcome.WRITTEN, 8.0, 8.0),
        (_task("a"), None, Outcome.WRITTEN, None, None),
        (_task("a", 2, 6, is_trimmed=False), 8.0, Outcome.WRITTEN, 4.0, 6.0),
        (_task("a", 2, 9, is_trimmed=False), 8.0, Outcome.WRITTEN, 6.0, 8.0),
        (_task("a", 2, 6, is_trimmed=False), None, Outcome.WRITTEN, 4.0, 6.0),
        (_task("a", 2, None, is_trimmed=False), 8.0, Outcome.WRITTEN, 6.0, 8.0),
        (_task("a", 9, 12, is_trimmed=False), 8.0, Outcome.TOO_SHORT, 0.0, 8.0),
        (_task("a", 299, 309, is_trimmed=None), 10.0, Outcome.WRITTEN, 10.0, 10.0),
        (_task("a", 299, 309, is_trimmed=None), 400.0, Outcome.WRITTEN, 10.0, 309.0),
        (_task("a", 299, 309, is_trimmed=True), 10.0, Outcome.WRITTEN, 10.0, 10.0),
        (_task("a"), 601.0, Outcome.TOO_LARGE, 0.0, 601.0),
    ],
)
def test_length_of_a_clip_follows_from_its_row_and_its_file(
    task: ClipTask,
    file_seconds: float | None,
    outcome: Outcome,
    clip_seconds: float | None,
    read_seconds: float | None,
) -> None:
    found = _judge_file(task, file_seconds, _config())
    assert (found.outcome, found.clip_seconds, found.read_seconds) == (
        outcome,
        clip_seconds,
        read_seconds,
    )


def test_probe_order_does_not_depend_on_the_order_of_the_rows() -> None:
    tasks = [_task(f"clip{number:03d}") for number in range(100)]
    order = in_probe_order(tasks)
    assert order == in_probe_order(reversed(tasks))
    first = sorted(int(task.clip.clip_id[4:]) for task in order[:20])
    assert first[0] < 25, "the first ones are spread over all"
    assert first[-1] >= 75, "the first ones are spread over all"


def test_warnings_name_numbers_and_ways_out() -> None:
    estimate = estimate_run(_run(10, 10), _probe([_file()], [GOOD], records=10**9))
    disk, failed = _warnings(estimate, _config(), 10**9)
    assert disk.startswith("disk of the output must have 20 GB free, got 1 GB; choose another")
    assert "must be <= 0.05 (max_failed_fraction), got 0.500 predicted" in failed
    assert _warnings(estimate, _config(max_failed_fraction=0.5), 10**11) == []
    assert _warnings(estimate, _config(max_failed_fraction=0.5), None) == []


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (87_869_045, "87.9 MB"), (1.5e15, "1.5 PB")],
)
def test_sizes_are_shown_with_three_digits(number: float, shown: str) -> None:
    assert show_bytes(number) == shown


@pytest.mark.parametrize(
    ("hours", "shown"),
    [(0.01, "36 s"), (0.5, "30 min"), (30, "30 h"), (2400, "100.0 days")],
)
def test_times_are_shown_in_the_unit_that_suits_them(hours: float, shown: str) -> None:
    assert show_hours(hours) == shown


def test_free_space_is_asked_of_the_folder_that_exists(tmp_path: Path) -> None:
    from pipelines.plan_report import _free_bytes

    assert _free_bytes(str(tmp_path / "not" / "yet"))
    assert _free_bytes("gs://bucket/out") is None
