"""The colours tell limbs apart, and the person's left from the right."""

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from renderers.palette import (
    BAR_COLORS,
    BAR_ENDS,
    COARSE_COLORS,
    DOT_COLORS,
    JOINT_NAMES,
    part_of,
    strokes_of,
)
from schemas.skeleton import KEYPOINT_NAMES, SWAP_PAIRS

RGB = tuple[int, int, int]


def color_distance(first: RGB, second: RGB) -> float:
    lab = rgb2lab(np.array([first, second], np.float64) / 255)
    return float(deltaE_ciede2000(lab[0], lab[1]))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("colors", [COARSE_COLORS, BAR_COLORS, DOT_COLORS])
def test_any_two_colors_differ_by_20_ciede2000(colors: dict[str, RGB]) -> None:
    distances = [color_distance(a, b) for a, b in itertools.combinations(colors.values(), 2)]
    assert min(distances) >= 20


@pytest.mark.parametrize("colors", [COARSE_COLORS, BAR_COLORS, DOT_COLORS])
def test_left_and_right_of_a_pair_differ_by_40_ciede2000(colors: dict[str, RGB]) -> None:
    pairs = [(name, name.replace("left", "right")) for name in colors if "left" in name]
    assert pairs
    assert min(color_distance(colors[left], colors[right]) for left, right in pairs) >= 40


def test_there_are_6_coarse_and_13_fine_colors() -> None:
    for marker in ("bar", "dot"):
        assert len(np.unique(strokes_of(marker, 6).colors, axis=0)) == 6
        assert len(np.unique(strokes_of(marker, 13).colors, axis=0)) == 13


def test_every_keypoint_has_one_dot_and_every_bar_two_different_ends() -> None:
    dots = strokes_of("dot", 13).joints
    assert sorted(dots[:, 0]) == list(range(17))
    np.testing.assert_array_equal(dots[:, 0], dots[:, 1])
    bars = strokes_of("bar", 13).joints
    assert len(bars) == len({frozenset(ends) for ends in bars.tolist()}) == 13
    assert (bars[:, 0] != bars[:, 1]).all()


def test_bars_and_dots_are_mirror_symmetric() -> None:
    swapped = {KEYPOINT_NAMES[a]: KEYPOINT_NAMES[b] for a, b in SWAP_PAIRS}
    swapped |= {b: a for a, b in swapped.items()}
    links = {frozenset(ends) for ends in BAR_ENDS.values()}
    assert links == {frozenset(swapped.get(end, end) for end in link) for link in links}
    for name in DOT_COLORS:
        assert swapped.get(name, name) in DOT_COLORS


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("left_upper_arm", "left_arm"),
        ("right_wrist", "right_arm"),
        ("left_shoulder", "body"),
        ("right_torso", "body"),
        ("hips", "body"),
        ("left_knee", "left_leg"),
        ("right_lower_leg", "right_leg"),
        ("left_ear", "head"),
        ("nose", "head"),
    ],
)
def test_coarse_part_of(name: str, part: str) -> None:
    assert part_of(name) == part


def test_head_dots_share_one_color() -> None:
    strokes = strokes_of("dot", 13)
    face = [JOINT_NAMES[joint] in KEYPOINT_NAMES[:5] for joint in strokes.joints[:, 0]]
    assert len(np.unique(strokes.colors[np.array(face)], axis=0)) == 1
