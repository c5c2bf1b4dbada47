"""Raw frames for mmaction2: the stored bytes, numbered from 1, in lists with their own counts."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.quantize import dequantize_flow
from pipelines import export_mmaction2
from pipelines.cli import main
from pipelines.finished_output import open_output
from video.jpeg import decode_jpeg

pytestmark = pytest.mark.slow

CLIPS = {
    "x_y/-dash": ("train", "-dash", 0),
    "z/sub_two__blanks": ("train", "sub/two  blanks", 1),
    "z/lone": ("val", "lone", 1),
    "x_y/both": ("val", "both", 0),
}


def _changed(built: Path, tmp_path: Path, **settings: object) -> Path:
    """A copy of an output that claims to be made with other settings."""
    folder = Path(shutil.copytree(built, tmp_path / "out"))
    info = json.loads((folder / "run.json").read_text())
    info["config"].update(settings)
    (folder / "run.json").write_text(json.dumps(info))
    return folder


def test_export_holds_the_stored_bytes_under_numbered_names(
    two_splits: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "deep" / "mm"
    capsys.readouterr()
    everything = ("--modalities", "rgb", "flow", "pose")
    assert main(["export", "mmaction2", *map(str, two_splits), str(to), *everything]) == 0
    said = capsys.readouterr().out
    files = sorted(each for each in to.rglob("*.jpg"))
    total = sum(each.stat().st_size for each in files)
    assert said.startswith(f"mmaction2: 4 clips, 48 frames, {total:,} bytes; ")
    assert said.endswith(f"result in {to}\n")
    assert len(files) == 4 * 12 * 4
    outputs = dict(zip(("train", "val"), map(str, two_splits), strict=True))
    for name, (split, clip_id, label) in CLIPS.items():
        record = open_output(outputs[split]).read_record(clip_id)
        folder = to / "rawframes" / name
        streams = {
            "img": record.rgb,
            "flow_x": record.flow_x,
            "flow_y": record.flow_y,
            "pose": record.pose_overlay,
        }
        for beginning, jpegs in streams.items():
            paths = [folder / f"{beginning}_{index:05d}.jpg" for index in range(1, 13)]
            assert tuple(path.read_bytes() for path in paths) == jpegs
        for modality in ("rgb", "flow", "pose"):
            assert f"{name} 12 {label}\n" in (to / f"{modality}_{split}.txt").read_text()
    tops = {each.name for each in to.iterdir()}
    lists = {f"{stream}_{split}.txt" for stream in ("rgb", "flow", "pose") for split in outputs}
    assert tops == {"rawframes", "label_map.txt", *lists}
    assert (to / "label_map.txt").read_text() == "x y\nz\n"


def test_flow_of_tfrecord_alone_is_split_and_hardly_changed(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, to = _changed(built, tmp_path, formats=["tfrecord"]), tmp_path / "mm"
    assert main(["export", "mmaction2", str(output), str(to)]) == 0
    assert "(flow encoded again, as there is no Parquet)" in capsys.readouterr().out
    record = open_output(str(built)).read_record("a")
    for axis in "xy":
        for index, exact in enumerate(getattr(record, f"flow_{axis}"), start=1):
            path = to / "rawframes" / "x" / "a" / f"flow_{axis}_{index:05d}.jpg"
            again = decode_jpeg(path.read_bytes())
            assert again.ndim == 2
            error = np.abs(dequantize_flow(again) - dequantize_flow(decode_jpeg(exact)))
            assert error.mean() < 40 / 255, "less than one step of the 8-bit code"


def test_stream_that_is_not_stored_is_refused_with_those_that_are(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = _changed(built, tmp_path, modalities=["rgb", "pose"], pose_storage="keypoints")
    to = tmp_path / "mm"
    for modality in ("flow", "pose"):
        assert main(["export", "mmaction2", str(output), str(to), "--modalities", modality]) == 2
        message = f"stored as images in {output} (rgb), got {modality}; choose others with"
        assert message in capsys.readouterr().err
    assert not to.exists()
    assert main(["export", "mmaction2", str(output), str(to), "--modalities", "rgb"]) == 0


def test_labels_that_become_one_folder_are_refused(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "out"))
    (folder / "label_map.txt").write_text("a b\na_b\n")
    assert main(["export", "mmaction2", str(folder), str(tmp_path / "mm")]) == 2
    assert "got a_b for 'a b' and 'a_b'" in capsys.readouterr().err


def test_outputs_with_different_label_maps_are_refused(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "out"))
    (folder / "label_map.txt").write_text("y\nx\n")
    assert main(["export", "pyskl", str(built), str(folder), str(tmp_path / "mm")]) == 2
    assert f"same label map, got {built} and {folder} with" in capsys.readouterr().err
    assert not (tmp_path / "mm").exists()


def test_output_given_twice_is_refused(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "mmaction2", str(built), str(built), str(tmp_path / "mm")]
    assert main(arguments) == 2
    assert "clips of split all must have different names, got" in capsys.readouterr().err
    assert (tmp_path / "mm" / "INCOMPLETE").exists()


def test_clips_without_labels_have_lines_without_labels(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = open_output(str(built)).read_record("a")
    bare = replace(record, label_index=-1, label_text="")
    monkeypatch.setattr(export_mmaction2, "read_clips", lambda outputs: [(outputs[0], bare)])
    to = tmp_path / "mm"
    assert main(["export", "mmaction2", str(built), str(to)]) == 0
    assert (to / "rgb_all.txt").read_text() == "no_label/a 12\n"
    assert (to / "rawframes" / "no_label" / "a" / "img_00012.jpg").exists()


def test_full_disk_leaves_no_list_and_says_incomplete(
    built: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    to = tmp_path / "mm"
    write = Path.write_bytes

    def fill_up(path: Path, data: bytes) -> int:
        if path.name == "flow_y_00007.jpg" and path.parent.name == "d":
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", fill_up)
    assert main(["export", "mmaction2", str(built), str(to)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert (to / "INCOMPLETE").exists()
    assert list((to / "rawframes").rglob("a/img_00001.jpg")), "others were written before"
    assert not list(to.glob("*_all.txt"))


@pytest.mark.parametrize("arguments", [[], ["mmaction2"], ["mmaction2", "one"], ["tfds", "a", "b"]])
def test_incomplete_command_ends_with_status_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *arguments]) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
