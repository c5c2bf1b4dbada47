"""Lay images out in a captioned grid."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from schemas.checks import check_array

UInt8 = npt.NDArray[np.uint8]

CAPTION_PX = 20
"""Height of the strip under an image that holds its caption."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.42


def tile_images(
    images: Sequence[UInt8],
    *,
    columns: int,
    labels: Sequence[str] | None = None,
    pad_px: int = 4,
) -> UInt8:
    """Return the images row by row on white, each with its caption underneath.

    Args:
        images: uint8 [H, W, 3] each, all of one size. Not modified.
        columns: Images in a row, >= 1; the last row may be shorter.
        labels: One caption for each image (ASCII; cut off at the image's right edge); None leaves
            out the strip for captions.
        pad_px: White pixels around and between the cells, >= 0.

    Returns:
        uint8 [rows * cell height + pad, columns * cell width + pad, 3], where a cell is an image
        with its caption and pad_px on two sides.

    Raises:
        TypeError: If an image is not an array.
        ValueError: If there is no image, images differ in size or are not uint8 [H, W, 3], the
            number of labels is another one, columns < 1 or pad_px < 0.
    """
    _check(images, columns, labels, pad_px)
    height, width = images[0].shape[:2]
    strip_px = CAPTION_PX if labels is not None else 0
    cell_height, cell_width = height + strip_px + pad_px, width + pad_px
    num_rows = -(-len(images) // columns)
    sheet = np.full((num_rows * cell_height + pad_px, columns * cell_width + pad_px, 3), 255, "u1")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        y, x = row * cell_height + pad_px, column * cell_width + pad_px
        sheet[y : y + height, x : x + width] = image
        if labels is not None:
            sheet[y + height : y + height + strip_px, x : x + width] = _caption(
                labels[index], width
            )
    return sheet


def _caption(text: str, width: int) -> UInt8:
    """Return uint8 [CAPTION_PX, width, 3]: black text on white."""
    strip = np.full((CAPTION_PX, width, 3), 255, np.uint8)
    cv2.putText(strip, text, (2, CAPTION_PX - 6), _FONT, _FONT_SCALE, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _check(
    images: Sequence[UInt8], columns: int, labels: Sequence[str] | None, pad_px: int
) -> None:
    """Raise as `tile_images` documents."""
    if len(images) == 0:
        raise ValueError("images must hold at least one image, got none")
    if columns < 1:
        raise ValueError(f"columns must be >= 1, got {columns}")
    if pad_px < 0:
        raise ValueError(f"pad_px must be >= 0, got {pad_px}")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"labels must be one for each of {len(images)} images, got {len(labels)}")
    check_array("images[0]", images[0], dtype=np.uint8, axes="H W C", C=3)
    height, width = images[0].shape[:2]
    for index, image in enumerate(images):
        check_array(f"images[{index}]", image, dtype=np.uint8, axes="H W C", H=height, W=width, C=3)
