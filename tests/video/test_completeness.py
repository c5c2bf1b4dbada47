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
    info = replace(
        INFO,
        declared_frames=declared,
        duration_seconds=seconds,
        file_duration_seconds=seconds,
    )
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


def test_cut_off_file_is_short_by_one_frame() -> None:
    cut = Damage(num_cut_packets=1)
    evidence = "; the file is cut off, or parts of it are missing"
    assert loss(decoded=74, declared=75, damage=cut) == (
        f"74 frames decoded of 75 declared{evidence}"
    )
    assert loss(decoded=75, declared=75, damage=cut) == ""
    assert loss(decoded=5, damage=cut) == f"5 frames decoded{evidence}"


def test_missing_bytes_make_the_duration_exact() -> None:
    cut = Damage(missing_bytes=9)
    evidence = "; 9 bytes are missing at the end of the file"
    assert loss(decoded=25, duration="1", end="1", damage=cut) == ""
    assert loss(decoded=24, duration="1", end="24/25", damage=cut) == (
        f"the video ends after 0.96 s of 1.00 s declared{evidence}"
    )
    assert loss(decoded=24, duration="1", end="1", damage=cut) == (
        f"24 frames decoded of about 25{evidence}"
    )
    assert loss(decoded=25, damage=cut) == f"25 frames decoded{evidence}"


@pytest.mark.parametrize(("sound_end", "is_lost"), [("10", False), ("2", True)])
def test_duration_of_the_file_counts_if_all_streams_end_early(
    sound_end: str, is_lost: bool
) -> None:
    damage = Damage(other_end_seconds=Fraction(sound_end))
    for stream_seconds in (None, Fraction(10)):
        info = replace(INFO, duration_seconds=stream_seconds, file_duration_seconds=Fraction(10))
        found = describe_loss(info, damage, num_decoded=50, end_seconds=Fraction(2))
        assert bool(found) == is_lost
