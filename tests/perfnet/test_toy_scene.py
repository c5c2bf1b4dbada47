"""The generated world: the same clips again, exact flow, joints on limbs."""

import cv2
import numpy as np
import pytest

from perfnet.toy.config import ToyClass, ToyConfig, flow_ceiling, toy_classes
from perfnet.toy.figure import MOTIONS, Body, place_joints
from perfnet.toy.scene import make_clip
from perfnet.toy.stroke_flow import flow_between
from schemas.errors import ConfigError
from schemas.skeleton import KEYPOINT_NAMES

CLEAN = ToyConfig(
    pixel_noise=0, flow_noise_px=0, missing_pose=0, max_distractors=0, max_pan_px=0, size_px=96
)
BODY = Body(height_px=100, x_px=50, y_px=50)


def _joint(name: str) -> int:
    return KEYPOINT_NAMES.index(name)


def test_a_clip_is_the_same_whenever_it_is_made() -> None:
    first, second = (make_clip(ToyConfig(), "train-00003", 3) for _ in range(2))
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.flow, second.flow)
    assert np.array_equal(first.poses.keypoints, second.poses.keypoints)


@pytest.mark.parametrize("other", [(ToyConfig(seed=1), "a"), (ToyConfig(), "b")])
def test_another_seed_or_id_gives_another_clip(other: tuple[ToyConfig, str]) -> None:
    first, second = make_clip(ToyConfig(), "a", 3), make_clip(*other, 3)
    assert not np.array_equal(first.frames, second.frames)
    assert not np.array_equal(first.joints, second.joints)


