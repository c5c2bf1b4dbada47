"""Images in a grid."""

from typing import Any

import numpy as np
import pytest

from renderers.contact_sheet import CAPTION_PX, tile_images

IMAGES = [np.full((30, 40, 3), value, np.uint8) for value in (10, 20, 30)]


def test_images_lie_row_by_row_with_white_between() -> None:
    sheet = tile_images(IMAGES, columns=2, pad_px=3)
    assert sheet.shape == (2 * 33 + 3, 2 * 43 + 3, 3)
    np.testing.assert_array_equal(sheet[3:33, 3:43], IMAGES[0])
    np.testing.assert_array_equal(sheet[3:33, 46:86], IMAGES[1])
    np.testing.assert_array_equal(sheet[36:66, 3:43], IMAGES[2])
    assert (sheet[:3] == 255).all()
    assert (sheet[33:36] == 255).all()
    assert (sheet[36:, 46:] == 255).all()


def test_caption_is_drawn_under_its_image_only() -> None:
    sheet = tile_images(IMAGES, columns=3, labels=["a", "", "a caption wider than its image"])
    strip = sheet[34 : 34 + CAPTION_PX]
    assert sheet.shape == (30 + CAPTION_PX + 8, 3 * 44 + 4, 3)
    assert (strip[:, 4:44] < 128).any()
    assert (strip[:, 44:92] == 255).all()
    assert (strip[:, 92:132] < 128).any()
    np.testing.assert_array_equal(sheet[4:34, 48:88], IMAGES[1])


def test_same_input_gives_the_same_bytes() -> None:
    first = tile_images(IMAGES, columns=2, labels=["x", "y", "z"])
    assert first.tobytes() == tile_images(IMAGES, columns=2, labels=["x", "y", "z"]).tobytes()


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        ([], {"columns": 1}, "images must hold at least one image, got none"),
        (IMAGES, {"columns": 0}, "columns must be >= 1, got 0"),
        (IMAGES, {"columns": 1, "pad_px": -1}, "pad_px must be >= 0, got -1"),
        (IMAGES, {"columns": 1, "labels": ["a"]}, "one for each of 3 images, got 1"),
        ([IMAGES[0], IMAGES[1][:9]], {"columns": 1}, r"images\[1\] must be .* H=30, W=40, C=3"),
        ([IMAGES[0][..., 0]], {"columns": 1}, r"images\[0\] must be .* got uint8 \[30, 40\]"),
    ],
)
def test_bad_arguments_are_rejected(images: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tile_images(images, **options)


def test_image_that_is_no_array_is_rejected() -> None:
    with pytest.raises(TypeError, match=r"images\[0\] must be uint8 .* got str"):
        tile_images(["a"], columns=1)  # type: ignore[list-item]
