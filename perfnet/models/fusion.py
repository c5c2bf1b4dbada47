"""The nine ways in which PAS-Net joins the maps of a frame's appearance and of its body pose.

Axes of tensors: b batch, c channels, t frames, h rows, w columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from perfnet.models.layers import Conv3d
from perfnet.models.openpose import BodyOutput
from schemas.errors import ConfigError

FusionName = Literal[
    "a", "i", "ea", "a_plus_ea", "conv_a_ea", "a_plus_i", "conv_a_i", "a_plus_i_f", "conv_a_i_f",
]  # fmt: skip
ChannelPool = Literal["mean", "max"]
Term = Literal["a", "ea", "i", "f"]


class FusionTraits(NamedTuple):
    """What a fusion is made of."""

    equation: int
    """Of the paper."""
    terms: tuple[Term, ...]
    weights: tuple[str, ...] = ()
    """Options that weigh the terms behind the first one."""
    is_conv: bool = False
    """A convolution over the terms side by side, instead of their sum."""

    @property
    def has_appearance(self) -> bool:
        """Whether maps of the appearance are needed."""
        return bool({"a", "ea"} & set(self.terms))

    @property
    def body_outputs(self) -> tuple[BodyOutput, ...]:
        """What is needed of the body network."""
        return tuple(_BODY_OUTPUTS[term] for term in self.terms if term in _BODY_OUTPUTS)

    @property
    def options(self) -> frozenset[str]:
        """Options that change something."""
        names = {"fusion", *self.weights}
        if self.body_outputs:
            names |= {"freeze_body"}
        if "ea" in self.terms:
            names |= {"background", "heat_relu"}
        if self.is_conv:
            names |= {"conv_kernel"}
        elif {"i", "f"} & set(self.terms):
            names |= {"channel_pool"}
        return frozenset(names)


_BODY_OUTPUTS: dict[Term, BodyOutput] = {"ea": "heat", "i": "heat_features", "f": "limb_features"}

FUSIONS: dict[FusionName, FusionTraits] = {
    "a": FusionTraits(3, ("a",)),
    "i": FusionTraits(4, ("i",)),
    "ea": FusionTraits(5, ("ea",)),
    "a_plus_ea": FusionTraits(6, ("a", "ea"), ("lambda1",)),
    "conv_a_ea": FusionTraits(7, ("a", "ea"), is_conv=True),
    "a_plus_i": FusionTraits(8, ("a", "i"), ("lambda2",)),
    "conv_a_i": FusionTraits(9, ("a", "i"), is_conv=True),
    "a_plus_i_f": FusionTraits(10, ("a", "i", "f"), ("lambda3", "lambda4")),
    "conv_a_i_f": FusionTraits(11, ("a", "i", "f"), is_conv=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PasNetOptions:
    """How PAS-Net joins appearance and pose; what the paper leaves open has a default of ours.

    Raises:
        ConfigError: If a field breaks its rule, or the fusion does not use it.
    """

    fusion: FusionName = "a_plus_i_f"
    """Of the maps A of the appearance, E (heat: the most of all joints), I and F (features before
    the maps of joints and of limbs), by equation of the paper: a (3), i (4), ea (5, E times A),
    a_plus_ea (6), conv_a_ea (7), a_plus_i (8), conv_a_i (9), a_plus_i_f (10, its best), conv_a_i_f
    (11). conv is a convolution over maps side by side."""
    lambda1: float = 1.5
    """Weight of E times A in equation 6."""
    lambda2: float = 1.5
    """Weight of I in equation 8."""
    lambda3: float = 0.5
    """Weight of I in equation 10."""
    lambda4: float = 1.0
    """Weight of F in equation 10."""
    channel_pool: ChannelPool = "mean"
    """What makes 96 channels out of the 128 of I and F in equations 4, 8 and 10, over windows of
    two channels. Left open by the paper."""
    conv_kernel: int = 1
    """Height and width of the convolution of equations 7, 9 and 11. Left open by the paper."""
    background: bool = False
    """E is the most of the background too, not of the joints alone. Left open by the paper."""
    heat_relu: bool = False
    """No heat below zero in E. Left open by the paper."""
    freeze_body: bool = False
    """Keep the weights of the body network; otherwise it is trained with the rest."""

    def __post_init__(self) -> None:
        if self.conv_kernel < 1 or self.conv_kernel % 2 == 0:
            raise ConfigError(f"pas_net.conv_kernel must be odd and >= 1, got {self.conv_kernel}")
        traits = FUSIONS[self.fusion]
        for each in fields(self):
            value = getattr(self, each.name)
            if value != each.default and each.name not in traits.options:
                raise ConfigError(
                    f"pas_net.{each.name} must be left out unless the fusion uses it, got {value} "
                    f"with {self.fusion} (equation {traits.equation})"
                )


class Fusion(nn.Module):
    """Joins the maps of appearance and body.

    Args:
        options: Which way.
        channels: Of the maps of the appearance, and of the result.
        feature_channels: Of I and F.

    References:
        PAS-Net, equations 3 to 11: x_A, x_E, x_I, x_F are A, E, I, F.
    """

    def __init__(self, options: PasNetOptions, *, channels: int, feature_channels: int) -> None:
        super().__init__()
        self.options = options
        self._channels = channels
        self._traits = FUSIONS[options.fusion]
        self._weights = tuple(float(getattr(options, name)) for name in self._traits.weights)
        self.conv = None
        if self._traits.is_conv:
            widths = {"a": channels, "ea": channels, "i": feature_channels, "f": feature_channels}
            inputs = sum(widths[term] for term in self._traits.terms)
            kernel = (1, options.conv_kernel, options.conv_kernel)
            self.conv = Conv3d(inputs, channels, kernel, bias=True)

    def forward(
        self, appearance_bcthw: torch.Tensor | None, body: Mapping[BodyOutput, torch.Tensor]
    ) -> torch.Tensor:
        """Return the joined maps [b, 96, t, h, w].

        Args:
            appearance_bcthw: A: [b, 96, t, h, w]; None if the fusion has no use for it.
            body: What the fusion needs of the body network, each [b, c, t, h, w].
        """
        terms = [self._term(term, appearance_bcthw, body) for term in self._traits.terms]
        if self.conv is not None:
            joined: torch.Tensor = self.conv(torch.cat(terms, dim=1))  # eq. 7, 9, 11
            return joined
        total, *others = terms  # eq. 3 to 6, 8, 10
        for weight, term in zip(self._weights, others, strict=True):
            total = total + weight * term
        return total

    def _term(
        self,
        term: Term,
        appearance_bcthw: torch.Tensor | None,
        body: Mapping[BodyOutput, torch.Tensor],
    ) -> torch.Tensor:
        if term in ("i", "f"):
            features_bcthw = body[_BODY_OUTPUTS[term]]
            if self.conv is not None:
                return features_bcthw
            return pool_channels(features_bcthw, self._channels, self.options.channel_pool)
        appearance_bcthw = cast("torch.Tensor", appearance_bcthw)
        if term == "a":
            return appearance_bcthw
        return self._heat(body["heat"]) * appearance_bcthw

    def _heat(self, heat_bcthw: torch.Tensor) -> torch.Tensor:
        """E: [b, 1, t, h, w], the most of all joints."""
        joints_bcthw = heat_bcthw if self.options.background else heat_bcthw[:, :-1]
        most_bcthw = joints_bcthw.amax(dim=1, keepdim=True)
        return torch.relu(most_bcthw) if self.options.heat_relu else most_bcthw


def pool_channels(x_bcthw: torch.Tensor, channels: int, kind: ChannelPool) -> torch.Tensor:
    """Return fewer channels: means or maxima over windows of neighbouring ones, which overlap.

    Args:
        x_bcthw: float [b, c, t, h, w].
        channels: How many come out, <= c; window i is floor(i c / channels) to
            ceil((i + 1) c / channels).
        kind: Mean or maximum.
    """
    x_bthwc = x_bcthw.movedim(1, -1)
    pool = F.adaptive_avg_pool1d if kind == "mean" else F.adaptive_max_pool1d
    pooled: torch.Tensor = pool(x_bthwc.flatten(1, 3), channels)
    return pooled.unflatten(1, x_bthwc.shape[1:4]).movedim(-1, 1)
