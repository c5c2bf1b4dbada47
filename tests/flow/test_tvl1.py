"""TV-L1: known answers, arguments, threads."""

import threading
from typing import Any

import cv2
import numpy as np
import pytest

from flow.metrics import endpoint_error
from flow.tvl1 import Tvl1Config, make_schedule, tvl1_clip_flow, tvl1_flow
from schemas.errors import ConfigError

MODES = ("exact", "quality", "fast")


def make_texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal((height + 16, width + 16)), (0, 0), 2.0)
    noise = noise[8:-8, 8:-8]
    return np.clip(128 + 45 * noise / noise.std(), 0, 255).astype(np.uint8)


def make_shifted(texture: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """frame0 with frame0(x) = texture(x + d)."""
    height, width = texture.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return cv2.remap(texture, x + dx, y + dy, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    frame1 = make_texture(60, 84)
    return make_shifted(frame1, 1.5, -0.75), frame1


@pytest.mark.parametrize("mode", MODES)
def test_identical_frames_give_exactly_zero(mode: Any) -> None:
    frame = make_texture(40, 52)
    flow = tvl1_flow(frame, frame.copy(), config=Tvl1Config(mode=mode))
    assert flow.dtype == np.float32
    assert flow.shape == (40, 52, 2)
    assert not flow.any()


@pytest.mark.parametrize("mode", MODES)
def test_translation_is_found(mode: Any, pair: tuple[np.ndarray, np.ndarray]) -> None:
    flow = tvl1_flow(*pair, config=Tvl1Config(mode=mode))
    inside = flow[8:-8, 8:-8]
    np.testing.assert_allclose(np.median(inside, axis=(0, 1)), (1.5, -0.75), atol=0.06)
    assert np.abs(inside - (1.5, -0.75)).mean() < 0.1


@pytest.mark.parametrize("mode", ["quality", "fast"])
def test_large_translation_is_found_through_the_pyramid(mode: Any) -> None:
    frame1 = cv2.GaussianBlur(make_texture(128, 160), (0, 0), 2.0)
    flow = tvl1_flow(make_shifted(frame1, 9.0, -6.0), frame1, config=Tvl1Config(mode=mode))
    np.testing.assert_allclose(np.median(flow[24:-24, 24:-24], axis=(0, 1)), (9, -6), atol=0.1)


@pytest.mark.parametrize("mode", MODES)
def test_known_smooth_field_is_found(mode: Any) -> None:
    frame1 = make_texture(96, 112)
    y, x = np.mgrid[0:96, 0:112].astype(np.float32)
    truth = np.stack([1.5 * np.sin(y / 20), 1.2 * np.cos(x / 24)], axis=-1).astype(np.float32)
    frame0 = cv2.remap(frame1, x + truth[..., 0], y + truth[..., 1], cv2.INTER_LANCZOS4)
    flow = tvl1_flow(frame0, frame1, config=Tvl1Config(mode=mode))
    inside = np.zeros((96, 112), bool)
    inside[6:-6, 6:-6] = True
    assert endpoint_error(flow, truth, mask=inside) < 0.15


def test_mirrored_frames_give_mirrored_flow(pair: tuple[np.ndarray, np.ndarray]) -> None:
    config = Tvl1Config()
    flow = tvl1_flow(*pair, config=config)
    mirrored = tvl1_flow(*(frame[:, ::-1] for frame in pair), config=config)
    back = mirrored[:, ::-1] * np.float32([-1, 1])
    assert np.abs(flow - back)[6:-6, 6:-6].mean() < 0.03


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(8, 8), (8, 33), (9, 16), (17, 10), (31, 65), (64, 64)])
def test_any_size_from_8x8_works(mode: Any, size: tuple[int, int]) -> None:
    frame1 = make_texture(*size)
    flow = tvl1_flow(make_shifted(frame1, 0.5, 0), frame1, config=Tvl1Config(mode=mode))
    assert flow.shape == (*size, 2)
    assert np.isfinite(flow).all()
    assert np.abs(flow).max() < 20


