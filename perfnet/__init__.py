"""PERF-Net in torch: shards of `perfnet-prep` in, an RGB-only action classifier out."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perfnet.data.augment import ViewConfig
    from perfnet.data.collate import ClipBatch, collate_clips, to_model_input
    from perfnet.data.loader import load_batches
    from perfnet.data.order import OrderConfig, ShuffledBatches
    from perfnet.data.shard_dataset import ClipSample, SampleKey, ShardDataset

_HOMES = {
    "ClipBatch": "perfnet.data.collate",
    "ClipSample": "perfnet.data.shard_dataset",
    "OrderConfig": "perfnet.data.order",
    "SampleKey": "perfnet.data.shard_dataset",
    "ShardDataset": "perfnet.data.shard_dataset",
    "ShuffledBatches": "perfnet.data.order",
    "ViewConfig": "perfnet.data.augment",
    "collate_clips": "perfnet.data.collate",
    "load_batches": "perfnet.data.loader",
    "to_model_input": "perfnet.data.collate",
}

__all__ = [
    "ClipBatch",
    "ClipSample",
    "OrderConfig",
    "SampleKey",
    "ShardDataset",
    "ShuffledBatches",
    "ViewConfig",
    "collate_clips",
    "load_batches",
    "to_model_input",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: the command line helps without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
