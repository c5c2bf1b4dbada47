"""The streams that a network can look at."""

from typing import Literal

Modality = Literal["rgb", "flow", "pose", "pa"]
"""Frames, optical flow, frames with poses drawn on them, or persistence of appearance."""

_CHANNELS: dict[Modality, int] = {"rgb": 3, "flow": 2, "pose": 3, "pa": 1}


def channels_of(modality: Modality) -> int:
    """Return the input channels of a network that looks at a stream."""
    return _CHANNELS[modality]
