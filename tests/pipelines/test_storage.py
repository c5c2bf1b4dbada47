"""Files appear complete or not at all, whatever their names."""

from pathlib import Path

import pytest

from pipelines import storage


def test_unfinished_file_never_appears(tmp_path: Path) -> None:
    target, temp = tmp_path / "out" / "file", tmp_path / "temp"

    def write_half() -> None:
        with storage.atomic_output(str(target), temp_folder=str(temp)) as file:
            file.write(b"half")
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        write_half()
    assert not target.exists()
    assert list(temp.iterdir()) == []


def test_new_content_replaces_the_old(tmp_path: Path) -> None:
    target = str(tmp_path / "file")
    for content in (b"old", b"new"):
        with storage.atomic_output(target, temp_folder=str(tmp_path / "temp")) as file:
            file.write(content)
    assert storage.read_bytes(target) == b"new"
    assert storage.size_of(target) == 3


@pytest.mark.parametrize("name", ["a[1]*?", "with  spaces", "имя_名前", "a.gz", "#%20&"])
def test_odd_names_are_taken_literally(tmp_path: Path, name: str) -> None:
    folder = str(tmp_path / name)
    path = storage.join(folder, name)
    storage.write_text(path, "text", temp_folder=folder)
    assert storage.read_text(path) == "text"
    assert storage.size_of(path) == 4
    assert storage.video_source(path, num_bytes=4, max_mib=1) == Path(path)
    storage.remove_tree(folder)
    assert not storage.exists(folder)


def test_json_keeps_text_readable(tmp_path: Path) -> None:
    path = str(tmp_path / "a.json")
    storage.write_json(path, {"b": "ü", "a": Path("p")}, temp_folder=str(tmp_path / "temp"))
    assert storage.read_text(path) == '{\n "a": "p",\n "b": "ü"\n}\n'
    assert storage.read_json(path) == {"a": "p", "b": "ü"}
    assert storage.read_json(str(tmp_path / "none.json")) is None


def test_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfx\r\n")
    assert storage.read_text(str(tmp_path / "a.txt")) == "x\r\n"


def test_local_paths_are_not_remote() -> None:
    assert not storage.is_remote("/a/b")
    assert storage.is_remote("gs://bucket/a")
