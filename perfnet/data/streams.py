"""Pixels of each stream of a sample: decode, resize, draw, mirror, crop.

Every function takes the record of exactly the frames that are needed, the view and crop that all
streams of a sample share, and the array that it fills.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from perfnet.data.augment import Crop, PoseMirror, View
from renderers.pose import PoseRenderConfig, render_pose
from schemas.clip_record import ClipRecord
from schemas.pose_sequence import PoseSequence
from schemas.skeleton import SWAP_PAIRS
from video.jpeg import decode_gray_jpeg, decode_rgb_jpeg

UInt8 = npt.NDArray[np.uint8]

_SWAPPED = np.arange(17)
for _left, _right in SWAP_PAIRS:
    _SWAPPED[[_left, _right]] = _right, _left


def load_rgb(record: ClipRecord, view: View, crop: Crop, crops: UInt8) -> None:
    """Fill uint8 [T, height, width, 3]: frames in the colours in which they are stored."""
    for t, jpeg in enumerate(record.rgb):
        _put(crops, t, _cut(_resize(decode_rgb_jpeg(jpeg), crop), crop), view)


def load_flow(record: ClipRecord, view: View, crop: Crop, crops: UInt8) -> None:
    """Fill uint8 [T, height, width, 2]: codes of (dx, dy); 0 = -bound, 255 = +bound.

    A mirrored frame moves the other way: dx changes its sign. A resized frame moves by more
    pixels: the displacements grow with it.
    """
    codes = np.empty_like(crops[0])  # stays in the cache of the processor
    for t, images in enumerate(_flow_images(record)):
        shown = [_cut(_resize(image, crop), crop) for image in images]
        cv2.mixChannels(shown, [codes], [0, 0, 1, 1])
        if crop.scale != 1.0:
            pixels = (codes.astype(np.float32) - 127.5) * crop.scale + 127.5
            codes[:] = np.clip(np.rint(pixels), 0, 255)
        if view.is_mirrored:
            codes.view("<u2")[:] ^= 0x00FF  # dx, the low byte: 255 - code
        _put(crops, t, codes, view)


def load_pa(record: ClipRecord, view: View, crop: Crop, crops: UInt8) -> None:
    """Fill uint8 [T, height, width, 1]: codes of persistence of appearance; 0 = no change.

    It has no direction: a mirrored frame keeps its values, and so does a resized one.
    """
    for t, jpeg in enumerate(record.pa):
        _put(crops[..., 0], t, _cut(_resize(decode_gray_jpeg(jpeg), crop), crop), view)


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
        if rgb is not None:
            _put(rgb, t, shown, view)
        _recolor(shown, view)  # before drawing: the bars keep their colours
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


def _flow_images(record: ClipRecord) -> Iterator[tuple[UInt8, ...]]:
    """The images of each frame: channels 0 and 1 of all its channels in a row are dx and dy."""
    if record.flow:
        for jpeg in record.flow:
            yield (decode_rgb_jpeg(jpeg),)
    else:
        for dx, dy in zip(record.flow_x, record.flow_y, strict=True):
            yield decode_gray_jpeg(dx), decode_gray_jpeg(dy)


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
    # Not mirrored into its place: plain copies fill memory that is not in the cache the fastest.
    crops[t] = cv2.flip(image, 1) if view.is_mirrored else image


def _recolor(pixels: UInt8, view: View) -> None:
    """Change grey levels in place: contrast about mid-grey, then brightness."""
    if view.is_recolored:
        cv2.addWeighted(pixels, view.contrast, pixels, 0.0, view.color_offset, dst=pixels)
