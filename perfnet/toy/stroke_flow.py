"""The exact flow of strokes that move from one frame to the next."""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]


def flow_between(
    ends: Float32, next_ends: Float32, radii: Float32, background: Float32, size: int
) -> Float32:
    """Return where every pixel of a frame goes.

    A point of a stroke keeps its place along it, as a share of its length, and across it, in
    pixels; round ends turn with the stroke. Where strokes overlap, the last one counts.

    Args:
        ends: float32 [N, 2, 2], (x, y) of the strokes in this frame, in pixels.
        next_ends: float32 [N, 2, 2], in the next frame.
        radii: float32 [N], pixels.
        background: float32 [2], (dx, dy) of pixels without a stroke.
        size: Height and width of the frame.

    Returns:
        float32 [size, size, 2], (dx, dy) in pixels.
    """
    flow = np.broadcast_to(background, (size, size, 2)).astype(np.float32)
    top = _topmost(ends, radii, size)
    y, x = np.nonzero(top >= 0)
    if not len(x):
        return flow
    stroke = top[y, x]
    points = np.stack([x, y], axis=-1).astype(np.float32)
    start, unit, length = _frame_of(ends[stroke])
    next_start, next_unit, next_length = _frame_of(next_ends[stroke])
    offset = points - start
    along = (offset * unit).sum(axis=-1)
    across = offset[:, 1] * unit[:, 0] - offset[:, 0] * unit[:, 1]
    inside = np.clip(along, 0, length)
    grown = np.divide(next_length, length, out=np.ones_like(length), where=length > 0)
    next_along = inside * grown + (along - inside)
    normal = np.stack([-next_unit[:, 1], next_unit[:, 0]], axis=-1)
    moved = next_start + next_along[:, None] * next_unit + across[:, None] * normal
    flow[y, x] = moved - points
    return flow


def _topmost(ends: Float32, radii: Float32, size: int) -> npt.NDArray[np.int64]:
    """int64 [size, size]: the last stroke that covers a pixel by half or more; -1 = none."""
    start, unit, length = (each[:, None, None] for each in _frame_of(ends))
    grid = np.arange(size, dtype=np.float32)
    dx, dy = grid - start[..., 0], grid[:, None] - start[..., 1]  # [N, 1, W], [N, H, 1]
    along = dx * unit[..., 0] + dy * unit[..., 1]
    across = dy * unit[..., 0] - dx * unit[..., 1]
    beyond = along - np.clip(along, 0, length)
    covered = beyond**2 + across**2 <= radii[:, None, None] ** 2
    order = np.arange(1, len(ends) + 1)[:, None, None]
    top: npt.NDArray[np.int64] = (covered * order).max(axis=0, initial=0) - 1
    return top


def _frame_of(ends: Float32) -> tuple[Float32, Float32, Float32]:
    """First end [N, 2], direction [N, 2] and length [N]; a disc points to the right."""
    step = ends[:, 1] - ends[:, 0]
    length = np.hypot(step[:, 0], step[:, 1])
    unit = np.zeros_like(step)
    unit[:, 0] = 1
    np.divide(step, length[:, None], out=unit, where=length[:, None] > 1e-6)
    return ends[:, 0], unit, length
