"""A fake world: people are coloured squares, and the detector sees each that is wholly inside."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pose.estimator import FramePoses, empty_frame_poses, merge_frame_poses
from pose.landmarks import poses_with_boxes
from pose.tiled_estimator import TiledPoseEstimator, TilingConfig, search_squares
from schemas.errors import ConfigError, RecordError
from schemas.outcome import Outcome
from schemas.pose_sequence import PoseSequence, join_pose_sequences

WIDTH, HEIGHT, SIDE = 120, 80, 12
COLOURS = (200, 100)


def video(num_frames: int, *, hidden: frozenset[int] = frozenset()) -> npt.NDArray[np.uint8]:
    frames = np.zeros((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    for t in range(num_frames):
        for colour, left, top in ((200, 4 + 2 * t, 20), (100, 100 - 2 * t, 50)):
            if not (colour == 100 and t in hidden):
                frames[t, top : top + SIDE, left : left + SIDE] = colour
    return frames


class SquareDetector:
    """Finds the coloured squares that are wholly in the image; big images hide them."""

    def __init__(self, largest_side: int = 80) -> None:
        self.calls = 0
        self.largest_side = largest_side

    def __call__(self, image: npt.NDArray[np.uint8]) -> FramePoses:
        self.calls += 1
        assert image.shape[0] == image.shape[1]
        if image.shape[0] > self.largest_side:
            return empty_frame_poses()
        return merge_frame_poses(self._person(image, colour) for colour in COLOURS)

    def _person(self, image: npt.NDArray[np.uint8], colour: int) -> FramePoses:
        rows, columns = np.nonzero(image[..., 0] == colour)
        if len(rows) < SIDE * SIDE:
            return empty_frame_poses()
        grid = np.random.default_rng(colour).random((17, 2)).astype(np.float32) * (SIDE - 1)
        points = grid + np.array([columns.min(), rows.min()], np.float32)
        scores = np.full((1, 17), colour / 250, np.float32)
        return poses_with_boxes(points[None], scores, width=image.shape[1], height=image.shape[0])


def config(**changes: Any) -> TilingConfig:
    settings = {"min_person_score": 0.3, "detect_every": 8, "follow_missed_frames": 3, **changes}
    return TilingConfig(**settings)


def estimate(frames: npt.NDArray[np.uint8], *cuts: int, detector: Any = None) -> PoseSequence:
    estimator = TiledPoseEstimator(detector or SquareDetector(), config())
    indices = np.arange(len(frames), dtype=np.int64)
    pieces = zip(np.split(frames, cuts), np.split(indices, cuts), strict=True)
    return join_pose_sequences([estimator.estimate(piece, index) for piece, index in pieces])


def assert_equal(first: PoseSequence, second: PoseSequence) -> None:
    for name in ("keypoints", "scores", "boxes", "box_scores", "track_ids"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_people_in_tiles_are_found_where_they_are_and_once() -> None:
    sequence = estimate(video(1))
    assert sequence.num_people.tolist() == [2]
    assert sequence.keypoints[0, 0].min(axis=0) == pytest.approx([4, 20], abs=4)
    assert sequence.keypoints[0, 1].min(axis=0) == pytest.approx([100, 50], abs=4)


def test_people_who_cross_keep_their_ids() -> None:
    sequence = estimate(video(40))
    assert sequence.num_people.tolist() == [2] * 40
    assert (sequence.track_ids == [0, 1]).all()


@pytest.mark.parametrize("cuts", [(1,), (8,), (3, 4, 17), tuple(range(1, 30))])
def test_results_do_not_depend_on_where_windows_are_cut(cuts: tuple[int, ...]) -> None:
    frames = video(30, hidden=frozenset({5, 6, 20}))
    assert_equal(estimate(frames, *cuts), estimate(frames))


def test_a_person_missing_for_three_frames_gets_the_same_id() -> None:
    sequence = estimate(video(24, hidden=frozenset({9, 10, 11})))
    assert sequence.num_people[9:12].tolist() == [1, 1, 1]
    assert sequence.track_ids[-1].tolist() == [0, 1]


def test_between_key_frames_only_crops_are_looked_at() -> None:
    detector = SquareDetector()
    estimator = TiledPoseEstimator(detector, config())
    frames = video(8)
    estimator.estimate(frames[:1], np.array([0]))
    searched = detector.calls
    estimator.estimate(frames[1:], np.arange(1, 8))
    assert searched == len(search_squares(config(), width=WIDTH, height=HEIGHT))
    assert detector.calls - searched == 2 * 7


def test_known_people_are_followed_with_their_own_detector() -> None:
    search, follow = SquareDetector(), SquareDetector()
    estimator = TiledPoseEstimator(search, config(), follow=follow)
    estimator.estimate(video(3), np.arange(3))
    assert follow.calls == 2 * 2


class FixedSideDetector(SquareDetector):
    """Sees people in squares of one size only, as if they were too large or small in others."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def __call__(self, image: npt.NDArray[np.uint8]) -> FramePoses:
        found = super().__call__(image)
        return found if image.shape[0] == self.side else empty_frame_poses()


