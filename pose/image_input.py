"""Frames as inputs of models: letterboxed whole, or one person cut out; and the way back."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pose.model_spec import ModelSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where a frame lies in a letterboxed input: input = frame * scale + (left, top)."""

    scale: float
    """Input pixels per frame pixel."""
    left: int
    """Input pixels left of the frame."""
    top: int
    """Input pixels above the frame."""

    def to_frame(self, points: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return float32 [..., 2] in pixels of the frame, from (x, y) in pixels of the input."""
        moved: npt.NDArray[np.float32] = (
            points - np.array([self.left, self.top], np.float32)
        ) / np.float32(self.scale)
        return moved


def letterbox(
    frame: npt.NDArray[np.uint8], spec: ModelSpec
) -> tuple[npt.NDArray[np.float32], Placement]:
    """Fit a frame into the input of a model without changing its aspect.

    Args:
        frame: uint8 [H, W, 3] RGB. Not modified.
        spec: Size, colours, and where the frame lies.

    Returns:
        float32 [1, 3, h, w], and how to find the frame in it.
    """
    height, width = frame.shape[:2]
    scale = min(spec.input_height / height, spec.input_width / width)
    inner = max(int(width * scale), 1), max(int(height * scale), 1)
    is_centred = spec.letterbox == "centre"
    left = (spec.input_width - inner[0]) // 2 if is_centred else 0
    top = (spec.input_height - inner[1]) // 2 if is_centred else 0
    padded = np.full((spec.input_height, spec.input_width, 3), spec.pad_value, np.uint8)
    padded[top : top + inner[1], left : left + inner[0]] = cv2.resize(frame, inner)
    return _normalized(padded, spec)[None], Placement(scale=scale, left=left, top=top)


def crop_matrix(box: npt.NDArray[np.float32], spec: ModelSpec) -> npt.NDArray[np.float64]:
    """Return float64 [2, 3]: the affine map from the frame to the crop of one person.

    The box grows about its centre to the aspect of the input, then by `box_scale`. It is the
    plain map of mmpose 0 and PaddleDetection: the centre of the box falls on half the size of the
    input, not on half of (size - 1) as in "unbiased data processing".

    Args:
        box: float32 [4], (x0, y0, x1, y1) in pixels of the frame.
        spec: Size of the crop, and how much of the surroundings it shows.
    """
    x0, y0, x1, y1 = (float(value) for value in box)
    aspect = spec.input_width / spec.input_height
    side = max(x1 - x0, (y1 - y0) * aspect, 1.0) * spec.box_scale  # width of the crop
    scale = spec.input_width / side
    return np.array(
        [
            [scale, 0.0, spec.input_width / 2 - scale * (x0 + x1) / 2],
            [0.0, scale, spec.input_height / 2 - scale * (y0 + y1) / 2],
        ]
    )


def cut_person(
    frame: npt.NDArray[np.uint8], matrix: npt.NDArray[np.float64], spec: ModelSpec
) -> npt.NDArray[np.float32]:
    """Return float32 [3, h, w]: the crop of one person, black where it leaves the frame.

    Args:
        frame: uint8 [H, W, 3] RGB. Not modified.
        matrix: float64 [2, 3] of `crop_matrix`.
        spec: Size, colours and normalisation.
    """
    size = (spec.input_width, spec.input_height)
    return _normalized(cv2.warpAffine(frame, matrix, size, flags=cv2.INTER_LINEAR), spec)


def from_crop(
    points: npt.NDArray[np.float32], matrix: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Return float32 [..., 2] in pixels of the frame, from (x, y) in pixels of a crop."""
    moved: npt.NDArray[np.float32] = ((points - matrix[:, 2]) / matrix[0, 0]).astype(np.float32)
    return moved


def _normalized(image: npt.NDArray[np.uint8], spec: ModelSpec) -> npt.NDArray[np.float32]:
    """float32 [3, h, w] from uint8 [h, w, 3] RGB."""
    if spec.channels == "bgr":
        image = image[..., ::-1]
    planes = np.ascontiguousarray(image.transpose(2, 0, 1), np.float32)
    if any(spec.mean):
        planes -= np.array(spec.mean, np.float32)[:, None, None]
    if spec.std != (1.0, 1.0, 1.0):
        planes *= (1 / np.array(spec.std, np.float32))[:, None, None]
    return planes
