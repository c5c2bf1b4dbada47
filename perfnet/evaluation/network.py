"""A trained network out of its checkpoint, and how it wants to look at clips."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn

from perfnet.data.augment import ViewConfig
from perfnet.data.shard_dataset import OnCorrupt
from perfnet.evaluation.evaluate import EvalConfig
from perfnet.model_view import check_view
from perfnet.models.registry import ModelConfig, sampling_of
from perfnet.training.checkpoint import Checkpoint, ModelCard, load_checkpoint, restore_model
from renderers.pose import PoseRenderConfig
from schemas.errors import ConfigError

ViewName = Literal["checkpoint", "k600", "ucf101", "hmdb51"]

VIEW_SIZES: dict[ViewName, tuple[int, int, int]] = {
    "k600": (250, 256, 256),
    "ucf101": (128, 224, 298),
    "hmdb51": (64, 224, 298),
}
"""Frames, height and width of the central crop that PERF-Net evaluates (section 4.1)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LookOptions:
    """How clips are looked at and loaded in an evaluation.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    view: ViewName = "checkpoint"
    """Size of the central crop: that of the evaluations of the training run, or that of PERF-Net
    for Kinetics-600 (250x256x256), UCF101 (128x224x298) or HMDB51 (64x224x298)."""
    input: tuple[int, int, int] | None = None
    """Frames, height and width of the central crop, instead of --view."""
    num_views: int = 1
    """Evenly spaced windows of each clip whose logits are averaged."""
    batch_size: int = 8
    """Clips of one forward pass."""
    workers: int = 2
    """Loader processes; 0 = load in this process."""
    on_corrupt: OnCorrupt = "error"
    """A record that cannot be read ends the run, or is left out and named in the log."""

    def __post_init__(self) -> None:
        if self.input is not None and self.view != "checkpoint":
            raise ConfigError(f"view must be left out beside input, got {self.view}")
        if self.input is not None and min(self.input) < 1:
            raise ConfigError(f"input must be three numbers >= 1, got {self.input}")
        for name, least in {"num_views": 1, "batch_size": 1, "workers": 0}.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be >= {least}, got {getattr(self, name)}")


class Network(NamedTuple):
    """A network in evaluation mode on its device."""

    model: nn.Module
    card: ModelCard
    view: ViewConfig
    """The central view of the evaluations of its training run."""


def load_network(path: Path) -> Network:
    """Return the network of a checkpoint on the GPU if there is one.

    Args:
        path: Checkpoint, or a folder whose newest one is taken.

    Raises:
        ConfigError: If there is none.
        TrainingError: If it is damaged.
    """
    checkpoint = load_checkpoint(path)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Network(restore_model(checkpoint).to(device), checkpoint.card, _view_of(checkpoint))


def look_config(network: Network, options: LookOptions) -> EvalConfig:
    """Return the evaluation of a network: its own view, in the size and number asked for."""
    return EvalConfig(
        view=choose_view(network, options),
        batch_size=options.batch_size,
        workers=options.workers,
        on_corrupt=options.on_corrupt,
    )


def choose_view(network: Network, options: LookOptions) -> ViewConfig:
    """Return the view of a network in the size and number asked for.

    Raises:
        ConfigError: If the network is not made for so many frames.
    """
    size = options.input or VIEW_SIZES.get(options.view)
    view = replace(network.view, num_views=options.num_views)
    if size is not None:
        view = _with_size(view, size, network.card.model)
    check_view(network.card.model, view, name="input")
    return view


def _with_size(view: ViewConfig, size: tuple[int, int, int], model: ModelConfig) -> ViewConfig:
    """The view in a size; one frame of each segment stays one, unless segments are the network's.

    Raises:
        ConfigError: If the frames cannot be spread over the segments.
    """
    num_frames, height, width = size
    segments = view.num_segments
    if segments == view.num_frames and sampling_of(model) is None:
        segments = num_frames
    if segments is not None and num_frames % segments:
        raise ConfigError(
            f"input must have a number of frames that is a multiple of the {segments} segments of "
            f"the training run, got {num_frames}; say --input {view.num_frames} {height} {width}"
        )
    return replace(view, num_frames=num_frames, num_segments=segments, height=height, width=width)


def _view_of(checkpoint: Checkpoint) -> ViewConfig:
    """The view that the training run evaluated with; converted weights have none of their own."""
    values = dict(checkpoint.training.get("config", {}).get("eval_view", {}))
    known = {each.name for each in fields(ViewConfig)}
    if not values.keys() <= known:
        raise ConfigError(
            f"view of the checkpoint must have fields of {sorted(known)}, got {sorted(values)}"
        )
    if values.get("render") is not None:
        values["render"] = PoseRenderConfig(**values["render"])
    return ViewConfig(**{"is_random": False, **values})
