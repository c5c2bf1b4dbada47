import pytest

from schemas.annotations.folder import parse_folder
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap
from schemas.outcome import Outcome


def parse(*paths: str, label_map: LabelMap | None = None) -> AnnotationTable:
    return parse_folder(paths, split="all", source="videos", label_map=label_map)


def test_first_folder_is_the_label() -> None:
    (clip,) = parse("play golf/day 1/a.MP4").clips
    assert (clip.label_text, clip.clip_id) == ("play golf", "play golf/day 1/a")
    assert (clip.dataset, clip.split, clip.media_id) == ("folder", "all", "a")
    assert clip.relative_path == clip.source == "play golf/day 1/a.MP4"


def test_order_of_the_paths_does_not_matter() -> None:
    paths = ["b/1.mp4", "a/2.mp4", "a/1.mkv", "a/1.mp4"]
    assert parse(*paths) == parse(*reversed(paths))
    assert [clip.clip_id for clip in parse(*paths).clips] == ["a/1", "a/1.mp4", "a/2", "b/1"]


def test_file_outside_of_a_class_folder_is_rejected() -> None:
    table = parse("a/1.mp4", "stray.mp4")
    assert [clip.clip_id for clip in table.clips] == ["a/1"]
    (row,) = table.rejected
    assert (row.outcome, row.source) == (Outcome.BAD_ANNOTATION, "stray.mp4")
    assert row.detail == "video must be in a class folder as <class>/<file>, got 'stray.mp4'"


def test_only_files_that_are_videos_by_name_are_rows() -> None:
    table = parse("a/1.webm", "a/2", "a/notes.txt", "a/.hidden.mp4", ".cache/3.mp4", "list.csv")
    assert [clip.relative_path for clip in table.clips] == ["a/1.webm", "a/2"]
    assert table.rejected == ()


def test_labels_are_the_sorted_class_folders() -> None:
    assert parse("b/1.mp4", "a/1.mp4", "b/2.mp4").labels.texts == ("a", "b")


def test_folder_that_is_not_in_the_given_map_is_an_unknown_label() -> None:
    (row,) = parse("a/1.mp4", label_map=LabelMap(("b",))).rejected
    assert row.outcome is Outcome.UNKNOWN_LABEL


@pytest.mark.parametrize("path", ["a/new\nline.mp4", "a\n/1.mp4", "a/\udc80.mp4"])
def test_path_that_is_no_line_of_text_is_rejected(path: str) -> None:
    (row,) = parse(path).rejected
    assert row.outcome is Outcome.BAD_ANNOTATION
    assert "must be one line without control characters" in row.detail


def test_no_videos_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"videos must hold videos as <class>/<file>, got no"):
        parse("readme.txt")
