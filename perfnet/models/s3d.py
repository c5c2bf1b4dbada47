"""S3D and S3D-G: Inception with separable 3D convolutions, in the four public variants.

Axes of tensors: b batch, c channels, t frames, h rows, w columns, k classes.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import nn

from perfnet.models.layers import (
    Conv3d,
    MaxPool3d,
    NetworkConfig,
    Padding,
    SelfGating,
    Size3,
    run_stage,
    scaled_channels,
    scaled_depth,
)

S3DVariant = Literal["slim", "howto100m", "separable", "torchvision"]


class _Traits(NamedTuple):
    """What the public variants differ in."""

    is_stem_separable: bool
    """1x7x7 and 7x1x1 instead of a full 3x7x7."""
    is_gated: bool
    has_gate_bias: bool
    has_temporal_norm: bool
    """Temporal convolutions have a batch norm; without, a bias and identity initialisation."""
    has_norm_scale: bool
    norm_eps: float
    norm_momentum: float
    conv_padding: Padding
    pool_padding: Padding
    is_head_global: bool
    """Global mean and a linear layer, instead of a mean over pairs of frames."""


VARIANTS: dict[S3DVariant, _Traits] = {
    "slim": _Traits(
        is_stem_separable=False, is_gated=True, has_gate_bias=False, has_temporal_norm=False,
        has_norm_scale=False, norm_eps=1e-3, norm_momentum=1e-3, conv_padding="tf_same",
        pool_padding="tf_same", is_head_global=False,
    ),
    "howto100m": _Traits(
        is_stem_separable=False, is_gated=True, has_gate_bias=True, has_temporal_norm=True,
        has_norm_scale=True, norm_eps=1e-5, norm_momentum=0.1, conv_padding="symmetric",
        pool_padding="tf_same", is_head_global=True,
    ),
    "separable": _Traits(
        is_stem_separable=True, is_gated=True, has_gate_bias=True, has_temporal_norm=True,
        has_norm_scale=True, norm_eps=1e-3, norm_momentum=1e-3, conv_padding="symmetric",
        pool_padding="symmetric", is_head_global=False,
    ),
    "torchvision": _Traits(
        is_stem_separable=True, is_gated=False, has_gate_bias=False, has_temporal_norm=True,
        has_norm_scale=True, norm_eps=1e-3, norm_momentum=1e-3, conv_padding="symmetric",
        pool_padding="symmetric", is_head_global=False,
    ),
}  # fmt: skip
"""`slim`: TF slim `s3dg.py`, the graph of D3D. `howto100m`: the trunk of HowTo100M. `separable`:
S3D-G with the stem of torchvision. `torchvision`: S3D without gates."""


class _Block(NamedTuple):
    """Channels of an Inception block: b0, b1 reduced and out, b2 reduced and out, b3."""

    b0: int
    b1: tuple[int, int]
    b2: tuple[int, int]
    b3: int


STAGES: dict[str, tuple[_Block, ...]] = {
    "3": (_Block(64, (96, 128), (16, 32), 32), _Block(128, (128, 192), (32, 96), 64)),
    "4": (
        _Block(192, (96, 208), (16, 48), 64),
        _Block(160, (112, 224), (24, 64), 64),
        _Block(128, (128, 256), (24, 64), 64),
        _Block(112, (144, 288), (32, 64), 64),
        _Block(256, (160, 320), (32, 128), 128),
    ),
    "5": (_Block(256, (160, 320), (32, 128), 128), _Block(384, (192, 384), (48, 128), 128)),
}
"""Blocks 3b 3c, 4b to 4f, 5b 5c."""

_POOLS: dict[str, tuple[Size3, Size3]] = {
    "3": ((1, 3, 3), (1, 2, 2)),
    "4": ((3, 3, 3), (2, 2, 2)),
    "5": ((2, 2, 2), (2, 2, 2)),
}
"""Kernel and stride of the pool before each stage."""


@dataclass(frozen=True, kw_only=True, slots=True)
class S3DConfig(NetworkConfig):
    """An S3D or S3D-G."""

    variant: S3DVariant = "slim"
    """Which public code: they differ in stem, norms, gates, padding and head."""


class ConvNorm(nn.Module):
    """Convolution, batch norm and ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Size3,
        traits: _Traits,
        *,
        stride: Size3 = (1, 1, 1),
    ) -> None:
        super().__init__()
        self.conv = Conv3d(inputs, outputs, kernel, stride=stride, padding=traits.conv_padding)
        self.norm = _make_norm(outputs, traits)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, in, t, h, w] -> [b, out, t / stride, h / stride, w / stride]."""
        return torch.relu(self.norm(self.conv(x_bcthw)))


class SeparableConv(nn.Module):
    """A convolution over rows and columns, then one over frames."""

    def __init__(
        self, inputs: int, outputs: int, size: int, traits: _Traits, *, stride: int = 1
    ) -> None:
        super().__init__()
        self.spatial = ConvNorm(
            inputs, outputs, (1, size, size), traits, stride=(1, stride, stride)
        )
        has_norm = traits.has_temporal_norm
        self.temporal = Conv3d(
            outputs,
            outputs,
            (size, 1, 1),
            stride=(stride, 1, 1),
            padding=traits.conv_padding,
            bias=not has_norm,
        )
        self.temporal_norm = _make_norm(outputs, traits) if has_norm else nn.Identity()
        if not has_norm:
            nn.init.zeros_(self.temporal.weight)
            with torch.no_grad():
                self.temporal.weight[:, :, size // 2, 0, 0] = torch.eye(outputs)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, in, t, h, w] -> [b, out, t / stride, h / stride, w / stride]."""
        return torch.relu(self.temporal_norm(self.temporal(self.spatial(x_bcthw))))


