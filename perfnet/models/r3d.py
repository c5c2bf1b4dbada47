"""R3D50-G: the 3D ResNet-50 with self-gating of PERF-Net, Table 1.

Axes of tensors: b batch, c channels, t frames, h rows, w columns, k classes.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from perfnet.models.layers import (
    Conv3d,
    MaxPool3d,
    NetworkConfig,
    Padding,
    SelfGating,
    run_stage,
    scaled_channels,
    scaled_depth,
)

GatePosition = Literal["residual", "output", "cell", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class R3DConfig(NetworkConfig):
    """An R3D50-G."""

    gate_position: GatePosition = "residual"
    """Where a stage is gated: on the residual branch of its last cell before the sum (official
    code), after its last cell (text of the paper), on the branch of every cell, or nowhere."""
    padding: Padding = "symmetric"
    """`tf_same` for weights from TF Model Garden."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    """One row of Table 1."""

    mid_channels: int
    out_channels: int
    temporal_kernels: tuple[int, ...]
    """Kernel of conv_a along t, one for each cell."""
    spatial_stride: int


STAGES = (
    _Stage(mid_channels=64, out_channels=256, temporal_kernels=(3, 3, 3), spatial_stride=1),
    _Stage(mid_channels=128, out_channels=512, temporal_kernels=(3, 1, 3, 1), spatial_stride=2),
    _Stage(
        mid_channels=256, out_channels=1024, temporal_kernels=(3, 1, 3, 1, 3, 1), spatial_stride=2
    ),
    _Stage(mid_channels=512, out_channels=2048, temporal_kernels=(1, 3, 1), spatial_stride=2),
)
"""res2 to res5. The temporal pattern of res5 is that of the official code; with it the FLOPs equal
those that the paper gives."""


class Cell(nn.Module):
    """Bottleneck: conv_a (t,1,1), conv_b (1,3,3) with the stride, conv_c 1x1x1, shortcut, ReLU."""

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        *,
        temporal_kernel: int,
        stride: int,
        gate: SelfGating | None,
        padding: Padding,
    ) -> None:
        super().__init__()
        spatial = (1, stride, stride)
        self.conv_a = Conv3d(in_channels, mid_channels, (temporal_kernel, 1, 1), padding=padding)
        self.norm_a = nn.BatchNorm3d(mid_channels)
        self.conv_b = Conv3d(mid_channels, mid_channels, (1, 3, 3), stride=spatial, padding=padding)
        self.norm_b = nn.BatchNorm3d(mid_channels)
        self.conv_c = Conv3d(mid_channels, out_channels, (1, 1, 1), padding=padding)
        self.norm_c = nn.BatchNorm3d(out_channels)
        self.gate = gate
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != out_channels or stride != 1:
            self.shortcut = nn.Sequential(
                Conv3d(in_channels, out_channels, (1, 1, 1), stride=spatial, padding=padding),
                nn.BatchNorm3d(out_channels),
            )

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, in, t, h, w] -> [b, out, t, h / stride, w / stride]."""
        residual = torch.relu(self.norm_a(self.conv_a(x_bcthw)))
        residual = torch.relu(self.norm_b(self.conv_b(residual)))
        residual = self.norm_c(self.conv_c(residual))
        if self.gate is not None:
            residual = self.gate(residual)
        return torch.relu(residual + self.shortcut(x_bcthw))


class R3D(nn.Module):
    """[b, c, t, h, w] clips to [b, k] logits; no stride along t.

    References:
        Li et al. 2020 (PERF-Net), Table 1; TF Model Garden `resnet_3d.py` for what it leaves open.
    """

    def __init__(self, config: R3DConfig) -> None:
        super().__init__()
        self.config = config
        self.saves_memory = False
        padding, width = config.padding, config.width_multiplier
        channels = scaled_channels(64, width)
        self.stem = nn.Sequential(
            Conv3d(config.in_channels, channels, (5, 7, 7), stride=(1, 2, 2), padding=padding),
            nn.BatchNorm3d(channels),
            nn.ReLU(),
            MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=padding),
        )
        stages = []
        for stage in STAGES:
            stages.append(_make_stage(stage, channels, config))
            channels = scaled_channels(stage.out_channels, width)
        self.stages = nn.ModuleList(stages)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(channels, config.num_classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def features(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the maps of the last stage: [b, 2048, t, h / 32, w / 32]."""
        x_bcthw = run_stage(self, self.stem, clip_bcthw)
        for stage in self.stages:
            x_bcthw = run_stage(self, stage, x_bcthw)
        return x_bcthw

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the logits [b, k]."""
        pooled_bc = self.features(clip_bcthw).mean(dim=(2, 3, 4))
        logits_bk: torch.Tensor = self.head(self.dropout(pooled_bc))
        return logits_bk


def _make_stage(stage: _Stage, in_channels: int, config: R3DConfig) -> nn.Sequential:
    mid = scaled_channels(stage.mid_channels, config.width_multiplier)
    out = scaled_channels(stage.out_channels, config.width_multiplier)
    kernels = stage.temporal_kernels
    num_cells = scaled_depth(len(kernels), config.depth_multiplier)
    cells: list[nn.Module] = []
    for index in range(num_cells):
        is_last = index == num_cells - 1
        is_gated = config.gate_position == "cell" or (
            config.gate_position == "residual" and is_last
        )
        cells.append(
            Cell(
                in_channels if index == 0 else out,
                mid,
                out,
                temporal_kernel=kernels[index % len(kernels)],
                stride=stage.spatial_stride if index == 0 else 1,
                gate=SelfGating(out) if is_gated else None,
                padding=config.padding,
            )
        )
    if config.gate_position == "output":
        cells.append(SelfGating(out))
    return nn.Sequential(*cells)
