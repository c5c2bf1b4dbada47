"""Pieces that the 3D networks share: padded convolutions and pools, self-gating.

Axes of tensors: b batch, c channels, t frames, h rows, w columns.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn
from torch.utils.checkpoint import checkpoint

from schemas.errors import ConfigError

Padding = Literal["symmetric", "tf_same"]
"""`symmetric` pads k // 2 on both sides; `tf_same` pads as TensorFlow does, one more behind than
before where the padding is odd. Shapes are the same; features of a loaded checkpoint are not."""

Size3 = tuple[int, int, int]

BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)
"""Batch norms of the networks."""


class Conv3d(nn.Conv3d):
    """A 3D convolution with either padding; truncated-normal initialisation.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel: (t, h, w).
        stride: (t, h, w).
        padding: Kind of padding.
        bias: Whether there is one.

    References:
        Initialisation: He-style variance scaling 1 / fan_in, truncated at two standard
        deviations, as TF Model Garden's `VarianceScaling`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Size3,
        *,
        stride: Size3 = (1, 1, 1),
        padding: Padding = "symmetric",
        bias: bool = False,
    ) -> None:
        is_same = padding == "tf_same"
        pad = (0, 0, 0) if is_same else tuple(size // 2 for size in kernel)
        super().__init__(in_channels, out_channels, kernel, stride=stride, padding=pad, bias=bias)
        self._is_tf_same = is_same
        fan_in = in_channels * kernel[0] * kernel[1] * kernel[2]
        # .8796 is the standard deviation of a normal distribution cut at two of its own.
        deviation = fan_in**-0.5 / 0.87962566103423978
        nn.init.trunc_normal_(self.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, in, t, h, w] -> [b, out, t / stride, h / stride, w / stride]."""
        if self._is_tf_same:
            x_bcthw = pad_tf_same(x_bcthw, self.kernel_size, self.stride)
        if self.kernel_size[0] > 1 and x_bcthw.shape[2] == 2 and x_bcthw.device.type == "cpu":
            # With AVX-512, torch 2.13 gives such weights gradients of random bits in bfloat16.
            with torch.autocast("cpu", enabled=False):
                return super().forward(x_bcthw.float())
        return super().forward(x_bcthw)


class MaxPool3d(nn.Module):
    """A 3D maximum with either padding; the padding never wins."""

    def __init__(self, kernel: Size3, *, stride: Size3, padding: Padding = "symmetric") -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, c, t, h, w] -> [b, c, t / stride, h / stride, w / stride]."""
        if self.padding == "tf_same":
            x_bcthw = pad_tf_same(x_bcthw, self.kernel, self.stride, value=float("-inf"))
            return F.max_pool3d(x_bcthw, self.kernel, self.stride)
        pad = tuple((size - 1) // 2 for size in self.kernel)
        return F.max_pool3d(x_bcthw, self.kernel, self.stride, padding=pad)


class SelfGating(nn.Module):
    """y = x * sigmoid(W mean(x) + b) with the mean over frames, rows and columns.

    Args:
        channels: Channels of x.
        bias: Whether b is there.

    References:
        Xie et al. 2018 (S3D-G), section 4.4. Weights start near zero, gates near one half.
    """

    def __init__(self, channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.transform = nn.Linear(channels, channels, bias=bias)
        nn.init.trunc_normal_(self.transform.weight, std=0.01, a=-0.02, b=0.02)
        if bias:
            nn.init.zeros_(self.transform.bias)

    def forward(self, x_bcthw: torch.Tensor) -> torch.Tensor:
        """[b, c, t, h, w] -> the same."""
        gate_bc = torch.sigmoid(self.transform(x_bcthw.mean(dim=(2, 3, 4))))
        return x_bcthw * gate_bc[:, :, None, None, None]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """What every network can be told.

    Raises:
        ConfigError: If a number is out of range.
    """

    num_classes: int
    in_channels: int = 3
    """3 for frames, 2 for flow, 1 for persistence of appearance."""
    dropout: float = 0.2
    """Before the last layer."""
    width_multiplier: float = 1.0
    """Scales the channels, for small runs."""
    depth_multiplier: float = 1.0
    """Scales the blocks of every stage, for small runs."""

    def __post_init__(self) -> None:
        for name in ("num_classes", "in_channels"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be >= 1, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be >= 0 and < 1, got {self.dropout}")
        for name in ("width_multiplier", "depth_multiplier"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be > 0, got {getattr(self, name)}")


class ClipModel(Protocol):
    """What every network of the registry offers."""

    saves_memory: bool
    """Whether stages are computed again in the backward pass instead of kept."""

    def features(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the last feature maps [b, c, t, h, w]."""
        ...

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the logits [b, k]."""
        ...


def run_stage(model: ClipModel, stage: nn.Module, x_bcthw: torch.Tensor) -> torch.Tensor:
    """Return stage(x), without keeping what lies inside if the model saves memory.

    The second computation leaves the running statistics of batch norms alone.
    """
    if not (model.saves_memory and torch.is_grad_enabled() and stage.training):
        return cast("torch.Tensor", stage(x_bcthw))
    if torch.compiler.is_compiling():  # a compiled graph writes statistics once, in the first pass
        return cast("torch.Tensor", checkpoint(stage, x_bcthw, use_reentrant=False))

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _statistics_held(stage)

    result = checkpoint(stage, x_bcthw, use_reentrant=False, context_fn=contexts)
    return cast("torch.Tensor", result)


@contextmanager
def _statistics_held(stage: nn.Module) -> Iterator[None]:
    norms = [module for module in stage.modules() if isinstance(module, BATCH_NORMS)]
    held = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, momentum, count in held:
            norm.momentum, norm.num_batches_tracked = momentum, count


def to_channels_last(model: nn.Module) -> None:
    """Lay the weights of convolutions over images out as channels_last, over clips as its 3D kind.

    Args:
        model: Modified.
    """
    layouts = {4: torch.channels_last, 5: torch.channels_last_3d}
    for parameter in model.parameters():
        if parameter.ndim in layouts:
            parameter.data = parameter.data.to(memory_format=layouts[parameter.ndim])


def frames_as_batch(x_bcthw: torch.Tensor) -> torch.Tensor:
    """Return [b * t, c, h, w]: a view if the clip is laid out as channels_last_3d."""
    return x_bcthw.transpose(1, 2).flatten(0, 1)


def batch_as_frames(x_nchw: torch.Tensor, num_frames: int) -> torch.Tensor:
    """Return [b, c, t, h, w]: what `frames_as_batch` has undone."""
    return x_nchw.unflatten(0, (-1, num_frames)).transpose(1, 2)


def pad_tf_same(
    x_bcthw: torch.Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], *, value: float = 0.0
) -> torch.Tensor:
    """Return x padded so that the output has ceil(size / stride) entries, as TensorFlow's SAME."""
    pads: list[int] = []
    for size, k, s in zip(
        reversed(x_bcthw.shape[2:]), reversed(kernel), reversed(stride), strict=True
    ):
        total = max((-(-size // s) - 1) * s + k - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x_bcthw, pads, value=value) if any(pads) else x_bcthw


def scaled_channels(channels: int, multiplier: float) -> int:
    """Return the number of channels of a narrower network: a multiple of 4, at least 4."""
    return channels if multiplier == 1.0 else max(4, round(channels * multiplier / 4) * 4)


def scaled_depth(number: int, multiplier: float) -> int:
    """Return the number of blocks of a shallower stage, at least 1."""
    return max(1, round(number * multiplier))
