"""Which files count as short of frames."""

from dataclasses import replace
from fractions import Fraction

import pytest

from video.completeness import describe_loss
from video.source import Damage, VideoInfo

INFO = VideoInfo(
    width=64,
    height=48,
    codec="h264",
    pixel_format="yuv420p",
    container="mp4",
    frame_rate=Fraction(25),
    declared_frames=0,
    duration_seconds=None,
    file_duration_seconds=None,
    pixel_aspect=Fraction(1),
)


def loss(
    *,
    decoded: int,
    declared: int = 0,
    duration: str | None = None,
    end: str = "0",
    damage: Damage | None = None,
) -> str:
    seconds = None if duration is None else Fraction(duration)
    info = replace(INFO, declared_frames=declared, duration_seconds=seconds)
    return describe_loss(info, damage or Damage(), num_decoded=decoded, end_seconds=Fraction(end))


@pytest.mark.parametrize(
    ("decoded", "declared"),
    [(75, 75), (74, 75), (80, 75), (1, 2), (0, 1), (98, 100), (490, 500), (10, 0)],
)
def test_one_frame_or_two_percent_may_miss(decoded: int, declared: int) -> None:
    assert loss(decoded=decoded, declared=declared) == ""


@pytest.mark.parametrize(("decoded", "declared"), [(73, 75), (97, 100), (489, 500), (1, 3)])
def test_more_missing_is_a_loss(decoded: int, declared: int) -> None:
    message = f"{decoded} frames decoded of {declared} declared"
    assert loss(decoded=decoded, declared=declared) == message


def test_frames_hidden_by_an_edit_list_are_no_loss() -> None:
    hidden = Damage(num_discarded=24)
    assert loss(decoded=24, declared=48, damage=hidden) == ""
    assert loss(decoded=22, declared=48, damage=hidden) == "22 frames decoded of 24 declared"


def test_refused_packets_are_always_a_loss() -> None:
    damage = Damage()
    damage.add_error("first")
    damage.add_error("second")
    assert loss(decoded=50, declared=50, damage=damage) == (
        "2 packets could not be decoded (first error: first); 50 frames decoded"
    )


def test_duration_counts_only_without_a_frame_count() -> None:
    assert loss(decoded=50, declared=50, duration="10", end="2") == ""
    assert loss(decoded=50, duration="10", end="2") == (
        "the video ends after 2.00 s of 10.00 s declared"
    )


@pytest.mark.parametrize("end", ["19/2", "10", "11"])
def test_half_a_second_may_miss(end: str) -> None:
    assert loss(decoded=3, duration="10", end=end) == ""


def test_few_frames_in_the_whole_duration_are_a_variable_rate_unless_damaged() -> None:
    assert loss(decoded=100, duration="10", end="10") == ""
    damage = Damage(num_corrupt_frames=1)
    assert loss(decoded=100, duration="10", end="10", damage=damage) == (
        "100 frames decoded of about 250, some of them damaged"
    )
    assert loss(decoded=248, duration="10", end="10", damage=damage) == ""


def test_nothing_declared_is_nothing_lost() -> None:
    assert loss(decoded=1) == ""
