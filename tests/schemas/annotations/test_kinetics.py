from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.annotations import read_annotations, sanitize_clip_id
from schemas.annotations.kinetics import format_kinetics_stem, parse_kinetics
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap, parse_label_map
from schemas.outcome import Outcome

HEADER = "label,youtube_id,time_start,time_end,split\n"
YOUTUBE_IDS = st.text("AZaz09_-", min_size=11, max_size=11)
SECONDS = st.integers(0, 3) | st.integers(0, 999_999)


def parse(text: str, *, split: str = "val", label_map: LabelMap | None = None) -> AnnotationTable:
    return parse_kinetics(
        text, dataset="kinetics400", split=split, source="folder/k.csv", label_map=label_map
    )


def parse_rows(rows: str, *, label_map: LabelMap | None = None) -> AnnotationTable:
    return parse(HEADER + rows, label_map=label_map)


def test_row_becomes_a_clip_named_as_crawlers_name_its_file() -> None:
    (clip,) = parse_rows("abseiling,-a_b-c_d-e_,7,17,val\n").clips
    assert clip.clip_id == "-a_b-c_d-e__000007_000017"
    assert (clip.media_id, clip.relative_path) == ("-a_b-c_d-e_", "")
    assert (clip.start_seconds, clip.end_seconds) == (7.0, 17.0)
    assert (clip.dataset, clip.split, clip.label_text) == ("kinetics400", "val", "abseiling")
    assert clip.source == "k.csv:2"


def test_header_with_is_cc_and_other_order_is_read_by_name() -> None:
    (clip,) = parse("is_cc,split,time_end,time_start,youtube_id,label\n0,val,20,10,x,golf\n").clips
    assert (clip.clip_id, clip.label_text) == ("x_000010_000020", "golf")


def test_byte_order_mark_and_carriage_returns_do_not_matter() -> None:
    text = HEADER + "a,x,0,10,val\n\nb,y,0,10,val\n"
    crlf = parse("\ufeff" + text.replace("\n", "\r\n"))
    assert crlf == parse(text) == parse(text.replace("\n", "\r"))
    assert [clip.source for clip in crlf.clips] == ["k.csv:2", "k.csv:4"]


def test_test_file_without_labels_gives_unlabelled_clips_and_an_empty_map() -> None:
    table = parse("youtube_id,time_start,time_end,split\nx,17,27,test\n", split="test")
    assert [clip.label_text for clip in table.clips] == [None]
    assert len(table.labels) == 0


def test_test_file_without_labels_keeps_the_given_map() -> None:
    given_map = LabelMap(("b", "a"))
    table = parse("youtube_id,time_start,time_end\nx,1,2\n", label_map=given_map)
    assert table.labels == given_map
    assert len(table.clips) == 1


def test_file_without_split_column_belongs_to_the_asked_split() -> None:
    table = parse("label,youtube_id,time_start,time_end\na,x,1,2\n", split="train")
    assert [clip.split for clip in table.clips] == ["train"]


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ('"air drumming"', "air drumming"),
        ('"""air drumming"""', "air drumming"),
        ('air drumming"', "air drumming"),
        ("massaging person's head", "massaging person's head"),
        ("petting animal (not cat)", "petting animal (not cat)"),
        ('"dancing, slowly"', "dancing, slowly"),
    ],
)
def test_label_loses_only_its_quotes(written: str, label: str) -> None:
    table = parse_rows(f"{written},x,0,10,val\n")
    assert table.clips[0].label_text == label
    assert table.labels.texts == (label,)


def test_unclosed_quote_spoils_its_own_row_only() -> None:
    table = parse_rows('"golf,x,0,10,val\nrun,y,0,10,val\n')
    assert [clip.media_id for clip in table.clips] == ["y"]
    assert [row.source for row in table.rejected] == ["k.csv:2"]
    assert "row must have 5 fields as the header, got 1" in table.rejected[0].detail


def test_validate_and_val_are_one_split_and_the_asked_name_is_kept() -> None:
    rows = "a,x,0,1,validate\na,y,0,1,val\na,z,0,1,Validation\na,t,0,1,train\n"
    for name in ("val", "validate", "validation"):
        table = parse(HEADER + rows, split=name)
        assert [clip.media_id for clip in table.clips] == ["x", "y", "z"]
        assert {clip.split for clip in table.clips} == {name}


