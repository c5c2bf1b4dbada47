"""Logits of every clip, and the file that keeps them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions:
    """What a network, or several together, says of the clips of a data set."""

    clip_ids: tuple[str, ...]
    """Sorted."""
    label_indices: npt.NDArray[np.int64]
    """int64 [N]; -1 without a label."""
    logits: npt.NDArray[np.float32]
    """float32 [N, K]; the mean over the views of a clip."""
    labels: tuple[str, ...]
    """Label texts, K of them."""


def save_predictions(predictions: Predictions, path: Path) -> None:
    """Write predictions as Parquet: clip_id, label, logits."""
    table = pa.table(
        {
            "clip_id": pa.array(predictions.clip_ids, pa.string()),
            "label": pa.array(predictions.label_indices),
            "logits": pa.array(list(predictions.logits), pa.list_(pa.float32())),
        }
    )
    labels = "\n".join(predictions.labels)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata({"labels": labels}), path)


def load_predictions(path: Path) -> Predictions:
    """Read what `save_predictions` wrote.

    Raises:
        ConfigError: If it is no such file.
    """
    try:
        table = pq.read_table(path, use_threads=False, pre_buffer=False)
        labels = (table.schema.metadata or {})[b"labels"].decode("utf-8").split("\n")
        return Predictions(
            clip_ids=tuple(table["clip_id"].to_pylist()),
            label_indices=table["label"].to_numpy(),
            logits=np.array(table["logits"].to_pylist(), np.float32).reshape(-1, len(labels)),
            labels=tuple(labels),
        )
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        rule = "predictions must be a file of `perfnet-train evaluate`"
        raise ConfigError(f"{rule}, got {path}: {error}") from error


def fuse_predictions(streams: Sequence[Predictions]) -> Predictions:
    """Return the sum of the logits of several networks on the same clips (late fusion).

    Args:
        streams: At least one.

    Raises:
        ConfigError: If they differ in clips or labels.

    References:
        Li et al. 2020 (PERF-Net), section 3.3: logits of the streams are added.
    """
    first = streams[0]
    for other in streams[1:]:
        if other.labels != first.labels:
            raise ConfigError("predictions to fuse must have the same labels, got different ones")
        if other.clip_ids != first.clip_ids:
            odd = sorted(set(first.clip_ids) ^ set(other.clip_ids))
            raise ConfigError(
                f"predictions to fuse must be of the same clips, got {len(odd)} that some lack, "
                f"such as {odd[0] if odd else 'another order'}"
            )
        if not np.array_equal(other.label_indices, first.label_indices):
            raise ConfigError(
                "predictions to fuse must agree on the label of every clip, got others"
            )
    logits = np.array([each.logits for each in streams], np.float32).sum(axis=0)
    return Predictions(
        clip_ids=first.clip_ids,
        label_indices=first.label_indices,
        logits=logits,
        labels=first.labels,
    )
