"""Options of `perfnet-train profile`."""

from dataclasses import dataclass

import tyro

from perfnet.models.registry import ModelName
from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileOptions:
    """Print parameters and FLOPs of a network.

    Raises:
        ConfigError: If a number is out of range.
    """

    name: tyro.conf.Positional[ModelName]
    """Network."""
    num_classes: int = 600
    """Number of logits."""
    input: tuple[int, int, int] | None = None
    """Frames, height and width of a clip; None = as the network's paper tests: 250x256x256, of pan
    8 segments of 4 frames of 224x224 (pan_rgb of 1 frame, pan_en of 256x256), of eco_lite and
    pas_net 16x224x224."""
    in_channels: int = 3
    """3 for frames, 2 for flow, 1 for persistence of appearance."""
    width_multiplier: float = 1.0
    """Scales the channels."""
    depth_multiplier: float = 1.0
    """Scales the blocks of every stage."""
    json: bool = False
    """Print JSON instead of lines."""

    def __post_init__(self) -> None:
        if self.input is not None and min(self.input) < 1:
            raise ConfigError(f"input must be three numbers >= 1, got {self.input}")
