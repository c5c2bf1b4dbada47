"""The outcomes are a contract with everyone who reads a ledger."""

from schemas.outcome import Outcome


def test_outcomes_are_those_of_the_contract() -> None:
    assert {outcome.value for outcome in Outcome} == {
        *("written", "missing", "empty", "unreadable", "no_video_stream", "truncated"),
        *("too_short", "too_large", "timeout", "crashed", "pose_failed", "duplicate"),
        *("unknown_label", "bad_annotation", "failed"),
    }


def test_value_is_the_name_in_lower_case() -> None:
    assert all(outcome.value == outcome.name.lower() for outcome in Outcome)


def test_written_and_truncated_clips_are_in_a_shard() -> None:
    assert {outcome for outcome in Outcome if outcome.is_written} == {
        Outcome.WRITTEN,
        Outcome.TRUNCATED,
    }
