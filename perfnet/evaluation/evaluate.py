"""Run a network over a data set."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn

from perfnet.data.augment import ViewConfig
from perfnet.data.collate import to_model_input
from perfnet.data.loader import load_batches
from perfnet.data.order import keys_of_rank
from perfnet.data.shard_dataset import OnCorrupt, SampleKey, ShardDataset
from perfnet.evaluation.predictions import Predictions
from perfnet.models.registry import is_signed
from perfnet.training.checkpoint import ModelCard
from schemas.errors import ConfigError

LOGGER = logging.getLogger("perfnet_train")
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalConfig:
    """How clips are looked at and loaded.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    view: ViewConfig = field(default_factory=lambda: ViewConfig(is_random=False))
    """Central crop; several views of a clip are averaged."""
    batch_size: int = 8
    """Clips per process of one forward pass."""
    workers: int = 2
    """Loader processes; 0 = load in this process."""
    on_corrupt: OnCorrupt = "error"
    """A record that cannot be read ends the evaluation, or is left out and named in the log."""

    def __post_init__(self) -> None:
        if self.view.is_random:
            raise ConfigError("view.is_random must be off in an evaluation, got a random view")
        for name, least in {"batch_size": 1, "workers": 0}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be >= {least}, got {getattr(self, name)}")


def predict(
    model: nn.Module,
    card: ModelCard,
    shards: Path,
    config: EvalConfig,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> Predictions:
    """Return the logits of every clip of the shards, the mean over its views.

    Args:
        model: Network on its device. Its mode is put back after.
        card: What it looks at and what its logits mean.
        shards: Finished output folder.
        config: Views and loading.
        rank: This process; every one gets all predictions.
        world_size: Number of processes.

    Raises:
        ConfigError: If the shards have other labels than the network.
        ShardError: If a record cannot be read, unless such are left out.
    """
    dataset = ShardDataset(
        shards,
        modalities=(card.modality,),
        view=config.view,
        on_corrupt="skip",
    )
    check_labels(card, dataset, shards)
    keys = keys_of_rank(
        len(dataset.clip_ids), num_views=config.view.num_views, rank=rank, world_size=world_size
    )
    rows = _predict_keys(model, card, dataset, keys, config)
    if world_size > 1:
        rows = gather_object(rows)
    return _mean_over_views(rows, card.labels)


def check_labels(card: ModelCard, dataset: ShardDataset, shards: Path) -> None:
    """Raise ConfigError unless the shards have exactly the labels of the network."""
    if dataset.labels.texts != card.labels:
        raise ConfigError(
            f"shards must have the labels of the checkpoint ({len(card.labels)}, first "
            f"{card.labels[0]!r}), got {shards} with others ({len(dataset.labels)}, first "
            f"{next(iter(dataset.labels.texts), None)!r}); build them with the label_map.txt of "
            "the training shards (--label-map)"
        )


Row = tuple[str, int, list[float]]
"""Clip id, label index and logits of one view."""


def _predict_keys(
    model: nn.Module,
    card: ModelCard,
    dataset: ShardDataset,
    keys: Sequence[SampleKey],
    config: EvalConfig,
) -> list[Row]:
    size = config.batch_size
    batches = [keys[start : start + size] for start in range(0, len(keys), size)]
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    rows: list[Row] = []
    told = time.monotonic()
    for batch in load_batches(
        dataset, batches, workers=config.workers, on_corrupt=config.on_corrupt
    ):
        if not batch["clip_id"]:
            continue
        signed = is_signed(card.model.name)
        inputs = to_model_input(batch, card.modality, signed=signed, device=device)
        with torch.inference_mode():
            logits = model(inputs).float().cpu().tolist()
        rows += zip(batch["clip_id"], batch["label"].tolist(), logits, strict=True)
        if time.monotonic() - told > _SECONDS_BETWEEN_LINES:
            told = time.monotonic()
            LOGGER.info("evaluated %d of %d views of clips", len(rows), len(keys))
    model.train(was_training)
    return rows


def _mean_over_views(rows: list[Row], labels: tuple[str, ...]) -> Predictions:
    views: dict[str, list[list[float]]] = {}
    label_of: dict[str, int] = {}
    for clip_id, label, logits in rows:
        views.setdefault(clip_id, []).append(logits)
        label_of[clip_id] = label
    clip_ids = tuple(sorted(views))
    means = [np.mean(np.array(views[clip_id], np.float32), axis=0) for clip_id in clip_ids]
    return Predictions(
        clip_ids=clip_ids,
        label_indices=np.array([label_of[clip_id] for clip_id in clip_ids], np.int64),
        logits=np.array(means, np.float32).reshape(len(clip_ids), len(labels)),
        labels=labels,
    )