@pytest.mark.parametrize("mode", MODES)
def test_extreme_contrast_stays_finite(mode: Any) -> None:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 2, (2, 40, 45), dtype=np.uint8) * 255
    assert np.isfinite(tvl1_flow(*frames, config=Tvl1Config(mode=mode))).all()


def test_non_contiguous_frames_give_the_same_flow(pair: tuple[np.ndarray, np.ndarray]) -> None:
    wide = [np.repeat(frame, 2, axis=1)[:, ::2] for frame in pair]
    assert not wide[0].flags.c_contiguous
    np.testing.assert_array_equal(
        tvl1_flow(*wide, config=Tvl1Config()), tvl1_flow(*pair, config=Tvl1Config())
    )


def test_float_frames_give_the_same_flow(pair: tuple[np.ndarray, np.ndarray]) -> None:
    floats = [frame.astype(np.float32) for frame in pair]
    np.testing.assert_array_equal(
        tvl1_flow(*floats, config=Tvl1Config()), tvl1_flow(*pair, config=Tvl1Config())
    )


@pytest.mark.parametrize("mode", MODES)
def test_inputs_are_not_modified(mode: Any, pair: tuple[np.ndarray, np.ndarray]) -> None:
    frames = [frame.copy() for frame in pair]
    for frame in frames:
        frame.flags.writeable = False
    tvl1_flow(*frames, config=Tvl1Config(mode=mode))
    np.testing.assert_array_equal(frames[0], pair[0])


@pytest.mark.parametrize("mode", MODES)
def test_sizes_used_in_turn_do_not_disturb_each_other(mode: Any) -> None:
    config = Tvl1Config(mode=mode)
    pairs = []
    for index, size in enumerate([(40, 56), (41, 30), (24, 56), (40, 56)]):
        frame1 = make_texture(*size, seed=index)
        pairs.append((make_shifted(frame1, 1, 0.5), frame1))
    first = [tvl1_flow(*frames, config=config) for frames in pairs]
    for frames, expected in zip(reversed(pairs), reversed(first), strict=True):
        np.testing.assert_array_equal(tvl1_flow(*frames, config=config), expected)


@pytest.mark.parametrize("mode", MODES)
def test_clip_flow_has_the_same_bits_with_any_number_of_threads(mode: Any) -> None:
    base = make_texture(48, 60)
    frames = np.stack([make_shifted(base, 0.4 * t, 0.2 * t) for t in range(7)])
    config = Tvl1Config(mode=mode)
    one = tvl1_clip_flow(frames, config=config)
    assert one.shape == (7, 48, 60, 2)
    np.testing.assert_array_equal(one[-1], one[-2])
    np.testing.assert_array_equal(one[2], tvl1_flow(frames[2], frames[3], config=config))
    for num_threads in (2, 4):
        many = tvl1_clip_flow(frames, config=config, num_threads=num_threads)
        np.testing.assert_array_equal(many, one)


