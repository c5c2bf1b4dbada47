"""The clips of a finished output folder, by number."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import ConfigError, ShardError
from schemas.run_folder import COMPLETED, LABEL_MAP, LEDGER, RUN_INFO, RunFolder, parse_run_folder

_COLUMNS = ["clip_id", "label_text", "shard", "num_frames"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ShardFolder:
    """Clips in the order of the shards; clip n lies in `shards[n]` at place `places[n]`."""

    path: Path
    run: RunFolder
    clip_ids: pa.StringArray
    label_indices: npt.NDArray[np.int64]
    """int64 [N]; -1 without a label."""
    num_frames: npt.NDArray[np.int64]
    """int64 [N]."""
    shards: npt.NDArray[np.int64]
    """int64 [N], growing."""
    places: npt.NDArray[np.int64]
    """int64 [N]: position within the shard."""

    def __len__(self) -> int:
        return len(self.shards)


def open_shard_folder(path: Path) -> ShardFolder:
    """List the clips of an output folder of `perfnet-prep build`.

    Args:
        path: A local folder of a completed run.

    Raises:
        ConfigError: If it is no such folder.
        ShardError: If its run.json, label map or ledger is damaged.
    """
    if not (path / COMPLETED).is_file():
        raise ConfigError(
            f"shards must be a finished output folder of `perfnet-prep build`, got {path} without "
            f"the file {COMPLETED}; finish the build, or check the path"
        )
    try:
        run = parse_run_folder(
            (path / RUN_INFO).read_text("utf-8"), (path / LABEL_MAP).read_text("utf-8")
        )
        table = pq.read_table(path / LEDGER, columns=_COLUMNS, use_threads=False, pre_buffer=False)
    except (OSError, UnicodeDecodeError, pa.ArrowException) as error:
        raise ShardError(f"{path} must hold a readable ledger, got {error}") from error
    table = table.filter(pc.greater_equal(table["shard"], 0))
    table = table.sort_by([("shard", "ascending"), ("clip_id", "ascending")])
    shards = table["shard"].to_numpy().astype(np.int64)
    first_of_shard = np.searchsorted(shards, shards, side="left")
    return ShardFolder(
        path=path,
        run=run,
        clip_ids=table["clip_id"].combine_chunks(),
        label_indices=_label_indices(table["label_text"].to_pylist(), run),
        num_frames=table["num_frames"].to_numpy().astype(np.int64),
        shards=shards,
        places=np.arange(len(shards)) - first_of_shard,
    )


def _label_indices(texts: list[str], run: RunFolder) -> npt.NDArray[np.int64]:
    index_of = {text: index for index, text in enumerate(run.labels.texts)}
    index_of[""] = -1
    try:
        return np.array([index_of[text] for text in texts], np.int64)
    except KeyError as error:
        raise ShardError(f"{LEDGER} must have labels of {LABEL_MAP}, got {error}") from error
