"""Names that stay in their folder, and folders that are whole or say that they are not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.export_folder import INCOMPLETE, ClipNames, new_folder, safe_name
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("eating a cake (with fork)", "eating_a_cake_(with_fork)"),
        ("-abc_000001_000011", "-abc_000001_000011"),
        ("../../etc/passwd", "___.._etc_passwd"),
        ("..", "__"),
        (".hidden", "_hidden"),
        ("", "_"),
        ("a\tb\u2028c\u00a0d\x1ce\x00f", "a_b_c_d_e_f"),
        ("a/b\\c:d", "a_b_c_d"),
        ("имя_名前_é", "имя_名前_é"),
        ("Hit_The_Driver_300+_Yards!!![1]&#;", "Hit_The_Driver_300+_Yards!!![1]&#;"),
    ],
)
def test_safe_name_of(text: str, name: str) -> None:
    assert safe_name(text) == name


@given(st.text())
def test_safe_name_is_one_word_in_its_folder(text: str) -> None:
    name = safe_name(text)
    assert len(name.split()) == 1
    assert name.split()[0] == name
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name.encode("utf-8", "replace")) <= 200


def test_long_names_that_differ_at_the_end_stay_different() -> None:
    first, second = safe_name("é" * 300 + "1"), safe_name("é" * 300 + "2")
    assert first != second
    assert len(first.encode()) <= 200


def test_folder_says_that_it_is_incomplete_until_it_is_whole(tmp_path: Path) -> None:
    with new_folder(str(tmp_path / "deep" / "out")) as folder:
        assert [each.name for each in folder.iterdir()] == [INCOMPLETE]
    assert list((tmp_path / "deep" / "out").iterdir()) == []


def test_interrupted_export_is_seen_and_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="planted"), new_folder(str(tmp_path / "out")):
        raise RuntimeError("planted")
    assert (tmp_path / "out" / INCOMPLETE).exists()
    with pytest.raises(ConfigError, match="with an export that was interrupted; delete it"):
        new_folder(str(tmp_path / "out")).__enter__()


def test_folder_that_is_not_empty_or_not_local_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    for place in (tmp_path, tmp_path / "mine"):
        with pytest.raises(ConfigError, match=f"destination must be new or empty, got {place}"):
            new_folder(str(place)).__enter__()
    with pytest.raises(ConfigError, match="destination must be a local folder, got gs://a/b"):
        new_folder("gs://a/b").__enter__()
    assert (tmp_path / "mine").read_text() == "x"


@pytest.fixture
def tiny_record() -> ClipRecord:
    """A clip of one frame without streams."""
    grid = np.zeros(1, np.int64)
    return ClipRecord(
        clip_id="a",
        dataset="csv",
        split="all",
        label_index=0,
        label_text="x",
        media_id="a",
        video_path="a.mp4",
        start_us=0,
        end_us=40_000,
        fps=25,
        width=64,
        height=48,
        timestamps_us=grid,
        source_indices=grid,
        source_timestamps_us=grid,
    )


def test_two_clips_with_one_name_are_an_error_that_names_both(tiny_record: ClipRecord) -> None:
    names = ClipNames()
    assert names.claim("x/a_b", replace(tiny_record, clip_id="a b"), "one", b"1")
    with pytest.raises(ConfigError, match="got a b of one and a_b of one, both x/a_b"):
        names.claim("x/a_b", replace(tiny_record, clip_id="a_b"), "one", b"1")


def test_clip_of_two_splits_is_written_once_if_it_is_the_same(tiny_record: ClipRecord) -> None:
    names = ClipNames()
    assert names.claim("a", replace(tiny_record, split="train1"), "one", b"1")
    assert not names.claim("a", replace(tiny_record, split="test2"), "two", b"1")
    with pytest.raises(ConfigError, match=r"got a for a of one and for a of three, which differ"):
        names.claim("a", replace(tiny_record, split="test3"), "three", b"2")
