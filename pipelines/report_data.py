"""What the report page shows, as JSON-ready values."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from pipelines.finished_output import FinishedOutput
from pipelines.hygiene import ADVICE, find_problems
from pipelines.report_clips import Film
from pipelines.stats import Stats, collect_stats
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome

MAX_ROWS = 20_000
"""Ledger rows on the page: a few megabytes. Failures come first, of rare outcomes before others."""

MAX_FINDINGS = 200
"""Hygiene findings of each kind on the page."""

MAX_FOUND_CLIPS = 50
"""Clips of a finding on the page."""

MEANING = {
    Outcome.WRITTEN: "in a shard, complete",
    Outcome.TRUNCATED: "in a shard, but the file declares more frames than could be decoded",
    Outcome.MISSING: "no file of the video folder belongs to the row",
    Outcome.EMPTY: "the file has no bytes",
    Outcome.UNREADABLE: "not a video, or no frame can be decoded",
    Outcome.NO_VIDEO_STREAM: "the file has only sound or other streams",
    Outcome.TOO_SHORT: "the row's time range lies behind the end of the video",
    Outcome.TOO_LARGE: "frame size or number of frames is over a limit",
    Outcome.TIMEOUT: "took longer than the limit; its process was stopped",
    Outcome.CRASHED: "the process working on the clip died",
    Outcome.POSE_FAILED: "the pose back end had no pose for the clip",
    Outcome.DUPLICATE: "an earlier row names the same clip",
    Outcome.UNKNOWN_LABEL: "the label is not in the label map",
    Outcome.BAD_ANNOTATION: "the row breaks a rule of its format",
    Outcome.FAILED: "anything else; the detail says what",
}

_SATURATION_PERCENT = (0.0, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)


def page_data(outputs: Sequence[FinishedOutput], films: Iterable[Film]) -> dict[str, Any]:
    """Return everything on the page.

    Args:
        outputs: At least one.
        films: The clips that play.

    Raises:
        ShardError: If a shard is missing.
    """
    views = [_view(f"{_name(each)} · {each.folder}", [each]) for each in outputs]
    if len(outputs) > 1:
        views.insert(0, _view("all outputs together", outputs))
    return {
        "outputs": [{"name": _name(each), "folder": each.folder} for each in outputs],
        "views": views,
        "meaning": {outcome.value: text for outcome, text in MEANING.items()},
        "table": _table(outputs),
        "hygiene": _hygiene(outputs),
        "films": [asdict(film) for film in films],
        "settings": [_settings(each) for each in outputs],
    }


def _name(output: FinishedOutput) -> str:
    return f"{output.config['dataset']} {output.config['split']}"


def _view(name: str, outputs: Sequence[FinishedOutput]) -> dict[str, Any]:
    """Figures and charts of one output, or of all."""
    stats = collect_stats(outputs)
    values = asdict(stats)
    return {"name": name, **values, "charts": _charts(outputs, stats)}


def _charts(outputs: Sequence[FinishedOutput], stats: Stats) -> list[dict[str, Any]]:
    written = [(each, row) for each in outputs for row in each.ledger if row.is_in_shard]
    rows = [row for _, row in written]
    lengths = [row.num_frames / each.config["decode"]["fps"] for each, row in written]
    charts = [_histogram("Clip length", "seconds", lengths)]
    work = [sum(row.seconds.values()) for row in rows]
    charts.append(_histogram("Work per clip, all stages", "seconds", work))
    if stats.pose:
        people = [row.num_people for row in rows if row.pose_coverage is not None]
        covered = [100 * row.pose_coverage for row in rows if row.pose_coverage is not None]
        charts.append(_histogram("People per frame", "mean of the clip", people))
        charts.append(_histogram("Frames with people", "% of the clip's frames", covered, top=100))
    if stats.flow:
        percent = [100 * row.flow_saturation for row in rows if row.flow_saturation is not None]
        charts.append(_saturation(percent))
    return charts


def _histogram(
    title: str, unit: str, values: Sequence[float], *, top: float | None = None
) -> dict[str, Any]:
    """Counts in up to 20 equal bins from 0 to `top`, by default a round number past the largest."""
    largest = max(values, default=0.0)
    step = _round_up((top or largest) / 20)
    num_bins = max(1, int(np.ceil((top or largest) / step - 1e-9)))
    edges = [step * index for index in range(num_bins + 1)]
    counts, _ = np.histogram(values, bins=[*edges[:-1], np.inf])
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    ticks = [f"{edge:.4g}" for edge in edges]
    return _chart(title, unit, names, counts.tolist(), ticks)


def _round_up(step: float) -> float:
    """The next of 1, 2, 5 times a power of ten."""
    if step <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(step))
    return float(next(power * each for each in (1, 2, 5, 10) if power * each >= step * (1 - 1e-9)))


def _saturation(percent: Sequence[float]) -> dict[str, Any]:
    """Counts of clips in bins of ten times the width each, and of those without any."""
    array = np.array(percent)
    counts = [int((array == 0).sum())]
    names, ticks = ["none"], ["none"]
    for low, high in pairwise(_SATURATION_PERCENT):
        counts.append(int(((array > low) & (array <= high)).sum()))
        names.append(f"over {low:g} to {high:g}")
        ticks.append(f"≤{high:g}")
    return _chart("Flow at its bound", "% of the clip's vectors", names, counts, ticks)


def _chart(
    title: str, unit: str, names: list[str], counts: list[int], ticks: list[str]
) -> dict[str, Any]:
    """A bar chart; ticks stand between the bars if there is one more of them, else under them."""
    return {"title": title, "unit": unit, "names": names, "counts": counts, "ticks": ticks}


def _table(outputs: Sequence[FinishedOutput]) -> dict[str, Any]:
    """The rows that fit on the page, texts that repeat as indices, and what was left out."""
    rows = [(place, row) for place, each in enumerate(outputs) for row in each.ledger]
    counts: dict[Outcome, int] = {}
    for _, row in rows:
        counts[row.outcome] = counts.get(row.outcome, 0) + 1
    rows.sort(
        key=lambda pair: (
            pair[1].outcome is Outcome.WRITTEN,
            counts[pair[1].outcome],
            pair[1].outcome.value,
        )
    )
    shown, left_out = rows[:MAX_ROWS], rows[MAX_ROWS:]
    labels = sorted({row.label_text for _, row in shown})
    index = {text: place for place, text in enumerate(labels)}
    lost: dict[str, int] = {}
    for _, row in left_out:
        lost[row.outcome.value] = lost.get(row.outcome.value, 0) + 1
    return {
        "labels": labels,
        "rows": [_cells(place, row, index[row.label_text]) for place, row in shown],
        "total": len(rows),
        "left_out": lost,
    }


def _cells(place: int, row: LedgerRow, label: int) -> list[str | int]:
    """Output, outcome, label, clip id, detail, video, annotation, frames."""
    names = (row.clip_id, row.detail, row.path, row.source)
    return [place, row.outcome.value, label, *names, row.num_frames]


def _hygiene(outputs: Sequence[FinishedOutput]) -> list[dict[str, Any]]:
    kinds = []
    for kind, group in groupby(find_problems(outputs), key=lambda found: found.kind):
        found = list(group)
        items = [
            {
                "key": each.key,
                "clips": [asdict(clip) for clip in each.clips[:MAX_FOUND_CLIPS]],
                "num_clips": len(each.clips),
                "has_label_conflict": each.has_label_conflict,
            }
            for each in found[:MAX_FINDINGS]
        ]
        kinds.append({**ADVICE[kind]._asdict(), "total": len(found), "items": items})
    return kinds


def _settings(output: FinishedOutput) -> dict[str, Any]:
    """Settings and versions of a run as flat name-value pairs."""
    names = ("config_hash", "schema_version", "pose_model", "num_shards")
    return {
        "name": f"{_name(output)} · {output.folder}",
        "config": dict(_flatten(output.config)),
        "versions": dict(_flatten(output.info["environment"])),
        "run": {name: str(output.info[name]) for name in names},
    }


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield f"{prefix}{name}", text