def test_label_map_has_the_sorted_labels_of_all_splits() -> None:
    table = parse_rows("zumba,x,0,1,val\narchery,y,0,1,train\nBowling,z,5,1,train\n")
    assert table.labels.texts == ("Bowling", "archery", "zumba")


def test_label_missing_in_the_given_map_rejects_the_row() -> None:
    table = parse_rows("golf,x,0,10,val\nrun,y,0,10,val\n", label_map=LabelMap(("run",)))
    assert [clip.media_id for clip in table.clips] == ["y"]
    (row,) = table.rejected
    assert (row.outcome, row.clip_id) == (Outcome.UNKNOWN_LABEL, "x_000000_000010")
    assert row.label_text == "golf"
    assert "one of the 1 labels of the label map, got 'golf'" in row.detail


def test_same_id_with_another_range_is_another_clip() -> None:
    table = parse_rows("a,x,0,10,val\nb,x,10,20,val\n")
    assert [clip.clip_id for clip in table.clips] == ["x_000000_000010", "x_000010_000020"]


def test_second_row_of_the_same_clip_is_a_duplicate() -> None:
    table = parse_rows("a,x,0,10,val\nb,x,0.0,10,val\na,x,0,10,val\n")
    assert [clip.source for clip in table.clips] == ["k.csv:2"]
    assert [row.outcome for row in table.rejected] == [Outcome.DUPLICATE] * 2
    assert table.rejected[0].detail.endswith("first named in k.csv:2 with label 'a'")
    assert table.rejected[1].detail.endswith("first named in k.csv:2")


def test_rejected_row_does_not_make_a_later_row_a_duplicate() -> None:
    table = parse_rows("golf,x,0,10,val\nrun,x,0,10,val\n", label_map=LabelMap(("run",)))
    assert [clip.label_text for clip in table.clips] == ["run"]


def test_clips_that_differ_in_fractions_of_a_second_stay_apart() -> None:
    table = parse_rows("a,x,1.25,11.25,val\na,x,1.5,11.5,val\na,x,1.5000001,11.5,val\n")
    ids = [clip.clip_id for clip in table.clips]
    assert ids[:2] == ["x_000001_000011", "x_000001.500000_000011.500000"]
    assert ids[2].startswith("x_000001.500000_000011.500000-")
    assert [clip.start_seconds for clip in table.clips] == [1.25, 1.5, 1.5000001]


@pytest.mark.parametrize(
    ("row", "detail"),
    [
        ("a,x,10,10,val", "end must be after start, got start 10 and end 10"),
        ("a,x,20,10,val", "end must be after start, got start 20 and end 10"),
        ("a,x,-1,10,val", "time_start must be a number of seconds .* got '-1'"),
        ("a,x,nan,10,val", "time_start must be a number of seconds .* got 'nan'"),
        ("a,x,0,inf,val", "time_end must be a number of seconds .* got 'inf'"),
        ("a,x,0,1000000,val", "time_end must be .* from 0 to below 1000000, got '1000000'"),
        ("a,x,,10,val", "time_start must be a number of seconds .* got ''"),
        ("a,x,1_0,20,val", "time_start must be a number of seconds .* got '1_0'"),
        ("a,x,0:10,20,val", "time_start must be a number of seconds .* got '0:10'"),
        ("a,,0,10,val", "youtube_id must not be empty"),
        ("a,../x,0,10,val", "youtube_id must be a name and no path, got '../x'"),
        ("a,x\x07,0,10,val", "youtube_id must be one line without control characters"),
        ("a\x07,x,0,10,val", "label must be one line without control characters"),
        ("a,x,0,10", "row must have 5 fields as the header, got 4: 'a,x,0,10'"),
        ("a,x,0,10,val,1", "row must have 5 fields as the header, got 6"),
        ("a,x,0,10,", "split must not be empty"),
    ],
)
def test_row_that_breaks_a_rule_is_rejected_and_says_which(row: str, detail: str) -> None:
    table = parse_rows(f"good,y,0,10,val\n{row}\n")
    assert [clip.media_id for clip in table.clips] == ["y"]
    (rejected,) = table.rejected
    assert (rejected.outcome, rejected.source) == (Outcome.BAD_ANNOTATION, "k.csv:3")
    with pytest.raises(ValueError, match=detail):
        raise ValueError(rejected.detail)


