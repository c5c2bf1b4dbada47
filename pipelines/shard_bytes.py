"""How many bytes records take in shard files, framing and footers included."""

from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from pipelines.config import BuildConfig
from schemas.clip_record import ClipRecord
from schemas.labels import LabelMap
from schemas.shard_writer import ParquetShard, TFRecordShard


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardBytes:
    """Bytes by shard format."""

    records: dict[str, int]
    """All records together."""
    empty: dict[str, int]
    """A shard without records."""


class ShardSizer:
    """Writes records to one shard of every format, to see how large it gets.

    Args:
        folder: Existing folder for the shards.
        config: What would be built.
        labels: The label map.
    """

    def __init__(self, folder: Path, config: BuildConfig, labels: LabelMap) -> None:
        self._folder = folder
        self._formats = config.formats
        self._stack = ExitStack()
        self._files: list[ParquetShard | TFRecordShard] = []
        for name in ("empty", "full"):
            for shard_format in self._formats:
                file = self._stack.enter_context((folder / f"{name}.{shard_format}").open("xb"))
                is_parquet = shard_format == "parquet"
                shard = (
                    ParquetShard(file, labels, folder, has_pa="pa" in config.modalities)
                    if is_parquet
                    else TFRecordShard(file)
                )
                self._stack.enter_context(closing(shard))
                if name == "full":
                    self._files.append(shard)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def write(self, record: ClipRecord) -> None:
        """Add a record."""
        for file in self._files:
            file.write(record)

    def close(self) -> ShardBytes:
        """Finish the shards and return their bytes."""
        self._stack.close()
        full, empty = self._sizes("full"), self._sizes("empty")
        return ShardBytes(records={each: full[each] - empty[each] for each in full}, empty=empty)

    def _sizes(self, name: str) -> dict[str, int]:
        return {each: (self._folder / f"{name}.{each}").stat().st_size for each in self._formats}
