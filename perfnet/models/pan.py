"""PAN: motion as the persistence of appearance between adjacent frames, in a TSM ResNet.

Axes of tensors: b batch, c channels, t frames, s segments, m adjacent frames of a segment,
h rows, w columns, k classes.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn

from perfnet.models.layers import (
    NetworkConfig,
    batch_as_frames,
    frames_as_batch,
    run_stage,
)
from perfnet.models.tsm_resnet import (
    ResNetDepth,
    TsmResNet,
    make_tsm_resnet,
)
from schemas.errors import ConfigError

PanVariant = Literal["lite", "rgb", "pa", "full", "en"]
PanBranch = Literal["lite", "rgb", "pa"]

ADJACENT_FRAMES = 4
"""Frames of a segment between which PA looks for motion: m."""
DEFAULT_SEGMENTS = 8

BRANCHES: dict[PanVariant, tuple[PanBranch, ...]] = {
    "lite": ("lite",),
    "rgb": ("rgb",),
    "pa": ("pa",),
    "full": ("rgb", "pa"),
    "en": ("lite", "rgb", "pa"),
}
"""Networks whose logits are added. lite: the first frame of each segment and its PA maps; rgb: the
first frames alone; pa: the PA maps alone."""

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
_PA_CHANNELS = 8
_PA_EPS = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class PanConfig(NetworkConfig):
    """A PAN.

    Raises:
        ConfigError: If a number is out of range, or motion is to be seen in flow.
    """

    variant: PanVariant = "lite"
    """Which branches."""
    depth: ResNetDepth = 50
    """Layers of the ResNet."""
    num_segments: int = DEFAULT_SEGMENTS
    """Segments of a clip."""

    def __post_init__(self) -> None:
        super(PanConfig, self).__post_init__()
        if self.num_segments < 2 or self.num_segments & (self.num_segments - 1):
            raise ConfigError(
                f"num_segments must be a power of two and >= 2, got {self.num_segments}"
            )
        if self.variant != "rgb" and self.in_channels != 3:
            raise ConfigError(
                f"pan_{self.variant} must look at a stream of 3 channels (rgb or pose), got "
                f"{self.in_channels}; of the PAN networks only pan_rgb takes others"
            )


class PersistenceOfAppearance(nn.Module):
    """Motion between adjacent frames: how far the features of each pixel move apart.

    References:
        Zhang et al. 2020 (PAN): PA_i = || f(I_i) - f(I_i+1) ||, the norm over the channels of one
        shallow convolution f. As the code of the authors, with 1e-6 added to every difference, so
        that frames without motion have a gradient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, _PA_CHANNELS, 7, padding=3)
        nn.init.normal_(self.conv.weight, std=0.001)
        nn.init.zeros_(self.conv.bias)

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, 3, s * m, h, w] -> [b, m - 1, s, h, w], with m = 4.

        In float32 whatever the precision: bfloat16 would round the small differences away.
        """
        with _full_precision(clip_bcthw.device.type):
            maps_nchw = self.conv(frames_as_batch(clip_bcthw.float()))
            maps_nmchw = maps_nchw.unflatten(0, (-1, ADJACENT_FRAMES))
            difference = maps_nmchw[:, :-1] - maps_nmchw[:, 1:] + _PA_EPS
            pa_nmhw = torch.linalg.vector_norm(difference, dim=2)
        return batch_as_frames(pa_nmhw, clip_bcthw.shape[2] // ADJACENT_FRAMES)


class VariousTimescalePooling(nn.Module):
    """VAP: maxima over every segment, every second, every fourth, ..., weighed by the clip.

    It stands in for the mean over the segments.

    Args:
        channels: Channels of the maps.
        num_segments: s, a power of two.
        num_classes: k.
        dropout: Before the last layer.

    References:
        Zhang et al. 2020 (PAN), various-timescale aggregation pooling.
    """

    def __init__(
        self, channels: int, *, num_segments: int, num_classes: int, dropout: float
    ) -> None:
        super().__init__()
        self.timescales = [2**level for level in range(num_segments.bit_length() - 1)]
        total = sum(self.timescales)
        self.select = nn.Sequential(
            nn.Linear(total, 4 * total, bias=False),
            nn.ReLU(),
            nn.Linear(4 * total, total, bias=False),
        )
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, num_classes)
        for layer in (self.select[0], self.select[2], self.linear):
            nn.init.normal_(cast("nn.Linear", layer).weight, std=0.001)
        nn.init.zeros_(self.linear.bias)

    def forward(self, pooled_bcs: torch.Tensor) -> torch.Tensor:
        """[b, c, s] -> logits [b, k]."""
        maxima = [
            pooled_bcs.unflatten(2, (-1, scale)).amax(dim=2)  # of every scale-th segment
            for scale in self.timescales
        ]
        maxima_bcv = torch.cat(maxima, dim=2)
        weights_bv = torch.softmax(self.select(maxima_bcv.mean(dim=1)), dim=1)
        chosen_bc = (maxima_bcv * weights_bv[:, None]).sum(dim=2)
        logits_bk: torch.Tensor = self.linear(self.dropout(chosen_bc))
        return logits_bk


class _BranchInput(nn.Module):
    """What the trunk of a branch sees: one image of some channels for every segment."""

    def __init__(self, branch: PanBranch, config: PanConfig) -> None:
        super().__init__()
        self._num_segments = config.num_segments
        self.has_frames = branch != "pa"
        self.pa = PersistenceOfAppearance() if branch != "rgb" else None
        self.channels = config.in_channels if self.has_frames else 0
        self.channels += ADJACENT_FRAMES - 1 if self.pa is not None else 0

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, c, s * m, h, w] -> [b, channels, s, h, w]."""
        parts = []
        if self.has_frames:
            parts.append(clip_bcthw.unflatten(2, (self._num_segments, -1))[:, :, :, 0])
        if self.pa is not None:
            parts.append(self.pa(clip_bcthw))
        return torch.cat(parts, dim=1)


