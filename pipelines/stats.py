"""Figures of a finished data set, from its ledger alone: no shard is read."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines import storage
from pipelines.finished_output import FinishedOutput, open_output
from pipelines.hygiene import find_problems
from schemas.errors import ConfigError, ShardError
from schemas.ledger import STAGES, LedgerRow, count_outcomes

SATURATED_SHARE = 0.01
"""A clip of which more flow vectors reach the bound counts as saturated."""

_STREAMS_OF = {
    "rgb": ("rgb",),
    "pose": ("pose_overlay",),
    "flow": ("flow", "flow_x", "flow_y"),
    "pa": ("pa",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class FlowStats:
    """How often flow reaches its bound (`--flow.bound-px`)."""

    saturated_share: float
    """Share of all flow vectors."""
    max_clip_share: float
    """Share of the vectors of the clip with most."""
    num_saturated_clips: int
    """Clips with more than `SATURATED_SHARE`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseStats:
    """How many people were found."""

    coverage: float
    """Share of all frames with a person in it."""
    people_per_frame: float
    tracks_per_clip: float
    mean_score: float | None
    """Of the detected keypoints, mean over clips; None if there is none."""
    num_clips_without_people: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """Figures of one output, or of several together."""

    num_rows: int
    """Annotation rows."""
    outcomes: dict[str, int]
    """Rows by outcome; outcomes without rows are left out."""
    failed_fraction: float
    """Share of the rows that are in no shard."""
    num_clips: int
    """Clips in shards."""
    num_frames: int
    hours: float
    """Playing time of the clips."""
    bytes: dict[str, int]
    """Bytes of the shards: rgb, pose (drawn), flow, pa, and the rest (keypoints, times, labels)."""
    stage_seconds: dict[str, float]
    """Seconds of work by stage, all clips."""
    labels: dict[str, int]
    """Clips in shards by label, labels without clips included; "" = no label."""
    flow: FlowStats | None
    """None without flow."""
    pose: PoseStats | None
    """None without poses."""


def open_outputs(folders: Sequence[str]) -> list[FinishedOutput]:
    """Read the metadata of finished outputs.

    Raises:
        ConfigError: If a folder is named twice or is not a finished output.
        ShardError: If one of the metadata files is damaged.
    """
    for folder, number in Counter(folder.rstrip("/") for folder in folders).items():
        if number > 1:
            raise ConfigError(f"outputs must be named once each, got {folder} {number} times")
    return [open_output(folder) for folder in folders]


def collect_stats(outputs: Sequence[FinishedOutput]) -> Stats:
    """Return the figures of one output, or of several together.

    Args:
        outputs: At least one.

    Raises:
        ShardError: If a shard is missing.
    """
    rows = [row for output in outputs for row in output.ledger]
    written = [row for row in rows if row.is_in_shard]
    labels = Counter(dict.fromkeys((text for each in outputs for text in each.labels.texts), 0))
    labels.update(row.label_text for row in written)
    return Stats(
        num_rows=len(rows),
        outcomes=count_outcomes(rows),
        failed_fraction=(len(rows) - len(written)) / max(1, len(rows)),
        num_clips=len(written),
        num_frames=sum(row.num_frames for row in written),
        hours=sum(_seconds_of(output) for output in outputs) / 3600,
        bytes=_count_bytes(outputs),
        stage_seconds={s: sum(row.seconds.get(s, 0.0) for row in written) for s in STAGES},
        labels=dict(sorted(labels.items())),
        flow=_flow_stats([row for row in written if row.flow_saturation is not None]),
        pose=_pose_stats([row for row in written if row.pose_coverage is not None]),
    )


def stats_json(outputs: Sequence[FinishedOutput]) -> dict[str, Any]:
    """Return the figures of each output and the hygiene findings, JSON-ready.

    The keys are an interface for scripts, listed in docs/inspect.md.
    """
    each = [
        {
            "folder": output.folder,
            "dataset": output.config["dataset"],
            "split": output.config["split"],
            **asdict(collect_stats([output])),
        }
        for output in outputs
    ]
    return {"outputs": each, "hygiene": [asdict(found) for found in find_problems(outputs)]}


def _seconds_of(output: FinishedOutput) -> float:
    num_frames = sum(row.num_frames for row in output.ledger if row.is_in_shard)
    return float(num_frames / output.config["decode"]["fps"])


def _count_bytes(outputs: Iterable[FinishedOutput]) -> dict[str, int]:
    sizes = dict.fromkeys((*_STREAMS_OF, "other"), 0)
    for output in outputs:
        sizes["other"] += _shard_bytes(output)
        stored = Counter(
            stream for name in output.shard_names(0) for stream in output.streams_in(name)
        )
        for modality, streams in _STREAMS_OF.items():
            for stream in streams:
                total = sum(row.stream_bytes[stream] for row in output.ledger if row.is_in_shard)
                sizes[modality] += stored[stream] * total
                sizes["other"] -= stored[stream] * total
    return sizes


def _shard_bytes(output: FinishedOutput) -> int:
    """Bytes of all shard files; a remote folder is listed once, not asked for each file."""
    names = [name for shard in range(output.num_shards) for name in output.shard_names(shard)]
    if storage.is_remote(output.folder):
        there = storage.list_remote_sizes(output.folder)
    else:
        files = {name: Path(output.folder, name) for name in names}
        there = {name: file.stat().st_size for name, file in files.items() if file.is_file()}
    lost = [name for name in names if name not in there]
    if lost:
        raise ShardError(
            f"shards must all be there, got {output.folder} without {lost[0]}; "
            f"run `perfnet-prep verify {output.folder}`"
        )
    return sum(there[name] for name in names)


def _flow_stats(rows: list[LedgerRow]) -> FlowStats | None:
    if not rows:
        return None
    shares = [row.flow_saturation or 0.0 for row in rows]
    return FlowStats(
        saturated_share=_mean_over_frames(rows, shares),
        max_clip_share=max(shares),
        num_saturated_clips=sum(share > SATURATED_SHARE for share in shares),
    )


def _pose_stats(rows: list[LedgerRow]) -> PoseStats | None:
    if not rows:
        return None
    scores = [row.pose_score for row in rows if row.pose_score is not None]
    return PoseStats(
        coverage=_mean_over_frames(rows, [row.pose_coverage or 0.0 for row in rows]),
        people_per_frame=_mean_over_frames(rows, [row.num_people for row in rows]),
        tracks_per_clip=sum(row.num_tracks for row in rows) / len(rows),
        mean_score=sum(scores) / len(scores) if scores else None,
        num_clips_without_people=sum(row.pose_coverage == 0 for row in rows),
    )


def _mean_over_frames(rows: list[LedgerRow], values: list[float]) -> float:
    """Mean in which every frame counts the same, not every clip."""
    num_frames = sum(row.num_frames for row in rows)
    return sum(row.num_frames * value for row, value in zip(rows, values, strict=True)) / num_frames
