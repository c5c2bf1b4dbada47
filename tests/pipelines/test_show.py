"""What an output says of one clip: everything it holds, or why it holds nothing."""

from pathlib import Path

import av
import cv2
import pytest

from pipelines.cli import main
from pipelines.finished_output import open_output
from pipelines.show import show_clip
from schemas.errors import ConfigError

pytestmark = pytest.mark.slow


def said_of(text: str) -> dict[str, str]:
    """The lines by name."""
    pairs = (line.split(maxsplit=1) for line in text.splitlines() if line.startswith("  "))
    return {pair[0]: " ".join(pair[1].split()) for pair in pairs}


def test_written_clip_is_told_in_full(built: Path) -> None:
    record = open_output(str(built)).read_record("b")
    text = show_clip(str(built), "b")
    said = said_of(text)
    assert text.startswith("clip b\n")
    assert said["label"] == "1 y"
    assert said["video"] == "b.mp4 (media id b)"
    assert said["frames"] == "12 at 25 fps, 64x48 px"
    assert said["source"] == "rows.csv:3"  # the ledger's, after the record's frames
    assert "0 to 11 of the file, 0.000 to 0.440 s: 12 used, 0 repeats, 0 left out" in text
    for name in ("rgb", "pose_overlay", "flow_x", "flow_y"):
        assert said[name].startswith(f"12 frames, {record.stream_bytes()[name]:,} bytes")
    assert said["poses"] == "12 frames, 1 tracks, 1.00 people per frame, people in 100% of them"
    assert said["config_hash"] == record.provenance.config_hash
    assert said["pose_model"] == record.provenance.pose_model
    assert said["outcome"] == "written"
    assert said["video_hash"]
    assert f"  shard{'':11}parquet/all-" in text
    assert "tfrecord/csv-all.tfrecord-" in text


@pytest.mark.parametrize(
    ("clip_id", "outcome", "detail"),
    [
        ("broken", "unreadable", ""),
        ("gone", "missing", "no file of the video folder"),
    ],
)
def test_failed_clip_is_told_by_its_ledger_row(
    built: Path, clip_id: str, outcome: str, detail: str
) -> None:
    said = said_of(show_clip(str(built), clip_id))
    assert said["outcome"] == outcome
    assert said["detail"].startswith(detail)
    assert "shard" not in said
    assert "frames" not in said


def test_failed_clip_has_nothing_to_show(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    assert main(["show", str(built), "broken", "-o", str(output)]) == 2
    assert "got broken, one that is unreadable" in capsys.readouterr().err
    assert not output.exists()


def test_misspelt_id_is_answered_with_close_ones(
    built: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(built), "brokne"]) == 2
    assert capsys.readouterr().err.endswith("got brokne; did you mean broken?\n")
    assert main(["show", str(built), "ROK"]) == 2
    assert "did you mean broken?" in capsys.readouterr().err
    assert main(["show", str(built), "--", "-zzzzzzzz"]) == 2
    assert "it has 6 rows, none with a similar id" in capsys.readouterr().err


def test_video_and_contact_sheet_are_written(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("out.mp4", "sheet.png"):
        assert main(["show", str(built), "a", "--output", str(tmp_path / name)]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'out.mp4'}, 12 frames of 592x172" in said
    assert f"{tmp_path / 'sheet.png'}, 592x1012" in said
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (1012, 592, 3)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("out.gif", r"output must end in \.mp4 or \.png, got"),
        ("no/out.mp4", "output must be a file in an existing folder"),
        ("no/out.png", "output must be a file in an existing folder"),
        ("gs://x/out.png", "output must be a local file"),
    ],
)
def test_file_that_cannot_be_written_is_refused_first(
    tmp_path: Path, output: str, message: str
) -> None:
    path = output if output.startswith("gs:") else str(tmp_path / output)
    with pytest.raises(ConfigError, match=message):
        show_clip("no such folder", "a", path)
