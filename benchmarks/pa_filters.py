"""What filters of persistence of appearance (PA) respond to: motion, its edges, noise."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from flow.pa import WEIGHTS_SHAPE, default_weights, persistence_of_appearance
from flow.quantize import DEFAULT_PA_BOUND
from flow.tvl1 import Tvl1Config, tvl1_flow

UInt8 = npt.NDArray[np.uint8]
Float32 = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_NOISE = 2.0  # sigma, grey levels
_MOVING_PX, _STILL_PX = 0.75, 0.1
_FLOW_STEP_PX = 0.3  # difference of flow to the next pixel that counts as a boundary
_EDGE = 6.0  # grey levels to the next pixel
_FEWEST = 300  # pixels of a kind, else a pair says nothing about it


def filter_banks() -> dict[str, Float32]:
    """Return the weights that are compared: the fixed bank, parts of it, and random ones.

    Random ones are drawn as PAN initialises them. All are scaled to give a change of all pixels by
    one grey level the value of one grey level.
    """
    jet = default_weights()
    pixel = np.zeros_like(jet)
    pixel[0, :, 3, 3] = jet[0].sum(axis=(1, 2))
    banks = {"fixed": jet, "its luma": _only(jet, slice(0, 6)), "its Gaussian": _only(jet, [0])}
    banks["one pixel's luma"] = pixel
    for seed in range(3):
        drawn = np.random.default_rng(seed).normal(0, 1e-3, WEIGHTS_SHAPE)
        banks[f"random {seed}"] = (drawn / np.linalg.norm(drawn.sum(axis=(1, 2, 3)))).astype("f4")
    return banks


def _only(weights: Float32, filters: slice | list[int]) -> Float32:
    kept = np.zeros_like(weights)
    kept[filters] = weights[filters]
    return kept


def judge_filters(pairs: Sequence[UInt8]) -> dict[str, dict[str, float]]:
    """Return figures of each bank, means over those pairs that can tell; none if none can.

    auc_moving: how well PA tells pixels that move (by our TV-L1) from those that do not; 0.5 =
    by chance, 1 = always. auc_boundary: the same for places where the flow changes. edge_to_noise:
    mean response of moving edges to that of a still frame with noise of two grey levels.
    beyond_bound: share of the values that are clipped when stored.

    Args:
        pairs: uint8 [2, H, W, 3] each.
    """
    rng = np.random.default_rng(0)
    banks = filter_banks()
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in banks}
    for pair in pairs:
        if np.array_equal(pair[0], pair[1]):
            continue
        kinds = _Kinds(pair)
        noisy = np.stack([pair[0] + rng.normal(0, _NOISE, pair[0].shape) for _ in range(2)])
        noise = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        for name, weights in banks.items():
            pa = persistence_of_appearance(pair, weights=weights)[0]
            level = float(persistence_of_appearance(noise, weights=weights)[0].mean())
            edges = kinds.moving & kinds.edge
            found[name].append(
                (
                    _auc(pa[kinds.moving], pa[kinds.still]),
                    _auc(pa[kinds.boundary], pa[~kinds.boundary]),
                    float(pa[edges].mean()) / level if edges.sum() >= _FEWEST else np.nan,
                    float((pa > DEFAULT_PA_BOUND).mean()),
                )
            )
    names = ("auc_moving", "auc_boundary", "edge_to_noise", "beyond_bound")
    figures = {name: np.array(values).reshape(-1, len(names)) for name, values in found.items()}
    return {
        bank: {
            name: float(np.nanmean(values))
            for name, values in zip(names, each.T, strict=True)
            if not np.isnan(values).all()
        }
        for bank, each in figures.items()
    }


class _Kinds:
    """Pixels of the first frame of a pair by what they do."""

    def __init__(self, pair: UInt8) -> None:
        gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in pair]
        flow = tvl1_flow(gray[0], gray[1], config=Tvl1Config())
        length = np.hypot(flow[..., 0], flow[..., 1])
        self.moving: Mask = length > _MOVING_PX
        self.still: Mask = length < _STILL_PX
        self.edge: Mask = _slope(gray[0].astype(np.float32)) > _EDGE
        slopes = [_slope(np.ascontiguousarray(flow[..., axis])) for axis in (0, 1)]
        self.boundary: Mask = np.maximum(*slopes) > _FLOW_STEP_PX


def _slope(image: Float32) -> Float32:
    """Length of the gradient, Sobel's, per pixel."""
    dx, dy = (cv2.Sobel(image, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1)))
    length: Float32 = np.hypot(dx, dy)
    return length


def _auc(of_kind: Float32, of_others: Float32) -> float:
    """Chance that a pixel of the kind has the larger value than another; NaN if they are few."""
    if min(len(of_kind), len(of_others)) < _FEWEST:
        return float("nan")
    ordered = np.sort(of_others)
    below, not_above = (np.searchsorted(ordered, of_kind, side) for side in ("left", "right"))
    return float((below + not_above).mean() / (2 * len(of_others)))
