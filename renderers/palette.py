"""Which keypoints make a bar or a dot, and the colour of each, for 6 or 13 colours.

PERF-Net (Li et al. 2020) renders with 6 coarse colours (arms, legs, body, head) or 13 fine ones.
Which limbs make up the 13 is our reading: 12 limbs of the COCO-17 skeleton plus the head for bars,
12 body joints plus one group of face keypoints for dots. Left and right are the person's own.
"""

from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.skeleton import KEYPOINT_NAMES

Marker = Literal["bar", "dot"]
"""Bars between joints or dots on them."""

NumColors = Literal[6, 13]
"""Coarse (6) or fine-grained (13) colours."""

HEAD_KEYPOINTS = (0, 1, 2, 3, 4)
"""Nose, eyes and ears: the head of a bar figure is the mean of those detected."""

COARSE_COLORS = {
    "left_arm": (255, 0, 0),
    "right_arm": (0, 64, 255),
    "body": (255, 255, 0),
    "head": (0, 255, 255),
    "left_leg": (255, 0, 255),
    "right_leg": (0, 200, 0),
}
"""RGB of the 6 coarse parts; warm on the person's left, cool on the right."""

BAR_COLORS = {
    "left_torso": (130, 60, 0),
    "right_torso": (0, 100, 100),
    "hips": (120, 0, 120),
    "shoulders": (255, 255, 0),
    "head": (0, 255, 255),
    "left_upper_leg": (255, 0, 255),
    "right_upper_leg": (0, 130, 0),
    "left_lower_leg": (255, 170, 200),
    "right_lower_leg": (60, 255, 60),
    "left_upper_arm": (255, 0, 0),
    "right_upper_arm": (0, 0, 255),
    "left_lower_arm": (255, 140, 0),
    "right_lower_arm": (40, 160, 255),
}
"""RGB of the 13 bars in drawing order: body first, arms last; warm left, cool right."""

BAR_ENDS = {
    "left_torso": ("left_shoulder", "left_hip"),
    "right_torso": ("right_shoulder", "right_hip"),
    "hips": ("left_hip", "right_hip"),
    "shoulders": ("left_shoulder", "right_shoulder"),
    "head": ("neck", "head"),
    "left_upper_leg": ("left_hip", "left_knee"),
    "right_upper_leg": ("right_hip", "right_knee"),
    "left_lower_leg": ("left_knee", "left_ankle"),
    "right_lower_leg": ("right_knee", "right_ankle"),
    "left_upper_arm": ("left_shoulder", "left_elbow"),
    "right_upper_arm": ("right_shoulder", "right_elbow"),
    "left_lower_arm": ("left_elbow", "left_wrist"),
    "right_lower_arm": ("right_elbow", "right_wrist"),
}
"""The two joints of each bar: COCO keypoints, "neck" (mean of both shoulders) and "head"."""

JOINT_NAMES = (*KEYPOINT_NAMES, "neck", "head")
"""The 17 keypoints followed by the two joints derived from them."""

DOT_COLORS = {
    "head": BAR_COLORS["head"],
    "left_hip": BAR_COLORS["left_torso"],
    "right_hip": BAR_COLORS["right_torso"],
    "left_shoulder": BAR_COLORS["shoulders"],
    "right_shoulder": BAR_COLORS["hips"],
    "left_knee": BAR_COLORS["left_upper_leg"],
    "right_knee": BAR_COLORS["right_upper_leg"],
    "left_ankle": BAR_COLORS["left_lower_leg"],
    "right_ankle": BAR_COLORS["right_lower_leg"],
    "left_elbow": BAR_COLORS["left_upper_arm"],
    "right_elbow": BAR_COLORS["right_upper_arm"],
    "left_wrist": BAR_COLORS["left_lower_arm"],
    "right_wrist": BAR_COLORS["right_lower_arm"],
}
"""RGB of the 13 groups of dots in drawing order; the same 13 colours as the bars."""


class Strokes(NamedTuple):
    """The strokes of one person in drawing order; a dot is a bar whose ends coincide."""

    joints: npt.NDArray[np.int64]
    """int64 [N, 2], indices into JOINT_NAMES."""
    colors: npt.NDArray[np.uint8]
    """uint8 [N, 3], RGB."""


def part_of(name: str) -> str:
    """Return the coarse part that a bar or a keypoint belongs to.

    Args:
        name: A key of BAR_COLORS or a COCO keypoint name.

    Returns:
        A key of COARSE_COLORS; shoulders and hips belong to the body.
    """
    side = name.partition("_")[0]
    if name.endswith(("arm", "elbow", "wrist")):
        return f"{side}_arm"
    if name.endswith(("leg", "knee", "ankle")):
        return f"{side}_leg"
    return "head" if name.endswith(("head", "nose", "eye", "ear")) else "body"


@cache
def strokes_of(marker: Marker, num_colors: NumColors) -> Strokes:
    """Return what to draw for one person.

    Args:
        marker: "bar" gives the 13 bars, "dot" the 17 keypoints.
        num_colors: 6 colours the coarse parts, 13 each bar or group of dots.

    Returns:
        Strokes with N = 13 bars or 17 dots, read-only.
    """
    bars = [(name, BAR_ENDS[name]) for name in BAR_COLORS]
    dots = [(name, (name, name)) for group in DOT_COLORS for name in _keypoints_of(group)]
    strokes = bars if marker == "bar" else dots
    fine = BAR_COLORS if marker == "bar" else DOT_COLORS
    colors = [
        COARSE_COLORS[part_of(name)] if num_colors == 6 else fine.get(name, fine["head"])
        for name, _ in strokes
    ]
    joints = [[JOINT_NAMES.index(end) for end in ends] for _, ends in strokes]
    table = Strokes(joints=np.array(joints, np.int64), colors=np.array(colors, np.uint8))
    for array in table:
        array.flags.writeable = False  # every caller gets the same arrays
    return table


def _keypoints_of(group: str) -> tuple[str, ...]:
    """Return the COCO keypoints of a group of dots."""
    face = tuple(KEYPOINT_NAMES[index] for index in HEAD_KEYPOINTS)
    return face if group == "head" else (group,)
