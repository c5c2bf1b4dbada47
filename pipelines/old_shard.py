"""One shard of an earlier output, read once and forward, for what the next run takes over."""

import logging
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from typing import Any

from pipelines import storage
from pipelines.finished_output import DAMAGE
from pipelines.kept_clip import IMAGE_STREAMS, KeptClip
from pipelines.plan import ClipTask, ShardSpec, decode_specs
from pipelines.sealed_json import read_sealed_json
from schemas.clip_record import ClipRecord
from schemas.errors import ShardError
from schemas.ledger import LedgerRow, from_plain
from schemas.outcome import Outcome
from schemas.shard_reader import read_shard

_LOGGER = logging.getLogger("perfnet_prep")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reuse:
    """What a run takes over from an earlier output, made by `pipelines.reuse.plan_reuse`."""

    folder: str
    """The earlier output."""
    shard_names: tuple[tuple[str, ...], ...]
    """Files to read of every shard, below the folder."""
    streams: frozenset[str]
    """Fields of `ClipRecord` that are taken over where the earlier output holds them."""
    software: str
    """`Provenance.software` that a record must have been made with."""
    strict: bool
    """Whether truncated clips are not taken over."""
    plan_path: str
    """Plan of the earlier output."""
    plan_offsets: tuple[int, ...]
    """First byte of each shard's line in that plan."""


def reusable_rows(
    old: ShardSpec, new: ShardSpec, rows: dict[str, LedgerRow], *, strict: bool
) -> dict[str, LedgerRow]:
    """Return the old ledger rows, by clip id, of the clips that may be taken over.

    Those are the clips that the old shard holds and whose input is the same: times, path, size.

    Args:
        old: What the old shard was made of.
        new: What the new shard is made of.
        rows: Old ledger rows of the clips in shards, by clip id.
        strict: Whether truncated clips are left out of the new shard.
    """
    inputs = {task.clip.clip_id: _input_of(task) for task in old.tasks}
    found = {}
    for task in new.tasks:
        clip_id = task.clip.clip_id
        row = rows.get(clip_id)
        if row is None or not row.is_in_shard or inputs.get(clip_id) != _input_of(task):
            continue
        if not (strict and row.outcome is Outcome.TRUNCATED):
            found[clip_id] = row
    return found


def _input_of(task: ClipTask) -> dict[str, Any]:
    """All of a task that decides its pixels and poses; the label does not."""
    values = asdict(task)
    clip = values.pop("clip")
    del values["label_index"]
    names = ("clip_id", "media_id", "relative_path", "start_seconds", "end_seconds")
    return {**values, **{name: clip[name] for name in names}}


class OldShard:
    """Gives what can be taken over of the clips of one shard.

    Damage is a warning: the clips behind it are then computed again.

    Args:
        reuse: What to take over.
        spec: The new shard; the old one of the same number holds the same clips.
        done_path: `done.json` of the old shard.
    """

    def __init__(self, reuse: Reuse, spec: ShardSpec, done_path: str) -> None:
        self._reuse = reuse
        self._spec = spec
        self._rows = self._read_rows(done_path)
        self._files = [_Forward(reuse.folder, name) for name in reuse.shard_names[spec.shard]]

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def find(self, clip_id: str) -> KeptClip | None:
        """Return what can be taken over of a clip, or None; ask in the order of the clip ids."""
        row = self._rows.get(clip_id)
        if row is None:
            return None
        try:
            record = _merged([file.find(clip_id) for file in self._files], self._reuse.streams)
        except DAMAGE as error:
            self._rows = {}
            _warn(self._files[0].name, f"damaged or missing data ({error})", f"from {clip_id} on")
            return None
        if record.provenance.software != self._reuse.software:
            _warn(self._files[0].name, "a clip made with other software", f"at {clip_id}")
            return None
        return KeptClip(record=record, row=row)

    def _read_rows(self, done_path: str) -> dict[str, LedgerRow]:
        """Old ledger rows of the clips to take over; none where the old state is damaged."""
        reuse, shard = self._reuse, self._spec.shard
        try:
            with storage.open_input(reuse.plan_path) as file:
                file.seek(reuse.plan_offsets[shard])
                (old,) = decode_specs([file.readline().decode("utf-8")])
            done = read_sealed_json(done_path)
            if done is None:
                raise ShardError("no such file, or not as it was written")
            rows = {row.clip_id: row for row in (from_plain(each) for each in done["rows"])}
        except DAMAGE as error:
            _warn(done_path, f"damaged or missing data ({error})", "of the shard")
            return {}
        return reusable_rows(old, self._spec, rows, strict=reuse.strict)


def _warn(name: str, what: str, clips: str) -> None:
    _LOGGER.warning(
        "reuse: %s must be as `build` wrote it, got %s; the clips %s are computed again",
        *(name, what, clips),
    )


class _Forward:
    """Finds records in one file whose records and requests are both ordered by clip id."""

    def __init__(self, folder: str, name: str) -> None:
        self.name = name
        self._records = _read(folder, name)
        self._record: ClipRecord | None = None

    def find(self, clip_id: str) -> ClipRecord:
        """Return the record of a clip.

        Raises:
            ShardError: If the file does not hold it.
        """
        while self._record is None or self._record.clip_id < clip_id:
            self._record = next(self._records, None)
            if self._record is None:
                raise ShardError(f"{self.name} must hold {clip_id}, got none")
        if self._record.clip_id != clip_id:
            raise ShardError(f"{self.name} must hold {clip_id}, got none")
        return self._record

    def close(self) -> None:
        """Close the file."""
        self._records.close()


def _read(folder: str, name: str) -> Generator[ClipRecord, None, None]:
    with storage.open_input(storage.join(folder, name)) as file:
        yield from read_shard(file, name=name)


def _merged(records: list[ClipRecord], streams: frozenset[str]) -> ClipRecord:
    """One record with those streams that are wanted, each from the first file that has it."""
    images: dict[str, Any] = {
        name: next(filter(None, (getattr(each, name) for each in records)), ())
        if name in streams
        else ()
        for name in IMAGE_STREAMS
    }
    return replace(records[0], **images, poses=records[0].poses if "poses" in streams else None)
