"""One generated clip: frames, exact flow and poses of a figure before a moving camera."""

from dataclasses import dataclass
from hashlib import blake2b

import cv2
import numpy as np
import numpy.typing as npt

from perfnet.toy.config import CONTEXT_COLORS, ToyClass, ToyConfig, toy_classes
from perfnet.toy.figure import Body, place_joints
from perfnet.toy.stroke_flow import flow_between
from renderers.palette import strokes_of
from renderers.strokes import draw_strokes
from schemas.pose_sequence import PoseSequence, empty_pose_sequence

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]

_USUAL_SIZE = 36.0  # px; all lengths below are for frames of this size
_LIMB_RADIUS, _HEAD_RADIUS, _TRUNK_RADIUS = 1.1, 2.2, 2.0
_OBJECT_RADIUS = 2.6
_TEXTURE_CELL = 5.0
_DISTRACTOR_COLORS = ((225, 200, 70), (160, 90, 180), (230, 230, 230), (90, 200, 200))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ToyClip:
    """The streams of one clip."""

    frames: UInt8
    """uint8 [T, H, W, 3], RGB."""
    flow: Float32
    """float32 [T, H, W, 2], (dx, dy) in pixels from frame t to t + 1; the last repeats its
    predecessor."""
    poses: PoseSequence
    joints: Float32
    """float32 [T, 17, 2], (x, y) in pixels; also where the poses are missing."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Strokes:
    """Everything that is drawn over the background, the last on top."""

    ends: Float32
    """float32 [T, N, 2, 2], (x, y) in pixels."""
    radii: Float32
    """float32 [N], pixels."""
    colors: UInt8
    """uint8 [N, 3], RGB."""


def toy_rng(seed: int, clip_id: str) -> np.random.Generator:
    """Return the random numbers of one clip."""
    digest = blake2b(f"toy/{seed}/{clip_id}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))


def make_clip(config: ToyConfig, clip_id: str, label_index: int) -> ToyClip:
    """Return the clip of an id; the same for the same configuration, whoever asks.

    Args:
        config: The world.
        clip_id: Seeds everything that is random in the clip.
        label_index: Class of the clip, in the order of `toy_classes`.
    """
    rng = toy_rng(config.seed, clip_id)
    toy_class = toy_classes(config.num_classes)[label_index]
    num_frames, size = config.num_frames, config.size_px
    pan = rng.uniform(-1, 1, 2) * config.max_pan_px
    shift = (np.arange(num_frames) - (num_frames - 1) / 2)[:, None] * pan  # [T, 2]
    joints = _draw_joints(config, toy_class, rng)
    groups = [
        _distractors(config, rng),
        _context_object(config, toy_class, rng),
        _figure(joints, size / _USUAL_SIZE, rng),
    ]
    strokes = _Strokes(
        ends=np.concatenate([g.ends for g in groups], 1) + shift[:, None, None].astype(np.float32),
        radii=np.concatenate([group.radii for group in groups]),
        colors=np.concatenate([group.colors for group in groups]),
    )
    joints += shift[:, None].astype(np.float32)
    frames = _draw_frames(config, strokes, shift, rng)
    flow = _exact_flow(strokes, pan, size)
    flow += rng.normal(0, config.flow_noise_px, flow.shape)
    is_missing = rng.uniform() < config.missing_pose
    return ToyClip(
        frames=frames,
        flow=flow,
        poses=_poses(joints, is_missing=is_missing, rng=rng),
        joints=joints,
    )


def _draw_joints(config: ToyConfig, toy_class: ToyClass, rng: np.random.Generator) -> Float32:
    """[T, 17, 2]: a figure of random size, place, speed and posture, seen by a still camera."""
    size, num_frames = config.size_px, config.num_frames
    body = Body(
        height_px=size * rng.uniform(0.66, 0.8),
        x_px=size * rng.uniform(0.42, 0.58) - 0.5,
        y_px=size * rng.uniform(0.5, 0.56) - 0.5,
        rest=rng.uniform(0.1, 0.45),
        bend=rng.uniform(-0.1, 0.4),
        strength=rng.uniform(0.8, 1.1),
    )
    start, duration = num_frames * rng.uniform(-0.05, 0.1), num_frames * rng.uniform(0.6, 0.8)
    progress = np.clip((np.arange(num_frames) - start) / duration, 0, 1)
    return place_joints(toy_class.motion, progress, body)


def _figure(joints: Float32, scale: float, rng: np.random.Generator) -> _Strokes:
    """Limbs of one colour, left as right; dark or bright."""
    limbs = strokes_of("bar", 13).joints
    neck = joints[:, 5:7].mean(axis=1, keepdims=True)
    nose = joints[:, :1]
    hips = joints[:, 11:13].mean(axis=1, keepdims=True)
    all_joints = np.concatenate([joints, neck, nose], axis=1)
    trunk = np.stack([neck, hips], axis=2)
    head = np.stack([nose, nose], axis=2)
    ends = np.concatenate([trunk, all_joints[:, limbs], head], axis=1)
    grey = rng.uniform(15, 55) if rng.uniform() < 0.5 else rng.uniform(200, 240)
    cloth, skin = grey + rng.uniform(-15, 15, (2, 3))
    radii = [_TRUNK_RADIUS, *[_LIMB_RADIUS] * len(limbs), _HEAD_RADIUS]
    return _Strokes(
        ends=ends.astype(np.float32),
        radii=np.array(radii, np.float32) * np.float32(scale * rng.uniform(0.9, 1.15)),
        colors=np.array([cloth] * (len(limbs) + 1) + [skin]).astype(np.uint8),
    )


def _context_object(config: ToyConfig, toy_class: ToyClass, rng: np.random.Generator) -> _Strokes:
    """A still disc beside the figure; where it is no part of the label, its colour is random."""
    scale = config.size_px / _USUAL_SIZE
    names = sorted({each.context for each in toy_classes(config.num_classes) if each.context})
    any_color = names[int(rng.integers(len(names)))]
    x = rng.uniform(6, 9)
    place = np.array([x if rng.uniform() < 0.5 else 35 - x, rng.uniform(7, 28)]) * scale
    ends = np.broadcast_to(place.astype(np.float32), (config.num_frames, 1, 2, 2))
    color = CONTEXT_COLORS[toy_class.context or any_color]
    return _Strokes(
        ends=ends,
        radii=np.array([_OBJECT_RADIUS * scale], np.float32),
        colors=np.array([color], np.uint8),
    )


def _distractors(config: ToyConfig, rng: np.random.Generator) -> _Strokes:
    """Short bars that glide behind the figure, each at a speed of its own."""
    most = config.max_distractors
    number = int(rng.integers(max(0, most - 1), most + 1))
    scale, times = config.size_px / _USUAL_SIZE, np.arange(config.num_frames)
    place = rng.uniform(0, config.size_px, (number, 1, 2))
    half = rng.normal(0, 2.0 * scale, (number, 1, 2))
    speed = rng.uniform(-1.5, 1.5, (number, 1, 2)) * scale
    ends = np.concatenate([place - half, place + half], axis=1)  # [N, 2, 2] in mid-clip
    moved = ends + (times - times.mean())[:, None, None, None] * speed
    colors = rng.integers(len(_DISTRACTOR_COLORS), size=number)
    return _Strokes(
        ends=moved.astype(np.float32),
        radii=(rng.uniform(0.9, 1.6, number) * scale).astype(np.float32),
        colors=np.array(_DISTRACTOR_COLORS, np.uint8)[colors],
    )


def _draw_frames(
    config: ToyConfig, strokes: _Strokes, shift: npt.NDArray[np.float64], rng: np.random.Generator
) -> UInt8:
    """Strokes over a texture that the camera passes, and noise."""
    size = config.size_px
    texture, margin = _texture(config, rng)
    frames = np.empty((config.num_frames, size, size, 3), np.uint8)
    noise = rng.normal(0, config.pixel_noise, frames.shape).astype(np.float32)
    for t, (dx, dy) in enumerate(shift):
        move = np.array([[1, 0, dx - margin], [0, 1, dy - margin]])
        background = cv2.warpAffine(texture, move, (size, size), flags=cv2.INTER_LINEAR)
        clean = draw_strokes(
            np.asarray(background, np.uint8), strokes.ends[t], strokes.radii, strokes.colors
        )
        frames[t] = np.clip(np.rint(clean + noise[t]), 0, 255)
    return frames


def _texture(config: ToyConfig, rng: np.random.Generator) -> tuple[UInt8, int]:
    """uint8 [size + 2 margin, size + 2 margin, 3] of soft spots, and the margin in pixels."""
    margin = int(np.ceil(config.max_pan_px * config.num_frames / 2)) + 1
    side = config.size_px + 2 * margin
    cells = int(np.ceil(side * _USUAL_SIZE / config.size_px / _TEXTURE_CELL))
    grey = rng.uniform(90, 160, (cells, cells, 1)) + rng.uniform(-12, 12, (cells, cells, 3))
    spots = cv2.resize(grey.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    return np.rint(spots).astype(np.uint8), margin


def _exact_flow(strokes: _Strokes, pan: npt.NDArray[np.float64], size: int) -> Float32:
    """[T, H, W, 2] of the topmost stroke at each pixel, elsewhere of the camera."""
    num_frames = len(strokes.ends)
    flow = np.empty((num_frames, size, size, 2), np.float32)
    for t in range(num_frames - 1):
        flow[t] = flow_between(
            strokes.ends[t], strokes.ends[t + 1], strokes.radii, pan.astype(np.float32), size
        )
    flow[-1] = flow[-2]
    return flow


def _poses(joints: Float32, *, is_missing: bool, rng: np.random.Generator) -> PoseSequence:
    """One person with all joints, or nobody in any frame."""
    num_frames = len(joints)
    poses = empty_pose_sequence(num_frames, 1)
    scores = rng.uniform(0.6, 1.0, joints.shape[:2])
    if is_missing:
        return poses
    low, high = joints.min(axis=1), joints.max(axis=1)
    margin = (high[:, 1:] - low[:, 1:]) * np.float32(0.06)
    poses.keypoints[:, 0] = joints
    poses.scores[:, 0] = scores
    poses.boxes[:, 0] = np.concatenate([low - margin, high + margin], axis=1)
    poses.box_scores[:, 0] = 0.9
    poses.track_ids[:, 0] = 0
    return poses
