"""JPEG encoding and decoding of frames."""

from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import simplejpeg

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
        ValueError: If `data` is not a complete and undamaged JPEG file.
    """
    _check_ends(data)
    try:
        colors = simplejpeg.decode_jpeg_header(data)[2]
    except ValueError as error:
        raise _refusal(data) from error
    return decode_gray_jpeg(data) if colors == "Gray" else decode_rgb_jpeg(data)


def decode_rgb_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the image of a JPEG file as colours: uint8 [H, W, 3] RGB.

    Raises:
        ValueError: As for `decode_jpeg`.
    """
    return _decode(data, "RGB")


def decode_gray_jpeg(data: bytes) -> npt.NDArray[np.uint8]:
    """Return the brightness of a JPEG file: uint8 [H, W].

    Raises:
        ValueError: As for `decode_jpeg`.
    """
    return _decode(data, "GRAY")[..., 0]


def _decode(data: bytes, colors: Literal["RGB", "GRAY"]) -> npt.NDArray[np.uint8]:
    """Pixels [H, W, C]."""
    _check_ends(data)
    try:
        image: npt.NDArray[np.uint8] = simplejpeg.decode_jpeg(data, colors)
    except ValueError as error:
        raise _refusal(data) from error
    return image


def _check_ends(data: bytes) -> None:
    if data[:2] != b"\xff\xd8" or data[-2:] != b"\xff\xd9":  # the decoder does not miss the end
        raise ValueError(f"data must be a complete JPEG file, got {len(data)} bytes that are not")


def _refusal(data: bytes) -> ValueError:
    return ValueError(f"data must be a JPEG file, got {len(data)} bytes that do not decode")
