"""Copies and leaks are found where there are some, and nowhere else."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.finished_output import FinishedOutput
from pipelines.hygiene import ADVICE, Finding, find_problems
from schemas.labels import LabelMap
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome


def _row(media_id: str, **values: Any) -> LedgerRow:
    row = LedgerRow(
        clip_id=media_id,
        outcome=Outcome.WRITTEN,
        media_id=media_id,
        shard=0,
        video_hash=f"hash of {media_id}",
        source_end_us=1_000_000,
    )
    return replace(row, **values)


def _output(split: str, *rows: LedgerRow, dataset: str = "csv") -> FinishedOutput:
    config = {"dataset": dataset, "split": split, "modalities": ["rgb"], "formats": ["parquet"]}
    info = {"config": config, "counts": {}, "num_shards": 1}
    return FinishedOutput(folder=f"out/{split}", info=info, labels=LabelMap(()), ledger=rows)


def _found(*outputs: FinishedOutput) -> list[tuple[str, str, list[str]]]:
    return [
        (each.kind, each.key, [f"{clip.split}/{clip.clip_id}" for clip in each.clips])
        for each in find_problems(outputs)
    ]


def test_same_bytes_under_two_ids_are_a_copy() -> None:
    one, two = _row("a", video_hash="h"), _row("b", video_hash="h")
    assert _found(_output("train", two, one, _row("c"))) == [
        ("same_video", "h", ["train/a", "train/b"])
    ]


def test_two_parts_of_one_file_are_no_copy() -> None:
    one = _row("a", video_hash="h")
    two = _row("b", video_hash="h", source_start_us=1_000_000, source_end_us=2_000_000)
    assert _found(_output("train", one, two)) == []


def test_two_parts_of_one_file_on_both_sides_of_a_split_are_a_leak() -> None:
    one = _row("a", video_hash="h")
    two = _row("b", video_hash="h", source_start_us=1_000_000, source_end_us=2_000_000)
    found = _found(_output("train", one), _output("test", two))
    assert found == [("shared_file", "h", ["test/b", "train/a"])]


def test_the_same_clip_in_two_splits_is_a_leak_and_no_copy() -> None:
    found = _found(_output("train", _row("a")), _output("test", _row("a")))
    assert found == [("shared_file", "hash of a", ["test/a", "train/a"])]


@pytest.mark.parametrize("youtube_id", ["-AbCdEfGh_1", "__________a", "0wR5jVB-WPk"])
def test_clips_of_one_youtube_id_on_both_sides_are_a_leak(youtube_id: str) -> None:
    """By the annotation for Kinetics, by the file name elsewhere."""
    train = _row(f"{youtube_id}_000010_000020")
    test = _row(f"{youtube_id}_000030_000040")
    expected = [
        ("shared_youtube_id", youtube_id, [f"test/{test.clip_id}", f"train/{train.clip_id}"])
    ]
    assert _found(_output("train", train), _output("test", test)) == expected
    train, test = replace(train, media_id=youtube_id), replace(test, media_id=youtube_id)
    outputs = [_output("train", train), _output("test", test)]
    for output in outputs:
        output.config["dataset"] = "kinetics400"
    assert _found(*outputs) == expected


def test_clips_of_one_youtube_id_in_one_split_are_fine() -> None:
    one, two = _row("0wR5jVB-WPk_000010_000020"), _row("0wR5jVB-WPk_000030_000040")
    assert _found(_output("train", one, two)) == []
    assert _found(_output("train", one, two), _output("test", _row("c"))) == []


def test_clips_of_one_ucf101_group_on_both_sides_are_a_leak() -> None:
    train, test = _row("v_HandStandPushups_g08_c01"), _row("v_HandstandPushups_g08_c04")
    other = _row("v_HandStandPushups_g09_c01")
    found = _found(_output("train1", train), _output("test1", test, other))
    assert [(kind, key) for kind, key, _ in found] == [("shared_group", "v_handstandpushups_g08")]
    assert found[0][2] == [f"test1/{test.clip_id}", f"train1/{train.clip_id}"]


def test_folds_of_cross_validation_are_not_compared() -> None:
    row = _row("v_Punch_g01_c01")
    outputs = [_output(split, row) for split in ("train1", "test2", "train3")]
    assert _found(*outputs) == []
    assert len(_found(*outputs, _output("test3", row))) == 1


def test_only_the_clips_that_have_a_counterpart_are_named() -> None:
    row = _row("v_Punch_g01_c01")
    found = _found(_output("train1", row), _output("test1", row), _output("train2", row))
    assert found[0][2] == ["test1/v_Punch_g01_c01", "train1/v_Punch_g01_c01"]


def test_clips_in_no_shard_do_not_count() -> None:
    lost = {"shard": -1, "outcome": Outcome.CRASHED}
    one, two = _row("a", video_hash="h"), _row("b", video_hash="h", **lost)
    assert _found(_output("train", one), _output("test", two)) == []


def test_rows_of_a_ledger_without_hashes_are_no_copies() -> None:
    assert _found(_output("train", _row("a", video_hash=""), _row("b", video_hash=""))) == []


def test_copies_with_different_labels_are_marked() -> None:
    rows = [_row(name, video_hash="h", label_text=text) for name, text in (("a", "x"), ("b", "y"))]
    (finding,) = find_problems([_output("train", *rows)])
    assert finding.has_label_conflict
    rows = [replace(row, label_text="x") for row in rows]
    (finding,) = find_problems([_output("train", *rows)])
    assert not finding.has_label_conflict


def test_findings_come_in_one_order() -> None:
    names = ("v_B_g01_c01", "v_A_g01_c01", "0wR5jVB-WPk_000010_000020", "z")
    rows = [_row(name) for name in names] + [_row("copy", video_hash="hash of z")]
    forth = find_problems([_output("train", *rows), _output("test", *rows)])
    back = find_problems([_output("test", *rows[::-1]), _output("train", *rows[::-1])])
    assert forth == back
    assert [each.kind for each in forth] == sorted(
        (each.kind for each in forth), key=list(ADVICE).index
    )
    assert {each.kind for each in forth} == set(ADVICE)
    assert all(isinstance(each, Finding) and len(each.clips) > 1 for each in forth)
