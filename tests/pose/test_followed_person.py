import numpy as np
import numpy.typing as npt
import pytest

from pose.followed_person import FollowedPerson, carry_box, confirm_people, mean_seen_score
from pose.person_boxes import PersonBoxes

BOX = np.array([100, 100, 200, 300], np.float32)
POINTS = np.random.default_rng(0).random((17, 2)).astype(np.float32) * [80, 180] + [110, 110]


def person(box: npt.NDArray[np.float32] = BOX, **values: int) -> FollowedPerson:
    return FollowedPerson(box=box, crop_box=box, box_score=0.8, **values)


def found(*boxes: npt.NDArray[np.float32]) -> PersonBoxes:
    return PersonBoxes(boxes=np.stack(boxes), scores=np.full(len(boxes), 0.5, np.float32))


def test_a_box_moves_with_its_keypoints() -> None:
    shift = np.array([7, -3], np.float32)
    moved = carry_box(BOX, POINTS, POINTS + shift)
    np.testing.assert_allclose(moved, BOX + np.tile(shift, 2), rtol=1e-5)


def test_a_box_grows_with_its_keypoints_about_its_centre() -> None:
    centre = np.median(POINTS, axis=0)
    grown = carry_box(BOX, POINTS, centre + (POINTS - centre) * 1.05)
    np.testing.assert_allclose(grown[2:] - grown[:2], [105, 210], rtol=1e-4)
    np.testing.assert_allclose((grown[:2] + grown[2:]) / 2, [150, 200], atol=1.5)


def test_a_box_grows_by_a_tenth_at_most_in_one_frame() -> None:
    centre = np.median(POINTS, axis=0)
    grown = carry_box(BOX, POINTS, centre + (POINTS - centre) * 3)
    np.testing.assert_allclose(grown[2:] - grown[:2], [110, 220], rtol=1e-4)


def test_keypoints_in_one_place_do_not_shrink_the_box() -> None:
    heap = np.full((17, 2), 150.0, np.float32)
    np.testing.assert_allclose(carry_box(BOX, heap, heap + 2), BOX + 2)


def test_a_box_stays_where_too_few_keypoints_say_how_it_moved() -> None:
    np.testing.assert_array_equal(carry_box(BOX, POINTS[:3], POINTS[:3] + 50), BOX)


def test_only_keypoints_that_are_seen_count_in_the_score() -> None:
    scores = np.array([0.9, 0.7, 0.1] + [0.0] * 14, np.float32)
    assert mean_seen_score(scores) == pytest.approx(0.8)
    assert mean_seen_score(np.zeros(17, np.float32)) == 0


def confirm(
    known: list[FollowedPerson], seen: PersonBoxes, *, min_new_score: float = 0.0
) -> list[FollowedPerson]:
    return confirm_people(known, seen, most_unseen_frames=3, min_new_score=min_new_score)


def test_a_detection_confirms_a_person_without_moving_its_box() -> None:
    (known,) = confirm([person(unseen_frames=9)], found(BOX + 10))
    assert (known.box_score, known.unseen_frames) == (0.5, 0)
    np.testing.assert_array_equal(known.box, BOX)


def test_a_box_that_has_drifted_off_is_corrected() -> None:
    (known,) = confirm([person()], found(BOX + 40))
    np.testing.assert_array_equal(known.box, BOX + 40)
    np.testing.assert_array_equal(known.crop_box, BOX)


def test_new_people_come_beside_the_known_ones() -> None:
    people = confirm([person()], found(BOX, BOX + 500))
    assert [each.box_score for each in people] == [0.5, 0.5]
    np.testing.assert_array_equal(people[1].crop_box, BOX + 500)


def test_one_detection_confirms_one_person() -> None:
    people = confirm([person(), person(BOX + 5)], found(BOX))
    assert [each.box_score for each in people] == [0.5, 0.8]


def test_a_weak_detection_confirms_a_person_but_is_no_new_one() -> None:
    people = confirm([person()], found(BOX, BOX + 500), min_new_score=0.51)
    assert [each.box_score for each in people] == [0.5]
    assert len(confirm([person()], found(BOX, BOX + 500), min_new_score=0.5)) == 2


def test_who_is_unseen_for_too_long_is_let_go() -> None:
    far = found(BOX + 500)
    assert len(confirm([person(unseen_frames=3)], far)) == 2
    assert len(confirm([person(unseen_frames=4)], far)) == 1


def test_keypoints_outside_of_the_frame_are_not_detected() -> None:
    points = np.full((17, 2), 50, np.float32)
    points[3] = (-1, 50)
    points[4] = (50, 99.6)
    posed = person().estimated(points, np.full(17, 0.9, np.float32), size=(100, 100))
    assert posed.pose is not None
    assert np.flatnonzero(posed.pose.scores[0] == 0).tolist() == [3, 4]
    assert posed.score == pytest.approx(0.8 * 0.9)
