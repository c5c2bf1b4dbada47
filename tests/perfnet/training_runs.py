"""Tiny runs for the tests of training; as a program, one of them in a process of its own."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from perfnet import ViewConfig
from perfnet.models.registry import ModelConfig
from perfnet.training.config import FitConfig, OptimizerConfig
from perfnet.training.fit import fit
from perfnet.training.schedule import ScheduleConfig

VIEW = ViewConfig(num_frames=4, height=32, width=32)
TINY_R3D = ModelConfig(width_multiplier=0.125, depth_multiplier=0.34)
TINY_S3D = ModelConfig(name="s3dg", width_multiplier=0.125, depth_multiplier=0.34)


def tiny_fit(shards: Path, output: Path, *, steps: int = 4, **changes: Any) -> FitConfig:
    """A run of a few steps of a tiny network."""
    config = FitConfig(
        shards=shards,
        output=output,
        batch_size=2,
        workers=0,
        log_every=1,
        checkpoint_every=2,
        model=TINY_R3D,
        view=VIEW,
        eval_view=replace(VIEW, is_random=False),
        schedule=ScheduleConfig(steps=steps, warmup_steps=0, learning_rate=0.05),
        optimizer=OptimizerConfig(momentum=0.9, weight_decay=1e-4),
    )
    return replace(config, **changes)


def main() -> None:
    """Run `tiny_fit` with the changes given as JSON."""
    shards, output, text = sys.argv[1:]
    torch.set_num_threads(1)
    changes = json.loads(text)
    for name in ("val_shards",):
        if name in changes:
            changes[name] = Path(changes[name])
    fit(tiny_fit(Path(shards), Path(output), **changes))


if __name__ == "__main__":
    main()
