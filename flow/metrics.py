"""How good a flow field is: end-point error and TV-L1 energy."""

import cv2
import numpy as np
import numpy.typing as npt

from schemas.checks import check_array

_UNKNOWN_PX = 1e9


def endpoint_error(
    flow: npt.NDArray[np.float32],
    truth: npt.NDArray[np.float32],
    *,
    mask: npt.NDArray[np.bool_] | None = None,
) -> float:
    """Return the mean end-point error in pixels over the known pixels.

    Args:
        flow: float32 [H, W, 2], (dx, dy) in pixels.
        truth: float32 [H, W, 2]; pixels beyond 1e9 or not finite are unknown (Middlebury).
        mask: bool [H, W]; only True pixels count. None = all.

    Raises:
        ValueError: If shapes or dtypes differ from these, or no pixel is known.

    References:
        Baker et al. 2011, "A Database and Evaluation Methodology for Optical Flow", the
        endpoint error.
    """
    check_array("flow", flow, dtype=np.float32, axes="H W C", C=2)
    height, width = flow.shape[:2]
    check_array("truth", truth, dtype=np.float32, axes="H W C", H=height, W=width, C=2)
    known = (np.abs(truth) < _UNKNOWN_PX).all(axis=-1)
    if mask is not None:
        check_array("mask", mask, dtype=np.bool_, axes="H W", H=height, W=width)
        known &= mask
    if not known.any():
        raise ValueError("truth must have a known pixel inside the mask, got none")
    difference = flow[known].astype(np.float64) - truth[known]
    return float(np.hypot(difference[:, 0], difference[:, 1]).mean())


def tvl1_energy(
    frame0: npt.NDArray[np.uint8],
    frame1: npt.NDArray[np.uint8],
    flow: npt.NDArray[np.float32],
    *,
    attachment: float = 0.15,
) -> float:
    """Return the TV-L1 energy per pixel of a flow field; lower fits better.

    E(u) = mean(|grad u1| + |grad u2| + attachment * |I1(x + u) - I0(x)|), forward differences,
    bicubic interpolation, replicated border, grey values 0..255.

    Args:
        frame0: uint8 [H, W].
        frame1: uint8 [H, W].
        flow: float32 [H, W, 2], (dx, dy) in pixels from frame0 to frame1.
        attachment: Weight of the data term (lambda in the paper).

    Raises:
        ValueError: If shapes or dtypes differ from these.

    References:
        Zach, Pock, Bischof 2007: the functional that their scheme minimises.
    """
    check_array("frame0", frame0, dtype=np.uint8, axes="H W")
    height, width = frame0.shape
    check_array("frame1", frame1, dtype=np.uint8, axes="H W", H=height, W=width)
    check_array("flow", flow, dtype=np.float32, axes="H W C", H=height, W=width, C=2)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    warped = cv2.remap(
        frame1.astype(np.float32),
        columns + flow[..., 0],
        rows + flow[..., 1],
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    residual = np.abs(warped.astype(np.float64) - frame0)
    return float((attachment * residual).mean() + _total_variation(flow).mean())


def _total_variation(flow: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """|grad u1| + |grad u2| per pixel, [H, W]; forward differences, zero at the far border."""
    wide = flow.astype(np.float64)
    across = np.diff(wide, axis=1, append=wide[:, -1:])
    down = np.diff(wide, axis=0, append=wide[-1:])
    total: npt.NDArray[np.float64] = np.hypot(across, down).sum(axis=-1)
    return total
