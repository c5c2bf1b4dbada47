"""Draw the people of a frame as coloured bars or dots: every variant of PERF-Net Table 2."""

import sys
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from renderers.palette import HEAD_KEYPOINTS, Marker, NumColors, strokes_of
from renderers.strokes import draw_strokes
from schemas.checks import check_array
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence
from schemas.skeleton import KEYPOINT_NAMES, NUM_KEYPOINTS

Background = Literal["rgb", "black"]
"""Draw over the frame, or over black."""

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

_SHOULDERS = (KEYPOINT_NAMES.index("left_shoulder"), KEYPOINT_NAMES.index("right_shoulder"))
_DOT_RADIUS = 0.75  # in thicknesses of a bar


@dataclass(frozen=True, kw_only=True, slots=True)
class PoseRenderConfig:
    """How people are drawn. The default is PERF-Net's best: fine, ratio-aware bars on RGB.

    The paper gives no sizes: the numbers here are our reading of its figures.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    background: Background = "rgb"
    """What the people are drawn on: the frame ("rgb") or black."""
    marker: Marker = "bar"
    """Bars along limbs, or dots on the keypoints."""
    colors: NumColors = 13
    """6 coarse parts (arms, legs, body, head), or 13 limbs (bars) or joints (dots)."""
    ratio_aware: bool = True
    """Thickness follows the size of each person's box; otherwise thickness_px for everyone."""
    thickness_ratio: float = 0.05
    """Ratio-aware thickness of a bar as a fraction of sqrt(box area), 0 to 1."""
    min_thickness_px: float = 2.0
    """A ratio-aware bar is never thinner, in pixels."""
    max_thickness_px: float = 24.0
    """A ratio-aware bar is never thicker, in pixels."""
    thickness_px: float = 6.0
    """Thickness of a uniform bar in pixels. Dots are 1.5 times as wide as bars are thick."""
    min_score: float = 0.3
    """Keypoints under this score are not drawn; over 0, as score 0 means not detected."""

    def __post_init__(self) -> None:
        _check_choice("background", self.background, get_args(Background))
        _check_choice("marker", self.marker, get_args(Marker))
        _check_choice("colors", self.colors, get_args(NumColors))
        _check_rule("thickness_ratio", self.thickness_ratio, "in (0, 1]", low=0, high=1)
        _check_rule("min_score", self.min_score, "in (0, 1]", low=0, high=1)
        _check_rule("min_thickness_px", self.min_thickness_px, "> 0 and finite", low=0)
        _check_rule("thickness_px", self.thickness_px, "> 0 and finite", low=0)
        _check_rule("max_thickness_px", self.max_thickness_px, "> 0 and finite", low=0)
        if self.max_thickness_px < self.min_thickness_px:
            raise ConfigError(
                f"max_thickness_px must be >= min_thickness_px ({self.min_thickness_px}), "
                f"got {self.max_thickness_px}"
            )


def render_pose(
    frame: UInt8,
    keypoints: Float32,
    scores: Float32,
    boxes: Float32,
    *,
    config: PoseRenderConfig,
) -> UInt8:
    """Return the frame with every person drawn over it.

    A keypoint is drawn if its score reaches `config.min_score` and it is finite and inside the
    frame; a bar needs both its ends, the head bar both shoulders and one keypoint of the face.
    People are drawn from the smallest box to the largest, so that nearer people end up on top,
    equal boxes in slot order; within a person body, head, legs and arms follow each other.

    Args:
        frame: uint8 [H, W, 3], RGB. Not modified.
        keypoints: float32 [P, 17, 2], (x, y) in pixels; pixel centres are integers.
        scores: float32 [P, 17], 0 to 1.
        boxes: float32 [P, 4], (x0, y0, x1, y1) in pixels. An empty box draws nothing.
        config: The variant.

    Returns:
        uint8 [H, W, 3], RGB; the same bytes for the same input.

    Raises:
        TypeError: If an argument is not an array.
        ValueError: If an argument has another dtype or shape than stated.

    References:
        Li et al. 2020, "PERF-Net: Pose Empowered RGB-Flow Net", section on pose rendering, Table 2.
    """
    check_array("frame", frame, dtype=np.uint8, axes="H W C", C=3)
    check_array("keypoints", keypoints, dtype=np.float32, axes="P K C", K=NUM_KEYPOINTS, C=2)
    num_people = len(keypoints)
    check_array("scores", scores, dtype=np.float32, axes="P K", P=num_people, K=NUM_KEYPOINTS)
    check_array("boxes", boxes, dtype=np.float32, axes="P C", P=num_people, C=4)
    drawn = _is_drawn(keypoints, scores, frame.shape[:2], config.min_score)
    joints, drawn = _add_derived_joints(keypoints, drawn)
    sizes_px = _box_sizes_px(boxes)
    people = np.argsort(sizes_px, kind="stable")
    people = people[sizes_px[people] > 0]

    strokes = strokes_of(config.marker, config.colors)
    segments = joints[people][:, strokes.joints]  # [people, strokes, 2 ends, 2]
    shown = drawn[people][:, strokes.joints].all(axis=-1)  # [people, strokes]
    radii = np.broadcast_to(_radii_px(sizes_px[people], config)[:, None], shown.shape)
    colors = np.broadcast_to(strokes.colors, (*shown.shape, 3))
    canvas = frame if config.background == "rgb" else np.zeros_like(frame)
    return draw_strokes(canvas, segments[shown], radii[shown], colors[shown])


