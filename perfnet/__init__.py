"""PERF-Net in torch: shards of `perfnet-prep` in, an RGB-only action classifier out."""

from perfnet.data.augment import ViewConfig
from perfnet.data.collate import ClipBatch, collate_clips, to_model_input
from perfnet.data.order import OrderConfig, ShuffledBatches
from perfnet.data.shard_dataset import ClipSample, SampleKey, ShardDataset

__all__ = [
    "ClipBatch",
    "ClipSample",
    "OrderConfig",
    "SampleKey",
    "ShardDataset",
    "ShuffledBatches",
    "ViewConfig",
    "collate_clips",
    "to_model_input",
]
