"""Persistence of appearance (PA): how much each place of a frame changes to the next one.

A cue of motion that needs no search: the 2-norm, over eight filters, of the difference of two
neighbouring frames. It tells where something moves, not which way. The filters are a fixed bank
(`default_weights`), or those that a PAN has learned.

References:
    Zhang, Zou, Chen, Gan 2020, "PAN: Towards Fast Action Recognition via Learning Persistence of
    Appearance", arXiv 2008.03462: the layer PA. Their learned 7x7 convolution of 3 to 8 channels
    is our `weights`; its bias cancels in the difference.
    Koenderink, van Doorn 1987, "Representation of local geometry in the visual system": the local
    jet that is our fixed bank.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tokenize import TokenError
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from flow.quantize import DEFAULT_PA_BOUND
from schemas.checks import check_array
from schemas.errors import ConfigError

RgbFrames = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]

PaEngine = Callable[[RgbFrames], Float32]
"""Takes consecutive frames, uint8 [T, H, W, 3] with T >= 1, not modified; gives the PA of each
and its next, float32 [T - 1, H, W]."""

WEIGHTS_SHAPE = (8, 3, 7, 7)
"""Filters, RGB, rows, columns."""

_UNREADABLE = (OSError, ValueError, EOFError, SyntaxError, TokenError, BadZipFile)
"""What numpy raises for files that are none of its own or damaged."""

_SIGMA_PX = 1.2
_LEAST_BOUND, _MOST_BOUND = 1e-6, 1e6
_MAX_CODE = 255.0
_LUMA = np.array([0.299, 0.587, 0.114])  # BT.601, as JPEG
_COLORS = np.stack(
    [
        _LUMA,
        0.564 * (np.array([0, 0, 1]) - _LUMA),  # Cb
        0.713 * (np.array([1, 0, 0]) - _LUMA),  # Cr
    ]
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PaConfig:
    """How persistence of appearance is computed and stored."""

    bound: float = DEFAULT_PA_BOUND
    """Larger values are clipped before rounding to 8 bit; with the fixed filters, a change from
    black to white is 1."""
    weights: Path | None = None
    """File .npy, float32 [8, 3, 7, 7], with the weights of a trained PAN's layer `pa` for RGB from
    0 to 1; by default a fixed bank of filters."""

    def __post_init__(self) -> None:
        if not _LEAST_BOUND <= self.bound <= _MOST_BOUND:
            raise ConfigError(
                f"pa.bound must be {_LEAST_BOUND} to {_MOST_BOUND:g}, got {self.bound}"
            )


def persistence_of_appearance(frames: RgbFrames, *, weights: Float32 | None = None) -> Float32:
    """Return as many maps of change as frames.

    Args:
        frames: uint8 [T, H, W, 3] RGB, T >= 1. Not modified.
        weights: float32 [8, 3, 7, 7]: filters for RGB from 0 to 1; None = the fixed bank, for
            which a quicker way is taken.

    Returns:
        float32 [T, H, W] >= 0: sqrt(sum_k (w_k * f_t - w_k * f_{t+1} + 1e-6)^2) over the filters
        k, with zeros around the frames; the last repeats its predecessor, a single frame has 0.
        What does not change is sqrt(8) * 1e-6.

    Raises:
        ValueError: If frames is not uint8 [T, H, W, 3] with T >= 1, or weights are not float32
            [8, 3, 7, 7].

    References:
        Zhang et al. 2020, definition of PA; epsilon as in torch's pairwise_distance.
    """
    _check(frames, weights)
    maps = np.empty(frames.shape[:3], np.float32)
    _fill(maps[:-1], frames, weights)
    maps[-1] = maps[-2] if len(maps) > 1 else 0
    return maps


def make_pa_engine(config: PaConfig) -> PaEngine:
    """Return the function that computes the PA of consecutive frames.

    Args:
        config: Its parameters.

    Returns:
        The engine; any number of threads may call it. It raises ValueError for frames that are
        not uint8 [T, H, W, 3].

    Raises:
        ConfigError: As `read_pa_weights`.
    """
    weights = None if config.weights is None else read_pa_weights(config.weights)

    def pa_of_pairs(frames: RgbFrames) -> Float32:
        _check(frames, weights)
        maps = np.empty((len(frames) - 1, *frames.shape[1:3]), np.float32)
        _fill(maps, frames, weights)
        return maps

    return pa_of_pairs


def read_pa_weights(path: Path) -> Float32:
    """Return the filters of a file.

    Args:
        path: A .npy file, float32 [8, 3, 7, 7].

    Raises:
        ConfigError: If it is not one, or holds values that are not finite.
    """
    rule = "pa.weights must be a .npy file of float32 [8, 3, 7, 7]"
    try:
        with path.open("rb") as file:
            weights = np.load(file, allow_pickle=False)
    except _UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{rule}, got {path}: {reason}") from error
    if not isinstance(weights, np.ndarray):
        raise ConfigError(f"{rule}, got {path} with several arrays")
    if weights.dtype != np.float32 or weights.shape != WEIGHTS_SHAPE:
        raise ConfigError(f"{rule}, got {path} with {weights.dtype.name} {list(weights.shape)}")
    if not np.isfinite(weights).all():
        raise ConfigError(f"pa.weights must be finite, got {path} with NaN or infinity")
    return np.ascontiguousarray(weights)


def describe_pa_weights(config: PaConfig) -> str:
    """Return what tells the filters apart: their SHA-256, or the name of the fixed bank.

    Raises:
        ConfigError: As `read_pa_weights`.
    """
    if config.weights is None:
        return "jet"
    return sha256(read_pa_weights(config.weights).tobytes()).hexdigest()


def default_weights() -> Float32:
    """Return the fixed bank: the local jet of order two of luma, and two smoothed colours.

    A Gaussian of 1.2 px and its derivatives along x, y, xx, xy, yy, each times 1.2 px to the
    power of its order, on luma; the Gaussian on the two differences of colour of BT.601. A change
    of all pixels by one grey has just that PA.

    Returns:
        float32 [8, 3, 7, 7], for RGB from 0 to 1.
    """
    smooth, first, second = _jet_taps().astype(np.float64)
    luma, blue, red = _COLORS
    factors = [
        *((luma, smooth, smooth), (luma, smooth, first), (luma, first, smooth)),
        *((luma, smooth, second), (luma, first, first), (luma, second, smooth)),
        *((blue, smooth, smooth), (red, smooth, smooth)),
    ]
    products = [np.einsum("c,i,j->cij", *factor) for factor in factors]
    return np.stack(products).astype(np.float32)


def _jet_taps() -> Float32:
    """A sampled Gaussian and its derivatives, float32 [3, 7], exact for parabolas."""
    x = np.arange(-3.0, 4.0)
    smooth = np.exp(-(x**2) / (2 * _SIGMA_PX**2))
    smooth /= smooth.sum()
    first = x * smooth
    first *= _SIGMA_PX / (x * first).sum()  # of x: 1, times sigma
    second = (x**2 / _SIGMA_PX**2 - 1) * smooth
    second -= second.sum() * smooth  # of a constant: 0
    second *= 2 * _SIGMA_PX**2 / (x**2 * second).sum()  # of x^2: 2, times sigma^2
    return np.stack((smooth, first, second)).astype(np.float32)


def _check(frames: RgbFrames, weights: Float32 | None) -> None:
    check_array("frames", frames, dtype=np.uint8, axes="T H W C", C=3)
    if len(frames) == 0:
        raise ValueError("frames must have at least one frame, got 0")
    if weights is not None:
        check_array("weights", weights, dtype=np.float32, axes="K C I J", K=8, C=3, I=7, J=7)


def _fill(maps: Float32, frames: RgbFrames, weights: Float32 | None) -> None:
    """Fill float32 [T - 1, H, W] with the PA of each frame and its next."""
    from flow import pa_kernels  # numba loads when the first PA is wanted

    frames = np.ascontiguousarray(frames)
    height, width = frames.shape[1:3]
    border = 2 * pa_kernels.BORDER_PX
    planes = np.zeros((3, height + border, width + border), np.float32)
    colors = ((_COLORS if weights is None else np.eye(3)) / _MAX_CODE).astype(np.float32)
    taps, row = _jet_taps(), np.empty(width + border, np.float32)
    responses = np.empty((4, width), np.float32)
    if weights is not None:
        weights = np.ascontiguousarray(weights)
    for index, norm in enumerate(maps):
        pa_kernels.subtract_frames(frames[index], frames[index + 1], colors, planes)
        if weights is None:
            pa_kernels.norm_of_jet(planes, taps, row, norm)
        else:
            pa_kernels.norm_of_filters(planes, weights, responses, norm)
