"""All networks by name, and the one way to make them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple, TypedDict, get_args

from torch import nn

from perfnet.modality import Modality
from perfnet.models.eco import FRAME_MULTIPLE, EcoConfig, EcoLite
from perfnet.models.fusion import FUSIONS, PasNetOptions
from perfnet.models.layers import Padding
from perfnet.models.pan import ADJACENT_FRAMES, DEFAULT_SEGMENTS, Pan, PanConfig, PanVariant
from perfnet.models.pas_net import PasNet, PasNetConfig
from perfnet.models.r3d import R3D, GatePosition, R3DConfig
from perfnet.models.s3d import S3D, S3DConfig, S3DVariant
from perfnet.models.tsm_resnet import ResNetDepth
from schemas.errors import ConfigError

ModelName = Literal[
    "r3d50g", "s3dg", "s3dg_howto100m", "s3dg_separable", "s3d",
    "pan_lite_r50", "pan_rgb_r50", "pan_pa_r50", "pan_full_r50", "pan_en_r50",
    "pan_lite_r101", "pan_rgb_r101", "pan_pa_r101", "pan_full_r101", "pan_en_r101",
    "eco_lite", "pas_net",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Which network, and its options.

    Raises:
        ConfigError: If an option does not belong to the network.
    """

    name: ModelName = "r3d50g"
    """r3d50g: PERF-Net's R3D50-G. s3dg: S3D-G as TF slim and D3D have it; s3dg_howto100m,
    s3dg_separable: other public codes of it; s3d: without gates, as torchvision. pan_lite: PAN with
    one TSM ResNet; pan_rgb, pan_pa: the two branches of PAN-Full; pan_full: both; pan_en: all
    three. eco_lite: ECO-Lite; pas_net: PAS-Net, which joins maps of OpenPose to those of ECO."""
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
    num_segments: int | None = None
    """pan only: segments of a clip, as view.num_segments; None = 8."""
    pas_net: PasNetOptions = field(default_factory=PasNetOptions)
    """pas_net only: how appearance and pose are joined."""

    def __post_init__(self) -> None:
        own = _ENTRIES[self.name].defaults
        for option, owner in _OWNERS.items():
            if getattr(self, option) is not None and option not in own:
                raise ConfigError(
                    f"model.{option} must be left out unless model.name={owner}, "
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
    defaults = _ENTRIES[config.name].defaults
    given = {name: values[name] for name in defaults if values[name] is not None}
    values.update({**defaults, **given})
    return {name: value for name, value in values.items() if value is not None}


_OWNERS = {"gate_position": "r3d50g", "padding": "r3d50g", "num_segments": "pan_*"}
"""Options of some networks alone."""


class Sampling(NamedTuple):
    """Which frames of a clip a network is made for."""

    num_segments: int
    """Equal parts of the clip."""
    frames_per_segment: int | None
    """Adjacent frames of each part; None = any number."""

    @property
    def least_frames(self) -> int:
        """The fewest frames of a clip."""
        return self.num_segments * (self.frames_per_segment or 1)

    def fits(self, num_frames: int) -> bool:
        """Whether so many frames can be split into the segments."""
        if self.frames_per_segment is None:
            return num_frames > 0 and num_frames % self.num_segments == 0
        return num_frames == self.least_frames


class _Entry(NamedTuple):
    make: Callable[["ModelConfig", int, int], nn.Module]
    """Takes options, number of classes and of input channels."""
    is_signed: bool
    """Colours from -1 to 1 instead of 0 to 1."""
    paper_thw: tuple[int, int, int] = (250, 256, 256)
    """Frames, height and width of a clip in the tests of the paper."""
    defaults: Mapping[str, Any] = {}
    """Options of this network alone, and what None stands for."""
    frames_per_segment: int | None = None
    """As in `Sampling`, of networks with segments."""
    streams: tuple[Modality, ...] = get_args(Modality)
    """What it can look at."""
    multiples_thw: tuple[int, int, int] = (1, 1, 1)
    """What frames, height and width must be multiples of."""
    least_side: int = 1
    """Least height and width."""
    grows_from: ModelName | None = None
    """A network whose weights are a part of this one's."""


_R3D_DEFAULTS: dict[str, Any] = {"gate_position": "residual", "padding": "symmetric"}
_PAN_DEFAULTS: dict[str, Any] = {"num_segments": DEFAULT_SEGMENTS}


class _Sizes(TypedDict):
    """What the configurations of all networks have."""

    num_classes: int
    in_channels: int
    dropout: float
    width_multiplier: float
    depth_multiplier: float


def _sizes(config: ModelConfig, num_classes: int, in_channels: int) -> _Sizes:
    return _Sizes(
        num_classes=num_classes,
        in_channels=in_channels,
        dropout=config.dropout,
        width_multiplier=config.width_multiplier,
        depth_multiplier=config.depth_multiplier,
    )


def _make_r3d(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
    return R3D(
        R3DConfig(
            **_sizes(config, num_classes, in_channels),
            gate_position=config.gate_position or _R3D_DEFAULTS["gate_position"],
            padding=config.padding or _R3D_DEFAULTS["padding"],
        )
    )


def _s3d_maker(variant: S3DVariant) -> Callable[[ModelConfig, int, int], nn.Module]:
    def make(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
        return S3D(S3DConfig(**_sizes(config, num_classes, in_channels), variant=variant))

    return make


def _make_eco(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
    return EcoLite(EcoConfig(**_sizes(config, num_classes, in_channels)))


def _make_pas_net(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
    return PasNet(PasNetConfig(**_sizes(config, num_classes, in_channels), options=config.pas_net))


_FRAMES: tuple[Modality, ...] = ("rgb", "pose")


def _pan_entry(variant: PanVariant, depth: ResNetDepth) -> _Entry:
    def make(config: ModelConfig, num_classes: int, in_channels: int) -> nn.Module:
        segments = config.num_segments
        return Pan(
            PanConfig(
                **_sizes(config, num_classes, in_channels),
                variant=variant,
                depth=depth,
                num_segments=DEFAULT_SEGMENTS if segments is None else segments,
            )
        )

    frames = DEFAULT_SEGMENTS * (1 if variant == "rgb" else ADJACENT_FRAMES)
    side = 256 if variant == "en" else 224
    return _Entry(
        make,
        is_signed=False,
        paper_thw=(frames, side, side),
        defaults=_PAN_DEFAULTS,
        frames_per_segment=None if variant == "rgb" else ADJACENT_FRAMES,
        streams=get_args(Modality) if variant == "rgb" else _FRAMES,
    )


_ENTRIES: dict[ModelName, _Entry] = {
    "r3d50g": _Entry(_make_r3d, is_signed=False, defaults=_R3D_DEFAULTS),
    "s3dg": _Entry(_s3d_maker("slim"), is_signed=True),
    "s3dg_howto100m": _Entry(_s3d_maker("howto100m"), is_signed=False),
    "s3dg_separable": _Entry(_s3d_maker("separable"), is_signed=True),
    "s3d": _Entry(_s3d_maker("torchvision"), is_signed=True),
    "pan_lite_r50": _pan_entry("lite", 50),
    "pan_rgb_r50": _pan_entry("rgb", 50),
    "pan_pa_r50": _pan_entry("pa", 50),
    "pan_full_r50": _pan_entry("full", 50),
    "pan_en_r50": _pan_entry("en", 50),
    "pan_lite_r101": _pan_entry("lite", 101),
    "pan_rgb_r101": _pan_entry("rgb", 101),
    "pan_pa_r101": _pan_entry("pa", 101),
    "pan_full_r101": _pan_entry("full", 101),
    "pan_en_r101": _pan_entry("en", 101),
    "eco_lite": _Entry(
        _make_eco,
        is_signed=False,
        paper_thw=(16, 224, 224),
        streams=_FRAMES,
        multiples_thw=(FRAME_MULTIPLE, 1, 1),
    ),
    "pas_net": _Entry(
        _make_pas_net,
        is_signed=False,
        paper_thw=(16, 224, 224),
        streams=_FRAMES,
        multiples_thw=(FRAME_MULTIPLE, 2, 2),
        least_side=8,
        grows_from="eco_lite",
    ),
}


def make_model(config: ModelConfig, *, num_classes: int, in_channels: int = 3) -> nn.Module:
    """Return a network with new weights; see `perfnet.models.layers.ClipModel`.

    Args:
        config: Which.
        num_classes: Number of logits.
        in_channels: 3 for frames, 2 for flow, 1 for persistence of appearance.
    """
    return _ENTRIES[config.name].make(config, num_classes, in_channels)


def is_signed(name: ModelName) -> bool:
    """Whether a network takes colours from -1 to 1 instead of 0 to 1."""
    return _ENTRIES[name].is_signed


def paper_input_of(name: ModelName) -> tuple[int, int, int]:
    """Return frames, height and width of the clips that a network is tested on in its paper."""
    return _ENTRIES[name].paper_thw


def sampling_of(config: ModelConfig) -> Sampling | None:
    """Return which frames a network is made for; None = any."""
    entry = _ENTRIES[config.name]
    if "num_segments" not in entry.defaults:
        return None
    segments = config.num_segments
    default: int = entry.defaults["num_segments"]
    return Sampling(default if segments is None else segments, entry.frames_per_segment)


def check_input(name: ModelName, input_thw: tuple[int, int, int], *, option: str) -> None:
    """Raise ConfigError unless a network can take clips of a size.

    Args:
        name: The network.
        input_thw: Frames, height and width.
        option: What says so; for the message.
    """
    axes = ("number of frames", "height", "width")
    for axis, size, multiple in zip(axes, input_thw, _ENTRIES[name].multiples_thw, strict=True):
        if size % multiple:
            raise ConfigError(
                f"{option} must have a {axis} that is a multiple of {multiple} for {name}, got "
                f"{size}"
            )
    least = _ENTRIES[name].least_side
    if min(input_thw[1:]) < least:
        raise ConfigError(
            f"{option} must have a height and width >= {least} for {name}, got "
            f"{input_thw[1]} x {input_thw[2]}"
        )


def check_stream(name: ModelName, modality: Modality) -> None:
    """Raise ConfigError unless a network can look at a stream."""
    streams = _ENTRIES[name].streams
    if modality not in streams:
        raise ConfigError(f"modality must be {' or '.join(streams)} for {name}, got {modality}")


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
