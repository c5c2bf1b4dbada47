"""ResNet-50 and -101 over the frames of a clip, mixed along time by shifts of channels (TSM).

Axes of tensors: b batch, c channels, t frames, h rows, w columns; n = b times t.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from perfnet.models.layers import (
    batch_as_frames,
    frames_as_batch,
    scaled_channels,
    scaled_depth,
)

ResNetDepth = Literal[50, 101]


class _Layout(NamedTuple):
    """What the depths differ in."""

    num_blocks: tuple[int, int, int, int]
    """Blocks of each stage."""
    shift_every: int
    """1 = every block shifts; 2 = the first, third, ... of each stage."""


LAYOUTS: dict[ResNetDepth, _Layout] = {
    50: _Layout(num_blocks=(3, 4, 6, 3), shift_every=1),
    101: _Layout(num_blocks=(3, 4, 23, 3), shift_every=2),
}
_MID_CHANNELS = (64, 128, 256, 512)
_EXPANSION = 4


def shift_frames(x_bcthw: torch.Tensor, *, divisor: int = 8) -> torch.Tensor:
    """Return the clip with some channels of the frames beside each frame; 0 where there is none.

    The first c / divisor channels are those of the next frame, as many more those of the frame
    before, and the rest stay.

    References:
        Lin et al. 2019 (TSM), section 3: the bi-directional shift of a quarter of the channels.
    """
    channels = x_bcthw.shape[1]
    fold = channels // divisor
    next_, previous, still = x_bcthw.split((fold, fold, channels - 2 * fold), dim=1)
    next_ = F.pad(next_[:, :, 1:], (0, 0, 0, 0, 0, 1))
    previous = F.pad(previous[:, :, :-1], (0, 0, 0, 0, 1, 0))
    return torch.cat((next_, previous, still), dim=1)


class Bottleneck(nn.Module):
    """Conv_a 1x1, conv_b 3x3 with the stride, conv_c 1x1, shortcut, ReLU, on every frame.

    Args:
        in_channels: Channels of the input.
        mid_channels: Channels inside.
        out_channels: Channels of the output.
        stride: Of rows and columns.
        is_shifted: Conv_a sees shifted frames; the shortcut does not.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        stride: int,
        is_shifted: bool,
    ) -> None:
        super().__init__()
        self.is_shifted = is_shifted
        self.conv_a = _conv(in_channels, mid_channels, 1)
        self.norm_a = nn.BatchNorm2d(mid_channels)
        self.conv_b = _conv(mid_channels, mid_channels, 3, stride=stride)
        self.norm_b = nn.BatchNorm2d(mid_channels)
        self.conv_c = _conv(mid_channels, out_channels, 1)
        self.norm_c = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels or stride != 1:
            self.shortcut = nn.Sequential(
                _conv(in_channels, out_channels, 1, stride=stride), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, in, t, h, w] -> [b, out, t, h / stride, w / stride]."""
        seen_bcthw = shift_frames(x_bcthw) if self.is_shifted else x_bcthw
        residual = torch.relu(self.norm_a(self.conv_a(frames_as_batch(seen_bcthw))))
        residual = torch.relu(self.norm_b(self.conv_b(residual)))
        residual = self.norm_c(self.conv_c(residual))
        output_nchw = torch.relu(residual + self.shortcut(frames_as_batch(x_bcthw)))
        return batch_as_frames(output_nchw, x_bcthw.shape[2])


class Stem(nn.Module):
    """Conv 7x7 and maximum 3x3, both of stride 2, on every frame."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = _conv(in_channels, out_channels, 7, stride=2)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, in, t, h, w] -> [b, out, t, h / 4, w / 4]."""
        x_nchw = torch.relu(self.norm(self.conv(frames_as_batch(x_bcthw))))
        x_nchw = F.max_pool2d(x_nchw, 3, stride=2, padding=1)
        return batch_as_frames(x_nchw, x_bcthw.shape[2])


class TsmResNet(NamedTuple):
    """The parts of a trunk, first to last."""

    stem: Stem
    stages: Sequence[nn.Sequential]
    """Four: [b, c, t, h, w] to [b, 256, t, h, w], then 512, 1024, 2048 channels of half the rows
    and columns each."""
    out_channels: int


def make_tsm_resnet(
    depth: ResNetDepth,
    in_channels: int,
    *,
    width_multiplier: float = 1.0,
    depth_multiplier: float = 1.0,
) -> TsmResNet:
    """Return a ResNet with new weights whose blocks shift frames.

    Args:
        depth: Which ResNet.
        in_channels: Channels of a frame.
        width_multiplier: Scales the channels.
        depth_multiplier: Scales the blocks of every stage.

    References:
        He et al. 2016, Table 1, with the stride of a stage on its first 3x3 convolution, as
        torchvision has it. Lin et al. 2019 (TSM) and its code for where shifts stand ("blockres").
    """
    layout = LAYOUTS[depth]
    channels = scaled_channels(64, width_multiplier)
    stem = Stem(in_channels, channels)
    stages = []
    for stage, (mid, number) in enumerate(zip(_MID_CHANNELS, layout.num_blocks, strict=True)):
        inside = scaled_channels(mid, width_multiplier)
        outside = scaled_channels(mid * _EXPANSION, width_multiplier)
        blocks = []
        for block in range(scaled_depth(number, depth_multiplier)):
            blocks.append(
                Bottleneck(
                    channels,
                    inside,
                    outside,
                    stride=2 if block == 0 and stage > 0 else 1,
                    is_shifted=block % layout.shift_every == 0,
                )
            )
            channels = outside
        stages.append(nn.Sequential(*blocks))
    return TsmResNet(stem, stages, channels)


def _conv(inputs: int, outputs: int, size: int, *, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv
