"""Draw the pictures of the documentation: `python docs/make_figures.py [--output docs/images]`.

Needs `pip install -e '.[dev]'` and no network. The person is Eileen Collins, NASA's public-domain
portrait inside scikit-image's wheel; her keypoints are marked by hand, so no model is needed.
"""

import argparse
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
from PIL import Image

from renderers.contact_sheet import tile_images
from renderers.flow_color import flow_to_color
from renderers.palette import Marker, NumColors
from renderers.pose import PoseRenderConfig, render_pose
from schemas.skeleton import KEYPOINT_NAMES

PORTRAIT_COLORS = 192

UInt8 = npt.NDArray[np.uint8]
Person = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]

PORTRAIT_KEYPOINTS = {
    "nose": (229, 123),
    "left_eye": (246, 103),
    "right_eye": (203, 101),
    "left_ear": (275, 126),
    "right_ear": (175, 122),
    "left_shoulder": (326, 268),
    "right_shoulder": (92, 268),
    "left_elbow": (356, 396),
    "right_elbow": (62, 440),
    "left_wrist": (282, 472),
    "right_wrist": (150, 494),
}
"""(x, y) in pixels of the 512 x 512 portrait; the left arm is behind the helmet and guessed."""

PORTRAIT_BOX = (18, 14, 360, 511)
"""(x0, y0, x1, y1) around the person."""

FIGURE_KEYPOINTS = {
    "nose": (128, 34),
    "left_eye": (136, 28),
    "right_eye": (120, 28),
    "left_ear": (144, 32),
    "right_ear": (112, 32),
    "left_shoulder": (160, 70),
    "right_shoulder": (96, 70),
    "left_elbow": (196, 104),
    "right_elbow": (60, 104),
    "left_wrist": (212, 56),
    "right_wrist": (44, 56),
    "left_hip": (148, 146),
    "right_hip": (108, 146),
    "left_knee": (164, 192),
    "right_knee": (92, 192),
    "left_ankle": (156, 240),
    "right_ankle": (100, 240),
}
"""A whole figure seen from the front, (x, y) in a 256 x 256 frame: shows every limb."""

FIGURE_BOX = (34, 10, 222, 250)
"""(x0, y0, x1, y1) around the figure."""


def draw_variants(cell_px: int) -> UInt8:
    """Return uint8 [H, W, 3]: the variants of Table 2 on the portrait, three on a whole figure."""
    portrait, person = load_portrait(cell_px)
    gray = np.full((cell_px, cell_px, 3), 110, np.uint8)
    figure = mark_person(FIGURE_KEYPOINTS, FIGURE_BOX, scale=cell_px / 256)
    cells = [(portrait, person, config, name_variant(config)) for config in list_variants()]
    for config in (PoseRenderConfig(marker="dot"), PoseRenderConfig(colors=6), PoseRenderConfig()):
        label = f"{config.marker}, {config.colors}: whole figure"
        cells += [(gray, figure, config, label)]
    images = [render_pose(frame, *who, config=config) for frame, who, config, _ in cells]
    return tile_images(images, columns=4, labels=[label for *_, label in cells])


def list_variants() -> list[PoseRenderConfig]:
    """Return the variants: marker x colours x thickness on RGB, and the best one on black."""
    rgb = [
        PoseRenderConfig(marker=marker, colors=colors, ratio_aware=ratio_aware)
        for marker, colors, ratio_aware in itertools.product(
            get_args(Marker), get_args(NumColors), (False, True)
        )
    ]
    return [*rgb, PoseRenderConfig(background="black")]


def name_variant(config: PoseRenderConfig) -> str:
    """Return a caption."""
    thickness = "ratio-aware" if config.ratio_aware else "uniform"
    background = ", black" if config.background == "black" else ""
    return f"{config.marker}, {config.colors}, {thickness}{background}"


def load_portrait(size_px: int) -> tuple[UInt8, Person]:
    """Return the portrait, uint8 [size, size, 3], and its person as arguments of render_pose."""
    portrait: UInt8 = skimage.data.astronaut()  # type: ignore[no-untyped-call]
    frame = cv2.resize(portrait, (size_px, size_px), interpolation=cv2.INTER_AREA)
    # Few colours before drawing make the PNG a third as large and leave the bars' colours alone.
    indexed = Image.fromarray(frame).quantize(PORTRAIT_COLORS, dither=Image.Dither.NONE)
    frame = np.asarray(indexed.convert("RGB"))
    scale = size_px / len(portrait)
    return frame, mark_person(PORTRAIT_KEYPOINTS, PORTRAIT_BOX, scale=scale)


def mark_person(
    marks: dict[str, tuple[int, int]], box: tuple[int, int, int, int], *, scale: float
) -> Person:
    """Return keypoints [1, 17, 2], scores [1, 17] and boxes [1, 4] of a person marked by hand."""
    keypoints = np.zeros((1, len(KEYPOINT_NAMES), 2), np.float32)
    scores = np.zeros((1, len(KEYPOINT_NAMES)), np.float32)
    for name, (x, y) in marks.items():
        index = KEYPOINT_NAMES.index(name)
        # Pixel centres are integers, so the image's corner is at -0.5.
        keypoints[0, index] = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
        scores[0, index] = 1
    return keypoints, scores, np.array([box], np.float32) * np.float32(scale)


def draw_flow_wheel(size_px: int) -> UInt8:
    """Return uint8 [size, size, 3]: the colour of each displacement up to full saturation."""
    axis = np.linspace(-1, 1, size_px, dtype=np.float32)
    flow = np.stack(np.meshgrid(axis, axis), axis=-1)
    flow[np.hypot(flow[..., 0], flow[..., 1]) > 1] = 0
    return flow_to_color(flow, max_px=1)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the pictures; return exit status 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "images")
    output: Path = parser.parse_args(argv).output
    output.mkdir(parents=True, exist_ok=True)
    frame, person = load_portrait(320)
    pictures = {
        "pose_variants.png": draw_variants(192),
        "rendered_frame.png": render_pose(frame, *person, config=PoseRenderConfig()),
        "flow_wheel.png": draw_flow_wheel(160),
    }
    for name, picture in pictures.items():
        Image.fromarray(picture).save(output / name, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
