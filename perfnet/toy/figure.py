"""The joints of a figure that faces the camera, by forward kinematics.

Lengths are in heights of the figure, x to the right and y down in the image, the middle of the
hips at rest at (0, 0). The figure's left is the image's right.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from schemas.skeleton import KEYPOINT_NAMES, NUM_KEYPOINTS

Motion = Literal[
    "left_arm_raise", "right_arm_raise", "left_arm_lower", "right_arm_lower",
    "squat", "jump", "left_kick", "right_kick",
]  # fmt: skip

MOTIONS: tuple[Motion, ...] = get_args(Motion)

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_SIDES = {"left": 1.0, "right": -1.0}
_UPPER_ARM, _LOWER_ARM, _LEG = 0.16, 0.15, 0.24
_SHOULDER, _HIP, _FOOT = (0.11, -0.30), (0.07, 0.0), (0.09, 0.475)
_FACE = {"nose": (0.0, -0.42), "eye": (0.03, -0.45), "ear": (0.06, -0.43)}
_RAISED = 2.6
_CROUCH, _LEAP, _KICK = 0.2, 0.16, 1.3


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """One figure and how it moves."""

    height_px: float
    x_px: float
    """Place of the middle of the hips at rest."""
    y_px: float
    rest: float = 0.2
    """Angle of a hanging arm from straight down, radians."""
    bend: float = 0.2
    """Bend of the elbows, radians."""
    strength: float = 1.0
    """Extent of the motion: 1 = the full one."""


def place_joints(motion: Motion, progress: Float64, body: Body) -> Float32:
    """Return where the joints are while a motion goes on.

    Args:
        motion: What the figure does.
        progress: float64 [T], 0 before the motion and 1 after it. Arms stay where they end;
            squat, jump and kicks end where they began.
        body: The figure.

    Returns:
        float32 [T, 17, 2], (x, y) in pixels, in the order of COCO.
    """
    there = progress * progress * (3 - 2 * progress)  # 0 to 1
    and_back = np.sin(np.pi * progress) ** 2  # 0 to 1 to 0
    joints = np.zeros((len(progress), NUM_KEYPOINTS, 2))
    down = body.strength * and_back * {"squat": _CROUCH, "jump": -_LEAP}.get(motion, 0.0)
    for side, sign in _SIDES.items():
        _place_arm(joints, side, _arm_angle(motion, side, there, and_back, body), body.bend)
        if motion == f"{side}_kick":
            _place_kicking_leg(joints, side, 0.1 + _KICK * body.strength * and_back)
        else:
            _place_standing_leg(joints, side, down, rise=np.minimum(down, 0))
        for part in ("eye", "ear"):
            x, y = _FACE[part]
            joints[:, _index(f"{side}_{part}")] = (sign * x, y)
    joints[:, _index("nose")] = _FACE["nose"]
    upper = [i for i, name in enumerate(KEYPOINT_NAMES) if not name.endswith(("knee", "ankle"))]
    joints[:, upper, 1] += down[:, None]
    pixels = joints * body.height_px + (body.x_px, body.y_px)
    return pixels.astype(np.float32)


def _arm_angle(motion: Motion, side: str, there: Float64, and_back: Float64, body: Body) -> Float64:
    """[T] angle of an arm from straight down, outwards."""
    lift = body.strength * (_RAISED - body.rest)
    if motion == f"{side}_arm_raise":
        return body.rest + lift * there
    if motion == f"{side}_arm_lower":
        return body.rest + lift * (1 - there)
    swing = 0.5 if motion in ("squat", "jump") else 0.0
    return body.rest + body.strength * swing * and_back


def _place_arm(joints: Float64, side: str, angle: Float64, bend: float) -> None:
    shoulder = np.array([_SIDES[side] * _SHOULDER[0], _SHOULDER[1]])
    elbow = shoulder + _UPPER_ARM * _direction(angle, side)
    joints[:, _index(f"{side}_shoulder")] = shoulder
    joints[:, _index(f"{side}_elbow")] = elbow
    joints[:, _index(f"{side}_wrist")] = elbow + _LOWER_ARM * _direction(angle + bend, side)


def _place_kicking_leg(joints: Float64, side: str, angle: Float64) -> None:
    hip = np.array([_SIDES[side] * _HIP[0], _HIP[1]])
    knee = hip + _LEG * _direction(angle, side)
    joints[:, _index(f"{side}_hip")] = hip
    joints[:, _index(f"{side}_knee")] = knee
    joints[:, _index(f"{side}_ankle")] = knee + _LEG * _direction(angle * 0.8, side)


def _place_standing_leg(joints: Float64, side: str, down: Float64, *, rise: Float64) -> None:
    """The foot stays on the ground, or leaves it with a jump; the knee bends outwards."""
    sign = _SIDES[side]
    hip = np.array([sign * _HIP[0], _HIP[1]])
    foot = np.stack([np.full_like(rise, sign * _FOOT[0]), _FOOT[1] + rise], axis=-1)
    hip_now = np.stack([np.full_like(down, hip[0]), hip[1] + down], axis=-1)
    across = foot - hip_now
    length = np.linalg.norm(across, axis=-1, keepdims=True)
    outward = np.stack([across[:, 1], -across[:, 0]], axis=-1) / length * sign
    reach = np.sqrt(np.maximum(_LEG**2 - (length / 2) ** 2, 0))
    joints[:, _index(f"{side}_hip")] = hip  # lowered with the upper body
    joints[:, _index(f"{side}_knee")] = (hip_now + foot) / 2 + outward * reach
    joints[:, _index(f"{side}_ankle")] = foot


def _direction(angle: Float64, side: str) -> Float64:
    """[T, 2] of an angle [T] from straight down, outwards."""
    return np.stack([_SIDES[side] * np.sin(angle), np.cos(angle)], axis=-1)


def _index(name: str) -> int:
    return KEYPOINT_NAMES.index(name)
