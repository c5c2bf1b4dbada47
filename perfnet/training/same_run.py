"""What a run that goes on must have in common with the run that wrote its checkpoint."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from perfnet.data.shard_dataset import ShardDataset
from perfnet.training.config import FitConfig
from perfnet.training.objective import Objective
from schemas.errors import ConfigError

_FREE_TO_CHANGE = {
    *("workers", "log_every", "checkpoint_every", "keep_checkpoints", "evaluate_every"),
    *("output", "shards", "val_shards", "compile", "save_memory", "eval_view"),
}
"""Settings that do not change what is learned. Shards may move; their clips are compared."""


def settings_of(
    config: FitConfig, objective: Objective, dataset: ShardDataset, num_processes: int
) -> dict[str, Any]:
    """Return everything that decides what is learned, as plain values for a checkpoint.

    Args:
        config: The run.
        objective: What it trains for.
        dataset: Its data.
        num_processes: Processes that share the work.
    """
    values: dict[str, Any] = _plain(asdict(config))
    own = {"clips": dataset.fingerprint, "processes": num_processes}
    return {**values, **own, "objective": objective.settings}


def check_same_run(new: dict[str, Any], old: dict[str, Any], path: Path) -> None:
    """Raise ConfigError if a run would go on with settings that change what is learned.

    Args:
        new: `settings_of` this run.
        old: Those in its checkpoint.
        path: The checkpoint.
    """
    names = sorted((new.keys() | old.keys()) - _FREE_TO_CHANGE)
    changes = [
        f"{name}: {old.get(name)} -> {new.get(name)}"
        for name in names
        if old.get(name) != new.get(name)
    ]
    if changes:
        raise ConfigError(
            f"output must be new or of a run with the same settings, got {path} of a run with "
            f"other ones ({'; '.join(changes)}); choose another --output"
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return str(value) if isinstance(value, Path) else value
