"""The error tree."""

import pickle

import pytest

from schemas.errors import ConfigError, PrepError, RecordError, ShardError
from schemas.outcome import Outcome


@pytest.mark.parametrize("kind", [ConfigError, RecordError, ShardError])
def test_every_error_is_a_prep_error(kind: type[Exception]) -> None:
    assert issubclass(kind, PrepError)


def test_config_error_is_a_value_error_and_the_others_are_not() -> None:
    assert issubclass(ConfigError, ValueError)
    assert not issubclass(RecordError, ValueError)
    assert not issubclass(ShardError, ValueError)


@pytest.mark.parametrize(("clip_id", "shown"), [("a_1", "a_1"), ("", "clip")])
def test_record_error_reads_as_clip_outcome_detail(clip_id: str, shown: str) -> None:
    error = RecordError(clip_id, Outcome.TOO_SHORT, "no frame")
    assert str(error) == f"{shown}: too_short: no frame"


def test_record_error_survives_the_way_between_processes() -> None:
    error = RecordError("a_1", Outcome.EMPTY, "no bytes")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert type(back) is RecordError
    assert (back.clip_id, back.outcome, back.detail) == ("a_1", Outcome.EMPTY, "no bytes")
