import numpy as np
import numpy.typing as npt

from pose.search_clock import SearchClock


def flat(level: int) -> npt.NDArray[np.uint8]:
    return np.full((48, 64, 3), level, np.uint8)


def due(clock: SearchClock, levels: list[int]) -> list[bool]:
    return [clock.is_due(flat(level)) for level in levels]


def test_a_still_picture_is_searched_in_every_nth_frame() -> None:
    clock = SearchClock(most_frames=4, change_levels=50)
    assert due(clock, [9] * 9) == [True, False, False, False] * 2 + [True]


def test_a_cut_is_searched_at_once() -> None:
    clock = SearchClock(most_frames=100, change_levels=1000)
    assert due(clock, [0, 0, 90, 90]) == [True, False, True, False]


def test_the_more_the_picture_changes_the_sooner_it_is_searched() -> None:
    slow = due(SearchClock(most_frames=100, change_levels=30), list(range(0, 60, 2)))
    fast = due(SearchClock(most_frames=100, change_levels=30), list(range(0, 180, 6)))
    assert [t for t, is_due in enumerate(slow) if is_due] == [0, 15]
    assert [t for t, is_due in enumerate(fast) if is_due] == [0, 5, 10, 15, 20, 25]


def test_a_search_can_be_asked_for() -> None:
    clock = SearchClock(most_frames=100, change_levels=50)
    assert due(clock, [9, 9]) == [True, False]
    clock.search_within(2)
    clock.search_within(50)
    assert due(clock, [9, 9, 9]) == [False, True, False]
