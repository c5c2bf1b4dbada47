"""The bar counts clips and shows failures; without a terminal every clip is a line."""

import io
import logging
from collections.abc import Iterator

import pytest
from rich.console import Console

from pipelines import progress
from pipelines.build_shard import CLIP_LOGGER
from pipelines.progress import show_progress


@pytest.fixture(autouse=True)
def _logger_as_it_was() -> Iterator[None]:
    level = CLIP_LOGGER.level
    yield
    CLIP_LOGGER.setLevel(level)


def _clip(name: str, outcome: str) -> None:
    CLIP_LOGGER.info("%s %s", name, outcome, extra={"outcome": outcome})


def test_bar_counts_clips_failures_and_shards_built_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "Console", lambda **_options: console)
    with show_progress(5):
        _clip("a", "written")
        _clip("b", "timeout")
        CLIP_LOGGER.info("shard 00001 was built before", extra={"num_clips": 3})
    text = screen.getvalue()
    assert "5/5" in text
    assert "1 failed" in text
    assert "b timeout" in text, "failures stay on the screen"
    assert "a written" not in text


def test_every_clip_is_a_line_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(2):
        _clip("a", "written")
        _clip("b", "missing")
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["a written", "b missing"]


def test_nothing_is_left_behind() -> None:
    before = list(CLIP_LOGGER.handlers), CLIP_LOGGER.propagate
    with show_progress(1):
        assert logging.getLogger("perfnet_prep.clips").handlers != before[0]
    assert (list(CLIP_LOGGER.handlers), CLIP_LOGGER.propagate) == before
