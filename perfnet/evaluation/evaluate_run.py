"""Evaluation of checkpoints on the shards of one or several splits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from perfnet.evaluation.evaluate import predict
from perfnet.evaluation.metrics import Accuracy
from perfnet.evaluation.network import LookOptions, load_network, look_config
from perfnet.evaluation.predictions import Predictions
from perfnet.evaluation.report_files import write_report
from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig(LookOptions):
    """Evaluate a checkpoint: top-1, top-5 and mean-class accuracy, confusion matrix, classes.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    checkpoint: tuple[Path, ...]
    """Checkpoint, or output folder of a run whose newest one is taken. Several: one for each
    of --shards."""
    shards: tuple[Path, ...]
    """Finished output folder of `perfnet-prep build` to evaluate on. Several: the splits of UCF101
    or HMDB51, whose accuracies are averaged."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for predictions.parquet, accuracy.json, confusion and classes as CSV and PNG."""

    def __post_init__(self) -> None:
        super(EvaluateConfig, self).__post_init__()
        if not self.shards or len(self.checkpoint) != len(self.shards):
            raise ConfigError(
                "checkpoint and shards must name as many paths each, in the same order, got "
                f"{len(self.checkpoint)} and {len(self.shards)}"
            )


def evaluate(config: EvaluateConfig) -> Accuracy:
    """Evaluate every split and write what was found into the output folder.

    Returns:
        The mean over the splits.

    Raises:
        ConfigError: If a checkpoint or shards cannot be used, or do not fit together.
        ShardError: If a record cannot be read, unless such are left out.
    """
    pairs = list(zip(config.checkpoint, config.shards, strict=True))
    splits = [predict_checkpoint(checkpoint, shards, config) for checkpoint, shards in pairs]
    sources = [{"checkpoint": str(c), "shards": str(s)} for c, s in pairs]
    return write_report(splits, config.output, sources=sources)


def predict_checkpoint(checkpoint: Path, shards: Path, options: LookOptions) -> Predictions:
    """Return the logits of a checkpoint on shards; see `predict`."""
    network = load_network(checkpoint)
    return predict(network.model, network.card, shards, look_config(network, options))
