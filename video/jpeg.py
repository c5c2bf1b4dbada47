"""JPEG encoding and decoding of frames."""

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from schemas.checks import check_array

_SAMPLING = {
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
}


def encode_jpeg(
    image: npt.NDArray[np.uint8], *, quality: int, chroma: Literal["420", "444"] = "420"
) -> bytes:
    """Return a baseline JPEG file.

    Args:
        image: uint8 [H, W, 3] RGB or [H, W] gray.
        quality: 1 to 100, libjpeg's scale.
        chroma: Chroma subsampling of RGB images; "444" keeps colours at full resolution.

    Raises:
        ValueError: If image is not uint8 of one of these shapes.
    """
    if image.ndim == 2:
        check_array("image", image, dtype=np.uint8, axes="H W")
        pixels = image
    else:
        check_array("image", image, dtype=np.uint8, axes="H W C", C=3)
        pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if image.ndim == 3:
        flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SAMPLING[chroma]]
    _, encoded = cv2.imencode(".jpg", pixels, flags)
    return bytes(encoded)


def decode_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the image of a JPEG file: uint8 [H, W, 3] RGB, or [H, W] if it is gray.

    Raises:
        ValueError: If `data` is not a complete JPEG file.
    """
    pixels = _decode(data, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return pixels


def decode_rgb_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the image of a colour JPEG file: uint8 [H, W, 3] RGB, as `decode_jpeg` but faster.

    Raises:
        ValueError: If `data` is not a complete JPEG file.
    """
    return _decode(data, cv2.IMREAD_COLOR_RGB)


def decode_gray_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the brightness of a JPEG file: uint8 [H, W].

    Raises:
        ValueError: If `data` is not a complete JPEG file.
    """
    return _decode(data, cv2.IMREAD_GRAYSCALE)


def _decode(data: bytes, flags: int) -> npt.NDArray[np.uint8]:
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9":
        raise ValueError(f"data must be a complete JPEG file, got {len(data)} bytes that are not")
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is None:
        raise ValueError(f"data must be a JPEG file, got {len(data)} bytes that do not decode")
    image: npt.NDArray[np.uint8] = pixels
    return image
