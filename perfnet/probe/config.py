"""What the flow-decoding probe can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """Decode optical flow from the maps of a frozen checkpoint: does it see motion?

    Raises:
        ConfigError: If a field breaks its rule.
    """

    checkpoint: Path
    """Checkpoint, or output folder of a run whose newest one is taken. It stays as it is."""
    shards: Path
    """Finished output folder of `perfnet-prep build`, with flow, to train the decoders on."""
    test_shards: Path
    """Shards with flow to measure the error on: of other videos."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for probe.json and probe.csv."""
    stages: tuple[int, ...] = ()
    """Stages whose maps are decoded, counted from 1; all of them if none is named."""
    steps: int = 1000
    """Steps of the decoders' training."""
    batch_size: int = 8
    learning_rate: float = 1e-3
    """Of Adam; falls to zero along a half cosine."""
    channels: int = 64
    """Channels inside a decoder."""
    input: tuple[int, int, int] | None = None
    """Frames, height and width of the crop; without it, as the training run evaluated."""
    calibration_batches: int = 16
    """Batches that give the batch norms of the untrained network their statistics."""
    workers: int = 2
    """Loader processes; 0 = load in this process."""
    seed: int = 0
    """Of the untrained network, the decoders and the order of the clips."""

    def __post_init__(self) -> None:
        rules = {
            "steps": 1, "batch_size": 1, "channels": 1, "calibration_batches": 1, "workers": 0,
        }  # fmt: skip
        for name, least in rules.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be >= {least}, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate must be > 0, got {self.learning_rate}")