class _SideBySide(nn.ModuleList):
    """The same layers of all branches; each sees its own part of the channels."""

    def __init__(self, layers: Iterable[nn.Module], channels: Iterable[int]) -> None:
        super().__init__(layers)
        self._channels = list(channels)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """Channels of all branches, one after the other -> the same."""
        parts = x_bcthw.split(self._channels, dim=1)
        return torch.cat([layer(part) for layer, part in zip(self, parts, strict=True)], dim=1)


class Pan(nn.Module):
    """[b, c, s * m, h, w] clips, from 0 to 1, to [b, k] logits: the sum over the branches.

    Clips hold m = 4 adjacent frames of every segment, one segment after the other; the variant
    `rgb` takes any m and looks at the first ones. Colours are normalised with the mean and
    deviation of ImageNet here; flow is taken as it is.

    References:
        Zhang et al. 2020 (PAN); the code of the authors for what it leaves open.
    """

    def __init__(self, config: PanConfig) -> None:
        super().__init__()
        self.config = config
        self.saves_memory = False
        branches = BRANCHES[config.variant]
        self.inputs = nn.ModuleList(_BranchInput(branch, config) for branch in branches)
        channels = [cast("_BranchInput", each).channels for each in self.inputs]
        trunks = [_make_trunk(number, config) for number in channels]
        self.stem = _SideBySide((trunk.stem for trunk in trunks), channels)
        self.stages = nn.ModuleList(_stages_side_by_side(trunks))
        self.head = nn.ModuleList(
            VariousTimescalePooling(
                trunk.out_channels,
                num_segments=config.num_segments,
                num_classes=config.num_classes,
                dropout=config.dropout,
            )
            for trunk in trunks
        )
        for name, values in (("mean", _IMAGENET_MEAN), ("std", _IMAGENET_STD)):
            tensor = torch.tensor(values).view(1, 3, 1, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def features(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the maps of the last stage: [b, 2048 x branches, s, h / 32, w / 32].

        Raises:
            ValueError: If the clip has not as many frames as the segments need.
        """
        self._check_frames(clip_bcthw.shape[2])
        if self.config.in_channels == 3:
            clip_bcthw = (clip_bcthw - cast("Any", self).mean) / cast("Any", self).std
        x_bcthw = torch.cat([each(clip_bcthw) for each in self.inputs], dim=1)
        x_bcthw = run_stage(self, self.stem, x_bcthw)
        for stage in self.stages:
            x_bcthw = run_stage(self, stage, x_bcthw)
        return x_bcthw

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the logits [b, k]."""
        pooled_bcs = self.features(clip_bcthw).mean(dim=(3, 4))
        parts = pooled_bcs.chunk(len(self.head), dim=1)
        logits = [head(part_bcs) for head, part_bcs in zip(self.head, parts, strict=True)]
        return torch.stack(logits).sum(dim=0)

    def rate_factor(self, name: str) -> float:
        """Return by how much the learning rate of a weight is multiplied in the recipe of PAN.

        The code of the authors counts the convolution of PA as the first one, which learns faster,
        as the layers behind the trunk do. Its factor 2 for other biases finds none: convolutions
        of the trunk have no bias, and batch norms are apart.

        Args:
            name: As in `named_parameters`.
        """
        if not (name.startswith("head.") or ".pa." in name):
            return 1.0
        return 10.0 if name.endswith(".bias") else 5.0

    def _check_frames(self, num_frames: int) -> None:
        segments = self.config.num_segments
        is_right = num_frames == segments * ADJACENT_FRAMES
        if self.config.variant == "rgb":
            is_right = num_frames % segments == 0
        if not is_right:
            raise ValueError(
                f"clip must have {ADJACENT_FRAMES} frames of {segments} segments, got {num_frames}"
            )


def _full_precision(device_type: str) -> AbstractContextManager[None]:
    if not torch.amp.is_autocast_available(device_type):  # sizes are counted on no device at all
        return nullcontext()
    return cast("AbstractContextManager[None]", torch.autocast(device_type, enabled=False))


def _make_trunk(in_channels: int, config: PanConfig) -> TsmResNet:
    return make_tsm_resnet(
        config.depth,
        in_channels,
        width_multiplier=config.width_multiplier,
        depth_multiplier=config.depth_multiplier,
    )


def _stages_side_by_side(trunks: list[TsmResNet]) -> list[_SideBySide]:
    channels = [trunk.stem.norm.num_features for trunk in trunks]
    stages = []
    for layers in zip(*(trunk.stages for trunk in trunks), strict=True):
        stages.append(_SideBySide(layers, channels))
        channels = [cast("Any", layer)[-1].norm_c.num_features for layer in layers]
    return stages
