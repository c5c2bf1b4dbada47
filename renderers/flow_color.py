"""Show optical flow in the colours of the Middlebury benchmark."""

import math

import numpy as np
import numpy.typing as npt

from schemas.checks import check_array

UNKNOWN_PX = 1e9
"""A displacement beyond this is a mark for "unknown" in Middlebury files."""

Float64 = npt.NDArray[np.float64]

# Steps from one primary to the next: the RGB channel that changes, and how it changes.
_TRANSITIONS = (
    (15, (255, 0, 0), 1, 1),  # red to yellow
    (6, (255, 255, 0), 0, -1),  # yellow to green
    (4, (0, 255, 0), 2, 1),  # green to cyan
    (11, (0, 255, 255), 1, -1),  # cyan to blue
    (13, (0, 0, 255), 0, 1),  # blue to magenta
    (6, (255, 0, 255), 2, -1),  # magenta to red
)


def flow_to_color(
    flow: npt.NDArray[np.float32], *, max_px: float | None = None
) -> npt.NDArray[np.uint8]:
    """Return flow as hue (direction) and saturation (length).

    Zero flow is white, rightward flow red, and displacements of max_px fully saturated. Longer ones
    are darkened to three quarters. Unknown flow (not finite, or beyond 1e9 px) is black.

    Args:
        flow: float32 [H, W, 2], (dx, dy) in pixels. Not modified.
        max_px: Displacement of full saturation, > 0; None takes the longest known displacement.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        TypeError: If flow is not an array.
        ValueError: If flow is not float32 [H, W, 2], or max_px is not > 0 and finite.

    References:
        Baker et al. 2011, "A Database and Evaluation Methodology for Optical Flow", IJCV 92(1);
        colours as in the authors' colorcode.cpp, rounded to nearest instead of down.
    """
    check_array("flow", flow, dtype=np.float32, axes="H W C", C=2)
    if max_px is not None and not 0 < max_px < math.inf:
        raise ValueError(f"max_px must be > 0 and finite, got {max_px}")
    # A comparison with NaN is False.
    known = np.all(np.abs(flow) <= UNKNOWN_PX, axis=-1, keepdims=True)
    vectors = np.where(known, flow, np.float32(0)).astype(np.float64)
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    longest = max_px if max_px is not None else float(length.max(initial=0.0))
    radius = (length / longest if longest > 0 else length)[..., None]
    hue = _hue(vectors)
    color = np.where(radius <= 1, 1 - radius * (1 - hue), 0.75 * hue)
    code: npt.NDArray[np.uint8] = np.rint(np.where(known, color, 0) * 255).astype(np.uint8)
    return code


def draw_flow_legend(image: npt.NDArray[np.uint8], *, diameter_px: int) -> npt.NDArray[np.uint8]:
    """Return the image with a disc in its lower right corner that shows the colour of each flow.

    A point of the disc has the colour of flow from the centre to it; the rim is max_px of
    `flow_to_color`.

    Args:
        image: uint8 [H, W, 3], RGB. Not modified.
        diameter_px: Size of the disc, >= 1; not larger than the image.

    Returns:
        uint8 [H, W, 3], RGB.

    Raises:
        TypeError: If image is not an array.
        ValueError: If image is not uint8 [H, W, 3], or the disc does not fit into it.
    """
    check_array("image", image, dtype=np.uint8, axes="H W C", C=3)
    height, width = image.shape[:2]
    if not 1 <= diameter_px <= min(height, width):
        raise ValueError(f"diameter_px must be 1 to {min(height, width)}, got {diameter_px}")
    position = (np.arange(diameter_px, dtype=np.float32) + 0.5) / diameter_px * 2 - 1
    vectors = np.dstack(np.meshgrid(position, position)).astype(np.float32)
    length = np.hypot(vectors[..., 0], vectors[..., 1])
    marked = image.copy()
    corner = marked[height - diameter_px :, width - diameter_px :]
    corner[length <= 1] = flow_to_color(vectors, max_px=1.0)[length <= 1]
    corner[(length <= 1) & (length > 1 - 3 / diameter_px)] = 0  # a rim against white
    return marked


def color_wheel() -> npt.NDArray[np.uint8]:
    """Return uint8 [55, 3], RGB: the saturated colours from rightward flow on, in equal steps.

    The steps between primaries (15, 6, 4, 11, 13, 6) follow how well the eye tells hues apart.
    """
    colors = []
    for num_steps, first, channel, sign in _TRANSITIONS:
        for step in range(num_steps):
            color = list(first)
            color[channel] += sign * (255 * step // num_steps)
            colors.append(color)
    return np.array(colors, np.uint8)


def _hue(vectors: Float64) -> Float64:
    """Return float64 [H, W, 3], 0 to 1: the saturated colour of each direction."""
    wheel = color_wheel() / 255.0
    # Adding zero turns -0.0 into 0.0: both mean rightward, on the seam of the arc tangent.
    dx, dy = vectors[..., 0], vectors[..., 1] + 0.0
    position = (np.arctan2(-dy, -dx) / np.pi + 1) / 2 * (len(wheel) - 1)
    index = np.floor(position).astype(np.intp)
    fraction = (position - index)[..., None]
    after = wheel[(index + 1) % len(wheel)]
    hue: Float64 = (1 - fraction) * wheel[index] + fraction * after
    return hue
