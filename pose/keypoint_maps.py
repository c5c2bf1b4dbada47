"""What models that see one person give, as keypoints in pixels of the crop."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pose.model_spec import ModelSpec
from schemas.errors import ConfigError

_BLUR = (0.23899, 0.52202, 0.23899)  # a Gaussian of standard deviation 0.8 cells
_MOST_CELLS = 2.0  # the peak of a sane map is not further from its highest cell
_LEAST = 1e-10  # under the logarithm


def decode_keypoints(
    outputs: Sequence[npt.NDArray[np.float32]], spec: ModelSpec
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return keypoints and scores of the people of a batch of crops.

    Args:
        outputs: Heat maps [N, K, h, w], or two lines [N, K, w * s] and [N, K, h * s] (SimCC).
        spec: What the output means.

    Returns:
        float32 [N, 17, 2] in pixels of the crop, and float32 [N, 17], 0 to 1.

    Raises:
        ConfigError: If the outputs are not those of such a model.
    """
    wanted = 1 if spec.head == "heatmap" else 2
    num_axes = 4 if spec.head == "heatmap" else 3
    is_fitting = len(outputs) == wanted and all(
        output.ndim == num_axes and output.shape[1] > max(spec.keypoints) for output in outputs
    )
    if not is_fitting:
        shapes = ", ".join(str(list(output.shape)) for output in outputs)
        raise ConfigError(
            f"model must give {wanted} array(s) of {num_axes} axes with at least "
            f"{max(spec.keypoints) + 1} keypoints (head {spec.head}), got {shapes}"
        )
    chosen = [output[:, list(spec.keypoints)] for output in outputs]
    if spec.head == "simcc":
        return _decode_simcc(chosen[0], chosen[1], spec)
    points, scores = peaks_of_heatmaps(chosen[0])
    num_rows, num_columns = chosen[0].shape[2:]
    pixels = np.array([spec.input_width / num_columns, spec.input_height / num_rows], np.float32)
    return points * pixels, scores


def peaks_of_heatmaps(
    heatmaps: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Find the peak of every heat map to a part of a cell.

    Args:
        heatmaps: float32 [N, K, h, w]. Not modified.

    Returns:
        float32 [N, K, 2], (x, y) in cells, and float32 [N, K], the value there, 0 to 1.

    References:
        Zhang et al. 2020 (DARK), eq. 3 and 6-9: a Gaussian's logarithm is quadratic, so one step
        of Newton's method from the highest cell reaches its centre.
    """
    num_people, num_keypoints, num_rows, num_columns = heatmaps.shape
    flat = heatmaps.reshape(num_people * num_keypoints, num_rows * num_columns)
    highest = flat.argmax(axis=1)
    scores = flat[np.arange(len(flat)), highest]
    cells = np.stack((highest % num_columns, highest // num_columns), axis=-1)  # (x, y)
    patches = _patches(heatmaps.reshape(len(flat), num_rows, num_columns), cells)
    size = np.array([num_columns, num_rows])
    is_inside = ((cells > 1) & (cells < size - 2)).all(axis=1, keepdims=True)
    points = cells + _newton_steps(np.log(np.maximum(_blurred(patches), _LEAST))) * is_inside
    shape = num_people, num_keypoints
    return points.astype(np.float32).reshape(*shape, 2), scores.clip(0, 1).reshape(shape)


def _patches(maps: npt.NDArray[np.float32], cells: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """float64 [M, 7, 7] around (x, y) cells [M, 2] of maps [M, h, w]; borders are repeated."""
    reach = np.arange(-3, 4)
    rows = (cells[:, 1, None] + reach).clip(0, maps.shape[1] - 1)
    columns = (cells[:, 0, None] + reach).clip(0, maps.shape[2] - 1)
    around: npt.NDArray[np.float64] = maps[
        np.arange(len(maps))[:, None, None], rows[:, :, None], columns[:, None, :]
    ].astype(np.float64)
    return around


def _blurred(patches: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64 [M, 5, 5]: the middle of patches [M, 7, 7] under a Gaussian of three cells."""
    rows = patches[:, :-2] * _BLUR[0] + patches[:, 1:-1] * _BLUR[1] + patches[:, 2:] * _BLUR[2]
    blurred: npt.NDArray[np.float64] = (
        rows[..., :-2] * _BLUR[0] + rows[..., 1:-1] * _BLUR[1] + rows[..., 2:] * _BLUR[2]
    )
    return blurred


def _newton_steps(log: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """float64 [M, 2]: from the middle of [M, 5, 5] to the top, (x, y); 0 where it is no top."""
    dx, dy = (log[:, 2, 3] - log[:, 2, 1]) / 2, (log[:, 3, 2] - log[:, 1, 2]) / 2
    dxx = (log[:, 2, 4] - 2 * log[:, 2, 2] + log[:, 2, 0]) / 4
    dyy = (log[:, 4, 2] - 2 * log[:, 2, 2] + log[:, 0, 2]) / 4
    dxy = (log[:, 3, 3] - log[:, 1, 3] - log[:, 3, 1] + log[:, 1, 1]) / 4
    determinant = dxx * dyy - dxy**2
    is_top = (determinant > _LEAST) & (dxx < 0)
    safe = np.where(is_top, determinant, 1.0)
    steps = np.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), axis=-1) / safe[:, None]  # eq. 9
    bounded: npt.NDArray[np.float64] = steps.clip(-_MOST_CELLS, _MOST_CELLS) * is_top[:, None]
    return bounded


def _decode_simcc(
    lines_x: npt.NDArray[np.float32], lines_y: npt.NDArray[np.float32], spec: ModelSpec
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Keypoints and scores from one line of bins per axis; the weaker axis is the score."""
    bins = np.stack((lines_x.argmax(axis=-1), lines_y.argmax(axis=-1)), axis=-1)
    pixels = np.array(
        [spec.input_width / lines_x.shape[-1], spec.input_height / lines_y.shape[-1]], np.float32
    )
    scores = np.minimum(lines_x.max(axis=-1), lines_y.max(axis=-1)).clip(0, 1)
    return bins.astype(np.float32) * pixels, scores.astype(np.float32)
