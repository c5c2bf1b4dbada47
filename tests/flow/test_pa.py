"""Persistence of appearance against a written-out convolution, known answers, settings."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flow.pa import (
    PaConfig,
    default_weights,
    describe_pa_weights,
    make_pa_engine,
    persistence_of_appearance,
    read_pa_weights,
)
from schemas.errors import ConfigError

UInt8 = npt.NDArray[np.uint8]
Float64 = npt.NDArray[np.float64]
STILL = np.sqrt(8) * 1e-6
GRAY = 1 / 255


def random_frames(num_frames: int = 3, height: int = 13, width: int = 21, seed: int = 0) -> UInt8:
    return np.random.default_rng(seed).integers(
        0, 256, (num_frames, height, width, 3), dtype=np.uint8
    )


def random_weights(seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, (8, 3, 7, 7)).astype(np.float32)


def features(frame: UInt8, weights: Any, bias: Float64) -> Float64:
    """A padded 7x7 convolution layer of one frame with its bias, tap by tap: [8, H, W]."""
    height, width, _ = frame.shape
    padded = np.zeros((height + 6, width + 6, 3))
    padded[3:-3, 3:-3] = frame / 255
    layer = np.tile(bias[:, None, None], (1, height, width))
    for row in range(7):
        for column in range(7):
            seen = padded[row : row + height, column : column + width]
            layer += np.einsum("kc,yxc->kyx", weights[:, :, row, column].astype(float), seen)
    return layer


def written_out(frames: UInt8, weights: Any) -> Float64:
    """PA of each frame and its next as the paper has it: the norm of a difference of features."""
    bias = np.linspace(-3, 3, 8)
    layers = [features(frame, weights, bias) for frame in frames]
    pairs = pairwise(layers)
    return np.stack([np.sqrt(((a - b + 1e-6) ** 2).sum(axis=0)) for a, b in pairs])


def test_pa_is_the_norm_of_the_difference_of_features() -> None:
    frames, weights = random_frames(), random_weights()
    pa = persistence_of_appearance(frames, weights=weights)
    assert (pa.dtype, pa.shape) == (np.float32, (3, 13, 21))
    np.testing.assert_allclose(pa[:2], written_out(frames, weights), rtol=1e-5, atol=1e-6)


def test_fixed_filters_give_what_their_weights_give_the_long_way() -> None:
    frames = random_frames()
    pa = persistence_of_appearance(frames)
    np.testing.assert_allclose(pa[:2], written_out(frames, default_weights()), rtol=2e-5)
    long_way = persistence_of_appearance(frames, weights=default_weights())
    np.testing.assert_allclose(pa, long_way, rtol=2e-5)


def test_norm_is_over_the_filters_at_each_pixel() -> None:
    """Filter k sees k + 1 times the red of its own pixel: the norm is sqrt(1 + 4 + ... + 64)."""
    weights = np.zeros((8, 3, 7, 7), np.float32)
    weights[:, 0, 3, 3] = np.arange(1, 9)
    frames = np.zeros((2, 9, 11, 3), np.uint8)
    frames[1, 4, 6] = (255, 77, 99)
    pa = persistence_of_appearance(frames, weights=weights)
    assert pa[0, 4, 6] == pytest.approx(np.sqrt(204), rel=1e-5)
    pa[:, 4, 6] = STILL
    np.testing.assert_allclose(pa, STILL, rtol=1e-5)


def test_order_of_the_filters_does_not_matter_and_that_of_the_colours_does() -> None:
    frames, weights = random_frames(), random_weights()
    pa = persistence_of_appearance(frames, weights=weights)
    mixed = persistence_of_appearance(frames, weights=weights[[3, 1, 7, 0, 6, 2, 5, 4]])
    np.testing.assert_allclose(mixed, pa, rtol=1e-5)
    assert np.abs(persistence_of_appearance(frames[..., ::-1], weights=weights) - pa).max() > 0.1


@pytest.mark.parametrize("weights", [None, random_weights()])
def test_what_does_not_change_is_epsilon(weights: Any) -> None:
    frames = random_frames(1).repeat(3, axis=0)
    pa = persistence_of_appearance(frames, weights=weights)
    np.testing.assert_allclose(pa, STILL, rtol=1e-5)


def test_frame_sees_its_next_and_the_last_repeats_its_predecessor() -> None:
    frames = random_frames(4)
    pa = persistence_of_appearance(frames)
    for index in range(3):
        pair = persistence_of_appearance(frames[index : index + 2])
        np.testing.assert_array_equal(pa[index], pair[0])
        assert (pair[0] == pair[1]).all()
    np.testing.assert_array_equal(pa[3], pa[2])
    assert not np.array_equal(pa[1], pa[2])


def test_single_frame_is_zero() -> None:
    assert not persistence_of_appearance(random_frames(1)).any()


def test_change_of_all_pixels_by_a_gray_level_is_that_much() -> None:
    frames = np.full((2, 12, 14, 3), 100, np.uint8)
    frames[1] += 10
    pa = persistence_of_appearance(frames)[0]
    np.testing.assert_allclose(pa[3:-3, 3:-3], 10 * GRAY, atol=3e-6)
    assert np.abs(pa[0] - 10 * GRAY).min() > GRAY, "zeros around the frames"


@pytest.mark.parametrize("axis", [0, 1])
def test_jet_of_a_ramp_is_its_value_and_its_slope(axis: int) -> None:
    frames = np.zeros((2, 24, 24, 3), np.uint8)
    ramp = np.arange(24)
    frames[1] = np.expand_dims(ramp, 1 - axis)[..., None]
    pa = persistence_of_appearance(frames)[0].take(12, axis=1 - axis)
    np.testing.assert_allclose(pa[3:-3], np.hypot(ramp, 1.2)[3:-3] * GRAY, atol=3e-6)


def test_color_at_equal_brightness_is_seen() -> None:
    frames = np.full((2, 12, 12, 3), 128, np.uint8)
    frames[1] = (128 + 58, 128 - 33, 128 + 18)  # the same luma, to half a grey level
    assert persistence_of_appearance(frames)[0, 6, 6] > 30 * GRAY


def test_moving_square_shows_at_its_edges_and_not_inside() -> None:
    frames = np.full((2, 60, 80, 3), 30, np.uint8)
    frames[0, 20:40, 20:50] = 200
    frames[1, 20:40, 22:52] = 200
    pa = persistence_of_appearance(frames)[0]
    assert pa[30, 20:22].min() > 0.5
    assert pa[30, 50:52].min() > 0.5
    assert max(pa[30, 30:42].max(), pa[:12].max(), pa[50:].max()) < 1e-5


def test_fixed_filters_feel_an_edge_more_than_noise_and_random_ones_less_so() -> None:
    """Between a step of 60 grey levels that moves by a pixel, and noise of two grey levels."""
    rng = np.random.default_rng(0)
    step = np.full((2, 60, 60, 3), 60, np.uint8)
    step[0, :, 30:], step[1, :, 31:] = 120, 120
    noise = np.clip(np.rint(120 + rng.normal(0, 2, step.shape)), 0, 255).astype(np.uint8)
    ratios = []
    for weights in (default_weights(), random_weights(1), random_weights(2)):
        edge = persistence_of_appearance(step, weights=weights)[0, 30, 30]
        ratios.append(edge / persistence_of_appearance(noise, weights=weights)[0].mean())
    assert ratios[0] > 20
    assert ratios[0] > 1.5 * max(ratios[1:])


def test_frames_are_not_modified_and_need_not_be_contiguous() -> None:
    frames = random_frames()
    before = frames.copy()
    flipped = persistence_of_appearance(frames[:, :, ::-1])
    np.testing.assert_array_equal(frames, before)
    straight = persistence_of_appearance(frames[:, :, ::-1].copy())
    np.testing.assert_array_equal(flipped, straight)


def test_fixed_filters_see_a_mirrored_clip_mirrored() -> None:
    frames = random_frames()
    mirrored = persistence_of_appearance(frames[:, :, ::-1])
    np.testing.assert_allclose(mirrored[:, :, ::-1], persistence_of_appearance(frames), rtol=1e-4)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (
            np.zeros((2, 9, 9), np.uint8),
            r"^frames must be uint8 \[T, H, W, C\] with C=3, got uint8 \[2, 9, 9\]$",
        ),
        (
            np.zeros((2, 9, 9, 3), np.float32),
            r"^frames must be uint8 \[T, H, W, C\] with C=3, got float32 \[2, 9, 9, 3\]$",
        ),
        (np.zeros((0, 9, 9, 3), np.uint8), "^frames must have at least one frame, got 0$"),
    ],
)
def test_other_frames_are_refused(frames: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        persistence_of_appearance(frames)


def test_other_weights_are_refused() -> None:
    message = r"^weights must be float32 \[K, C, I, J\] with .*, got float32 \[8, 3, 7, 5\]$"
    with pytest.raises(ValueError, match=message):
        persistence_of_appearance(random_frames(), weights=random_weights()[..., :5])


def test_engine_gives_each_pair_with_the_weights_of_its_file(tmp_path: Path) -> None:
    np.save(tmp_path / "pa.npy", random_weights())
    frames = random_frames()
    for path, weights in ((None, None), (tmp_path / "pa.npy", random_weights())):
        pa = make_pa_engine(PaConfig(weights=path))(frames)
        wanted = persistence_of_appearance(frames, weights=weights)[:2]
        np.testing.assert_array_equal(pa, wanted)


def test_weights_are_told_apart_by_what_they_are_not_where(tmp_path: Path) -> None:
    names = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        np.save(tmp_path / f"{name}.npy", random_weights(seed))
        names.append(describe_pa_weights(PaConfig(weights=tmp_path / f"{name}.npy")))
    assert names[0] == names[1] != names[2]
    assert describe_pa_weights(PaConfig()) == "jet"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((8, 3, 7, 7)), r"got .*w\.npy with float64 \[8, 3, 7, 7\]$"),
        (np.zeros((8, 3, 3, 3), np.float32), r"got .*w\.npy with float32 \[8, 3, 3, 3\]$"),
        (np.array({"a": 1}, object), "Object arrays cannot be loaded"),
        (np.full((8, 3, 7, 7), np.nan, np.float32), "^pa.weights must be finite, got .* with NaN"),
    ],
)
def test_file_of_other_weights_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    np.save(tmp_path / "w.npy", content)
    with pytest.raises(ConfigError, match=message):
        read_pa_weights(tmp_path / "w.npy")


DAMAGED = (
    ("cut", b"\x93NUMPY\x01"),
    ("cut_archive", b"PK\x03\x04garbage"),
    ("header", b"\x93NUMPY\x01\x00\x10\x00{'descr': ((((    "),
)


def test_other_file_is_refused(tmp_path: Path) -> None:
    rule = r"^pa\.weights must be a \.npy file of float32 \[8, 3, 7, 7\], got "
    with pytest.raises(ConfigError, match=rf"{rule}.*gone\.npy: .*No such file"):
        read_pa_weights(tmp_path / "gone.npy")
    for name, content in (("empty", b""), ("text", b"hello"), *DAMAGED):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ConfigError, match=rf"{rule}.*{name}: ") as caught:
            read_pa_weights(tmp_path / name)
        assert "\n" not in str(caught.value)
    np.savez(tmp_path / "many.npz", a=random_weights())
    with pytest.raises(ConfigError, match=rf"{rule}.*many\.npz with several arrays$"):
        read_pa_weights(tmp_path / "many.npz")


@pytest.mark.parametrize("bound", [0.0, -1.0, float("nan"), float("inf")])
def test_bound_must_be_positive_and_finite(bound: float) -> None:
    with pytest.raises(
        ConfigError, match=rf"^pa\.bound must be 1e-06 to 1e\+06, got {re.escape(str(bound))}$"
    ):
        PaConfig(bound=bound)
