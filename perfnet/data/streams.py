"""Pixels of each stream of a sample: decode, resize, colour, draw, mirror, crop.

Every function takes the record of exactly the frames that are needed, the view and crop that all
streams of a sample share, and the array that it fills.
"""

import cv2
import numpy as np
import numpy.typing as npt

from perfnet.data.augment import Crop, PoseMirror, View
from renderers.pose import PoseRenderConfig, render_pose
from schemas.clip_record import ClipRecord
from schemas.pose_sequence import PoseSequence
from schemas.skeleton import SWAP_PAIRS
from video.jpeg import decode_jpeg, decode_rgb_jpeg

UInt8 = npt.NDArray[np.uint8]

_SWAPPED = np.arange(17)
for _left, _right in SWAP_PAIRS:
    _SWAPPED[[_left, _right]] = _right, _left


def load_rgb(record: ClipRecord, view: View, crop: Crop, crops: UInt8) -> None:
    """Fill uint8 [T, height, width, 3]: frames with contrast and brightness applied."""
    mirrored = np.empty_like(crops[0])  # stays in the cache of the processor
    for t, jpeg in enumerate(record.rgb):
        shown = _cut(_resize(decode_rgb_jpeg(jpeg), crop), crop)
        if view.is_mirrored:
            shown = np.asarray(cv2.flip(shown, 1, dst=mirrored), np.uint8)
        if view.is_recolored:
            _recolor(shown, view, crops[t])
        else:
            crops[t] = shown


def load_flow(record: ClipRecord, view: View, crop: Crop, crops: UInt8) -> None:
    """Fill uint8 [T, height, width, 2]: codes of (dx, dy); 0 = -bound, 255 = +bound.

    A mirrored frame moves the other way: dx changes its sign. A resized frame moves by more
    pixels: the displacements grow with it.
    """
    for t, code in enumerate(_flow_codes(record)):
        if crop.scale != 1.0:
            pixels = (_resize(code, crop).astype(np.float32) - 127.5) * crop.scale + 127.5
            code = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)  # noqa: PLW2901
        _put(crops, t, _cut(code, crop), view)
    if view.is_mirrored:
        np.subtract(255, crops[..., 0], out=crops[..., 0])


def load_stored_pose(record: ClipRecord, view: View, crop: Crop, crops: UInt8) -> None:
    """Fill uint8 [T, height, width, 3]: frames as `perfnet-prep` drew them.

    Their colours are left alone: contrast and brightness would shift the colours of the bars.
    """
    for t, jpeg in enumerate(record.pose_overlay):
        _put(crops, t, _cut(_resize(decode_rgb_jpeg(jpeg), crop), crop), view)


def load_rgb_and_pose(
    record: ClipRecord,
    view: View,
    crop: Crop,
    *,
    render: PoseRenderConfig,
    mirror: PoseMirror,
    rgb: UInt8 | None,
    pose: UInt8,
) -> None:
    """Fill two uint8 [T, height, width, 3]: frames, and poses drawn over the same frames.

    With `mirror="swap"` a mirrored person keeps its own colours: the left arm is drawn in
    the left arm's colour, as an estimator that sees the mirrored frame would have it.
    """
    if record.poses is None:
        raise ValueError("record must have poses to draw, got none")
    poses = scale_poses(record.poses, crop.scale)
    if view.is_mirrored and mirror == "swap":
        poses = _swap_sides(poses)  # drawn unmirrored here, mirrored with the frame below
    for t, jpeg in enumerate(record.rgb):
        frame = _resize(decode_rgb_jpeg(jpeg), crop)
        shown = _cut(frame, crop)
        _recolor(shown, view, shown)  # before drawing: the bars keep their colours
        if rgb is not None:
            _put(rgb, t, shown, view)
        used = poses.track_ids[t] >= 0
        drawn = render_pose(
            frame,
            poses.keypoints[t, used],
            poses.scores[t, used],
            poses.boxes[t, used],
            config=render,
        )
        _put(pose, t, _cut(drawn, crop), view)


def _swap_sides(poses: PoseSequence) -> PoseSequence:
    """The people with left and right keypoints exchanged."""
    return PoseSequence(
        keypoints=poses.keypoints[:, :, _SWAPPED],
        scores=poses.scores[:, :, _SWAPPED],
        boxes=poses.boxes,
        box_scores=poses.box_scores,
        track_ids=poses.track_ids,
    )


def scale_poses(poses: PoseSequence, scale: float) -> PoseSequence:
    """Return the people in a frame resized by a factor; pixel centres are integers."""
    if scale == 1.0:
        return poses
    shift = np.float32((scale - 1) / 2)
    return PoseSequence(
        keypoints=poses.keypoints * np.float32(scale) + shift,
        scores=poses.scores,
        boxes=poses.boxes * np.float32(scale) + shift,
        box_scores=poses.box_scores,
        track_ids=poses.track_ids,
    )


def _flow_codes(record: ClipRecord) -> list[UInt8]:
    """uint8 [H, W, 2] of each frame, from one 3-channel image or two grey ones."""
    if record.flow:
        return [np.ascontiguousarray(decode_jpeg(jpeg)[..., :2]) for jpeg in record.flow]
    pairs = zip(record.flow_x, record.flow_y, strict=True)
    return [np.dstack((decode_jpeg(dx), decode_jpeg(dy))) for dx, dy in pairs]


def _resize(image: UInt8, crop: Crop) -> UInt8:
    if crop.scale == 1.0:
        return image
    height, width = image.shape[:2]
    size = (round(width * crop.scale), round(height * crop.scale))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _cut(image: UInt8, crop: Crop) -> UInt8:
    """The crop: a window into the image, not a copy."""
    return image[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]


def _put(crops: UInt8, t: int, image: UInt8, view: View) -> None:
    """Store frame t, mirrored if the sample is."""
    if view.is_mirrored:
        cv2.flip(image, 1, dst=crops[t])
    else:
        crops[t] = image


def _recolor(pixels: UInt8, view: View, result: UInt8) -> None:
    """Change grey levels: contrast about mid-grey, then brightness."""
    if view.is_recolored:
        offset = 127.5 * (1 - view.contrast) + view.brightness
        cv2.addWeighted(pixels, view.contrast, pixels, 0.0, offset, dst=result)
