"""What a finished output folder says of itself, and which shard holds which clip."""

import json
from dataclasses import dataclass
from typing import Any

from schemas.errors import ShardError
from schemas.labels import LabelMap, parse_label_map
from schemas.shards import parquet_name, tfrecord_name

COMPLETED, RUN_INFO, LEDGER, LABEL_MAP = "COMPLETED", "run.json", "ledger.parquet", "label_map.txt"
"""Names of the files that a finished folder has beside its shards."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFolder:
    """Settings and labels of a finished run.

    Raises:
        ShardError: If `info` is not what `perfnet-prep build` writes.
    """

    info: dict[str, Any]
    """The content of run.json."""
    labels: LabelMap

    def __post_init__(self) -> None:
        try:
            _ = (self.modalities, self.formats, self.info["counts"], self.shard_names(0))
        except (KeyError, TypeError, ValueError) as error:
            raise ShardError(
                f"{RUN_INFO} must be as `perfnet-prep build` wrote it, got one without {error}"
            ) from error

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the run, JSON-ready."""
        config: dict[str, Any] = self.info["config"]
        return config

    @property
    def num_shards(self) -> int:
        """Number of shards of each format."""
        return int(self.info["num_shards"])

    @property
    def modalities(self) -> tuple[str, ...]:
        """Streams that the records hold: of rgb, flow, pose and pa."""
        return tuple(self.config["modalities"])

    @property
    def formats(self) -> tuple[str, ...]:
        """Kinds of shards: of tfrecord and parquet."""
        return tuple(self.config["formats"])

    def shard_name(self, shard: int, format_name: str) -> str:
        """Return the path of a shard below the folder."""
        if format_name == "parquet":
            return parquet_name(self.config["split"], shard, self.num_shards)
        return tfrecord_name(self.config["dataset"], self.config["split"], shard, self.num_shards)

    def shard_names(self, shard: int) -> list[str]:
        """Return the files of a shard below the folder, one for each format."""
        kinds = [kind for kind in ("tfrecord", "parquet") if kind in self.formats]
        return [self.shard_name(shard, kind) for kind in kinds]


def parse_run_folder(run_info: str, label_map: str) -> RunFolder:
    """Return what run.json and label_map.txt say.

    Args:
        run_info: Text of run.json.
        label_map: Text of label_map.txt.

    Raises:
        ShardError: If one of them is damaged.
    """
    try:
        info = json.loads(run_info)
    except ValueError as error:
        raise ShardError(f"{RUN_INFO} must be JSON, got damaged text ({error})") from error
    try:
        labels = parse_label_map(label_map)
    except ValueError as error:
        raise ShardError(f"{LABEL_MAP} must hold one label per line, got {error}") from error
    return RunFolder(info=info, labels=labels)
