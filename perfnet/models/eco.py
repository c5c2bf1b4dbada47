"""ECO-Lite: 2D Inception over single frames, then a 3D ResNet over the stack of their maps.

Axes of tensors: b batch, c channels, t frames, h rows, w columns, k classes; n = b * t.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import nn

from perfnet.models.layers import (
    Conv3d,
    NetworkConfig,
    Size3,
    batch_as_frames,
    frames_as_batch,
    run_stage,
    scaled_channels,
    scaled_depth,
)
from schemas.errors import ConfigError

FRAME_MULTIPLE = 4
"""The 3D ResNet halves the number of frames twice."""
APPEARANCE_CHANNELS = 96
"""Of the maps of a frame."""
_MEAN_BGR = (104.0, 117.0, 128.0)
"""Grey levels that Caffe's models subtract."""
_STAGES = ((128, 1), (256, 2), (512, 2))
"""Channels and stride of res3, res4 and res5, of two blocks each."""


class _Block(NamedTuple):
    """Channels of an Inception block: 1x1; 3x3 and twice 3x3, reduced and out; mean of 3x3."""

    one: int
    three: tuple[int, int]
    double: tuple[int, int]
    pooled: int


_INCEPTION_3A = _Block(64, (64, 64), (64, 96), 32)
_INCEPTION_3B = _Block(64, (64, 96), (64, 96), 64)


@dataclass(frozen=True, kw_only=True, slots=True)
class EcoConfig(NetworkConfig):
    """An ECO-Lite, or a network with its head.

    Raises:
        ConfigError: If it is not for frames.
    """

    def __post_init__(self) -> None:
        super(EcoConfig, self).__post_init__()
        if self.in_channels != 3:
            raise ConfigError(
                f"in_channels must be 3 for a network of frames, got {self.in_channels}"
            )


class ConvNorm2d(nn.Module):
    """Convolution with bias, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2)
        self.norm = nn.BatchNorm2d(outputs)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        nn.init.zeros_(cast("torch.Tensor", self.conv.bias))

    def forward(self, x_nchw: torch.Tensor) -> torch.Tensor:
        """[n, in, h, w] -> [n, out, h / stride, w / stride]."""
        return torch.relu(self.norm(self.conv(x_nchw)))


class Inception2d(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, block: _Block) -> None:
        super().__init__()
        self.branch0 = nn.Sequential(ConvNorm2d(inputs, block.one, 1))
        self.branch1 = nn.Sequential(
            ConvNorm2d(inputs, block.three[0], 1), ConvNorm2d(*block.three, 3)
        )
        self.branch2 = nn.Sequential(
            ConvNorm2d(inputs, block.double[0], 1),
            ConvNorm2d(*block.double, 3),
            ConvNorm2d(block.double[1], block.double[1], 3),
        )
        self.branch3 = nn.Sequential(
            nn.AvgPool2d(3, stride=1, padding=1),  # the padding counts, as in Caffe
            ConvNorm2d(inputs, block.pooled, 1),
        )
        self.out_channels = block.one + block.three[1] + block.double[1] + block.pooled

    def forward(self, x_nchw: torch.Tensor) -> torch.Tensor:
        """[n, in, h, w] -> [n, out, h, w]."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x_nchw) for branch in branches], dim=1)


class Appearance(nn.Module):
    """Frames to maps of an eighth of their size: BN-Inception up to 3c.

    Args:
        width: Scales the channels.

    References:
        Zolfaghari et al. 2018 (ECO), section 3.2, H_2D; poolings round up, as in Caffe.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        stem, wide = scaled_channels(64, width), scaled_channels(192, width)
        reduced, out = scaled_channels(64, width), scaled_channels(APPEARANCE_CHANNELS, width)
        self.conv1 = ConvNorm2d(3, stem, 7, stride=2)
        self.conv2_reduce = ConvNorm2d(stem, stem, 1)
        self.conv2 = ConvNorm2d(stem, wide, 3)
        self.pool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception2d(wide, _scaled_block(_INCEPTION_3A, width))
        self.inception3b = Inception2d(
            self.inception3a.out_channels, _scaled_block(_INCEPTION_3B, width)
        )
        self.inception3c = nn.Sequential(
            ConvNorm2d(self.inception3b.out_channels, reduced, 1), ConvNorm2d(reduced, out, 3)
        )
        mean = torch.tensor(_MEAN_BGR).view(1, 3, 1, 1)
        self.register_buffer("mean_bgr", mean, persistent=False)

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, 3, t, h, w] of RGB, 0 to 1 -> [b, 96, t, h / 8, w / 8]."""
        x_nchw = frames_as_batch(clip_bcthw).flip(1) * 255 - cast("torch.Tensor", self.mean_bgr)
        x_nchw = self.pool(self.conv1(x_nchw))
        x_nchw = self.pool(self.conv2(self.conv2_reduce(x_nchw)))
        x_nchw = self.inception3c(self.inception3b(self.inception3a(x_nchw)))
        return batch_as_frames(x_nchw, clip_bcthw.shape[2])


