"""Flow out of the maps of a frozen network.

Axes of tensors: b batch, c channels, t frames, h rows, w columns.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from perfnet.models.layers import Conv3d


class FlowDecoder(nn.Module):
    """Three convolutions from maps to flow, in the size of the maps.

    The maps are normalised first, so that networks whose maps are large or small are read alike.

    Args:
        in_channels: Channels of the maps.
        channels: Channels in between.
    """

    def __init__(self, in_channels: int, *, channels: int) -> None:
        super().__init__()
        last = Conv3d(channels, 2, (1, 1, 1), bias=True)
        nn.init.zeros_(last.weight)  # starts at no motion
        self.layers = nn.Sequential(
            nn.BatchNorm3d(in_channels, affine=False),
            Conv3d(in_channels, channels, (3, 3, 3), bias=True),
            nn.ReLU(),
            Conv3d(channels, channels, (3, 3, 3), bias=True),
            nn.ReLU(),
            last,
        )

    def forward(self, maps_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, c, t, h, w] -> [b, 2, t, h, w]: (dx, dy)."""
        flow_bcthw: torch.Tensor = self.layers(maps_bcthw)
        return flow_bcthw


def pool_flow(flow_bcthw: torch.Tensor, like_bcthw: torch.Tensor) -> torch.Tensor:
    """Return flow averaged over the frames and places that each entry of some maps stands for.

    Args:
        flow_bcthw: float [b, 2, T, H, W].
        like_bcthw: Maps [b, c, t, h, w] of the same clips.

    Returns:
        float [b, 2, t, h, w], in pixels of the frames that were averaged.
    """
    return F.adaptive_avg_pool3d(flow_bcthw, like_bcthw.shape[2:])


def end_point_error(flow_bcthw: torch.Tensor, true_bcthw: torch.Tensor) -> torch.Tensor:
    """Return [b]: the mean length of the difference of two flows of each clip."""
    length_bthw = torch.linalg.vector_norm(flow_bcthw - true_bcthw, dim=1)
    return length_bthw.mean(dim=(1, 2, 3))