@pytest.mark.parametrize("label", range(12))
def test_flow_leads_every_limb_to_where_it_is_in_the_next_frame(label: int) -> None:
    clip = make_clip(CLEAN, "clip", label)
    grid = np.indices((96, 96), np.float32)[::-1].transpose(1, 2, 0)
    for t in range(2, 7):
        here, there = clip.frames[t].astype(np.float32), clip.frames[t + 1].astype(np.float32)
        place = (grid + clip.flow[t]).astype(np.float32)
        warped = cv2.remap(there, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        moves = np.linalg.norm(clip.flow[t], axis=-1) > 0.3
        error = np.abs(warped - here).mean(axis=-1)[moves]
        still = np.abs(there - here).mean(axis=-1)[moves]
        assert moves.sum() > 20
        assert np.median(error) < 2  # the rest are edges, and limbs that come to lie over others
        shows = still > 20  # where staying in place would be wrong
        assert error[shows].mean() < 0.4 * still[shows].mean()


def test_background_moves_with_the_camera() -> None:
    config = ToyConfig(pixel_noise=0, flow_noise_px=0, max_distractors=0, max_pan_px=1.5)
    clip = make_clip(config, "clip", 0)
    pan = clip.flow[0, 0, 0]
    is_pan = (clip.flow == pan).all(axis=-1)
    assert is_pan[:, [0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert is_pan.mean() > 0.6
    assert np.abs(pan).max() > 0.1
    grid = np.indices((36, 36), np.float32)[::-1].transpose(1, 2, 0) + pan
    there = clip.frames[5].astype(np.float32)
    warped = cv2.remap(there, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR)
    inner = is_pan[4].copy()
    inner[[0, 1, -1, -2]] = inner[:, [0, 1, -1, -2]] = False
    error = np.abs(warped - clip.frames[4])[inner]
    assert np.median(error) < 2


def test_without_any_movement_flow_is_zero() -> None:
    clip = make_clip(CLEAN, "clip", 0)
    assert (clip.flow[:, 0, 0] == 0).all()
    assert np.array_equal(clip.flow[-1], clip.flow[-2])


def test_a_turning_bar_flows_as_it_turns() -> None:
    ends = np.array([[[10, 10], [20, 10]]], np.float32)
    turned = np.array([[[10, 10], [10, 20]]], np.float32)
    flow = flow_between(ends, turned, np.array([1.5], np.float32), np.zeros(2, np.float32), 32)
    assert flow[10, 15] == pytest.approx((-5, 5))  # half-way along
    assert flow[11, 20] == pytest.approx((-11, 9))  # one pixel to its side at the far end
    assert (flow[20, 10] == 0).all()


def test_of_overlapping_strokes_the_last_one_counts() -> None:
    ends = np.array([[[5, 5], [15, 5]], [[10, 0], [10, 10]]], np.float32)
    moved = ends + np.array([[[1, 0]], [[0, 2]]], np.float32)
    flow = flow_between(ends, moved, np.ones(2, np.float32), np.zeros(2, np.float32), 24)
    assert tuple(flow[5, 10]) == (0, 2)
    assert tuple(flow[5, 7]) == (1, 0)


@pytest.mark.parametrize("label", range(12))
def test_joints_lie_on_the_figure(label: int) -> None:
    clip = make_clip(CLEAN, "clip", label)
    for t in range(CLEAN.num_frames):
        places = np.rint(clip.poses.keypoints[t, 0]).astype(int)
        shown = clip.frames[t][places[:, 1], places[:, 0]].astype(float).mean(axis=-1)
        assert ((shown < 85) | (shown > 170)).all()  # background is 90 to 160


def test_missing_poses_are_missing_in_the_stated_share() -> None:
    config = ToyConfig(num_frames=4, size_px=24)
    missing = [make_clip(config, f"c{n}", n % 12).poses.num_people.max() == 0 for n in range(200)]
    assert 0.15 < np.mean(missing) < 0.35  # 0.25, standard error 0.03


@pytest.mark.parametrize(("count", "ceiling"), [(3, 2 / 3), (12, 2 / 3), (24, 1 / 3)])
def test_flow_cannot_tell_all_classes_apart(count: int, ceiling: float) -> None:
    classes = toy_classes(count)  # type: ignore[arg-type]
    assert len(set(classes)) == count
    assert [each.text for each in classes] == sorted(each.text for each in classes)
    assert flow_ceiling(count) == pytest.approx(ceiling)  # type: ignore[arg-type]


def test_only_the_object_tells_classes_of_one_motion_apart() -> None:
    classes = toy_classes(12)
    red = make_clip(CLEAN, "clip", classes.index(ToyClass("jump", "red")))
    blue = make_clip(CLEAN, "clip", classes.index(ToyClass("jump", "blue")))
    assert np.array_equal(red.flow, blue.flow)
    assert np.array_equal(red.joints, blue.joints)
    differs = (red.frames != blue.frames).any(axis=(0, 3))
    assert 0 < differs.mean() < 0.05


def test_motions_do_what_they_say() -> None:
    progress = np.array([0.0, 0.5, 1.0])
    y = {m: place_joints(m, progress, BODY)[..., 1] for m in MOTIONS}
    wrist, nose = _joint("left_wrist"), _joint("nose")
    assert y["left_arm_raise"][2, wrist] < y["left_arm_raise"][2, nose]
    assert y["left_arm_raise"][0, wrist] == pytest.approx(y["left_arm_lower"][2, wrist])
    assert y["squat"][1, nose] > y["squat"][0, nose] + 10
    assert y["jump"][1, nose] < y["jump"][0, nose] - 10
    ankle = _joint("right_ankle")
    assert y["squat"][1, ankle] == pytest.approx(y["squat"][0, ankle])
    assert y["jump"][1, ankle] < y["jump"][0, ankle] - 10
    assert y["right_kick"][1, ankle] < y["right_kick"][0, ankle] - 10


@pytest.mark.parametrize("motion", ["arm_raise", "arm_lower", "kick"])
def test_left_and_right_mirror_each_other(motion: str) -> None:
    progress = np.linspace(0, 1, 5)
    left = place_joints(f"left_{motion}", progress, BODY)  # type: ignore[arg-type]
    right = place_joints(f"right_{motion}", progress, BODY)  # type: ignore[arg-type]
    for name in ("wrist", "knee", "ankle"):
        mirrored = right[:, _joint(f"right_{name}")] * (-1, 1) + (100, 0)
        assert left[:, _joint(f"left_{name}")] == pytest.approx(mirrored, abs=1e-3)


@pytest.mark.parametrize("motion", MOTIONS)
def test_limbs_keep_their_length(motion: str) -> None:
    joints = place_joints(motion, np.linspace(0, 1, 9), BODY)  # type: ignore[arg-type]
    for side in ("left", "right"):
        for upper, lower in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee")):
            ends = [joints[:, _joint(f"{side}_{end}")] for end in (upper, lower)]
            lengths = np.linalg.norm(ends[1] - ends[0], axis=-1)
            assert lengths == pytest.approx(lengths[0], rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_px": 10}, "size_px must be >= 24, got 10"),
        ({"num_classes": 7}, "num_classes must be 3, 12 or 24, got 7"),
        ({"missing_pose": 1.5}, "missing_pose must be 0 to 1, got 1.5"),
        ({"flow_bound_px": 0.0}, "flow_bound_px must be > 0, got 0.0"),
        ({"jpeg_quality": 0}, "jpeg_quality must be 1 to 100, got 0"),
        ({"formats": ()}, "formats must name at least one"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ToyConfig(**options)  # type: ignore[arg-type]
