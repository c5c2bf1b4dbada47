import pytest

from schemas.annotations.plain_csv import parse_plain_csv
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap
from schemas.outcome import Outcome


def parse(text: str, split: str = "train", label_map: LabelMap | None = None) -> AnnotationTable:
    return parse_plain_csv(text, split=split, source="my.csv", label_map=label_map)


def parse_rows(rows: str) -> AnnotationTable:
    return parse(f"video,label,start,end,split\n{rows}")


def test_two_columns_are_enough_and_others_are_ignored() -> None:
    (clip,) = parse("video,comment,label\nclips/a b.mp4,fine,golf\n").clips
    assert (clip.clip_id, clip.media_id, clip.relative_path) == (
        "clips/a b",
        "a b",
        "clips/a b.mp4",
    )
    assert (clip.dataset, clip.split, clip.label_text) == ("csv", "train", "golf")
    assert clip.start_seconds is None
    assert clip.end_seconds is None
    assert clip.source == "my.csv:2"


@pytest.mark.parametrize(
    ("times", "suffix", "start", "end"),
    [
        ("1.5,4", "_000001_000004", 1.5, 4.0),
        (",4", "_start_000004", None, 4.0),
        ("2,", "_000002_end", 2.0, None),
        (",", "", None, None),
    ],
)
def test_range_is_optional_on_either_side(
    times: str, suffix: str, start: float | None, end: float | None
) -> None:
    (clip,) = parse_rows(f"a.mp4,golf,{times},train\n").clips
    assert clip.clip_id == f"a{suffix}"
    assert (clip.start_seconds, clip.end_seconds) == (start, end)


def test_files_that_differ_by_extension_or_by_odd_characters_stay_apart() -> None:
    table = parse("video,label\na.mp4,x\na.avi,x\nb/c.mp4,x\nb_c.mp4,x\n")
    assert [clip.clip_id for clip in table.clips] == ["a", "a.avi", "b/c", "b_c.mp4"]


def test_colon_in_a_file_name_is_no_drive() -> None:
    (clip,) = parse("video,label\na:b.mp4,x\n").clips
    assert clip.relative_path == "a:b.mp4"


def test_unknown_extension_stays_in_the_id() -> None:
    (clip,) = parse("video,label\ntake.2,x\n").clips
    assert clip.clip_id == "take.2"


def test_paths_that_mean_the_same_file_are_one_clip() -> None:
    table = parse("video,label\na/b.mp4,x\n./a//b.mp4,x\n")
    assert len(table.clips) == 1
    assert [row.outcome for row in table.rejected] == [Outcome.DUPLICATE]
    assert table.rejected[0].detail.endswith("first named in my.csv:2")


def test_ranges_of_one_file_are_clips_of_their_own() -> None:
    table = parse_rows("a.mp4,x,0,2,train\na.mp4,x,0.5,2.5,train\na.mp4,x,,,train\n")
    assert [clip.clip_id for clip in table.clips] == [
        "a_000000_000002",
        "a.mp4_000000.500000_000002.500000",
        "a",
    ]


def test_empty_label_is_no_label() -> None:
    table = parse("video,label\na.mp4,\nb.mp4,golf\n")
    assert [clip.label_text for clip in table.clips] == [None, "golf"]
    assert table.labels.texts == ("golf",)


def test_rows_of_another_split_are_no_rows_but_their_labels_count() -> None:
    table = parse_rows("a.mp4,zumba,,,train\nb.mp4,archery,,,test\n")
    assert [clip.relative_path for clip in table.clips] == ["a.mp4"]
    assert table.rejected == ()
    assert table.labels.texts == ("archery", "zumba")


def test_label_that_is_not_in_the_given_map_is_unknown() -> None:
    (row,) = parse("video,label\na.mp4,x\n", label_map=LabelMap(("y",))).rejected
    assert (row.outcome, row.clip_id) == (Outcome.UNKNOWN_LABEL, "a")


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ("/data/a.mp4,x,,,train", "video must be relative to the videos folder"),
        ("C:\\a.mp4,x,,,train", "video must be relative to the videos folder"),
        ("gs://bucket/a.mp4,x,,,train", "video must be relative to the videos folder"),
        ("a/../../b.mp4,x,,,train", "video must not leave the videos folder with '..'"),
        ("..\\b.mp4,x,,,train", "video must not leave the videos folder with '..'"),
        (",x,,,train", "video must not be empty"),
        ("a/,x,,,train", "video must name a file"),
        (".,x,,,train", "video must name a file"),
        ("a\u2028b.mp4,x,,,train", "video must be one line without control characters"),
        ("a.mp4,x,3,2,train", "end must be after start, got start 3 and end 2"),
        ("a.mp4,x,,0,train", "end must be after start, got start 0 and end 0"),
        ("a.mp4,x,two,3,train", "start must be a number of seconds"),
        ("a.mp4,x,1,2", "row must have 5 fields as the header, got 4"),
    ],
)
def test_row_that_breaks_a_rule_is_rejected_and_says_which(row: str, detail: str) -> None:
    table = parse_rows(f"good.mp4,x,,,train\n{row}\n")
    assert len(table.clips) == 1
    (rejected,) = table.rejected
    assert (rejected.outcome, rejected.source) == (Outcome.BAD_ANNOTATION, "my.csv:3")
    assert rejected.detail.startswith(detail)


def test_missing_column_names_the_header_found() -> None:
    with pytest.raises(ConfigError, match=r"columns video, label, got the header 'a.mp4,golf'"):
        parse("a.mp4,golf\n")


def test_unknown_split_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"in my.csv \(train\), got 'val'; choose one of them"):
        parse("video,label,split\na.mp4,x,train\n", "val")