class ResBlock(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))): what is added has not been normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(channels)
        self.conv1 = _conv3(channels, channels)
        self.norm1 = nn.BatchNorm3d(channels)
        self.conv2 = _conv3(channels, channels)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, c, t, h, w] -> the same."""
        residual = self.conv1(torch.relu(self.norm(x_bcthw)))
        residual = self.conv2(torch.relu(self.norm1(residual)))
        return cast("torch.Tensor", x_bcthw + residual)


class StridedBlock(nn.Module):
    """Two convolutions, the first of which halves all axes, beside one that halves them too."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        strides = (stride, stride, stride)
        self.conv1 = _conv3(inputs, outputs, strides)
        self.norm1 = nn.BatchNorm3d(outputs)
        self.conv2 = _conv3(outputs, outputs)
        self.shortcut = _conv3(inputs, outputs, strides)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, in, t, h, w] -> [b, out, t / stride, h / stride, w / stride]."""
        residual = self.conv2(torch.relu(self.norm1(self.conv1(x_bcthw))))
        return cast("torch.Tensor", residual + self.shortcut(x_bcthw))


class FrameMapNetwork(nn.Module, ABC):
    """Maps of single frames, then the 3D ResNet of ECO: [b, 3, t, h, w] to logits [b, k].

    Args:
        config: Sizes of the head; t must be a multiple of 4.

    References:
        Zolfaghari et al. 2018 (ECO), section 3.2, H_3D.
    """

    def __init__(self, config: EcoConfig) -> None:
        super().__init__()
        self.config = config
        self.saves_memory = False
        width = config.width_multiplier
        channels, stages = scaled_channels(APPEARANCE_CHANNELS, width), []
        for outputs, stride in _STAGES:
            stages.append(_make_stage(channels, scaled_channels(outputs, width), stride, config))
            channels = scaled_channels(outputs, width)
        self.stages = nn.ModuleList(stages)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(channels, config.num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    @abstractmethod
    def frame_maps(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the maps of the frames: [b, 96, t, h / 8, w / 8]."""

    def features(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the maps of the last stage: [b, 512, t / 4, h / 32, w / 32].

        Raises:
            ConfigError: If t is no multiple of 4.
        """
        check_frames(clip_bcthw.shape[2])
        x_bcthw = self.frame_maps(clip_bcthw)
        for stage in self.stages:
            x_bcthw = run_stage(self, stage, x_bcthw)
        return x_bcthw

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the logits [b, k]."""
        pooled_bc = self.features(clip_bcthw).mean(dim=(2, 3, 4))
        logits_bk: torch.Tensor = self.head(self.dropout(pooled_bc))
        return logits_bk


class EcoLite(FrameMapNetwork):
    """ECO-Lite: the appearance of single frames alone."""

    def __init__(self, config: EcoConfig) -> None:
        super().__init__(config)
        self.appearance = Appearance(config.width_multiplier)

    def frame_maps(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the maps of the frames: [b, 96, t, h / 8, w / 8]."""
        return run_stage(self, self.appearance, clip_bcthw)


def check_frames(num_frames: int) -> None:
    """Raise ConfigError unless the 3D ResNet can take so many frames."""
    if num_frames % FRAME_MULTIPLE:
        raise ConfigError(
            f"number of frames must be a multiple of {FRAME_MULTIPLE} for the 3D ResNet of ECO, "
            f"got {num_frames}"
        )


def _conv3(inputs: int, outputs: int, stride: Size3 = (1, 1, 1)) -> Conv3d:
    return Conv3d(inputs, outputs, (3, 3, 3), stride=stride, bias=True)


def _make_stage(inputs: int, outputs: int, stride: int, config: EcoConfig) -> nn.Sequential:
    """The first block of res3 is a single convolution; norm and ReLU stand at the end."""
    layers: list[nn.Module] = [
        _conv3(inputs, outputs) if stride == 1 else StridedBlock(inputs, outputs, stride)
    ]
    number = scaled_depth(2, config.depth_multiplier)
    layers += [ResBlock(outputs) for _ in range(number - 1)]
    return nn.Sequential(*layers, nn.BatchNorm3d(outputs), nn.ReLU())


def _scaled_block(block: _Block, width: float) -> _Block:
    def scaled(pair: tuple[int, int]) -> tuple[int, int]:
        return scaled_channels(pair[0], width), scaled_channels(pair[1], width)

    return _Block(
        scaled_channels(block.one, width),
        scaled(block.three),
        scaled(block.double),
        scaled_channels(block.pooled, width),
    )
