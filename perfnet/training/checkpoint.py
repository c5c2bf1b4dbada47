"""Checkpoints: everything that a run needs to go on as if it had never stopped."""

import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from perfnet.errors import TrainingError
from perfnet.modality import Modality
from perfnet.models.registry import (
    ModelConfig,
    grows_from,
    make_model,
    model_config_from_plain,
)
from schemas.errors import ConfigError

CHECKPOINT_FORMAT = 1
DAMAGE = (
    *(RuntimeError, KeyError, IndexError, TypeError, AttributeError, ValueError),
    *(EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error),
)
"""What torch.load and the reading of its result raise for files that are no whole checkpoints."""
_NAME = re.compile(r"step-(\d{8})\.pt")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What a network is and what its outputs mean; part of every checkpoint."""

    model: ModelConfig
    modality: Modality
    in_channels: int
    labels: tuple[str, ...]
    """Label texts in the order of the logits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A file that `save_checkpoint` wrote."""

    card: ModelCard
    weights: Mapping[str, torch.Tensor]
    training: Mapping[str, Any]
    """step, optimizer, random numbers and configuration of the run."""

    def fingerprint(self) -> str:
        """Return a hash of the network and its weights, whatever the file is called."""
        digest = blake2b(repr(self.card).encode(), digest_size=16)
        for name in sorted(self.weights):
            digest.update(name.encode())
            digest.update(self.weights[name].contiguous().view(-1).view(torch.uint8).numpy())
        return digest.hexdigest()


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the file of the checkpoint after so many steps."""
    return folder / f"step-{step:08d}.pt"


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a folder, oldest first; [] if there is none."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def save_checkpoint(
    path: Path, *, card: ModelCard, weights: Mapping[str, torch.Tensor], training: dict[str, Any]
) -> None:
    """Write a checkpoint that appears under its name only when it is complete.

    Args:
        path: Final name; its folder is made if need be.
        card: The network.
        weights: Its state.
        training: Plain values and tensors that the run needs to go on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_over in path.parent.glob("*.tmp"):  # of a process that was killed while writing
        left_over.unlink()
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        values = {"format": CHECKPOINT_FORMAT, "card": asdict(card), "weights": dict(weights)}
        torch.save({**values, "training": training}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint into CPU memory; nothing in it is executed.

    Args:
        path: A checkpoint, or a folder whose newest one is taken.

    Raises:
        ConfigError: If there is no such file.
        TrainingError: If it is damaged or was made by another format.
    """
    if path.is_dir():
        found = list_checkpoints(path) or list_checkpoints(path / "checkpoints")
        if not found:
            raise ConfigError(f"checkpoint must be a file or a folder with one, got {path}")
        path = found[-1]
    if not path.is_file():
        raise ConfigError(f"checkpoint must exist, got no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")
        values = torch.load(path, map_location="cpu", weights_only=True)
        if values["format"] != CHECKPOINT_FORMAT:
            wanted = f"format {CHECKPOINT_FORMAT}"
            raise TrainingError(f"{path} must have {wanted}, got {values['format']}")
        card = values["card"]
        return Checkpoint(
            card=ModelCard(
                model=model_config_from_plain(card["model"]),
                modality=card["modality"],
                in_channels=card["in_channels"],
                labels=tuple(card["labels"]),
            ),
            weights=values["weights"],
            training=values["training"],
        )
    except DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TrainingError(
            f"{path} must be a checkpoint of perfnet-train, got a file that cannot be read "
            f"({reason}); delete it, and the run goes on from the one before"
        ) from error


def restore_model(checkpoint: Checkpoint) -> nn.Module:
    """Return the network of a checkpoint with its weights, in evaluation mode."""
    card = checkpoint.card
    model = make_model(card.model, num_classes=len(card.labels), in_channels=card.in_channels)
    model.load_state_dict(dict(checkpoint.weights))
    return model.eval()


def start_from(model: nn.Module, checkpoint: Checkpoint, card: ModelCard) -> list[str]:
    """Load the weights that fit into a network; a head of other classes is left as it is.

    ECO-Lite is a start for PAS-Net as well: what only one of them has is left as it is.

    Args:
        model: The new network. Modified.
        checkpoint: Where its weights come from.
        card: What the new network is.

    Returns:
        Names of the weights that were not loaded: those of the head and of parts that the
        checkpoint cannot have, or none.

    Raises:
        ConfigError: If anything else differs.
    """
    is_grown = _check_same_network(card, checkpoint.card)
    own = model.state_dict()
    given = checkpoint.weights
    left = [name for name in own if name not in given or own[name].shape != given[name].shape]
    new_parts = {"head", *(_parts(own) - _parts(given) if is_grown else ())}
    wrong = [name for name in left if name.split(".")[0] not in new_parts]
    wrong += [name for name in given if name not in own and not is_grown]
    if wrong:
        raise ConfigError(
            f"init must be a checkpoint of the same network, got one that differs in {wrong[0]} "
            f"and {len(wrong) - 1} more"
        )
    model.load_state_dict(cast("Any", {**own, **{k: given[k] for k in own if k not in left}}))
    return left


def _option(name: str, value: Any) -> str:
    """What sets a field of `ModelConfig` on the command line."""
    *path, leaf = f"model.{name}".replace("_", "-").split(".")
    if isinstance(value, bool):
        return f"--{'.'.join((*path, leaf if value else 'no-' + leaf))}"
    return f"--{'.'.join((*path, leaf))} {value}"


def _parts(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def _check_same_network(own: ModelCard, given: ModelCard) -> bool:
    """Whether the new network has more parts than the one that is given."""
    smaller = grows_from(own.model)
    is_grown = smaller is not None and smaller.name == given.model.name
    changes = given.model.differences(smaller if smaller and is_grown else own.model)
    if changes:
        raise ConfigError(
            "init must be of the same network, got one that differs in "
            f"{', '.join(f'model.{name}' for name in changes)}; say "
            + " ".join(_option(name, value) for name, value in changes.items())
        )
    if own.in_channels != given.in_channels:
        raise ConfigError(
            f"init must be of a network with the {own.in_channels} input channels of "
            f"{own.modality}, got one with the {given.in_channels} of {given.modality}"
        )
    return is_grown


def prune_checkpoints(folder: Path, *, keep: int) -> None:
    """Delete all but the newest checkpoints of a folder."""
    for path in list_checkpoints(folder)[:-keep]:
        path.unlink()
