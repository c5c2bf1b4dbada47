from pathlib import Path

import pytest

from schemas.annotations import read_annotations
from schemas.annotations.ucf101 import parse_ucf101
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap, parse_label_map
from schemas.outcome import Outcome

CLASSES = "1 YoYo\r\n2 ApplyEyeMakeup\r\n"


def parse(
    split: str = "train1", label_map: LabelMap | None = None, **lists: str
) -> AnnotationTable:
    texts = {f"{name}.txt": text for name, text in lists.items()}
    texts.setdefault("classInd.txt", CLASSES)
    return parse_ucf101(texts, split=split, source="lists", label_map=label_map)


def test_train_line_becomes_a_clip_of_the_whole_file() -> None:
    (clip,) = parse(trainlist01="YoYo/v_YoYo_g01_c01.avi 1\r\n").clips
    assert clip.clip_id == clip.media_id == "v_YoYo_g01_c01"
    assert clip.relative_path == "YoYo/v_YoYo_g01_c01.avi"
    assert (clip.dataset, clip.split, clip.label_text) == ("ucf101", "train1", "YoYo")
    assert clip.start_seconds is None
    assert clip.end_seconds is None
    assert clip.source == "trainlist01.txt:1"


def test_test_line_takes_its_label_from_the_folder() -> None:
    (clip,) = parse("test2", testlist02="ApplyEyeMakeup/v_x.avi\r\n").clips
    assert clip.label_text == "ApplyEyeMakeup"


def test_labels_keep_the_order_of_the_class_file() -> None:
    assert parse(trainlist01="YoYo/a.avi 1").labels.texts == ("YoYo", "ApplyEyeMakeup")


def test_handstand_pushups_path_is_kept_as_written() -> None:
    (clip,) = parse(
        "test1",
        classInd="1 HandstandPushups",
        testlist01="HandstandPushups/v_HandStandPushups_g01_c01.avi",
    ).clips
    assert clip.relative_path == "HandstandPushups/v_HandStandPushups_g01_c01.avi"


def test_one_file_twice_is_a_duplicate_naming_the_first_line() -> None:
    table = parse(trainlist01="YoYo/a.avi 1\n\nYoYo/a.avi 1\n")
    assert len(table.clips) == 1
    (row,) = table.rejected
    assert (row.outcome, row.source) == (Outcome.DUPLICATE, "trainlist01.txt:3")
    assert row.detail.endswith("first named in trainlist01.txt:1")


def test_files_of_one_name_in_two_classes_stay_apart() -> None:
    table = parse("test1", testlist01="YoYo/a.avi\nApplyEyeMakeup/a.avi\n")
    assert [clip.clip_id for clip in table.clips] == ["a", "ApplyEyeMakeup/a.avi"]


def test_number_that_contradicts_the_class_file_rejects_the_row() -> None:
    (row,) = parse(trainlist01="YoYo/a.avi 2").rejected
    assert row.outcome is Outcome.BAD_ANNOTATION
    assert row.detail == "number must be 1 as classInd.txt has it for 'YoYo', got 2"


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("YoYo/a.avi", "row must be '<class>/<file> <number>', got 'YoYo/a.avi' without a number"),
        ("a.avi 1", "path must be '<class>/<file>', got 'a.avi'"),
        ("x/YoYo/a.avi 1", "path must be '<class>/<file>', got 'x/YoYo/a.avi'"),
        ("/YoYo/a.avi 1", "path must be relative to the videos folder, got '/YoYo/a.avi'"),
        ("YoYo/../a.avi 1", "path must not leave the videos folder with '..'"),
        ("YoYo/ 1", "path must name a file, got 'YoYo/'"),
    ],
)
def test_line_that_breaks_a_rule_is_rejected_and_says_which(line: str, detail: str) -> None:
    (row,) = parse(trainlist01=line).rejected
    assert row.outcome is Outcome.BAD_ANNOTATION
    assert row.detail.startswith(detail)


def test_folder_that_is_no_class_is_an_unknown_label() -> None:
    (row,) = parse("test1", testlist01="Juggling/a.avi").rejected
    assert (row.outcome, row.label_text) == (Outcome.UNKNOWN_LABEL, "Juggling")


def test_given_map_replaces_the_class_file_as_label_map() -> None:
    table = parse(label_map=LabelMap(("YoYo",)), trainlist01="YoYo/a.avi 1\nApplyEyeMakeup/b.avi 2")
    assert table.labels.texts == ("YoYo",)
    assert [row.outcome for row in table.rejected] == [Outcome.UNKNOWN_LABEL]


def test_unknown_split_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"in lists \(test1, train1\), got 'train'; name the"):
        parse("train", trainlist01="YoYo/a.avi 1", testlist01="YoYo/b.avi")


def test_missing_class_file_is_a_config_error() -> None:
    with pytest.raises(
        ConfigError, match=r"lists must hold classInd.txt, got the lists a.txt; name the folder"
    ):
        parse_ucf101({"a.txt": ""}, split="train1", source="lists")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("0 YoYo\n", "classInd.txt:1 must number the classes from 1 on.* got '0 YoYo'"),
        ("1 YoYo\n3 Punch\n", "classInd.txt:2 must number .* here '2 <class>', got '3 Punch'"),
        ("YoYo\n", "classInd.txt:1 must number the classes"),
        ("1 YoYo\n2 YoYo\n", "classInd.txt:2 must name each class once, got '2 YoYo'"),
        ("\n", "classInd.txt must hold the classes, got an empty file"),
    ],
)
def test_class_file_that_breaks_a_rule_is_a_config_error(classes: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(classInd=classes, trainlist01="YoYo/a.avi 1")


def test_empty_list_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"lists/trainlist01.txt must hold rows, got an empty"):
        parse(trainlist01="\r\n")


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("split", "num_clips"),
    [
        ("train1", 9537), ("train2", 9586), ("train3", 9624),
        ("test1", 3783), ("test2", 3734), ("test3", 3696),
    ],
)  # fmt: skip
def test_official_lists_are_read_completely(corpus: Path, split: str, num_clips: int) -> None:
    folder = corpus / "annotations" / "ucf101"
    table = read_annotations("ucf101", str(folder / "ucfTrainTestlist"), split=split)
    assert (len(table.clips), len(table.rejected)) == (num_clips, 0)
    official = parse_label_map((folder / "mmaction2_label_map.txt").read_text("utf-8"))
    assert table.labels == official
