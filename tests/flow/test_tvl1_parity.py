"""Mode `exact` against OpenCV, and the building blocks against OpenCV and numpy."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from flow import simd, tvl1_plain, tvl1_pyramid
from flow.opencv_engines import opencv_tvl1_flow
from flow.quantize import quantize_flow
from flow.tvl1 import Tvl1Config, tvl1_flow
from flow.tvl1_levels import Level, LevelConfig, PlainLevel, SimdLevel

F32 = NDArray[np.float32]
needs_simd = pytest.mark.skipif(not simd.HAS_SIMD, reason="no AVX2 or AVX-512 on this CPU")
LEVELS = [PlainLevel, pytest.param(SimdLevel, marks=needs_simd)]


def make_image(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((height, width)), (0, 0), 2.0)
    return np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)


def make_level(kind: type, size: tuple[int, int], *, is_opencv: bool) -> Level:
    config = LevelConfig(time_step=0.25, attachment=0.15, is_opencv=is_opencv)
    return kind(size, size, config)


def seed_level(level: Level, flow: F32, image0: F32, image1: F32) -> None:
    """Give a level a flow of its own size; only `exact` resizes by 1."""
    level.set_images(image0, image1)
    level.seed(flow, 1.0, tightness=0.3)


@pytest.mark.parametrize(("dx", "dy"), [(0.0, 0.0), (1.3, -0.6), (-2.5, 1.0)])
def test_exact_mode_is_as_close_to_opencv_as_rounding_allows(dx: float, dy: float) -> None:
    frame1 = make_image(72, 101)
    y, x = np.mgrid[0:72, 0:101].astype(np.float32)
    frame0 = cv2.remap(
        frame1, x + dx + np.sin(y / 9), y + dy, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    ours = tvl1_flow(frame0, frame1, config=Tvl1Config(mode="exact"))
    reference = opencv_tvl1_flow(frame0, frame1)
    assert np.hypot(*(ours - reference).transpose(2, 0, 1)).mean() <= 0.06
    levels = quantize_flow(ours).astype(int) - quantize_flow(reference)
    assert np.abs(levels).mean() <= 0.35


@pytest.mark.parametrize("size", [(10, 12), (15, 40), (16, 16), (20, 19), (33, 26)])
def test_exact_mode_follows_opencv_on_small_frames(size: tuple[int, int]) -> None:
    frame1 = make_image(*size)
    frame0 = np.roll(frame1, 1, axis=1)
    ours = tvl1_flow(frame0, frame1, config=Tvl1Config(mode="exact"))
    reference = opencv_tvl1_flow(frame0, frame1)
    assert np.hypot(*(ours - reference).transpose(2, 0, 1)).mean() <= 0.06


@pytest.mark.parametrize("kind", LEVELS)
@pytest.mark.parametrize("size", [(8, 8), (9, 37), (40, 64), (21, 17)])
def test_median_of_exact_mode_equals_opencv_bit_for_bit(kind: type, size: tuple[int, int]) -> None:
    flow = np.random.default_rng(1).normal(0, 5, (*size, 2)).astype(np.float32)
    level = make_level(kind, size, is_opencv=True)
    image = np.zeros(size, np.float32)
    level.set_images(image, image)
    level.seed(flow, 1.0, tightness=0.25)  # tau / theta = 1: no rounding by scaling
    level.median(tightness=0.25)
    for component in range(2):
        expected = cv2.medianBlur(np.ascontiguousarray(flow[..., component]), 5)
        np.testing.assert_array_equal(level.flow()[..., component], expected)


@needs_simd
@pytest.mark.parametrize("size", [(8, 8), (9, 37), (40, 64)])
def test_median_of_the_other_modes_is_off_by_rounding_to_int16_only(size: tuple[int, int]) -> None:
    coarse = tuple((side + 1) // 2 for side in size)
    flow = np.random.default_rng(1).normal(0, 5, (*coarse, 2)).astype(np.float32)
    config = LevelConfig(time_step=0.25, attachment=0.15, is_opencv=False)
    results = []
    for kind in (PlainLevel, SimdLevel):
        level = kind(size, coarse, config)
        level.seed(flow, 2.0, tightness=0.5)
        level.median(tightness=0.2)
        results.append(level.flow())
    bound = np.abs(2 * flow).max() / 65534
    assert np.abs(results[0] - results[1]).max() <= bound * 1.01


def opencv_sample(image: F32, flow: F32) -> F32:
    height, width = image.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    # OpenCV up to 4 rounds to 1/32 pixel itself; OpenCV 5 does not.
    x, y = (np.rint(32 * (at + flow[..., axis])) / 32 for axis, at in enumerate((x, y)))
    return cv2.remap(image, x, y, cv2.INTER_CUBIC)


def test_warp_of_exact_mode_equals_opencv_remap_at_a_32nd_pixel() -> None:
    rng = np.random.default_rng(2)
    image0, image1 = (rng.uniform(0, 255, (30, 43)).astype(np.float32) for _ in range(2))
    flow = rng.normal(0, 6, (30, 43, 2)).astype(np.float32)
    flow[:10] = np.round(flow[:10])  # whole pixels too
    flow[12:16] = 0
    planes1 = np.zeros((3, 30 + 9, 43 + 9), np.float32)
    tvl1_pyramid.pad_zero_with_gradient(image1, planes1)
    gradient, constant = np.zeros((2, 30, 43), np.float32), np.zeros((30, 43), np.float32)
    planar = np.ascontiguousarray(flow.transpose(2, 0, 1))
    tvl1_plain.linearise_opencv(planar, image0, planes1, gradient, constant)
    wide = np.pad(image1, 1, mode="edge")
    gx = 0.5 * (wide[1:-1, 2:] - wide[1:-1, :-2])
    gy = 0.5 * (wide[2:, 1:-1] - wide[:-2, 1:-1])
    np.testing.assert_allclose(gradient[0], opencv_sample(gx, flow), atol=2e-3)
    np.testing.assert_allclose(gradient[1], opencv_sample(gy, flow), atol=2e-3)
    value = constant + image0 + (gradient * planar).sum(axis=0)
    np.testing.assert_allclose(value, opencv_sample(image1, flow), atol=5e-3)


@pytest.mark.parametrize("size", [(16, 16), (37, 53), (64, 30)])
def test_resize_equals_opencv(size: tuple[int, int]) -> None:
    image = make_image(*size).astype(np.float32)
    expected = cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_LINEAR)
    resized = np.zeros(expected.shape, np.float32)
    rows, columns = (
        tvl1_pyramid.source_positions(np.arange(n), m, 1.25)
        for n, m in zip(expected.shape, size, strict=True)
    )
    tvl1_pyramid.resize(image, columns, rows, resized)
    np.testing.assert_allclose(resized, expected, atol=1e-3)


@pytest.mark.parametrize("size", [(8, 8), (9, 16), (17, 31), (40, 27)])
def test_halving_equals_a_numpy_oracle(size: tuple[int, int]) -> None:
    image = make_image(*size).astype(np.float32)
    half = np.zeros([(side + 1) // 2 for side in size], np.float32)
    tvl1_pyramid.halve(image, half, np.zeros(size[1], np.float32))
    expected = image.astype(np.float64)
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (1, 2)
        wide = np.moveaxis(np.pad(expected, padding, mode="edge"), axis, 0)
        count = half.shape[axis]
        taps = [wide[k::2][:count] for k in range(4)]
        expected = np.moveaxis((taps[0] + 3 * taps[1] + 3 * taps[2] + taps[3]) / 8, 0, axis)
    np.testing.assert_allclose(half, expected, atol=1e-3)


def test_slope_weights_differentiate_a_parabola() -> None:
    for part in (0.0, 0.3, 0.99):
        at = np.arange(-1, 3) - part
        weights = tvl1_plain.slope_weights(np.float32(part))
        assert np.dot(weights, 3 * at) == pytest.approx(3, abs=1e-5)
        cubic = tvl1_plain.cubic_weights(np.float32(part), np.float32(-0.5))
        assert np.dot(cubic, 2 + 3 * at + at**2) == pytest.approx(2, abs=1e-5)
