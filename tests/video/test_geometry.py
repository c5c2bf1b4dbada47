"""Output sizes, turning and resampling of frames."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from video.geometry import display_size, fit_frame

SQUARE = Fraction(1)


@pytest.mark.parametrize(
    ("width", "height", "aspect", "rotation", "expected"),
    [
        (340, 256, "1", 0, (340, 256)),
        (320, 240, "1", 0, (341, 256)),
        (240, 320, "1", 0, (256, 341)),
        (321, 241, "1", 0, (341, 256)),
        (1920, 1080, "1", 0, (455, 256)),
        (1920, 1080, "1", 90, (256, 455)),
        (1920, 1080, "1", 180, (455, 256)),
        (1920, 1080, "1", 270, (256, 455)),
        (352, 288, "16/11", 0, (455, 256)),
        (352, 288, "16/11", 90, (256, 455)),
        (720, 576, "64/45", 0, (455, 256)),
        (100, 200, "2", 0, (256, 256)),
        (16, 16, "1", 0, (256, 256)),
        (16384, 64, "1", 0, (65536, 256)),
        (1, 1000, "1", 0, (256, 256000)),
    ],
)
def test_short_side_is_256_of_square_pixels(
    width: int, height: int, aspect: str, rotation: int, expected: tuple[int, int]
) -> None:
    size = display_size(
        width, height, pixel_aspect=Fraction(aspect), rotation=rotation, short_side=256
    )
    assert size == expected


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    width=st.integers(1, 4096),
    height=st.integers(1, 4096),
    aspect=st.fractions(Fraction(1, 10), 10, max_denominator=50),
    short_side=st.integers(1, 512),
)
def test_short_side_is_exact_and_aspect_is_kept_to_half_a_pixel(
    width: int, height: int, aspect: Fraction, short_side: int
) -> None:
    size = display_size(width, height, pixel_aspect=aspect, rotation=0, short_side=short_side)
    assert min(size) == short_side
    shown = Fraction(width) * aspect / height
    exact = short_side * max(shown, 1 / shown)
    assert abs(max(size) - exact) <= Fraction(1, 2)
    turned = display_size(width, height, pixel_aspect=aspect, rotation=90, short_side=short_side)
    assert turned == size[::-1]


def corners() -> np.ndarray:
    """3x2 frame: red top left, green top right, blue bottom left."""
    frame = np.zeros((2, 3, 3), np.uint8)
    frame[0, 0, 0] = frame[0, -1, 1] = frame[-1, 0, 2] = 255
    return frame


@pytest.mark.parametrize(
    ("rotation", "red", "green", "blue"),
    [
        (0, (0, 0), (0, -1), (-1, 0)),
        (90, (-1, 0), (0, 0), (-1, -1)),
        (180, (-1, -1), (-1, 0), (0, -1)),
        (270, (0, -1), (-1, -1), (0, 0)),
    ],
)
def test_rotation_turns_counter_clockwise(
    rotation: int, red: tuple[int, int], green: tuple[int, int], blue: tuple[int, int]
) -> None:
    size = (3, 2) if rotation % 180 == 0 else (2, 3)
    upright = fit_frame(corners(), rotation=rotation, size=size)
    assert upright.shape == (size[1], size[0], 3)
    assert [upright[place].argmax() for place in (red, green, blue)] == [0, 1, 2]
    assert upright.sum() == 3 * 255
    assert upright.flags.c_contiguous


def test_same_size_keeps_every_pixel() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    np.testing.assert_array_equal(fit_frame(frame, rotation=0, size=(23, 17)), frame)


@pytest.mark.parametrize("size", [(8, 6), (64, 48), (40, 10), (17, 90)])
def test_flat_frame_stays_flat_at_any_size(size: tuple[int, int]) -> None:
    frame = np.full((30, 40, 3), (10, 120, 250), np.uint8)
    resized = fit_frame(frame, rotation=0, size=size)
    assert resized.shape == (size[1], size[0], 3)
    assert (resized == (10, 120, 250)).all()


def test_shrinking_averages_all_source_pixels() -> None:
    board = np.indices((32, 32)).sum(axis=0) % 2 * 255
    frame = np.repeat(board[..., None], 3, axis=2).astype(np.uint8)
    shrunk = fit_frame(frame, rotation=0, size=(8, 8))
    assert np.abs(shrunk.astype(int) - 127.5).max() <= 1


def test_shrinking_equals_block_means() -> None:
    frame = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    means = frame.reshape(6, 4, 8, 4, 3).mean(axis=(1, 3))
    assert np.abs(fit_frame(frame, rotation=0, size=(8, 6)) - means).max() <= 0.5


def test_enlarging_stays_inside_the_source_values() -> None:
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[:, 2:] = 200
    wide = fit_frame(frame, rotation=0, size=(32, 32))
    assert (np.diff(wide[0, :, 0].astype(int)) >= 0).all()
    assert (wide.min(), wide.max()) == (0, 200)


def test_source_frame_is_not_modified() -> None:
    frame = corners()
    before = frame.copy()
    fit_frame(frame, rotation=90, size=(10, 10))
    np.testing.assert_array_equal(frame, before)


def test_gray_frame_is_refused() -> None:
    message = r"^frame must be uint8 \[H, W, C\] with C=3, got uint8 \[4, 4\]$"
    with pytest.raises(ValueError, match=message):
        fit_frame(np.zeros((4, 4), np.uint8), rotation=0, size=(4, 4))
