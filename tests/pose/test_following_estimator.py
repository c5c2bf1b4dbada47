"""A fake world: people are coloured squares, and the models know them by their colour."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pose.following_estimator import FollowConfig, FollowingEstimator, Keypoints
from pose.person_boxes import PersonBoxes
from schemas.errors import ConfigError
from schemas.pose_sequence import PoseSequence, join_pose_sequences

WIDTH, HEIGHT, SIDE = 240, 120, 40
COLOURS = (200, 100)
SHAPE = np.random.default_rng(1).random((17, 2)).astype(np.float32) * (SIDE - 1)


def video(num_frames: int, *, hidden: frozenset[int] = frozenset()) -> npt.NDArray[np.uint8]:
    """Two squares that cross at different heights; the darker one is missing where hidden."""
    frames = np.zeros((num_frames, HEIGHT, WIDTH, 3), np.uint8)
    for t in range(num_frames):
        for colour, left, top in ((200, 4 + 4 * t, 10), (100, 190 - 4 * t, 60)):
            if not (colour == 100 and t in hidden):
                frames[t, top : top + SIDE, left : left + SIDE] = colour
    return frames


def place_of(frame: npt.NDArray[np.uint8], colour: int) -> tuple[int, int] | None:
    rows, columns = np.nonzero(frame[..., 0] == colour)
    return (int(columns.min()), int(rows.min())) if len(rows) else None


class World:
    """A detector and a pose model that know the squares."""

    def __init__(self, score: float = 0.9, blind: frozenset[int] = frozenset()) -> None:
        self.searches = 0
        self.boxes: list[npt.NDArray[np.float32]] = []
        self.score = score
        self.blind = blind

    def find(self, frame: npt.NDArray[np.uint8]) -> PersonBoxes:
        self.searches += 1
        places = [place_of(frame, colour) for colour in COLOURS if colour not in self.blind]
        boxes = [(x, y, x + SIDE, y + SIDE) for x, y in (place for place in places if place)]
        return PersonBoxes(
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            scores=np.full(len(boxes), self.score, np.float32),
        )

    def estimate(self, frame: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]) -> Keypoints:
        points = np.zeros((len(boxes), 17, 2), np.float32)
        scores = np.zeros((len(boxes), 17), np.float32)
        self.boxes.extend(boxes)
        for index, box in enumerate(boxes):
            x0, y0, x1, y1 = box.round().astype(int).clip(0)
            inside = frame[y0:y1, x0:x1, 0]
            colours = [int((inside == colour).sum()) for colour in COLOURS]
            place = place_of(frame, COLOURS[int(np.argmax(colours))])
            if max(colours) > SIDE * SIDE / 2 and place is not None:
                points[index] = SHAPE + np.array(place, np.float32)
                scores[index] = 0.9
        return points, scores


def run(world: World, frames: npt.NDArray[np.uint8], *cuts: int, **changes: Any) -> PoseSequence:
    estimator = FollowingEstimator(world.find, world.estimate, FollowConfig(**changes))
    indices = np.arange(len(frames), dtype=np.int64)
    pieces = zip(np.split(frames, cuts), np.split(indices, cuts), strict=True)
    return join_pose_sequences([estimator.estimate(piece, index) for piece, index in pieces])


STILL = np.repeat(video(1), 25, axis=0)


def test_people_are_where_they_are_in_every_frame_and_searched_in_few() -> None:
    world, always = World(), World()
    fast = run(world, video(30), detect_every=10, detect_after_change=1e9)
    slow = run(always, video(30), detect_every=1)
    assert fast.num_people.tolist() == [2] * 30
    np.testing.assert_allclose(fast.keypoints, slow.keypoints)
    assert (world.searches, always.searches) == (3, 30)


def test_people_who_cross_keep_their_ids() -> None:
    ids = run(World(), video(40)).track_ids
    for t, frame in enumerate(video(40)):
        assert ids[t].tolist() in ([0, 1], [1, 0]), t
        assert frame.any()
    left = run(World(), video(40)).keypoints[:, :, :, 0].min(axis=-1)
    walker = np.take_along_axis(left, (ids == 0).argmax(axis=1)[:, None], axis=1)[:, 0]
    assert (np.diff(walker) > 0).all() or (np.diff(walker) < 0).all()


def test_a_person_hidden_for_three_frames_comes_back_with_its_id() -> None:
    sequence = run(World(), video(30, hidden=frozenset({12, 13, 14})))
    assert sequence.num_people[12:15].tolist() == [1, 1, 1]
    assert sequence.num_people[-1] == 2
    assert sorted(sequence.track_ids[-1].tolist()) == [0, 1]


def test_a_loss_is_followed_by_a_search_soon() -> None:
    world = World()
    run(world, video(12, hidden=frozenset(range(3, 8))), detect_every=100, detect_after_change=1e9)
    assert world.searches >= 2


def test_a_person_the_detector_loses_is_followed_on() -> None:
    world = World()
    estimator = FollowingEstimator(world.find, world.estimate, FollowConfig(detect_every=1))
    estimator.estimate(STILL[:1], np.arange(1))
    world.blind = frozenset({100})
    sequence = estimator.estimate(STILL[1:10], np.arange(1, 10))
    assert sequence.num_people.tolist() == [2] * 9


def test_a_person_unseen_by_searches_for_too_long_is_let_go() -> None:
    world = World()
    config = FollowConfig(detect_every=1, most_unseen_frames=3)
    estimator = FollowingEstimator(world.find, world.estimate, config)
    estimator.estimate(STILL[:1], np.arange(1))
    world.blind = frozenset({100})
    sequence = estimator.estimate(STILL[1:10], np.arange(1, 10))
    assert sequence.num_people[-1] == 1


@pytest.mark.parametrize("cuts", [(1,), (10,), (3, 4, 17), tuple(range(1, 30))])
def test_results_do_not_depend_on_where_windows_are_cut(cuts: tuple[int, ...]) -> None:
    frames = video(30, hidden=frozenset({5, 6, 20}))
    whole, pieces = run(World(), frames), run(World(), frames, *cuts)
    for name in ("keypoints", "scores", "boxes", "box_scores", "track_ids"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))


def test_the_crop_of_a_still_person_does_not_tremble_with_box_or_pose() -> None:
    class Trembling(World):
        def find(self, frame: npt.NDArray[np.uint8]) -> PersonBoxes:
            found = super().find(frame)
            moved = found.boxes + np.float32(2 * (self.searches % 3) - 2)
            return PersonBoxes(boxes=moved, scores=found.scores)

        def estimate(
            self, frame: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]
        ) -> Keypoints:
            points, scores = super().estimate(frame, boxes)
            return points + np.float32(self.searches % 2), scores

    world = Trembling()
    run(world, STILL, detect_every=1)
    assert len({tuple(box.tolist()) for box in world.boxes}) == len(COLOURS)


def test_a_repeated_source_frame_repeats_its_poses_without_work() -> None:
    world = World()
    estimator = FollowingEstimator(world.find, world.estimate, FollowConfig())
    estimator.estimate(STILL[:2], np.array([0, 0]))
    assert len(world.boxes) == 2


def test_weak_people_need_more_to_be_found_than_to_be_kept() -> None:
    world = World(score=0.5)  # times .9 of the keypoints
    limits = {"min_person_score": 0.5, "keep_person_score": 0.4, "detect_every": 1}
    assert run(world, STILL[:3], **limits).num_people.tolist() == [0, 0, 0]
    world.score = 0.6
    estimator = FollowingEstimator(world.find, world.estimate, FollowConfig(**limits))
    assert estimator.estimate(STILL[:1], np.arange(1)).num_people.tolist() == [2]
    world.score = 0.5
    assert estimator.estimate(STILL[1:2], np.array([1])).num_people.tolist() == [2]
    world.score = 0.4
    assert estimator.estimate(STILL[2:3], np.array([2])).num_people.tolist() == [0]


def test_only_the_best_people_are_kept() -> None:
    assert run(World(), STILL[:3], max_people=1).num_people.tolist() == [1, 1, 1]


def test_frames_without_people_are_empty_and_frames_stay_as_they_are() -> None:
    frames = np.zeros((5, 50, 60, 3), np.uint8)
    assert run(World(), frames).num_people.tolist() == [0] * 5
    assert not frames.any()


def test_frames_of_another_dtype_are_refused() -> None:
    with pytest.raises(ValueError, match=r"frames must be uint8 \[T, H, W, C\] with C=3"):
        run(World(), np.zeros((1, 8, 8, 3), np.float32))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detect_every": 0}, "detect_every must be >= 1, got 0"),
        ({"max_people": 0}, "max_people must be >= 1, got 0"),
        ({"detect_after_change": 0.0}, "detect_after_change must be > 0, got 0.0"),
        ({"hold_box_iou": 0.0}, "hold_box_iou must be over 0 and at most 1, got 0.0"),
        ({"duplicate_oks": 1.1}, "duplicate_oks must be over 0 and at most 1, got 1.1"),
        ({"most_unseen_frames": -1}, "most_unseen_frames must be >= 0, got -1"),
        ({"min_person_score": 0.1}, "keep_person_score must be 0 to min_person_score"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FollowConfig(**changes)
