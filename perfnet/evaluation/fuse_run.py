"""Late fusion of checkpoints and predictions."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from perfnet.evaluation.evaluate_run import predict_checkpoint
from perfnet.evaluation.metrics import Accuracy
from perfnet.evaluation.network import LookOptions
from perfnet.evaluation.predictions import Predictions, fuse_predictions, load_predictions
from perfnet.evaluation.report_files import PREDICTIONS, split_folder, write_report
from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class FuseConfig(LookOptions):
    """Add the logits of several networks on the same clips, and evaluate the sum.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE...")]
    """Two or more: predictions (a .parquet file, or an output folder of `perfnet-train evaluate`)
    or checkpoints (a file, or an output folder of a run), in any mixture."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the same files as `perfnet-train evaluate` writes."""
    shards: Path | None = None
    """Shards that checkpoints look at; not needed for predictions."""

    def __post_init__(self) -> None:
        super(FuseConfig, self).__post_init__()
        if len(self.sources) < 2:
            number = len(self.sources)
            raise ConfigError(f"SOURCE must name two networks or more to fuse, got {number}")


def fuse(config: FuseConfig) -> Accuracy:
    """Fuse every split and write what was found into the output folder.

    Returns:
        The mean over the splits.

    Raises:
        ConfigError: If a source cannot be used, or they differ in splits, clips or labels.
    """
    streams = [_load_source(source, config) for source in config.sources]
    numbers = [len(stream) for stream in streams]
    if len(set(numbers)) > 1:
        raise ConfigError(f"SOURCE must all have the same number of splits, got {numbers}")
    splits = [fuse_predictions(split) for split in zip(*streams, strict=True)]
    names = [str(source) for source in config.sources]
    return write_report(splits, config.output, sources=[{"fused": names}] * len(splits))


def _load_source(source: Path, config: FuseConfig) -> list[Predictions]:
    """Predictions of each split."""
    if source.suffix == ".parquet":
        return [load_predictions(source)]
    if (source / PREDICTIONS).is_file():
        return [load_predictions(source / PREDICTIONS)]
    number = len(list(source.glob(f"split-*/{PREDICTIONS}")))
    if number:
        folders = [split_folder(source, split, number) for split in range(number)]
        return [load_predictions(folder / PREDICTIONS) for folder in folders]
    if config.shards is None:
        raise ConfigError(
            f"shards must be given to run checkpoints on, got none with {source}, which holds no "
            "predictions; say --shards, or name the output of `perfnet-train evaluate`"
        )
    return [predict_checkpoint(source, config.shards, config)]