class InceptionBlock(nn.Module):
    """Four branches side by side, each gated on its own."""

    def __init__(self, inputs: int, block: _Block, traits: _Traits) -> None:
        super().__init__()
        one: Size3 = (1, 1, 1)
        self.branch0 = nn.Sequential(ConvNorm(inputs, block.b0, one, traits))
        self.branch1 = nn.Sequential(
            ConvNorm(inputs, block.b1[0], one, traits), SeparableConv(*block.b1, 3, traits)
        )
        self.branch2 = nn.Sequential(
            ConvNorm(inputs, block.b2[0], one, traits), SeparableConv(*block.b2, 3, traits)
        )
        self.branch3 = nn.Sequential(
            MaxPool3d((3, 3, 3), stride=one, padding=traits.pool_padding),
            ConvNorm(inputs, block.b3, one, traits),
        )
        widths = (block.b0, block.b1[1], block.b2[1], block.b3)
        self.out_channels = sum(widths)
        self.gates = nn.ModuleList(_make_gate(width, traits) for width in widths)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, in, t, h, w] -> [b, out, t, h, w]."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        outputs = [gate(branch(x_bcthw)) for gate, branch in zip(self.gates, branches, strict=True)]
        return torch.cat(outputs, dim=1)


class S3D(nn.Module):
    """[b, c, t, h, w] clips to [b, k] logits; t is divided by 8, h and w by 32.

    References:
        Xie et al. 2018 (S3D); see `VARIANTS` for the public codes.
    """

    def __init__(self, config: S3DConfig) -> None:
        super().__init__()
        self.config = config
        self.saves_memory = False
        traits, width = VARIANTS[config.variant], config.width_multiplier
        stem, wide = scaled_channels(64, width), scaled_channels(192, width)
        self.stem: nn.Module
        if traits.is_stem_separable:
            self.stem = SeparableConv(config.in_channels, stem, 7, traits, stride=2)
        else:
            self.stem = ConvNorm(config.in_channels, stem, (3, 7, 7), traits, stride=(2, 2, 2))
        self.pool2 = _make_pool((1, 3, 3), (1, 2, 2), traits)
        self.conv2b = ConvNorm(stem, stem, (1, 1, 1), traits)
        self.conv2c = SeparableConv(stem, wide, 3, traits)
        self.gate2c = _make_gate(wide, traits)
        channels, stages = wide, []
        for name, blocks in STAGES.items():
            layers: list[nn.Module] = [_make_pool(*_POOLS[name], traits)]
            for block in blocks[: scaled_depth(len(blocks), config.depth_multiplier)]:
                inception = InceptionBlock(channels, _scaled_block(block, width), traits)
                layers.append(inception)
                channels = inception.out_channels
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Conv3d(channels, config.num_classes, 1)
        nn.init.trunc_normal_(self.head.weight, std=0.01, a=-0.02, b=0.02)
        nn.init.zeros_(self.head.bias)
        self._is_head_global = traits.is_head_global

    def features(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the maps of the last block: [b, 1024, t / 8, h / 32, w / 32]."""
        x_bcthw = self.pool2(self.stem(clip_bcthw))
        x_bcthw = self.gate2c(self.conv2c(self.conv2b(x_bcthw)))
        for stage in self.stages:
            x_bcthw = run_stage(self, stage, x_bcthw)
        return x_bcthw

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the logits [b, k]."""
        pooled_bct = self.features(clip_bcthw).mean(dim=(3, 4))
        if self._is_head_global or pooled_bct.shape[2] == 1:
            pooled_bct = pooled_bct.mean(dim=2, keepdim=True)
        else:  # window of two frames, stride one: not the global mean, end frames weigh half
            pooled_bct = (pooled_bct[:, :, 1:] + pooled_bct[:, :, :-1]) / 2
        logits_bkt = self.head(self.dropout(pooled_bct)[..., None, None])
        logits_bk: torch.Tensor = logits_bkt.mean(dim=(2, 3, 4))
        return logits_bk


def _make_norm(channels: int, traits: _Traits) -> nn.BatchNorm3d:
    norm = nn.BatchNorm3d(channels, eps=traits.norm_eps, momentum=traits.norm_momentum)
    if not traits.has_norm_scale:
        del norm.weight
        norm.register_parameter("weight", None)
    return norm


def _make_gate(channels: int, traits: _Traits) -> nn.Module:
    if not traits.is_gated:
        return nn.Identity()
    return SelfGating(channels, bias=traits.has_gate_bias)


def _make_pool(kernel: Size3, stride: Size3, traits: _Traits) -> MaxPool3d:
    return MaxPool3d(kernel, stride=stride, padding=traits.pool_padding)


def _scaled_block(block: _Block, width: float) -> _Block:
    def scaled(pair: tuple[int, int]) -> tuple[int, int]:
        return scaled_channels(pair[0], width), scaled_channels(pair[1], width)

    return _Block(
        scaled_channels(block.b0, width),
        scaled(block.b1),
        scaled(block.b2),
        scaled_channels(block.b3, width),
    )
