from pathlib import Path

import pytest

from schemas.annotations import read_annotations
from schemas.annotations.hmdb51 import parse_hmdb51
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap, parse_label_map
from schemas.outcome import Outcome

LISTS = {
    "wave_test_split1.txt": "a_wave.avi 1 \nb_wave.avi 2 \nc_wave.avi 0 \n",
    "brush_hair_test_split1.txt": "a_brush.avi 1 \n",
}


def parse(
    texts: dict[str, str], split: str = "train1", label_map: LabelMap | None = None
) -> AnnotationTable:
    return parse_hmdb51(texts, split=split, source="lists", label_map=label_map)


def test_flag_one_is_train_two_is_test_and_zero_is_no_row() -> None:
    train, test = parse(LISTS, "train1"), parse(LISTS, "test1")
    assert [clip.clip_id for clip in train.clips] == ["a_brush", "a_wave"]
    assert [clip.clip_id for clip in test.clips] == ["b_wave"]
    assert train.rejected == test.rejected == ()


def test_label_is_the_class_of_the_list_and_the_path_is_below_it() -> None:
    clip = parse(LISTS).clips[0]
    assert (clip.label_text, clip.relative_path) == ("brush_hair", "brush_hair/a_brush.avi")
    assert (clip.dataset, clip.split, clip.media_id) == ("hmdb51", "train1", "a_brush")
    assert clip.source == "brush_hair_test_split1.txt:1"


def test_labels_are_the_sorted_classes_of_the_lists() -> None:
    texts = LISTS | {"class_list.txt": "zzz\n", "._wave_test_split1.txt": "\x00"}
    assert parse(texts).labels.texts == ("brush_hair", "wave")


def test_file_names_with_spaces_and_odd_characters_are_kept() -> None:
    name = "Golf Tips_-_300+_Yards!!!_#1_(x)[y]&;@~_golf_f_nm_np1_fr_med_0.avi"
    (clip,) = parse({"golf_test_split1.txt": f"{name} 1 \n"}).clips
    assert clip.relative_path == f"golf/{name}"
    assert clip.clip_id == name.removesuffix(".avi")


def test_ids_that_are_alike_as_file_names_are_kept_apart() -> None:
    table = parse({"golf_test_split1.txt": "a!b.avi 1\na@b.avi 1\na_b.avi 1\n"})
    first, second, third = (clip.clip_id for clip in table.clips)
    assert (first, second) == ("a!b", "golf/a@b.avi")
    assert third.startswith("golf/a_b.avi-")


def test_one_file_twice_is_a_duplicate_naming_the_first_line() -> None:
    (row,) = parse({"golf_test_split1.txt": "a.avi 1\na.avi 1\n"}).rejected
    assert row.outcome is Outcome.DUPLICATE
    assert row.detail.endswith("first named in golf_test_split1.txt:1")


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("a.avi", "row must be '<file> <flag>' with flag 0, 1 or 2, got 'a.avi'"),
        ("a.avi 3", "row must be '<file> <flag>' with flag 0, 1 or 2, got 'a.avi 3'"),
        ("1", "row must be '<file> <flag>' with flag 0, 1 or 2, got '1'"),
        ("golf/a.avi 1", "file must be a name and no path, got 'golf/a.avi'"),
    ],
)
def test_line_that_breaks_a_rule_is_rejected_and_says_which(line: str, detail: str) -> None:
    table = parse({"golf_test_split1.txt": f"good.avi 1\n{line}\n"})
    assert len(table.clips) == 1
    (row,) = table.rejected
    assert (row.outcome, row.source) == (Outcome.BAD_ANNOTATION, "golf_test_split1.txt:2")
    assert (row.detail, row.label_text) == (detail, "golf")


def test_class_that_is_not_in_the_given_map_is_an_unknown_label() -> None:
    table = parse(LISTS, label_map=LabelMap(("wave",)))
    assert [clip.label_text for clip in table.clips] == ["wave"]
    assert [row.outcome for row in table.rejected] == [Outcome.UNKNOWN_LABEL]


@pytest.mark.parametrize("split", ["train2", "train", "val", "1"])
def test_unknown_split_lists_those_there_are(split: str) -> None:
    with pytest.raises(ConfigError, match=rf"in lists \(train1, test1\), got '{split}'; name"):
        parse(LISTS, split)


def test_folder_without_lists_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"in lists \(none\), got 'train1'; name the folder"):
        parse({})


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "go\x07lf", "caf\udce9"])
def test_list_whose_name_is_no_line_of_text_is_a_config_error(name: str) -> None:
    with pytest.raises(ConfigError, match=r"named by its class in UTF-8 .* in lists; rename the"):
        parse(LISTS | {f"{name}_test_split1.txt": "a.avi 1"})


def test_class_without_its_list_is_a_config_error() -> None:
    texts = LISTS | {"golf_test_split2.txt": "a.avi 1"}
    with pytest.raises(ConfigError, match=r"every class, got none named golf_test_split1.txt"):
        parse(texts)


def test_split_without_rows_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"lists must hold rows of the split 'test1', got none"):
        parse({"golf_test_split1.txt": "a.avi 1\n"}, "test1")


@pytest.mark.corpus
@pytest.mark.parametrize("number", [1, 2, 3])
def test_official_lists_are_read_completely(corpus: Path, number: int) -> None:
    folder = corpus / "annotations" / "hmdb51"
    official = parse_label_map((folder / "mmaction2_label_map.txt").read_text("utf-8"))
    for kind, num_clips in (("train", 3570), ("test", 1530)):
        table = read_annotations(
            "hmdb51", str(folder / "testTrainMulti_7030_splits"), split=f"{kind}{number}"
        )
        assert (len(table.clips), len(table.rejected)) == (num_clips, 0)
        assert all(clip.clip_id == clip.media_id for clip in table.clips)
        assert table.labels == official
