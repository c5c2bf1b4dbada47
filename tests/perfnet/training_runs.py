"""Tiny runs for the tests of training; as a program, one of them in a process of its own."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from perfnet import ViewConfig
from perfnet.data.collate import ClipBatch
from perfnet.models.registry import ModelConfig
from perfnet.training.checkpoint import Checkpoint, load_checkpoint
from perfnet.training.config import FitConfig, OptimizerConfig
from perfnet.training.fit import fit
from perfnet.training.objective import CrossEntropy, Loss
from perfnet.training.schedule import ScheduleConfig

REPOSITORY = Path(__file__).parents[2]
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


class Recorded(CrossEntropy):
    """Cross-entropy that remembers what it was given."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.clips: list[list[tuple[str, int]]] = []

    def loss(self, logits_bk: torch.Tensor, batch: ClipBatch, labels_b: torch.Tensor) -> Loss:
        loss = super().loss(logits_bk, batch, labels_b)
        self.losses.append(float(loss.total.detach()))
        self.clips.append(list(zip(batch["clip_id"], batch["epoch"], strict=True)))
        return loss


def run(config: FitConfig) -> tuple[Checkpoint, Recorded]:
    objective = Recorded()
    return load_checkpoint(fit(config, objective=objective)), objective


def assert_same_weights(one: Checkpoint, other: Checkpoint) -> None:
    assert one.weights.keys() == other.weights.keys()
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name]), name


def changed(one: Checkpoint, other: Checkpoint) -> bool:
    return any(not torch.equal(one.weights[name], other.weights[name]) for name in one.weights)


def run_two_processes(shards: Path, output: Path, *more: str) -> list[Any]:
    """Train in two processes; what each of them wrote down."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.perfnet.two_processes", str(shards), str(output), *more]
    processes = []
    for rank in range(2):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **place, **meeting, "ACCELERATE_USE_CPU": "true"}
        processes.append(subprocess.Popen(command, cwd=REPOSITORY, env=environment))
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    return [torch.load(output / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]


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