def test_threads_of_the_caller_do_not_disturb_each_other(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    expected = tvl1_flow(*pair, config=Tvl1Config())
    results: list[np.ndarray] = []

    def work() -> None:
        results.extend(tvl1_flow(*pair, config=Tvl1Config()) for _ in range(3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 12
    for flow in results:
        np.testing.assert_array_equal(flow, expected)


def test_one_frame_has_zero_flow() -> None:
    flow = tvl1_clip_flow(np.ones((1, 16, 16), np.uint8), config=Tvl1Config())
    assert flow.shape == (1, 16, 16, 2)
    assert not flow.any()


@pytest.mark.parametrize(
    ("frame0", "frame1", "message"),
    [
        (np.zeros((9, 9), np.uint8), np.zeros((9, 8), np.uint8), r"frame1 must be .* W=9"),
        (np.zeros((7, 9), np.uint8), np.zeros((7, 9), np.uint8), "at least 8x8 pixels, got 9x7"),
        (
            np.zeros((9, 9), np.int32),
            np.zeros((9, 9), np.int32),
            r"float32 \[H, W\] in native byte order, got int32",
        ),
        (
            np.zeros((9, 9), ">f4"),
            np.zeros((9, 9), ">f4"),
            r"got float32 \[9, 9\] in byte order '>'",
        ),
        (np.zeros((9, 9), np.float32), np.zeros((9, 9), np.uint8), "frame1 must be float32"),
        (np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9, 3), np.uint8), r"got uint8 \[9, 9, 3\]"),
        (np.full((9, 9), np.nan, np.float32), np.zeros((9, 9), np.float32), "frame0 must be fin"),
        (np.zeros((9, 9), np.float32), np.full((9, 9), np.inf, np.float32), "frame1 must be fin"),
        (np.zeros((9, 9), np.float32), np.full((9, 9), 256, np.float32), r"within 0\.\.255"),
    ],
)
def test_wrong_frames_are_refused(frame0: Any, frame1: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tvl1_flow(frame0, frame1, config=Tvl1Config())


def test_a_frame_that_is_no_array_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="frame0 must be uint8"):
        tvl1_flow([[0]], np.zeros((9, 9), np.uint8), config=Tvl1Config())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frames", "num_threads", "message"),
    [
        (np.zeros((0, 9, 9), np.uint8), 1, "at least one frame, got 0"),
        (np.zeros((2, 9, 9), np.uint8), 0, "num_threads must be >= 1, got 0"),
        (np.zeros((9, 9), np.uint8), 1, r"uint8 \[T, H, W\], got uint8 \[9, 9\]"),
        (np.full((1, 9, 9), np.nan, np.float32), 1, "frames_gray must be finite"),
    ],
)
def test_wrong_clips_are_refused(frames: Any, num_threads: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tvl1_clip_flow(frames, config=Tvl1Config(), num_threads=num_threads)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "best"}, "mode must be one of exact, quality, fast, got 'best'"),
        ({"time_step": 0.3}, "time_step must be >= 0.001 and <= 0.25, got 0.3"),
        ({"time_step": 0.0}, "time_step must be >= 0.001"),
        ({"attachment": 0.0}, "attachment must be >= 0.001 and <= 1000, got 0.0"),
        ({"attachment": float("nan")}, "attachment must be >= 0.001 and <= 1000, got nan"),
        ({"tightness": 1e-40}, "tightness must be >= 0.001 and <= 1000, got 1e-40"),
        ({"tightness": 1e30}, r"tightness must be >= 0.001 and <= 1000, got 1e\+30"),
        ({"num_scales": 0}, "num_scales must be a whole number >= 1, got 0"),
        ({"num_warps": -1}, "num_warps must be a whole number >= 1, got -1"),
        ({"num_inner": 0}, "num_inner must be a whole number >= 1, got 0"),
        ({"num_warps": 2.5}, "num_warps must be a whole number >= 1, got 2.5"),
        ({"num_warps": "3"}, "num_warps must be a whole number >= 1, got 3"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Tvl1Config(**changes)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tightness", [1e-3, 1e3])
@pytest.mark.parametrize("attachment", [1e-3, 1e3])
def test_settings_at_their_bounds_give_finite_flow(
    mode: Any, tightness: float, attachment: float, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    config = Tvl1Config(
        mode=mode, tightness=tightness, attachment=attachment, time_step=1e-3, num_inner=5
    )
    assert np.isfinite(tvl1_flow(*pair, config=config)).all()


def test_settings_override_the_mode() -> None:
    config = Tvl1Config(mode="fast", tightness=0.2, num_scales=2, num_warps=4, num_inner=7)
    schedule = make_schedule(config)
    assert schedule.tightness == (0.2,)
    assert (schedule.num_scales, schedule.num_warps, schedule.num_inner) == (2, 4, 7)
    assert make_schedule(Tvl1Config(mode="exact")).epsilon == 0.01
