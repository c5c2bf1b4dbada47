"""JPEG files: what is kept, what is refused."""

import io
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from video.jpeg import decode_gray_jpeg, decode_jpeg, decode_rgb_jpeg, encode_jpeg

UInt8 = npt.NDArray[np.uint8]


def smooth() -> UInt8:
    """Smooth colours: each channel is a ramp of its own."""
    rows, columns = np.mgrid[0:48, 0:64]
    return np.dstack((rows * 5, columns * 4, 255 - rows - columns)).astype(np.uint8)


def stripes() -> UInt8:
    """Columns alternate between red and blue: chroma at full resolution."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, ::2, 0] = image[:, 1::2, 2] = 255
    return image


def mean_error(image: UInt8, data: bytes) -> float:
    return float(np.abs(decode_jpeg(data).astype(int) - image).mean())


@pytest.mark.parametrize(("quality", "bound"), [(100, 0.8), (95, 1.5), (75, 4)])
def test_smooth_colours_survive(quality: int, bound: float) -> None:
    assert mean_error(smooth(), encode_jpeg(smooth(), quality=quality)) < bound


@pytest.mark.parametrize(("quality", "bound"), [(100, 0.5), (95, 1.5)])
def test_gray_image_survives_as_gray(quality: int, bound: float) -> None:
    image = np.ascontiguousarray(smooth()[..., 1])
    data = encode_jpeg(image, quality=quality)
    assert decode_jpeg(data).shape == (48, 64)
    assert mean_error(image, data) < bound


def test_full_chroma_keeps_colour_stripes_that_half_chroma_loses() -> None:
    full = mean_error(stripes(), encode_jpeg(stripes(), quality=100, chroma="444"))
    half = mean_error(stripes(), encode_jpeg(stripes(), quality=100, chroma="420"))
    assert full < 2
    assert half > 20


@pytest.mark.parametrize(("chroma", "sampling"), [("444", (1, 1)), ("420", (2, 2))])
def test_file_states_its_chroma_sampling(chroma: str, sampling: tuple[int, int]) -> None:
    data = encode_jpeg(stripes(), quality=90, chroma=chroma)  # type: ignore[arg-type]
    header = data.index(b"\xff\xc0")
    luma = data[header + 11]
    assert (luma >> 4, luma & 15) == sampling


def test_half_chroma_is_the_default() -> None:
    data = encode_jpeg(stripes(), quality=90)
    assert data == encode_jpeg(stripes(), quality=90, chroma="420")


def test_another_reader_sees_the_same_colours() -> None:
    data = encode_jpeg(smooth(), quality=95, chroma="444")
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "RGB"
        other = np.asarray(image)
    assert np.abs(other.astype(int) - decode_jpeg(data)).max() <= 1


@pytest.mark.parametrize("chroma", ["444", "420"])
def test_pixels_equal_those_of_opencv(chroma: Literal["444", "420"]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (47, 61, 3), np.uint8)
    for image in (noise, np.ascontiguousarray(noise[..., 0])):
        data = encode_jpeg(image, quality=90, chroma=chroma)
        stored = np.frombuffer(data, np.uint8)
        rgb = cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB)
        gray = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(decode_rgb_jpeg(data), rgb)
        np.testing.assert_array_equal(decode_gray_jpeg(data), gray)
        np.testing.assert_array_equal(decode_jpeg(data), rgb if image.ndim == 3 else gray)


def test_damage_that_opencv_fills_with_grey_is_refused() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encode_jpeg(noise, quality=90)
    holed = data[: len(data) // 2] + data[-2:]
    assert cv2.imdecode(np.frombuffer(holed, np.uint8), cv2.IMREAD_COLOR) is not None
    message = rf"^data must be a JPEG file, got {len(holed)} bytes that do not decode$"
    with pytest.raises(ValueError, match=message):
        decode_rgb_jpeg(holed)


def test_equal_images_give_equal_bytes() -> None:
    assert encode_jpeg(smooth(), quality=95) == encode_jpeg(smooth().copy(), quality=95)


def test_odd_sizes_keep_their_size() -> None:
    image = np.ascontiguousarray(smooth()[:17, :1])
    assert decode_jpeg(encode_jpeg(image, quality=90)).shape == (17, 1, 3)


def test_image_is_not_modified() -> None:
    image = smooth()
    encode_jpeg(image, quality=90)
    np.testing.assert_array_equal(image, smooth())


@pytest.mark.parametrize("keep", [0, 2, 100, -2, -1])
def test_cut_file_is_refused(keep: int) -> None:
    data = encode_jpeg(smooth(), quality=90)[:keep]
    message = rf"^data must be a complete JPEG file, got {len(data)} bytes that are not$"
    with pytest.raises(ValueError, match=message):
        decode_jpeg(data)


def test_other_bytes_between_the_markers_are_refused() -> None:
    message = r"^data must be a JPEG file, got 104 bytes that do not decode$"
    with pytest.raises(ValueError, match=message):
        decode_jpeg(b"\xff\xd8" + bytes(100) + b"\xff\xd9")


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (np.zeros((4, 4, 4), np.uint8), r"with C=3, got uint8 \[4, 4, 4\]"),
        (np.zeros((4, 4, 3), np.float32), r"with C=3, got float32 \[4, 4, 3\]"),
        (np.zeros((4,), np.uint8), r"with C=3, got uint8 \[4\]"),
    ],
)
def test_other_arrays_are_refused(image: UInt8, got: str) -> None:
    with pytest.raises(ValueError, match=rf"^image must be uint8 \[H, W, C\] {got}$"):
        encode_jpeg(image, quality=90)


def test_gray_float_image_is_refused() -> None:
    message = r"^image must be uint8 \[H, W\], got float32 \[4, 4\]$"
    with pytest.raises(ValueError, match=message):
        encode_jpeg(np.zeros((4, 4), np.float32), quality=90)  # type: ignore[arg-type]
