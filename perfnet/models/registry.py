"""All networks by name, and the one way to make them."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

from torch import nn

from perfnet.modality import Modality
from perfnet.models.eco import FRAME_MULTIPLE, EcoConfig, EcoLite
from perfnet.models.fusion import FUSIONS, PasNetOptions
from perfnet.models.layers import Padding
from perfnet.models.pas_net import PasNet, PasNetConfig
from perfnet.models.r3d import R3D, GatePosition, R3DConfig
from perfnet.models.s3d import S3D, S3DConfig, S3DVariant
from schemas.errors import ConfigError

ModelName = Literal[
    "r3d50g", "s3dg", "s3dg_howto100m", "s3dg_separable", "s3d", "eco_lite", "pas_net",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Which network, and its options.

    Raises:
        ConfigError: If an option does not belong to the network.
    """

    name: ModelName = "r3d50g"
    """r3d50g: PERF-Net's R3D50-G. s3dg: S3D-G as TF slim and D3D have it; s3dg_howto100m,
    s3dg_separable: other public codes of it; s3d: without gates, as torchvision.
    eco_lite: ECO-Lite; pas_net: PAS-Net, which joins the maps of OpenPose to those of ECO-Lite."""
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
    pas_net: PasNetOptions = field(default_factory=PasNetOptions)
    """pas_net only: how appearance and pose are joined."""

    def __post_init__(self) -> None:
        if self.name != "r3d50g":
            for option in ("gate_position", "padding"):
                if getattr(self, option) is not None:
                    raise ConfigError(
                        f"model.{option} must be left out unless model.name=r3d50g, "
                        f"got {getattr(self, option)} with {self.name}"
                    )
        if self.name != "pas_net" and self.pas_net != PasNetOptions():
            raise ConfigError(
                f"model.pas_net must be left out unless model.name=pas_net, got {self.name}"
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
    fusion = values.pop("pas_net")
    if config.name == "pas_net":
        fusion.pop("freeze_body")
        values |= {f"pas_net.{name}": value for name, value in fusion.items()}
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
    streams: tuple[Modality, ...] = ("rgb", "flow", "pose")
    """What it can look at."""
    frame_multiple: int = 1
    """What the number of frames must be a multiple of."""
    size_multiple: int = 1
    """What height and width must be multiples of."""
    grows_from: ModelName | None = None
    """A network whose weights are a part of this one's."""


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


def _make_eco(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
    return EcoLite(
        EcoConfig(
            num_classes=num_classes,
            in_channels=in_channels,
            dropout=config.dropout,
            width_multiplier=config.width_multiplier,
            depth_multiplier=config.depth_multiplier,
        )
    )


def _make_pas_net(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
    return PasNet(
        PasNetConfig(
            num_classes=num_classes,
            in_channels=in_channels,
            dropout=config.dropout,
            width_multiplier=config.width_multiplier,
            depth_multiplier=config.depth_multiplier,
            options=config.pas_net,
        )
    )


_FRAMES: tuple[Modality, ...] = ("rgb", "pose")

_ENTRIES: dict[ModelName, _Entry] = {
    "r3d50g": _Entry(_make_r3d, is_signed=False),
    "s3dg": _Entry(_s3d_maker("slim"), is_signed=True),
    "s3dg_howto100m": _Entry(_s3d_maker("howto100m"), is_signed=False),
    "s3dg_separable": _Entry(_s3d_maker("separable"), is_signed=True),
    "s3d": _Entry(_s3d_maker("torchvision"), is_signed=True),
    "eco_lite": _Entry(_make_eco, is_signed=False, streams=_FRAMES, frame_multiple=FRAME_MULTIPLE),
    "pas_net": _Entry(
        _make_pas_net,
        is_signed=False,
        streams=_FRAMES,
        frame_multiple=FRAME_MULTIPLE,
        size_multiple=2,
        grows_from="eco_lite",
    ),
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


def check_stream(name: ModelName, modality: Modality) -> None:
    """Raise ConfigError unless a network can look at a stream."""
    streams = _ENTRIES[name].streams
    if modality not in streams:
        raise ConfigError(f"modality must be {' or '.join(streams)} for {name}, got {modality}")


def check_input(name: ModelName, input_thw: tuple[int, int, int], *, where: str) -> None:
    """Raise ConfigError unless a network can take clips of a size.

    Args:
        name: The network.
        input_thw: Frames, height and width.
        where: What gives the size; for the message.
    """
    entry = _ENTRIES[name]
    multiples = (entry.frame_multiple, entry.size_multiple, entry.size_multiple)
    for axis, size, multiple in zip(
        ("number of frames", "height", "width"), input_thw, multiples, strict=True
    ):
        if size % multiple:
            raise ConfigError(
                f"{axis} of {where} must be a multiple of {multiple} for {name}, got {size}"
            )


def grows_from(config: ModelConfig) -> ModelConfig | None:
    """Return the network whose weights are a part of this one's; None if there is no such."""
    name = _ENTRIES[config.name].grows_from
    return None if name is None else replace(config, name=name, pas_net=PasNetOptions())


def has_body(config: ModelConfig) -> bool:
    """Whether a network has a part that starts from weights of OpenPose."""
    return config.name == "pas_net" and bool(FUSIONS[config.pas_net.fusion].body_outputs)


def model_config_from_plain(values: dict[str, Any]) -> ModelConfig:
    """Return the configuration that `dataclasses.asdict` gave, as checkpoints keep it.

    Raises:
        ConfigError: If it has a field that this version does not know.
    """
    known = {each.name for each in fields(ModelConfig)}
    if not values.keys() <= known:
        raise ConfigError(f"model must have fields of {sorted(known)}, got {sorted(values)}")
    if "pas_net" in values:
        values = {**values, "pas_net": _options_from_plain(values["pas_net"])}
    return ModelConfig(**values)


def _options_from_plain(values: dict[str, Any]) -> PasNetOptions:
    known = {each.name for each in fields(PasNetOptions)}
    if not values.keys() <= known:
        raise ConfigError(f"pas_net must have fields of {sorted(known)}, got {sorted(values)}")
    return PasNetOptions(**values)
