"""Print the figures of a data set for a person."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipelines.finished_output import FinishedOutput
from pipelines.hygiene import ADVICE, Finding, find_problems
from pipelines.stats import SATURATED_SHARE, Stats, collect_stats

_MAX_LABELS = 5
_MAX_FINDINGS = 10
_MAX_CLIPS = 4


def show_stats(outputs: Sequence[FinishedOutput], console: Console) -> None:
    """Print a table for each output, and the hygiene findings.

    Args:
        outputs: What to describe.
        console: Where to.

    Raises:
        ShardError: If a shard is missing.
    """
    for output in outputs:
        stats = collect_stats([output])
        dataset, split = output.config["dataset"], output.config["split"]
        table = Table(title=escape(f"{dataset} {split} in {output.folder}"), title_justify="left")
        table.add_column("", no_wrap=True)
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("", overflow="fold")
        table.show_header = False
        for group in (
            _outcomes(stats),
            _sizes(stats),
            _stages(stats),
            _streams(stats),
            _labels(stats),
        ):
            for cells in group:
                table.add_row(*map(escape, cells))
            table.add_section()
        console.print(table)
    _show_findings(find_problems(outputs), console)


def format_bytes(size: float) -> str:
    """Return "1.5 MB": three digits or fewer, powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(size) < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"


def _outcomes(stats: Stats) -> Iterator[tuple[str, ...]]:
    yield "rows", f"{stats.num_rows:,}", f"{stats.failed_fraction:.1%} of them in no shard"
    for outcome, number in stats.outcomes.items():
        yield f"  {outcome}", f"{number:,}", f"{number / stats.num_rows:.1%}"


def _sizes(stats: Stats) -> Iterator[tuple[str, ...]]:
    yield "clips", f"{stats.num_clips:,}", ""
    yield (
        "frames",
        f"{stats.num_frames:,}",
        f"{timedelta(seconds=round(3600 * stats.hours))} h playing time",
    )
    total = sum(stats.bytes.values())
    yield "shards", format_bytes(total), f"{format_bytes(total / max(1, stats.num_clips))} per clip"
    for name, size in stats.bytes.items():
        share = f"{size / total:.0%}" if total else ""
        yield (
            f"  {name}",
            format_bytes(size),
            share + (" (keypoints, times, labels)" if name == "other" else ""),
        )


def _stages(stats: Stats) -> Iterator[tuple[str, ...]]:
    total = sum(stats.stage_seconds.values())
    yield "work", f"{total:,.1f} s", f"{_per_frame(total, stats)} per frame"
    for stage, seconds in stats.stage_seconds.items():
        yield f"  {stage}", f"{seconds:,.1f} s", _per_frame(seconds, stats)


def _per_frame(seconds: float, stats: Stats) -> str:
    return f"{1000 * seconds / max(1, stats.num_frames):.2f} ms"


def _streams(stats: Stats) -> Iterator[tuple[str, ...]]:
    if stats.flow:
        most = f"{stats.flow.max_clip_share:.2%} in the clip with most"
        over = f"{stats.flow.num_saturated_clips:,} clips over {SATURATED_SHARE:.0%}"
        yield "flow at its bound", f"{stats.flow.saturated_share:.3%}", f"{most}, {over}"
    if stats.pose:
        nobody = f"{stats.pose.num_clips_without_people:,} clips without anybody"
        yield "frames with people", f"{stats.pose.coverage:.1%}", nobody
        tracks = f"{stats.pose.tracks_per_clip:.2f} followed per clip"
        yield "people per frame", f"{stats.pose.people_per_frame:.2f}", tracks
        if stats.pose.mean_score is not None:
            yield "keypoint score", f"{stats.pose.mean_score:.2f}", "mean of the detected"


def _labels(stats: Stats) -> Iterator[tuple[str, ...]]:
    used = {text: number for text, number in stats.labels.items() if number}
    unused = len(stats.labels) - len(used)
    yield "labels", f"{len(used):,}", f"{unused:,} more without a clip" if unused else ""
    by_size = sorted(used.items(), key=lambda item: (-item[1], item[0]))
    for text, number in by_size[:_MAX_LABELS]:
        yield "  most clips" if text == by_size[0][0] else "", f"{number:,}", text or "(no label)"
    rarest = by_size[_MAX_LABELS:][-_MAX_LABELS:]
    for text, number in rarest:
        yield "  fewest" if text == rarest[0][0] else "", f"{number:,}", text or "(no label)"


def _show_findings(findings: Sequence[Finding], console: Console) -> None:
    if not findings:
        console.print("hygiene: no copies, and no video on both sides of a split")
    for kind, group in groupby(findings, key=lambda finding: finding.kind):
        found, advice = list(group), ADVICE[kind]
        console.print(f"[bold]hygiene: {len(found):,} x {advice.title}[/bold]")
        console.print(f"  {advice.why} {advice.what_to_do}")
        for finding in found[:_MAX_FINDINGS]:
            names = [f"{clip.split}/{clip.clip_id}" for clip in finding.clips]
            more = f" and {len(names) - _MAX_CLIPS} more" if len(names) > _MAX_CLIPS else ""
            conflict = " (different labels!)" if finding.has_label_conflict else ""
            console.print(escape(f"  - {', '.join(names[:_MAX_CLIPS])}{more}{conflict}"))
        if len(found) > _MAX_FINDINGS:
            console.print(f"  ... {len(found) - _MAX_FINDINGS:,} more; --json lists them all")
