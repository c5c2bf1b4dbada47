"""Flow by OpenCV: its TV-L1 as the reference, and two methods that are not TV-L1."""

import cv2
import numpy as np
import numpy.typing as npt

from flow.tvl1 import check_frame_pair

Gray = npt.NDArray[np.uint8]
Flow = npt.NDArray[np.float32]

_DIS_MIN_SIDE_PX = 12
_FARNEBACK_MIN_SIDE_PX = 12


def opencv_tvl1_flow(frame0: Gray, frame1: Gray) -> Flow:
    """Return the flow of DualTVL1 with OpenCV's default parameters, the flow of I3D.

    Args:
        frame0: uint8 [H, W] grey, both sides >= 8. Not modified.
        frame1: uint8 [H, W] grey, of the same size. Not modified.

    Returns:
        float32 [H, W, 2], (dx, dy) in pixels. Identical frames give exactly zero.

    Raises:
        ValueError: If the frames differ in size, are smaller than 8x8 or not uint8.
    """
    check_frame_pair(frame0, frame1)
    if np.array_equal(frame0, frame1):
        return np.zeros((*frame0.shape, 2), np.float32)
    flow: Flow = cv2.optflow.DualTVL1OpticalFlow_create().calc(frame0, frame1, None)
    return flow


def dis_flow(frame0: Gray, frame1: Gray) -> Flow:
    """Return dense inverse search, preset "medium" (Kroeger et al. 2016); sides >= 12.

    Arguments, result and errors as for `opencv_tvl1_flow`.
    """
    check_frame_pair(frame0, frame1, min_side_px=_DIS_MIN_SIDE_PX)
    if np.array_equal(frame0, frame1):
        return np.zeros((*frame0.shape, 2), np.float32)
    solver = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow: Flow = solver.calc(frame0, frame1, None)
    return flow


def farneback_flow(frame0: Gray, frame1: Gray) -> Flow:
    """Return polynomial expansion (Farneback 2003) as in OpenCV's samples; sides >= 12.

    Arguments, result and errors as for `opencv_tvl1_flow`.
    """
    check_frame_pair(frame0, frame1, min_side_px=_FARNEBACK_MIN_SIDE_PX)
    if np.array_equal(frame0, frame1):
        return np.zeros((*frame0.shape, 2), np.float32)
    flow: Flow = cv2.calcOpticalFlowFarneback(
        frame0,
        frame1,
        None,
        pyr_scale=0.5,
        levels=5,
        winsize=15,
        iterations=3,
        poly_n=5,
        poly_sigma=1.1,
        flags=0,
    )
    return flow
