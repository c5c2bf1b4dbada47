"""Logits of teachers on disk, by clip and by the epoch that seeds its augmentation.

All of them are held in memory: clips x epochs x teachers x classes x 4 bytes.
"""

import json
import os
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from schemas.errors import ConfigError

_KEY_FILE = "key.json"


class TeacherCache:
    """A folder of Parquet files: clip_id, epoch, logits.

    Args:
        folder: Made if need be.
        key: Everything that the logits depend on beside clip and epoch, JSON-ready: hashes of the
            teachers, data, view, seed.

    Raises:
        ConfigError: If the folder holds logits of another key, or a damaged file.
    """

    def __init__(self, folder: Path, key: dict[str, Any]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(key, sort_keys=True, default=str)
        key_path = folder / _KEY_FILE
        if key_path.exists() and key_path.read_text("utf-8") != text:
            raise ConfigError(
                f"distill.cache must be new or of the same teachers, shards, view and seed, got "
                f"{folder} of others; choose another folder"
            )
        temporary = folder / f"{_KEY_FILE}.{os.getpid()}.tmp"
        temporary.write_text(text, "utf-8")
        temporary.replace(key_path)
        self._known: dict[tuple[str, int], np.ndarray[Any, np.dtype[np.float32]]] = {}
        for path in sorted(folder.glob("*.parquet")):
            self._load(path)
        self._new: list[tuple[str, int]] = []

    def __len__(self) -> int:
        """Return the number of clips and epochs that are known."""
        return len(self._known)

    def has(self, keys: Iterable[tuple[str, int]]) -> bool:
        """Return whether the logits of all these clips and epochs are known."""
        return all(key in self._known for key in keys)

    def find(self, clip_ids: Sequence[str], epochs: Sequence[int]) -> torch.Tensor | None:
        """Return float32 [n, b, k] of a batch; None unless all of it is known."""
        rows = [self._known.get(key) for key in zip(clip_ids, epochs, strict=True)]
        known = [row for row in rows if row is not None]
        if len(known) < len(rows):
            return None
        return torch.from_numpy(np.stack(known, axis=1))

    def add(self, clip_ids: Sequence[str], epochs: Sequence[int], logits: torch.Tensor) -> None:
        """Remember the logits of a batch.

        Args:
            clip_ids: b ids.
            epochs: b epochs.
            logits: float32 [n, b, k].
        """
        for place, key in enumerate(zip(clip_ids, epochs, strict=True)):
            if key not in self._known:
                self._known[key] = logits[:, place].numpy().copy()
                self._new.append(key)

    def save(self) -> None:
        """Write what is new into a file of its own, named after its content."""
        if not self._new:
            return
        rows = [self._known[key] for key in self._new]
        table = pa.table(
            {
                "clip_id": [clip_id for clip_id, _ in self._new],
                "epoch": [epoch for _, epoch in self._new],
                "logits": pa.array([row.ravel() for row in rows], pa.list_(pa.float32())),
            }
        ).replace_schema_metadata({"num_teachers": str(len(rows[0]))})
        name = blake2b(repr(self._new).encode(), digest_size=8).hexdigest()
        temporary = self._folder / f"{name}.tmp"
        pq.write_table(table, temporary)
        temporary.replace(self._folder / f"{name}.parquet")
        self._new = []

    def _load(self, path: Path) -> None:
        try:
            table = pq.read_table(path, use_threads=False, pre_buffer=False)
            num_teachers = int((table.schema.metadata or {})[b"num_teachers"])
            for row in table.to_pylist():
                logits = np.array(row["logits"], np.float32).reshape(num_teachers, -1)
                self._known[row["clip_id"], row["epoch"]] = logits
        except (OSError, KeyError, ValueError, pa.ArrowException) as error:
            raise ConfigError(
                f"distill.cache must hold whole files, got {path}: {error}; delete that file, and "
                "its logits are computed again"
            ) from error
