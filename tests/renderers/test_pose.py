"""People drawn on frames: who, where, how thick, in which colour."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from renderers.palette import BAR_COLORS, BAR_ENDS, COARSE_COLORS, DOT_COLORS
from renderers.pose import PoseRenderConfig, render_pose, render_pose_clip
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence, empty_pose_sequence
from schemas.skeleton import KEYPOINT_NAMES, SWAP_PAIRS

HEIGHT, WIDTH = 96, 128
BLACK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
DEFAULT = PoseRenderConfig()
VARIANTS = [
    PoseRenderConfig(marker=marker, colors=colors, ratio_aware=ratio_aware)
    for marker in ("bar", "dot")
    for colors in (6, 13)
    for ratio_aware in (False, True)
]

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


def person(
    box: tuple[float, float, float, float] = (10, 10, 110, 90), /, **joints: tuple[float, float]
) -> tuple[Float32, Float32, Float32]:
    """One person with the named keypoints; the others are not detected."""
    keypoints, scores = np.zeros((1, 17, 2), np.float32), np.zeros((1, 17), np.float32)
    for name, xy in joints.items():
        keypoints[0, KEYPOINT_NAMES.index(name)] = xy
        scores[0, KEYPOINT_NAMES.index(name)] = 1
    return keypoints, scores, np.array([box], np.float32)


def whole_figure() -> tuple[Float32, Float32, Float32]:
    """A person whose 17 keypoints are all visible and apart."""
    grid = [(16 + 20 * (i % 5), 14 + 20 * (i // 5)) for i in range(17)]
    return person(**dict(zip(KEYPOINT_NAMES, grid, strict=True)))


def thickness_at(frame: UInt8, column: int) -> float:
    """Covered height of a white or coloured horizontal bar in one column, in pixels."""
    peak = frame[:, column].max(axis=-1).astype(np.float64)
    return float(peak.sum() / 255)


def test_default_is_fine_ratio_aware_bars_on_rgb() -> None:
    assert (DEFAULT.background, DEFAULT.marker, DEFAULT.colors) == ("rgb", "bar", 13)
    assert DEFAULT.ratio_aware


@pytest.mark.parametrize("config", VARIANTS)
def test_frame_and_pose_arguments_are_not_modified(config: PoseRenderConfig) -> None:
    arguments = (NOISE.copy(), *whole_figure())
    before = [argument.copy() for argument in arguments]
    rendered = render_pose(*arguments, config=config)
    for argument, copy in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(argument, copy)
    assert not np.shares_memory(rendered, arguments[0])
    assert (rendered != arguments[0]).any()


def test_same_input_gives_the_same_bytes() -> None:
    figure = whole_figure()
    first = render_pose(NOISE, *figure, config=DEFAULT)
    assert first.tobytes() == render_pose(NOISE, *figure, config=DEFAULT).tobytes()


@pytest.mark.parametrize("config", VARIANTS)
def test_undetected_keypoint_leaves_frame_untouched(config: PoseRenderConfig) -> None:
    keypoints, scores, boxes = whole_figure()
    scores[:] = 0.29
    np.testing.assert_array_equal(
        render_pose(NOISE, keypoints, scores, boxes, config=config), NOISE
    )


def test_keypoint_at_the_threshold_is_drawn() -> None:
    keypoints, scores, boxes = person(left_wrist=(50, 50))
    scores *= np.float32(0.3)
    frame = render_pose(BLACK, keypoints, scores, boxes, config=PoseRenderConfig(marker="dot"))
    assert frame[50, 50].tolist() == list(DOT_COLORS["left_wrist"])


@pytest.mark.parametrize(
    "xy",
    [(np.nan, 40), (40, np.inf), (-0.6, 40), (WIDTH - 0.4, 40), (40, -0.6), (40, HEIGHT - 0.4)],
)
@pytest.mark.parametrize("config", VARIANTS)
def test_keypoint_not_finite_or_outside_draws_neither_dot_nor_bar(
    xy: tuple[float, float], config: PoseRenderConfig
) -> None:
    visible = person(left_elbow=(60, 50))
    lost = person(left_elbow=(60, 50), left_wrist=xy, left_shoulder=xy, nose=xy)
    np.testing.assert_array_equal(
        render_pose(NOISE, *lost, config=config), render_pose(NOISE, *visible, config=config)
    )


def test_bar_needs_both_its_ends() -> None:
    frame = render_pose(NOISE, *person(left_elbow=(60, 50)), config=DEFAULT)
    np.testing.assert_array_equal(frame, NOISE)


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 0), (50, 50, 50, 90), (90, 10, 20, 80), (0, 0, np.nan, 9), (0, 0, np.inf, 9)]
)
@pytest.mark.parametrize("config", VARIANTS)
def test_empty_box_draws_nothing(
    box: tuple[float, float, float, float], config: PoseRenderConfig
) -> None:
    keypoints, scores, _ = whole_figure()
    boxes = np.array([box], np.float32)
    np.testing.assert_array_equal(
        render_pose(NOISE, keypoints, scores, boxes, config=config), NOISE
    )


def test_no_people_return_the_frame() -> None:
    nobody = empty_pose_sequence(1)
    arguments = (nobody.keypoints[0], nobody.scores[0], nobody.boxes[0])
    np.testing.assert_array_equal(render_pose(NOISE, *arguments, config=DEFAULT), NOISE)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.floats(4, 120, width=32), st.floats(4, 90, width=32)),
    st.tuples(st.floats(4, 120, width=32), st.floats(4, 90, width=32)),
)
def test_bar_covers_the_segment_between_its_joints_and_nothing_far_from_it(
    shoulder: tuple[float, float], elbow: tuple[float, float]
) -> None:
    config = PoseRenderConfig(ratio_aware=False, thickness_px=6)
    pose = person(left_shoulder=shoulder, left_elbow=elbow)
    frame = render_pose(BLACK, *pose, config=config)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    points = np.stack([x, y], axis=-1).astype(np.float64)
    start, step = np.array(shoulder), np.array(elbow) - np.array(shoulder)
    share = np.clip((points - start) @ step / max(step @ step, 1e-12), 0, 1)
    distance = np.linalg.norm(points - start - share[..., None] * step, axis=-1)
    assert (frame[distance <= 2.49] == BAR_COLORS["left_upper_arm"]).all()
    assert not frame[distance >= 3.51].any()


@pytest.mark.parametrize("name", BAR_COLORS)
def test_each_bar_has_its_color_between_its_joints(name: str) -> None:
    ends = BAR_ENDS[name]
    joints = {"left_shoulder": (80.0, 60.0), "right_shoulder": (40.0, 60.0), "nose": (60.0, 20.0)}
    if name == "head":
        middle = (60, 40)
    else:
        joints = {ends[0]: (40.0, 60.0), ends[1]: (80.0, 60.0)}
        middle = (60, 60)
    frame = render_pose(BLACK, *person(**joints), config=DEFAULT)
    assert frame[middle[1], middle[0]].tolist() == list(BAR_COLORS[name])


@pytest.mark.parametrize("name", KEYPOINT_NAMES)
def test_each_dot_has_its_color_on_its_keypoint(name: str) -> None:
    config = PoseRenderConfig(marker="dot")
    frame = render_pose(BLACK, *person(**{name: (60, 60)}), config=config)
    assert frame[60, 60].tolist() == list(DOT_COLORS.get(name, DOT_COLORS["head"]))


def test_coarse_bars_of_an_arm_share_one_color() -> None:
    joints = {"left_shoulder": (20.0, 50.0), "left_elbow": (60.0, 50.0), "left_wrist": (100.0, 50)}
    frame = render_pose(BLACK, *person(**joints), config=PoseRenderConfig(colors=6))
    assert frame[50, 40].tolist() == frame[50, 80].tolist() == list(COARSE_COLORS["left_arm"])


def test_head_bar_ends_at_the_mean_of_the_detected_face() -> None:
    shoulders = {"left_shoulder": (80.0, 80.0), "right_shoulder": (40.0, 80.0)}
    config = PoseRenderConfig(ratio_aware=False, thickness_px=4)
    both = person(**shoulders, left_ear=(70.0, 30.0), right_ear=(50.0, 30.0))
    nose = person(**shoulders, nose=(60.0, 30.0))
    np.testing.assert_array_equal(
        render_pose(BLACK, *both, config=config), render_pose(BLACK, *nose, config=config)
    )


def test_thickness_follows_the_box_of_each_person() -> None:
    keypoints = np.zeros((2, 17, 2), np.float32)
    scores = np.zeros((2, 17), np.float32)
    scores[:, [7, 9]] = 1
    keypoints[0, [7, 9]] = [[10, 48], [50, 48]]
    keypoints[1, [7, 9]] = [[70, 48], [120, 48]]
    boxes = np.array([[0, 0, 60, 60], [0, 0, 120, 120]], np.float32)
    config = PoseRenderConfig(thickness_ratio=0.1)
    frame = render_pose(BLACK, keypoints, scores, boxes, config=config)
    assert thickness_at(frame, 30) == pytest.approx(6, abs=0.1)
    assert thickness_at(frame, 95) == pytest.approx(12, abs=0.1)


@pytest.mark.parametrize(
    ("side", "wanted"), [(8, 2.0), (100, 5.0), (1000, 24.0)], ids=["minimum", "ratio", "maximum"]
)
def test_ratio_aware_thickness_stays_within_its_limits(side: float, wanted: float) -> None:
    pose = person((0, 0, side, side), left_elbow=(20, 48), left_wrist=(100, 48))
    frame = render_pose(BLACK, *pose, config=DEFAULT)
    assert thickness_at(frame, 60) == pytest.approx(wanted, abs=0.1)


def test_uniform_thickness_ignores_the_box() -> None:
    config = PoseRenderConfig(ratio_aware=False, thickness_px=7)
    for side in (20, 90):
        pose = person((0, 0, side, side), left_elbow=(20, 48), left_wrist=(100, 48))
        frame = render_pose(BLACK, *pose, config=config)
        assert thickness_at(frame, 60) == pytest.approx(7, abs=0.1)


def test_dot_is_one_and_a_half_times_as_wide_as_a_bar() -> None:
    config = PoseRenderConfig(marker="dot", ratio_aware=False, thickness_px=8)
    frame = render_pose(BLACK, *person(left_wrist=(60, 48)), config=config)
    assert thickness_at(frame, 60) == pytest.approx(12, abs=0.3)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_person_with_the_larger_box_is_on_top(order: tuple[int, int]) -> None:
    small = person((0, 0, 50, 50), left_elbow=(20, 48), left_wrist=(100, 48))
    large = person((0, 0, 90, 90), right_elbow=(60, 10), right_wrist=(60, 90))
    people = [np.concatenate([(small, large)[i][k] for i in order]) for k in range(3)]
    frame = render_pose(BLACK, people[0], people[1], people[2], config=DEFAULT)
    assert frame[48, 60].tolist() == list(BAR_COLORS["right_lower_arm"])


def test_black_background_drops_the_frame_and_keeps_the_people() -> None:
    figure = whole_figure()
    frame = render_pose(NOISE, *figure, config=PoseRenderConfig(background="black"))
    np.testing.assert_array_equal(frame, render_pose(BLACK, *figure, config=DEFAULT))


points = st.lists(
    st.tuples(st.integers(0, (WIDTH - 1) * 4), st.integers(0, (HEIGHT - 1) * 4)),
    min_size=17,
    max_size=17,
)


@settings(max_examples=25, deadline=None)
@given(points)
def test_mirrored_keypoints_give_the_mirrored_shape(
    quarters: list[tuple[int, int]],
) -> None:
    keypoints: Float32 = np.array([quarters], np.float32) / np.float32(4)
    scores, boxes = np.ones((1, 17), np.float32), np.array([[0, 0, 100, 90]], np.float32)
    swap = np.arange(17)
    for left, right in SWAP_PAIRS:
        swap[[left, right]] = right, left
    mirrored: Float32 = keypoints[:, swap].copy()
    mirrored[..., 0] = WIDTH - 1 - mirrored[..., 0]
    for config in (DEFAULT, PoseRenderConfig(marker="dot", colors=6)):
        drawn = render_pose(BLACK, keypoints, scores, boxes, config=config).max(axis=-1)
        again = render_pose(BLACK, mirrored, scores, boxes, config=config).max(axis=-1)[:, ::-1]
        # The faintest edge of a bright colour may round to black in a darker one.
        assert (again[drawn > 1] > 0).all()
        assert (drawn[again > 1] > 0).all()


def test_mirrored_arm_carries_the_color_of_the_other_side() -> None:
    left = render_pose(BLACK, *person(left_elbow=(20, 40), left_wrist=(60, 60)), config=DEFAULT)
    right = render_pose(
        BLACK,
        *person(right_elbow=(WIDTH - 1 - 20, 40), right_wrist=(WIDTH - 1 - 60, 60)),
        config=DEFAULT,
    )
    np.testing.assert_array_equal(left.any(axis=-1), right[:, ::-1].any(axis=-1))
    assert left[50, 40].tolist() == list(BAR_COLORS["left_lower_arm"])
    assert right[50, WIDTH - 1 - 40].tolist() == list(BAR_COLORS["right_lower_arm"])


def clip_of(num_frames: int) -> PoseSequence:
    poses = empty_pose_sequence(num_frames, 2)
    keypoints, scores, boxes = whole_figure()
    poses.keypoints[:, 0], poses.scores[:, 0], poses.boxes[:, 0] = keypoints, scores, boxes
    poses.track_ids[:, 0] = 0
    return poses


def test_clip_is_rendered_frame_by_frame() -> None:
    poses = clip_of(3)
    poses.keypoints[2] += 3
    frames = np.stack([NOISE, BLACK, NOISE])
    before = frames.copy()
    rendered = render_pose_clip(frames, poses, config=DEFAULT)
    np.testing.assert_array_equal(frames, before)
    for t in range(3):
        alone = (poses.keypoints[t], poses.scores[t], poses.boxes[t])
        np.testing.assert_array_equal(rendered[t], render_pose(frames[t], *alone, config=DEFAULT))


def test_slot_without_a_track_draws_nothing() -> None:
    poses = clip_of(1)
    poses.track_ids[:] = -1
    np.testing.assert_array_equal(render_pose_clip(NOISE[None], poses, config=DEFAULT)[0], NOISE)


def test_clip_without_frames_stays_empty() -> None:
    assert render_pose_clip(NOISE[None][:0], clip_of(0), config=DEFAULT).shape == (0, 96, 128, 3)


def test_clip_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"with T=2, C=3, got uint8 \[1, 96, 128, 3\]"):
        render_pose_clip(NOISE[None], clip_of(2), config=DEFAULT)
    with pytest.raises(TypeError, match=r"frames must be uint8 .* got list"):
        render_pose_clip([], clip_of(2), config=DEFAULT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, NOISE[..., 0], r"frame must be uint8 \[H, W, C\] with C=3, got uint8 \[96, 128\]"),
        (1, np.zeros((1, 16, 2), np.float32), r"keypoints must be .* K=17, C=2, got .*\[1, 16, 2"),
        (2, np.zeros((2, 17), np.float32), r"scores must be .* P=1, K=17, got float32 \[2, 17\]"),
        (3, np.zeros((1, 4), np.float64), r"boxes must be float32 .* got float64 \[1, 4\]"),
    ],
)
def test_arguments_of_another_shape_or_type_are_rejected(
    index: int, value: Any, message: str
) -> None:
    arguments: list[Any] = [NOISE, *whole_figure()]
    arguments[index] = value
    with pytest.raises(ValueError, match=message):
        render_pose(*arguments, config=DEFAULT)


def test_argument_that_is_no_array_is_rejected() -> None:
    _, scores, boxes = whole_figure()
    with pytest.raises(TypeError, match=r"keypoints must be float32 .* got NoneType"):
        render_pose(NOISE, None, scores, boxes, config=DEFAULT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("background", "white", "background must be one of 'rgb', 'black', got 'white'"),
        ("marker", "line", "marker must be one of 'bar', 'dot', got 'line'"),
        ("colors", 7, "colors must be one of 6, 13, got 7"),
        ("thickness_ratio", 0, r"thickness_ratio must be in \(0, 1\], got 0"),
        ("thickness_ratio", 1.5, r"thickness_ratio must be in \(0, 1\], got 1.5"),
        ("min_score", 0.0, r"min_score must be in \(0, 1\], got 0.0"),
        ("min_score", float("nan"), r"min_score must be in \(0, 1\], got nan"),
        ("min_thickness_px", -1.0, "min_thickness_px must be > 0 and finite, got -1.0"),
        ("thickness_px", float("inf"), "thickness_px must be > 0 and finite, got inf"),
        ("max_thickness_px", 0.0, "max_thickness_px must be > 0 and finite, got 0.0"),
        ("max_thickness_px", 1.5, r"must be >= min_thickness_px \(2.0\), got 1.5"),
    ],
)
def test_config_names_field_rule_and_value(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PoseRenderConfig(**{field: value})
