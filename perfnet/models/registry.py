"""All networks by name, and the one way to make them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple

from torch import nn

from perfnet.models.layers import Padding
from perfnet.models.r3d import R3D, GatePosition, R3DConfig
from perfnet.models.s3d import S3D, S3DConfig, S3DVariant
from schemas.errors import ConfigError

ModelName = Literal["r3d50g", "s3dg", "s3dg_howto100m", "s3dg_separable", "s3d"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Which network, and its options.

    Raises:
        ConfigError: If an option does not belong to the network.
    """

    name: ModelName = "r3d50g"
    """r3d50g: PERF-Net's R3D50-G. s3dg: S3D-G as TF slim and D3D have it; s3dg_howto100m,
    s3dg_separable: other public codes of it; s3d: without gates, as torchvision."""
    dropout: float = 0.2
    """Before the last layer."""
    width_multiplier: float = 1.0
    """Scales the channels, for small runs."""
    depth_multiplier: float = 1.0
    """Scales the blocks of every stage, for small runs."""
    gate_position: GatePosition | None = None
    """r3d50g only: where gates stand; None = residual, as the official code."""
    padding: Padding | None = None
    """r3d50g only: None = symmetric; tf_same for weights from TF Model Garden."""

    def __post_init__(self) -> None:
        if self.name != "r3d50g":
            for option in ("gate_position", "padding"):
                if getattr(self, option) is not None:
                    raise ConfigError(
                        f"model.{option} must be left out unless model.name=r3d50g, "
                        f"got {getattr(self, option)} with {self.name}"
                    )

    def differences(self, other: "ModelConfig") -> dict[str, Any]:
        """Return the options of this network that make it another one, by name.

        Args:
            other: The network that it is compared with.
        """
        own, others = _shape_of(self), _shape_of(other)
        return {name: value for name, value in own.items() if others.get(name) != value}


def _shape_of(config: ModelConfig) -> dict[str, Any]:
    """What must be equal for weights to mean the same."""
    values = asdict(config)
    values.pop("dropout")
    if config.name == "r3d50g":
        defaults = {"gate_position": _GATE_POSITION, "padding": _PADDING}
        return {**values, **{name: values[name] or default for name, default in defaults.items()}}
    return {name: value for name, value in values.items() if value is not None}


_GATE_POSITION: GatePosition = "residual"
_PADDING: Padding = "symmetric"
"""What None stands for."""


class _Entry(NamedTuple):
    make: Callable[[ModelConfig, int, int], nn.Module]
    """Takes options, number of classes and of input channels."""
    is_signed: bool
    """Colours from -1 to 1 instead of 0 to 1."""


def _make_r3d(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
    return R3D(
        R3DConfig(
            num_classes=num_classes,
            in_channels=in_channels,
            gate_position=config.gate_position or _GATE_POSITION,
            padding=config.padding or _PADDING,
            dropout=config.dropout,
            width_multiplier=config.width_multiplier,
            depth_multiplier=config.depth_multiplier,
        )
    )


def _s3d_maker(variant: S3DVariant) -> Callable[[ModelConfig, int, int], nn.Module]:
    def make(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
        return S3D(
            S3DConfig(
                num_classes=num_classes,
                in_channels=in_channels,
                variant=variant,
                dropout=config.dropout,
                width_multiplier=config.width_multiplier,
                depth_multiplier=config.depth_multiplier,
            )
        )

    return make


_ENTRIES: dict[ModelName, _Entry] = {
    "r3d50g": _Entry(_make_r3d, is_signed=False),
    "s3dg": _Entry(_s3d_maker("slim"), is_signed=True),
    "s3dg_howto100m": _Entry(_s3d_maker("howto100m"), is_signed=False),
    "s3dg_separable": _Entry(_s3d_maker("separable"), is_signed=True),
    "s3d": _Entry(_s3d_maker("torchvision"), is_signed=True),
}


def make_model(config: ModelConfig, *, num_classes: int, in_channels: int = 3) -> nn.Module:
    """Return a network with new weights; see `perfnet.models.layers.ClipModel`.

    Args:
        config: Which.
        num_classes: Number of logits.
        in_channels: 3 for frames, 2 for flow.
    """
    return _ENTRIES[config.name].make(config, num_classes, in_channels)


def is_signed(name: ModelName) -> bool:
    """Whether a network takes colours from -1 to 1 instead of 0 to 1."""
    return _ENTRIES[name].is_signed


def model_config_from_plain(values: dict[str, Any]) -> ModelConfig:
    """Return the configuration that `dataclasses.asdict` gave, as checkpoints keep it.

    Raises:
        ConfigError: If it has a field that this version does not know.
    """
    known = {each.name for each in fields(ModelConfig)}
    if not values.keys() <= known:
        raise ConfigError(f"model must have fields of {sorted(known)}, got {sorted(values)}")
    return ModelConfig(**values)
