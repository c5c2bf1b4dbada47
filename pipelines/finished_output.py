"""A finished output folder: its settings, its ledger and its records."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from pipelines import storage
from pipelines.streams import streams_in
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError, PrepError, ShardError
from schemas.labels import parse_label_map
from schemas.ledger import LedgerRow, read_ledger
from schemas.run_folder import COMPLETED, RunFolder
from schemas.shard_reader import read_shard

DAMAGE = (ValueError, KeyError, TypeError, OSError, pa.ArrowException, PrepError)
"""What readers raise on damaged bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishedOutput(RunFolder):
    """The metadata of an output folder; its records are read on demand."""

    folder: str
    ledger: tuple[LedgerRow, ...]

    @property
    def pose_storage(self) -> str:
        """What the records hold of the pose: overlay, keypoints or both."""
        return str(self.config.get("pose_storage", "both"))

    def streams_in(self, name: str) -> frozenset[str]:
        """Return the fields of `ClipRecord` that a shard file holds."""
        return streams_in(
            "parquet" if name.endswith(".parquet") else "tfrecord",
            modalities=self.modalities,
            pose_storage=self.pose_storage,
        )

    def read_records(self, shard: int) -> Iterator[ClipRecord]:
        """Yield the records of a shard, ordered by clip id.

        Raises:
            ShardError: If the file is missing or damaged.
        """
        name = self.shard_names(shard)[-1]  # Parquet if there is one: flow in two exact images
        try:
            with storage.open_input(storage.join(self.folder, name)) as file:
                yield from read_shard(file, name=name)
        except DAMAGE as error:
            raise ShardError(
                f"{name} must be as `build` wrote it, got a damaged or missing file ({error}); "
                f"run `perfnet-prep verify {self.folder}`"
            ) from error

    def read_record(self, clip_id: str) -> ClipRecord:
        """Return the record of one clip.

        Raises:
            ConfigError: If no shard holds the clip.
            ShardError: If its shard is missing or damaged.
        """
        rows = [row for row in self.ledger if row.clip_id == clip_id]
        for row in rows:
            if not row.is_in_shard:
                continue
            for record in self.read_records(row.shard):
                if record.clip_id == clip_id:
                    return record
            raise ShardError(f"shard {row.shard} must hold {clip_id}, got a shard without it")
        why = f"one that is {rows[0].outcome.value}: {rows[0].detail}" if rows else "no such row"
        raise ConfigError(f"clip_id must be a written clip of the ledger, got {clip_id}, {why}")


def check_completed(folder: str) -> None:
    """Raise ConfigError unless a folder holds the result of a run that completed."""
    if not storage.exists(storage.join(folder, COMPLETED)):
        raise ConfigError(
            f"output must be a completed run, got {folder} without the file {COMPLETED}; "
            "run the same `perfnet-prep build` again to finish it"
        )


def open_output(folder: str) -> FinishedOutput:
    """Read the metadata of a finished output folder.

    Args:
        folder: Output folder of `perfnet-prep build`, local or remote.

    Raises:
        ConfigError: If it is not an output folder or the run did not complete.
        ShardError: If one of its metadata files is damaged.
    """
    check_completed(folder)
    name = "run.json"
    try:
        info = json.loads(storage.read_text(storage.join(folder, name)))
        name = "ledger.parquet"
        with storage.open_input(storage.join(folder, name)) as file:
            ledger = read_ledger(file)
        name = "label_map.txt"
        labels = parse_label_map(storage.read_text(storage.join(folder, name)))
        name = "run.json"
        output = FinishedOutput(folder=folder, info=info, labels=labels, ledger=tuple(ledger))
    except DAMAGE as error:
        raise ShardError(
            f"{name} must be as `build` wrote it, got a damaged file ({error}); run the same "
            "`perfnet-prep build` again to repair it"
        ) from error
    return output
