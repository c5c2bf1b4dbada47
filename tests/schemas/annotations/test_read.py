from pathlib import Path

import pytest

from schemas.annotations import DATASETS, LocalTextFiles, read_annotations
from schemas.errors import ConfigError
from schemas.labels import LabelMap

KINETICS = "label,youtube_id,time_start,time_end,split\ngolf,x,0,10,val\n"


class MemoryFiles:
    """Text files of an object store."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def read_text(self, path: str) -> str:
        return self.texts[path]

    def list_names(self, path: str) -> list[str]:
        return [name.removeprefix(f"{path}/") for name in self.texts if name.startswith(path)]


FILES = MemoryFiles(
    {
        "gs://b/k.csv": KINETICS,
        "gs://b/my.csv": "video,label\na.mp4,golf\n",
        "gs://b/ucf/classInd.txt": "1 YoYo\n",
        "gs://b/ucf/trainlist01.txt": "YoYo/a.avi 1\n",
        "gs://b/hmdb/golf_test_split1.txt": "a.avi 1 \n",
    }
)
REQUESTS = {
    "kinetics400": ("gs://b/k.csv", "val"),
    "kinetics600": ("gs://b/k.csv", "val"),
    "kinetics700": ("gs://b/k.csv", "val"),
    "ucf101": ("gs://b/ucf", "train1"),
    "hmdb51": ("gs://b/hmdb", "train1"),
    "csv": ("gs://b/my.csv", "train"),
    "folder": ("gs://b/videos", "train"),
}


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_is_read_from_any_storage(dataset: str) -> None:
    path, split = REQUESTS[dataset]
    table = read_annotations(dataset, path, split=split, video_paths=["golf/a.mp4"], files=FILES)
    (clip,) = table.clips
    assert (clip.dataset, clip.split) == (dataset, split)
    assert clip.label_text in table.labels


@pytest.mark.parametrize("dataset", DATASETS)
def test_given_label_map_is_passed_to_every_reader(dataset: str) -> None:
    path, split = REQUESTS[dataset]
    given_map = LabelMap(("other",))
    table = read_annotations(
        dataset, path, split=split, label_map=given_map, video_paths=["golf/a.mp4"], files=FILES
    )
    assert table.labels == given_map
    assert (len(table.clips), len(table.rejected)) == (0, 1)


def test_unknown_data_set_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"one of kinetics400, .*, folder, got 'kinetics'"):
        read_annotations("kinetics", "k.csv", split="val")


def test_folder_needs_the_paths_of_the_videos() -> None:
    with pytest.raises(ConfigError, match="video_paths must be given for the data set 'folder'"):
        read_annotations("folder", "videos", split="all")


def test_local_file_with_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "k.csv"
    path.write_bytes(b"\xef\xbb\xbf" + KINETICS.replace("\n", "\r\n").encode())
    table = read_annotations("kinetics400", str(path), split="val")
    assert [clip.source for clip in table.clips] == ["k.csv:2"]


def test_local_folder_is_read_with_a_slash_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "golf_test_split1.txt").write_text("a.avi 1 \n")
    (tmp_path / "sub").mkdir()
    table = read_annotations("hmdb51", f"{tmp_path}/", split="train1")
    assert [clip.clip_id for clip in table.clips] == ["a"]


def test_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"file that can be read, got '.*none.csv': No such file"):
        read_annotations("csv", str(tmp_path / "none.csv"), split="train")


def test_folder_in_place_of_a_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must be a file that can be read, got .* directory"):
        read_annotations("csv", str(tmp_path), split="train")


def test_file_in_place_of_a_folder_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "classInd.txt"
    path.write_text("1 YoYo\n")
    with pytest.raises(ConfigError, match=r"must be a folder that can be read, got '.*classInd"):
        read_annotations("ucf101", str(path), split="train1")


def test_file_that_is_not_utf8_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "my.csv"
    path.write_bytes(b"video,label\ncaf\xe9.mp4,x\n")
    with pytest.raises(ConfigError, match=r"must be UTF-8 text, got byte 0xe9 at offset 15; save"):
        LocalTextFiles().read_text(str(path))