def render_pose_clip(frames: UInt8, poses: PoseSequence, *, config: PoseRenderConfig) -> UInt8:
    """Return the frames with every person drawn over them; see `render_pose`.

    Args:
        frames: uint8 [T, H, W, 3], RGB. Not modified.
        poses: People in the same T frames; empty slots (track id -1) draw nothing.
        config: The variant.

    Returns:
        uint8 [T, H, W, 3], RGB.

    Raises:
        TypeError: If frames is not an array.
        ValueError: If frames has another dtype or shape than stated, or another T than poses.
    """
    check_array("frames", frames, dtype=np.uint8, axes="T H W C", T=poses.num_frames, C=3)
    boxes = np.where(poses.track_ids[..., None] >= 0, poses.boxes, np.float32(0))
    rendered = np.empty_like(frames)
    for t, frame in enumerate(frames):
        rendered[t] = render_pose(
            frame, poses.keypoints[t], poses.scores[t], boxes[t], config=config
        )
    return rendered


def _is_drawn(
    keypoints: Float32, scores: Float32, size: tuple[int, ...], min_score: float
) -> npt.NDArray[np.bool_]:
    """Return bool [P, 17]: score reached, finite, inside the area that the pixels cover."""
    height, width = size
    x, y = keypoints[..., 0], keypoints[..., 1]
    # Comparisons with NaN are False; pixels reach half a pixel beyond their centres.
    inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    drawn: npt.NDArray[np.bool_] = inside & (scores >= np.float32(min_score))
    return drawn


def _add_derived_joints(
    keypoints: Float32, drawn: npt.NDArray[np.bool_]
) -> tuple[Float32, npt.NDArray[np.bool_]]:
    """Append neck and head: [P, 17, 2] and [P, 17] become [P, 19, 2] and [P, 19]."""
    known = np.where(drawn[..., None], keypoints, np.float32(0))
    neck = known[:, _SHOULDERS].mean(axis=1, keepdims=True)
    has_neck = drawn[:, _SHOULDERS].all(axis=1, keepdims=True)
    faces = drawn[:, HEAD_KEYPOINTS].sum(axis=1, keepdims=True)
    head = known[:, HEAD_KEYPOINTS].sum(axis=1, keepdims=True) / np.maximum(faces, 1)[..., None]
    joints = np.concatenate([known, neck, head.astype(np.float32)], axis=1)
    return joints, np.concatenate([drawn, has_neck, faces > 0], axis=1)


def _box_sizes_px(boxes: Float32) -> Float32:
    """Return float32 [P]: sqrt(box area) in pixels; 0 where a box is empty or not finite."""
    known = np.where(np.isfinite(boxes).all(axis=1, keepdims=True), boxes, np.float32(0))
    sides = np.maximum(known[:, 2:] - known[:, :2], 0)
    sizes_px: Float32 = np.sqrt(sides[:, 0] * sides[:, 1]).astype(np.float32)
    return sizes_px


def _radii_px(sizes_px: Float32, config: PoseRenderConfig) -> Float32:
    """Return float32 [P]: the stroke radius of each person, in pixels."""
    thickness = np.full_like(sizes_px, config.thickness_px)
    if config.ratio_aware:
        thickness = np.clip(
            sizes_px * np.float32(config.thickness_ratio),
            np.float32(config.min_thickness_px),
            np.float32(config.max_thickness_px),
        )
    radii: Float32 = thickness * np.float32(_DOT_RADIUS if config.marker == "dot" else 0.5)
    return radii


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise ConfigError unless the value is one of the choices."""
    if value not in choices:
        wanted = ", ".join(repr(choice) for choice in choices)
        raise ConfigError(f"{name} must be one of {wanted}, got {value!r}")


def _check_rule(
    name: str, value: float, rule: str, *, low: float, high: float = sys.float_info.max
) -> None:
    """Raise ConfigError unless low < value <= high."""
    if not low < value <= high:
        raise ConfigError(f"{name} must be {rule}, got {value}")
