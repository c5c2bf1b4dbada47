"""PAS-Net: ECO-Lite that looks at the maps of OpenPose beside its own.

Axes of tensors: b batch, c channels, t frames, h rows, w columns.
"""

from dataclasses import dataclass, field
from functools import partial

import torch

from perfnet.models.eco import APPEARANCE_CHANNELS, Appearance, EcoConfig, FrameMapNetwork
from perfnet.models.fusion import FUSIONS, Fusion, PasNetOptions
from perfnet.models.layers import run_stage, scaled_channels
from perfnet.models.openpose import FEATURE_CHANNELS, BodyOutput, OpenPoseBody


@dataclass(frozen=True, kw_only=True, slots=True)
class PasNetConfig(EcoConfig):
    """A PAS-Net."""

    options: PasNetOptions = field(default_factory=PasNetOptions)


class PasNet(FrameMapNetwork):
    """[b, 3, t, h, w] frames to [b, k] logits: appearance and body, fused, then the 3D ResNet.

    Parts that the fusion has no use for are left out. `appearance`, `stages` and `head` are those
    of ECO-Lite, under the same names.

    Args:
        config: Sizes and fusion. t must be a multiple of 4, h and w even.
    """

    def __init__(self, config: PasNetConfig) -> None:
        super().__init__(config)
        width, traits = config.width_multiplier, FUSIONS[config.options.fusion]
        self.appearance = Appearance(width) if traits.has_appearance else None
        self.body = None
        if traits.body_outputs:
            self.body = OpenPoseBody(
                traits.body_outputs, width=width, depth=config.depth_multiplier
            )
            self.body.requires_grad_(requires_grad=not config.options.freeze_body)
        self.fusion = Fusion(
            config.options,
            channels=scaled_channels(APPEARANCE_CHANNELS, width),
            feature_channels=scaled_channels(FEATURE_CHANNELS, width),
        )
        self._is_body_frozen = config.options.freeze_body

    def frame_maps(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        """Return the joined maps of the frames: [b, 96, t, h / 8, w / 8]."""
        appearance_bcthw = None
        if self.appearance is not None:
            appearance_bcthw = run_stage(self, self.appearance, clip_bcthw)
        return self.fusion(appearance_bcthw, self._body_maps(clip_bcthw))

    def _body_maps(self, clip_bcthw: torch.Tensor) -> dict[BodyOutput, torch.Tensor]:
        if self.body is None:
            return {}
        is_trained = torch.is_grad_enabled() and not self._is_body_frozen
        with torch.set_grad_enabled(is_trained):
            maps: dict[BodyOutput, torch.Tensor] = self.body(clip_bcthw, partial(run_stage, self))
        return maps
