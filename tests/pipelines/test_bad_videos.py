"""Whole builds over damaged, hostile and foreign files: one row each, good clips untouched."""

import csv
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from benchmarks.small_clips import FORMATS, write_clip
from pipelines.cli import main
from schemas.clip_record import ClipRecord
from schemas.ledger import LedgerRow, read_ledger
from schemas.outcome import Outcome
from schemas.sequence_example import encode_sequence_example
from schemas.shard_reader import read_shard

pytestmark = pytest.mark.slow

FFMPEG_JARGON = ("Invalid data", "Errno", "returned", "avcodec", "Error", "None")
GOOD_CLIPS = (
    "ucf101/v_Punch_g01_c01.avi",
    "kinetics/mmaction2_tests_test.mp4",
)


def _build(folder: Path, videos: Path, names: Sequence[str]) -> dict[str, LedgerRow]:
    """Build files as one `csv` data set with RGB and flow; return the rows by path."""
    folder.mkdir()
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "label"])
        rows.writerows([name, "x"] for name in names)
    arguments = ["build", "--dataset", "csv", "--split", "all", "--videos", str(videos)]
    arguments += ["--annotations", str(folder / "rows.csv"), "--output", str(folder / "out")]
    arguments += ["--modalities", "rgb", "flow", "--flow-engine", "dis", "--num-shards", "4"]
    arguments += ["--decode.short-side", "32", "--workers", "2", "--max-failed-fraction", "1"]
    assert main(arguments) == 0
    assert main(["verify", str(folder / "out")]) == 0
    with (folder / "out" / "ledger.parquet").open("rb") as file:
        ledger = read_ledger(file)
    info = json.loads((folder / "out" / "run.json").read_text())
    assert len(ledger) == len(names) == sum(info["counts"].values())
    assert len({row.source for row in ledger}) == len(names), "one row per annotation row"
    return {row.path or row.clip_id: row for row in ledger}


def _encoded(records: list[ClipRecord]) -> list[bytes]:
    return [encode_sequence_example(record) for record in records]


def _records(folder: Path) -> dict[str, list[ClipRecord]]:
    """Records of an output by path of the video, from both formats."""
    found: dict[str, list[ClipRecord]] = {}
    for path in sorted((folder / "out").rglob("*-of-*")):
        if path.suffix == ".parquet" or ".tfrecord" in path.name:
            with path.open("rb") as file:
                for record in read_shard(file, name=path.name):
                    found.setdefault(record.video_path, []).append(record)
    return found


def _check_understandable(row: LedgerRow) -> None:
    if row.outcome is not Outcome.WRITTEN:
        assert len(row.detail) > 20, row
    assert not [word for word in FFMPEG_JARGON if word in row.detail], row


@pytest.mark.corpus
def test_bad_videos_have_one_outcome_each_and_leave_good_ones_alone(
    corpus: Path, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    names = [path.name for path in sorted((corpus / "videos" / "bad").iterdir())]
    for name in names:
        shutil.copy(corpus / "videos" / "bad" / name, videos)
    good = [Path(name).name for name in GOOD_CLIPS]
    for name in GOOD_CLIPS:
        shutil.copy(corpus / "videos" / name, videos)
    rows = _build(tmp_path / "together", videos, names + good)
    with (corpus / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        facts = {
            Path(row["path"]).name: row
            for row in csv.DictReader(file)
            if row["path"][:10] == "videos/bad"
        }
    for name in names:
        row, fact = rows[name], facts[name]
        _check_understandable(row)
        assert row.decoded_frames == int(fact["frames"] or 0), row
        if not int(fact["frames"] or 0):
            assert not row.outcome.is_written
        elif "decode=partial" in fact["notes"]:
            assert row.outcome is Outcome.TRUNCATED, row
    counts = [row.outcome for row in rows.values()]
    assert not {Outcome.FAILED, Outcome.CRASHED, Outcome.TIMEOUT} & set(counts)
    assert counts.count(Outcome.WRITTEN) >= 75
    together = _records(tmp_path / "together")
    for name in good:
        assert (rows[name].outcome, rows[name].detail) == (Outcome.WRITTEN, "")
        _build(tmp_path / name, videos, [name])
        alone = _records(tmp_path / name)[name]
        assert len(alone) == 2
        assert _encoded(alone) == _encoded(together[name])


def _plant(videos: Path) -> dict[str, Outcome]:
    """Fill a folder with files that are not what they seem; return what each should become."""
    data = write_clip(videos / "good.mp4", FORMATS[1]).read_bytes()
    plain = write_clip(videos / "faststart.mp4", FORMATS[5]).read_bytes()
    kept = {"empty.mp4": b"", "zeros.mp4": bytes(9000), "half.mp4": data[: len(data) // 2]}
    kept |= {"error.mp4": b"<html>", "list.mp4": b"ffconcat version 1.0\nfile good.mp4\n"}
    kept |= {"hls.mp4": b"#EXTM3U\n#EXTINF:9,\ngood.mp4\n#EXT-X-ENDLIST\n"}
    for name, content in kept.items():
        (videos / name).write_bytes(content)
    (videos / "cut.mp4").write_bytes(plain[: len(plain) * 9 // 10])
    (videos / "suffix.avi").write_bytes(data)
    (videos / "no_suffix").write_bytes(data)
    (videos / "tail.mp4").write_bytes(data + os.urandom(5000))
    os.mkfifo(videos / "pipe.mp4")
    (videos / "folder.mp4").mkdir()
    (videos / "folder.mp4" / "inside.txt").write_text("x")
    (videos / "link.mp4").symlink_to(videos / "nowhere.mp4")
    (videos / "device.mp4").symlink_to("/dev/zero")
    outcomes = dict.fromkeys(kept, Outcome.UNREADABLE) | {"empty.mp4": Outcome.EMPTY}
    outcomes |= {"cut.mp4": Outcome.TRUNCATED}
    written = ("good.mp4", "faststart.mp4", "suffix.avi", "no_suffix", "tail.mp4")
    outcomes |= dict.fromkeys(written, Outcome.WRITTEN)
    missing = ("pipe.mp4", "folder.mp4", "link.mp4", "never.mp4")
    outcomes |= {"device.mp4": Outcome.FAILED}
    return outcomes | dict.fromkeys(missing, Outcome.MISSING)


def test_what_is_no_good_video_costs_one_row(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    expected = _plant(videos)
    rows = _build(tmp_path / "build", videos, sorted(expected))
    found = {name: row.outcome for name, row in rows.items()}
    by_stem = {Path(name).stem: outcome for name, outcome in expected.items()}
    assert {Path(name).stem: outcome for name, outcome in found.items()} == by_stem
    for row in rows.values():
        _check_understandable(row)
    records = _records(tmp_path / "build")
    good = records["good.mp4"][0]
    with av.open(str(videos / "good.mp4")) as container:
        assert good.num_frames == sum(1 for _ in container.decode(video=0))
    for name in ("suffix.avi", "no_suffix", "tail.mp4"):
        assert records[name][0].rgb == good.rgb
