"""The three streams that a network can look at."""

from typing import Literal

Modality = Literal["rgb", "flow", "pose"]
"""Frames, optical flow, or frames with poses drawn on them."""


def channels_of(modality: Modality) -> int:
    """Return the input channels of a network that looks at a stream."""
    return 2 if modality == "flow" else 3
