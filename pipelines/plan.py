"""From annotation rows and video files to shard specs: what each shard will hold."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from pipelines.video_folder import UnusableFile
from schemas.clip import AnnotationTable, Clip
from schemas.ledger import LedgerRow, from_plain, to_plain
from schemas.outcome import Outcome
from schemas.sealed_json import hash_json
from schemas.shards import shard_of
from video.locate import VideoIndex

_NONE: Mapping[str, UnusableFile] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipTask:
    """One clip and the file it is in."""

    clip: Clip
    label_index: int
    """-1 without a label."""
    path: str
    """Video below the video folder."""
    size_bytes: int
    is_trimmed: bool | None
    """Whether the file is the clip already; None = the decoder decides by duration."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardSpec:
    """The clips of one shard, in the order in which they are written."""

    shard: int
    num_shards: int
    tasks: tuple[ClipTask, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All shards of a run, and the rows that are in none."""

    shards: tuple[ShardSpec, ...]
    settled: tuple[LedgerRow, ...]
    """Rows whose outcome is known before any video is opened."""

    def content_hash(self) -> str:
        """Return a hash of everything the plan says."""
        return hash_json(encode_plan(self))

    @property
    def num_rows(self) -> int:
        """Number of annotation rows."""
        return len(self.settled) + sum(len(spec.tasks) for spec in self.shards)


def plan_shards(
    table: AnnotationTable,
    video_sizes: dict[str, int],
    *,
    num_shards: int,
    limit: int | None,
    unusable: Mapping[str, UnusableFile] = _NONE,
) -> Plan:
    """Decide which shard holds which clip.

    Args:
        table: The annotation rows.
        video_sizes: Bytes of every file below the video folder, by relative path.
        num_shards: Number of shards.
        limit: Take only the first rows of the table; None = all.
        unusable: Entries of the video folder that may not be read, by relative path.

    Returns:
        The plan; it depends on the arguments only, never on the number of workers.
    """
    index = VideoIndex(video_sizes)
    not_found = _NotFound(unusable)
    label_indices = {text: place for place, text in enumerate(table.labels.texts)}
    shards: list[list[ClipTask]] = [[] for _ in range(num_shards)]
    settled = [
        LedgerRow(
            clip_id=_printable(row.clip_id),
            outcome=row.outcome,
            detail=_printable(row.detail),
            source=_printable(row.source),
            label_text=_printable(row.label_text or ""),
        )
        for row in table.rejected
    ]
    for clip in table.clips[:limit]:
        found = index.find(clip)
        if found is None:
            settled.append(not_found.settle(clip))
            continue
        task = ClipTask(
            clip=clip,
            label_index=label_indices[clip.label_text] if clip.label_text is not None else -1,
            path=found.relative_path,
            size_bytes=video_sizes[found.relative_path],
            is_trimmed=found.is_trimmed,
        )
        shards[shard_of(clip.clip_id, num_shards)].append(task)
    specs = tuple(
        ShardSpec(
            shard=shard,
            num_shards=num_shards,
            tasks=tuple(sorted(tasks, key=lambda task: task.clip.clip_id)),
        )
        for shard, tasks in enumerate(shards)
    )
    return Plan(shards=specs, settled=tuple(settled))


def _printable(text: str) -> str:
    """The text with bytes of a file name that are not UTF-8 spelt out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class _NotFound:
    """Says of a clip without a file why it has none.

    Args:
        unusable: Entries of the video folder that may not be read, by relative path.
    """

    def __init__(self, unusable: Mapping[str, UnusableFile]) -> None:
        self._unusable = unusable
        self._index = VideoIndex(unusable)

    def settle(self, clip: Clip) -> LedgerRow:
        """Return the ledger row of a clip whose file is not among those that may be read."""
        path = self._blocking_entry(clip)
        if path is None:
            outcome, detail, path = Outcome.MISSING, self._describe_missing(clip), ""
        else:
            outcome, detail = self._unusable[path].outcome, self._unusable[path].detail
        return LedgerRow(
            clip_id=clip.clip_id,
            outcome=outcome,
            detail=_printable(detail),
            source=clip.source,
            path=_printable(path),
            label_text=clip.label_text or "",
            media_id=clip.media_id,
        )

    def _blocking_entry(self, clip: Clip) -> str | None:
        """Return the unusable file of a clip, or the unusable folder that its path leads into."""
        found = self._index.find(clip)
        if found is not None:
            return found.relative_path
        parts = clip.relative_path.split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        return next((folder for folder in folders if folder in self._unusable), None)

    def _describe_missing(self, clip: Clip) -> str:
        wanted = clip.relative_path or f"{clip.media_id}.*"
        detail = f"no file of the video folder is {wanted} or {clip.clip_id}.*"
        if "\\" in wanted:
            detail += "; write / between folders"
        if self._unusable:
            name, first = min(self._unusable.items())
            number = len(self._unusable)
            detail += f"; {number} entries of it are not read, such as {name!r}: {first.detail}"
        return detail


def encode_plan(plan: Plan) -> str:
    """Return the plan as lines of JSON: one for the settled rows, then one for each shard."""
    lines: list[Any] = [{"settled": [to_plain(row) for row in plan.settled]}]
    lines += [{"spec": asdict(spec)} for spec in plan.shards]
    return "".join(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n" for line in lines)


def decode_settled(lines: Iterable[str]) -> tuple[LedgerRow, ...]:
    """Return the settled rows of a plan, which are in its first line."""
    return tuple(from_plain(row) for row in json.loads(next(iter(lines)))["settled"])


def decode_specs(lines: Iterable[str]) -> Iterator[ShardSpec]:
    """Yield the shards of a plan, one at a time."""
    for line in lines:
        values = json.loads(line) if line.strip() else {}
        if "spec" in values:
            yield _read_spec(values["spec"])


def _read_spec(values: dict[str, Any]) -> ShardSpec:
    tasks = tuple(ClipTask(**{**task, "clip": Clip(**task["clip"])}) for task in values["tasks"])
    return ShardSpec(shard=values["shard"], num_shards=values["num_shards"], tasks=tasks)
