"""Any bytes in an annotation file give a table or a ConfigError, in time that grows with them."""

import os
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.annotations import LocalTextFiles, read_annotations, sanitize_clip_id
from schemas.annotations.label_map_file import read_label_map
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError

PIECES = (
    *(b"label,youtube_id,time_start,time_end,split\n", b"video,label,start,end,split\n"),
    *(b"a.mp4,golf,0,10,val\n", b"golf,abc,0,10,val\n", b"1 golf\n", b"golf/a.avi 1\n"),
    *(b"a.avi 1\n", b"0", b"1", b"2", b",", b'"', b"'", b" ", b"\t", b"\n", b"\r", b"\r\n", b";"),
    *(b"\0", b"\xef\xbb\xbf", b"\xe9", b"\xff\xfe", b"\xed\xa0\x80", b"..", b"/", b"\\", b"nan"),
    *(b"-1", b"1e999", b"_", b"val", b"train", b"golf", b"GOLF", "\u2028\x85\x1c".encode()),
)
CONTENT = st.lists(st.sampled_from(PIECES) | st.binary(max_size=6), max_size=24).map(b"".join)
FUZZ = settings(max_examples=150, derandomize=True, deadline=None)


def _check(table: AnnotationTable, *, split: str) -> None:
    """What every table promises."""
    ids = [sanitize_clip_id(clip.clip_id) for clip in table.clips]
    assert len(set(ids)) == len(ids)
    for clip in table.clips:
        assert clip.split == split
        assert clip.label_text is None or clip.label_text in table.labels
        assert ".." not in clip.relative_path.split("/")
        assert not clip.relative_path.startswith("/")
        assert clip.end_seconds is None or clip.end_seconds > (clip.start_seconds or 0) >= 0
    for row in table.rejected:
        assert row.detail
        assert row.source
    for text in table.labels.texts:
        text.encode("utf-8")


@pytest.mark.parametrize(("dataset", "split"), [("kinetics700", "val"), ("csv", "train")])
def test_any_bytes_in_a_csv(dataset: str, split: str) -> None:
    @FUZZ
    @given(CONTENT)
    def check(content: bytes) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder, "rows.csv")
            path.write_bytes(content)
            try:
                table = read_annotations(dataset, str(path), split=split)
            except ConfigError:
                return
        _check(table, split=split)

    check()


@FUZZ
@given(classes=CONTENT, rows=CONTENT)
def test_any_bytes_in_the_lists_of_ucf101(classes: bytes, rows: bytes) -> None:
    _check_folder("ucf101", {"classInd.txt": classes, "trainlist01.txt": rows})
    _check_folder("ucf101", {"classInd.txt": b"1 golf\n2 run\n", "trainlist01.txt": rows})


@FUZZ
@given(name=st.binary(min_size=1, max_size=8), rows=CONTENT)
def test_any_bytes_in_the_lists_of_hmdb51_and_in_their_names(name: bytes, rows: bytes) -> None:
    odd = name.replace(b"/", b"_").replace(b"\0", b"_")
    lists = {b"golf_test_split1.txt": rows, odd + b"_test_split1.txt": b"a.avi 1\n"}
    _check_folder("hmdb51", {os.fsdecode(each): content for each, content in lists.items()})


def _check_folder(dataset: str, files: dict[str, bytes]) -> None:
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        try:
            table = read_annotations(dataset, folder, split="train1")
        except ConfigError:
            return
    _check(table, split="train1")


@FUZZ
@given(st.lists(st.text(max_size=12) | st.sampled_from(["golf/a.mp4", "Golf/b", "x/../y"])))
def test_any_names_in_a_folder_per_class(paths: list[str]) -> None:
    try:
        table = read_annotations("folder", "videos", split="all", video_paths=paths)
    except ConfigError:
        return
    _check(table, split="all")


@FUZZ
@given(CONTENT)
def test_any_bytes_in_a_label_map(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "map.txt")
        path.write_bytes(content)
        try:
            labels = read_label_map(LocalTextFiles(), str(path))
        except ConfigError:
            return
    assert len(labels)


@pytest.mark.parametrize(
    ("dataset", "name", "unit"),
    [
        ("csv", "rows.csv", "video,label\n{0},golf\n"),
        ("csv", "rows.csv", 'video,label\n"{0},golf\n'),
        ("kinetics400", "rows.csv", "label,youtube_id,time_start,time_end\ngolf,{0},0,1\n"),
        ("ucf101", "trainlist01.txt", "golf/a{0}b 1\n"),
        ("ucf101", "classInd.txt", "1 golf{0}b\n"),
        ("hmdb51", "golf_test_split1.txt", "a{0}b 1\n"),
    ],
)
@pytest.mark.parametrize("filler", [" ", '"', "1", " 1", "\\", "../", "é"])
def test_time_grows_with_the_length_of_a_line_and_not_faster(
    tmp_path: Path, dataset: str, name: str, unit: str, filler: str
) -> None:
    if dataset == "ucf101":
        (tmp_path / "classInd.txt").write_text("1 golf\n")
        (tmp_path / "trainlist01.txt").write_text("golf/a.avi 1\n")

    def seconds(length: int) -> float:
        (tmp_path / name).write_text(unit.format(filler * (length // len(filler))))
        start = time.process_time()
        path = tmp_path / name if name == "rows.csv" else tmp_path
        split = "val" if name == "rows.csv" else "train1"
        with suppress(ConfigError):
            read_annotations(dataset, str(path), split=split)
        return time.process_time() - start

    # Quadratic time would be 1024 times as long: the margin is for a busy machine.
    assert seconds(64_000) < 200 * max(min(seconds(2_000) for _ in range(3)), 1e-4)