def test_row_with_a_bad_time_keeps_its_video_id() -> None:
    table = parse_rows("a,x,9,1,val\n")
    assert [row.clip_id for row in table.rejected] == ["x"]


def test_field_over_the_limit_of_the_csv_module_rejects_its_row() -> None:
    table = parse_rows(f'"{"a" * 200_000}",x,0,10,val\nb,y,0,10,val\n')
    assert [clip.media_id for clip in table.clips] == ["y"]
    assert len(table.rejected[0].detail) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "folder/k.csv must hold a header and rows, got an empty file"),
        ("\ufeff\r\n\n", "folder/k.csv must hold a header and rows, got an empty file"),
        (HEADER, "folder/k.csv must hold rows after the header, got none"),
        (
            "label,id,time_start\na,b,1\n",
            "must have the columns youtube_id, time_start, time_end, got the header "
            "'label,id,time_start' without youtube_id, time_end; correct the header",
        ),
        (
            "label,youtube_id,time_start,time_end,label\na,x,0,1,b\n",
            "folder/k.csv:1 must name each column once, got the header .* remove the second one",
        ),
        (
            HEADER + "a,x,0,1,train\na,y,0,1,test\n",
            r"split must be one of those in folder/k.csv \(test, train\), got 'val'",
        ),
        (HEADER + "a,x\n", r"split must be one of those in folder/k.csv \(none\), got 'val'"),
    ],
)
def test_unusable_file_is_a_config_error(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(text)


@given(st.lists(st.tuples(YOUTUBE_IDS, SECONDS, SECONDS), min_size=2, max_size=2, unique=True))
def test_names_of_different_clips_differ(clips: list[tuple[str, int, int]]) -> None:
    first, second = (format_kinetics_stem(*clip) for clip in clips)
    assert first != second
    assert tuple(first.rsplit("_", 2)) == (clips[0][0], *(f"{t:06d}" for t in clips[0][1:]))


@given(
    st.lists(
        st.tuples(
            st.text('Aa_-é ",', min_size=1, max_size=3),
            st.sampled_from(["0", "1", "1.5", "2.25", "-1", "x", ""]),
            st.sampled_from(["1", "1.75", "3", "nan"]),
            st.sampled_from(["val", "validate", "train", ""]),
        ),
        max_size=12,
    )
)
def test_every_row_of_the_split_is_one_clip_or_rejected(
    rows: list[tuple[str, str, str, str]],
) -> None:
    lines = [f"a,{','.join(row)}" for row in rows]
    table = parse(HEADER + "a,first,0,1,val\n" + "".join(f"{line}\n" for line in lines))
    sources = [clip.source for clip in table.clips] + [row.source for row in table.rejected]
    assert len(sources) == len(set(sources))
    other_split = {
        f"k.csv:{number}"
        for number, line in enumerate(lines, start=3)
        if line.endswith(",train") and line.count(",") == 4 and '"' not in line
    }
    all_rows = {f"k.csv:{number}" for number in range(2, len(lines) + 3)}
    with_quotes = {f"k.csv:{n}" for n, line in enumerate(lines, start=3) if '"' in line}
    assert set(sources) - with_quotes == all_rows - other_split - with_quotes
    ids = [sanitize_clip_id(clip.clip_id) for clip in table.clips]
    assert len(ids) == len(set(ids))


@pytest.mark.corpus
def test_official_validation_file_is_read_completely(corpus: Path) -> None:
    folder = corpus / "annotations" / "kinetics"
    table = read_annotations("kinetics400", str(folder / "kinetics-400_val.csv"), split="val")
    assert len(table.clips) + len(table.rejected) == 19_906
    assert len(table.rejected) == 0
    official = parse_label_map((folder / "deepmind_label_map.txt").read_text("utf-8"))
    assert table.labels == official


@pytest.mark.corpus
def test_official_test_file_is_read_completely_and_without_labels(corpus: Path) -> None:
    path = corpus / "annotations" / "kinetics" / "kinetics-400_test.csv"
    table = read_annotations("kinetics400", str(path), split="test")
    assert len(table.clips) == 38_685
    assert len({clip.clip_id for clip in table.clips}) == 38_685
    assert {clip.label_text for clip in table.clips} == {None}
    assert len(table.labels) == 0
