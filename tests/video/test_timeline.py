"""Frame selection against ffmpeg's own `fps` filter, and time stamps that are wrong."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from video.timeline import FrameSelector, PresentationClock, Slots

FpsFilter = Callable[..., list[int]]

RATES = [
    *("1", "6", "8", "10", "12", "24000/1001", "24", "25", "30000/1001", "30"),
    *("50", "60000/1001", "60", "120"),
]


def select(
    times: list[Fraction],
    end: Fraction,
    *,
    fps: int = 25,
    start_seconds: Fraction | None = None,
    end_seconds: Fraction | None = None,
) -> list[tuple[int, int]]:
    """(output position, source index) of all output frames."""
    selector = FrameSelector(
        fps=Fraction(fps), start_seconds=start_seconds, end_seconds=end_seconds
    )
    slots = [selector.push(time) for time in times] + [selector.finish(end)]
    assert all(each.num_slots == len(list(each)) for each in slots)
    return [(index, each.source) for each in slots for index in each]


def constant(rate: str, count: int) -> list[Fraction]:
    return [index / Fraction(rate) for index in range(count)]


def check_against_ffmpeg(
    fps_filter: FpsFilter, stamps: list[int], durations: list[int], time_base: Fraction, fps: int
) -> None:
    clock = PresentationClock(default_step_seconds=Fraction(1, 25))
    pairs = zip(stamps, durations, strict=True)
    times = [clock.time_of(stamp * time_base, length * time_base) for stamp, length in pairs]
    ours = select(times, clock.end_seconds, fps=fps)
    theirs = fps_filter(stamps, durations, time_base, fps)
    assert [index for index, _ in ours] == list(range(len(ours)))
    if theirs:
        assert [source for _, source in ours] == theirs
    else:  # too short for one output frame: ours still gives one
        assert ours == [(0, len(stamps) - 1)]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("first", [0, 7, 1000])
def test_constant_rates_equal_ffmpegs_fps_filter(
    rate: str, first: int, fps_filter: FpsFilter
) -> None:
    for count in (1, 2, 3, 62):
        stamps = list(range(first, first + count))
        check_against_ffmpeg(fps_filter, stamps, [1] * count, 1 / Fraction(rate), 25)


@pytest.mark.parametrize("fps", [1, 5, 10, 30])
def test_other_output_rates_equal_ffmpegs_fps_filter(fps: int, fps_filter: FpsFilter) -> None:
    check_against_ffmpeg(fps_filter, list(range(40)), [1] * 40, Fraction(1001, 30000), fps)


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    first=st.integers(0, 3000),
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=12),
    time_base=st.sampled_from([Fraction(1, 1000), Fraction(1, 600), Fraction(1, 12800)]),
)
def test_variable_rates_equal_ffmpegs_fps_filter(
    first: int, gaps: list[int], time_base: Fraction, fps_filter: FpsFilter
) -> None:
    stamps = [first + sum(gaps[:index]) for index in range(len(gaps))]
    check_against_ffmpeg(fps_filter, stamps, gaps, time_base, 25)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(
    gaps=st.lists(st.integers(1, 300), min_size=1, max_size=12),
    start=st.integers(0, 2000),
    length=st.integers(1, 1000),
)
def test_range_gives_the_whole_videos_slots_inside_it(
    gaps: list[int], start: int, length: int
) -> None:
    times = [Fraction(sum(gaps[:index]), 1000) for index in range(len(gaps))]
    end = Fraction(sum(gaps), 1000)
    first, stop = Fraction(start, 1000), Fraction(start + length, 1000)
    whole = select(times, end, end_seconds=Fraction(10**6))
    expected = [slot for slot in whole if first <= Fraction(slot[0], 25) < stop]
    assert select(times, end, start_seconds=first, end_seconds=stop) == expected


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("0", "1/25", [0]),
        ("1/25", "3/25", [1, 2]),
        ("1/50", "3/50", [1]),
        ("1/50", "2/50", []),
        ("9/25", "5", [9]),
        ("10/25", "5", []),
    ],
)
def test_range_holds_its_start_and_not_its_end(start: str, end: str, expected: list[int]) -> None:
    slots = select(
        constant("25", 10),
        Fraction(10, 25),
        start_seconds=Fraction(start),
        end_seconds=Fraction(end),
    )
    assert [index for index, _ in slots] == [source for _, source in slots] == expected


def test_range_counts_from_the_first_source_frame() -> None:
    times = [5 + time for time in constant("25", 10)]
    slots = select(times, times[-1] + Fraction(1, 25), start_seconds=Fraction(8, 25))
    assert slots == [(8, 8), (9, 9)]


def test_selector_is_done_once_a_source_frame_passes_the_end() -> None:
    selector = FrameSelector(fps=Fraction(25), end_seconds=Fraction(2, 25))
    states = []
    for time in constant("25", 4):
        selector.push(time)
        states.append(selector.is_done)
    assert states == [False, False, True, True]
    assert selector.finish(Fraction(4, 25)).num_slots == 0


def test_selector_without_end_is_never_done() -> None:
    selector = FrameSelector(fps=Fraction(25))
    for time in constant("25", 4):
        selector.push(time)
    assert not selector.is_done


def test_no_source_frame_gives_no_slot() -> None:
    assert FrameSelector(fps=Fraction(25)).finish(Fraction(1)).num_slots == 0


def test_one_frame_gives_one_slot() -> None:
    assert select([Fraction(0)], Fraction(1, 25)) == [(0, 0)]


@pytest.mark.parametrize("count", [1, 2])
def test_whole_video_too_short_for_the_grid_gives_its_last_frame(count: int) -> None:
    assert select(constant("120", count), Fraction(count, 120)) == [(0, count - 1)]


def test_range_in_a_too_short_video_stays_empty() -> None:
    assert select([Fraction(0)], Fraction(1, 120), start_seconds=Fraction(0)) == []


def test_long_frame_repeats_and_short_frames_are_dropped() -> None:
    times = [Fraction(0), Fraction(120, 1000), Fraction(121, 1000), Fraction(160, 1000)]
    assert select(times, Fraction(1, 5)) == [(0, 0), (1, 0), (2, 0), (3, 2), (4, 3)]


def test_slots_come_as_soon_as_the_next_frame_is_known() -> None:
    selector = FrameSelector(fps=Fraction(25))
    assert selector.push(Fraction(0)).num_slots == 0
    assert selector.push(Fraction(2, 25)) == Slots(0, 2, 0)


def test_slots_up_to_a_stamp_aeons_away_cost_nothing() -> None:
    selector = FrameSelector(fps=Fraction(25))
    selector.push(Fraction(0))
    assert selector.push(Fraction(1 << 80)).num_slots == 25 << 80


def clock_times(
    stamps: list[tuple[str | None, str | None]], step: str = "1/25"
) -> tuple[list[Fraction], Fraction]:
    clock = PresentationClock(default_step_seconds=Fraction(step))
    times = [
        clock.time_of(stamp and Fraction(stamp), length and Fraction(length))  # type: ignore[arg-type]
        for stamp, length in stamps
    ]
    return times, clock.end_seconds


def test_clock_keeps_growing_stamps() -> None:
    times, end = clock_times([("1/2", "1/10"), ("3/5", "1/10"), ("2", "1/10")])
    assert times == [Fraction(1, 2), Fraction(3, 5), Fraction(2)]
    assert end == Fraction(21, 10)


@pytest.mark.parametrize("stamp", [None, "1/2", "2/5", "-3"])
def test_clock_steps_on_where_a_stamp_is_missing_or_not_later(stamp: str | None) -> None:
    times, end = clock_times([("1/2", "1/10"), (stamp, None)])
    assert times[1] == Fraction(3, 5)
    assert end == Fraction(3, 5) + Fraction(1, 25)


def test_clock_starts_at_zero_without_a_first_stamp() -> None:
    assert clock_times([(None, None), (None, None)], step="1/10")[0] == [0, Fraction(1, 10)]


def test_clock_keeps_a_negative_first_stamp() -> None:
    assert clock_times([("-1/25", None), ("0", None)])[0] == [Fraction(-1, 25), 0]


def test_clock_ends_at_zero_before_any_frame() -> None:
    assert clock_times([]) == ([], 0)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(st.lists(st.one_of(st.none(), st.fractions(-5, 5, max_denominator=100)), max_size=20))
def test_clock_times_always_grow(stamps: list[Fraction | None]) -> None:
    clock = PresentationClock(default_step_seconds=Fraction(1, 25))
    times = [clock.time_of(stamp, None) for stamp in stamps]
    assert all(earlier < later for earlier, later in pairwise(times))