def test_people_are_followed_in_the_squares_in_which_they_were_seen() -> None:
    tile_side = HEIGHT // 2
    estimator = TiledPoseEstimator(FixedSideDetector(tile_side), config(passes_per_frame=0.0))
    still = np.repeat(video(1), 6, axis=0)
    assert estimator.estimate(still, np.arange(6)).num_people.tolist() == [2] * 6


def people_of_a_still_picture(num_lost: int, **changes: Any) -> list[int]:
    """People per frame where the darker one is lost for some frames from frame 3 on."""
    still = np.repeat(video(1), 16, axis=0)
    still[3 : 3 + num_lost][still[3 : 3 + num_lost] == 100] = 0
    changes |= {"detect_every": 1000, "detect_after_change": 1e9, "passes_per_frame": 0.0}
    settings = config(**changes)
    estimator = TiledPoseEstimator(FixedSideDetector(HEIGHT // 2), settings)
    return estimator.estimate(still, np.arange(16)).num_people.tolist()


def test_somebody_lost_is_looked_for_where_it_was_seen_last() -> None:
    found_again = [2] * 3 + [1] * 4 + [2] * 9
    assert people_of_a_still_picture(4, follow_missed_frames=4) == found_again
    assert people_of_a_still_picture(5, follow_missed_frames=4) == [2] * 3 + [1] * 13


def test_somebody_lost_is_believed_no_more_easily_than_anybody() -> None:
    search, follow = SquareDetector(), SquareDetector()
    frames = np.repeat(video(1), 4, axis=0)
    frames[1:] = 0
    settings = config(passes_per_frame=0.0, detect_after_change=1e9)
    estimator = TiledPoseEstimator(search, settings, follow=follow)
    estimator.estimate(frames[:2], np.arange(2))  # the square and around both
    searched, followed = search.calls, follow.calls
    estimator.estimate(frames[2:], np.arange(2, 4))
    assert follow.calls == followed
    assert search.calls > searched


def num_searches(frames: npt.NDArray[np.uint8], **changes: Any) -> int:
    search = SquareDetector()
    settings = TilingConfig(min_person_score=0.3, detect_every=1000, **changes)
    estimator = TiledPoseEstimator(search, settings, follow=SquareDetector())
    estimator.estimate(frames, np.arange(len(frames)))
    return search.calls // len(search_squares(settings, width=WIDTH, height=HEIGHT))


def test_the_fewer_people_the_more_searches() -> None:
    nobody, two_people = np.zeros_like(video(30)), np.repeat(video(1), 30, axis=0)
    squares = len(search_squares(config(), width=WIDTH, height=HEIGHT))
    assert num_searches(nobody, passes_per_frame=4.0) == 30 * 4 // squares
    assert (
        1
        < num_searches(two_people, passes_per_frame=4.0)
        < num_searches(nobody, passes_per_frame=4.0)
    )
    assert num_searches(nobody, passes_per_frame=0.0) == 1


def test_a_cut_is_searched_at_once() -> None:
    frames = np.zeros((6, HEIGHT, WIDTH, 3), np.uint8)
    frames[3:] = 90
    assert num_searches(frames, passes_per_frame=0.0) == 2


@pytest.mark.parametrize(("keep", "people"), [(0.5, [2, 1]), (0.3, [2, 2]), (0.9, [2, 1])])
def test_who_is_known_needs_a_lower_score(keep: float, people: list[int]) -> None:
    frames = np.repeat(video(1), 2, axis=0)
    frames[1][frames[1] == 100] = 90
    settings = TilingConfig(min_person_score=0.39, keep_person_score=keep)
    estimator = TiledPoseEstimator(DimmingDetector(), settings)
    assert estimator.estimate(frames, np.arange(2)).num_people.tolist() == people


class DimmingDetector(SquareDetector):
    """Also sees the darker person when it has become darker still."""

    def __call__(self, image: npt.NDArray[np.uint8]) -> FramePoses:
        found = super().__call__(np.where(image == 90, 100, image).astype(np.uint8))
        dim = np.float32(0.9 if (image == 90).any() else 1.0)
        return FramePoses(
            keypoints=found.keypoints,
            scores=found.scores * dim,
            boxes=found.boxes,
            box_scores=found.box_scores * dim,
        )


def test_a_repeated_source_frame_repeats_its_poses_without_work() -> None:
    detector = SquareDetector()
    estimator = TiledPoseEstimator(detector, config())
    frames = video(2)[[0, 0, 0, 1]]
    first = estimator.estimate(frames[:2], np.array([0, 0]))
    calls = detector.calls
    rest = estimator.estimate(frames[2:3], np.array([0]))
    assert detector.calls == calls
    np.testing.assert_array_equal(rest.keypoints[0], first.keypoints[0])
    np.testing.assert_array_equal(first.keypoints[0], first.keypoints[1])


def test_weak_people_are_dropped() -> None:
    estimator = TiledPoseEstimator(SquareDetector(), TilingConfig(min_person_score=0.5))
    assert estimator.estimate(video(1), np.array([0])).num_people.tolist() == [1]


def test_only_the_best_people_are_kept() -> None:
    estimator = TiledPoseEstimator(SquareDetector(), config(max_people=1))
    sequence = estimator.estimate(video(1), np.array([0]))
    assert sequence.box_scores[0].tolist() == pytest.approx([0.8])


def test_frames_without_people_are_empty() -> None:
    assert estimate(np.zeros((10, 50, 60, 3), np.uint8)).num_people.tolist() == [0] * 10


def test_frames_are_not_modified() -> None:
    frames = video(5)
    before = frames.copy()
    estimate(frames)
    np.testing.assert_array_equal(frames, before)


def test_the_error_of_a_detector_comes_through() -> None:
    def broken(_image: object) -> FramePoses:
        raise RecordError("", Outcome.POSE_FAILED, "no luck")

    with pytest.raises(RecordError, match="pose_failed: no luck"):
        TiledPoseEstimator(broken, config()).estimate(video(1), np.array([0]))


def test_frames_of_another_dtype_are_refused() -> None:
    with pytest.raises(ValueError, match=r"frames must be uint8 \[T, H, W, C\] with C=3"):
        estimate(np.zeros((1, 8, 8, 3), np.float32))  # type: ignore[arg-type]


def test_indices_of_another_length_are_refused() -> None:
    estimator = TiledPoseEstimator(SquareDetector(), config())
    with pytest.raises(ValueError, match=r"source_indices must be int64 \[T\] with T=2"):
        estimator.estimate(video(2), np.arange(3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detect_every": 0}, "detect_every must be >= 1, got 0"),
        ({"passes_per_frame": -1}, "passes_per_frame must be >= 0, got -1"),
        ({"detect_after_change": 0.0}, "detect_after_change must be > 0, got 0.0"),
        ({"max_people": 0}, "max_people must be >= 1, got 0"),
        ({"follow_missed_frames": -1}, "follow_missed_frames must be >= 0, got -1"),
        ({"tiles_across": (1, 0)}, r"tiles_across must be >= 1 each, got \(1, 0\)"),
        ({"tile_overlap": 1.0}, "tile_overlap must be 0 to under 1, got 1.0"),
        ({"crop_scales": ()}, r"crop_scales must be >= 1 each, got \(\)"),
        ({"duplicate_oks": 0.0}, "duplicate_oks must be over 0 and at most 1, got 0.0"),
        ({"min_person_score": 1.1}, "min_person_score must be 0 to 1, got 1.1"),
        ({"keep_person_score": -0.1}, "keep_person_score must be 0 to 1, got -0.1"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TilingConfig(**changes)
