"""The whole pipeline on four small videos, one broken and one missing."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import duckdb
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

from pipelines import runner
from pipelines.cli import main
from pipelines.output_folder import claim_output
from pipelines.sealed_json import read_sealed_json, write_sealed_json
from schemas.clip_record import ClipRecord
from schemas.ledger import read_ledger
from schemas.sequence_example import decode_sequence_example
from schemas.shard_writer import TFRecordShard
from schemas.stored_images import StoredImages
from schemas.tfrecord import read_records
from video.jpeg import decode_jpeg

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]


def shard_hashes(output: Path) -> dict[str, str]:
    paths = [*output.glob("tfrecord/*"), *output.glob("parquet/*"), output / "label_map.txt"]
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def test_every_annotation_row_has_one_outcome(built: Path) -> None:
    with (built / "ledger.parquet").open("rb") as file:
        rows = read_ledger(file)
    assert {row.clip_id: row.outcome.value for row in rows} == {
        "a": "written",
        "b": "written",
        "c": "written",
        "d": "written",
        "broken": "unreadable",
        "gone": "missing",
    }
    assert [row.source for row in rows if row.clip_id == "gone"] == ["rows.csv:7"]


def test_run_json_counts_add_up_to_the_rows(built: Path) -> None:
    info = json.loads((built / "run.json").read_text())
    assert sum(info["counts"].values()) == info["num_rows"] == 6
    assert info["counts"] == {"written": 4, "missing": 1, "unreadable": 1}
    assert info["num_frames"] == 48
    assert info["pose_model"].startswith("precomputed ")


def test_output_has_the_documented_names(built: Path) -> None:
    expected = {f"tfrecord/csv-all.tfrecord-0000{n}-of-00003" for n in range(3)}
    expected |= {f"parquet/all-0000{n}-of-00003.parquet" for n in range(3)}
    expected |= {"tfrecord/dataset_info.json", "tfrecord/features.json", "label_map.txt"}
    assert set(shard_hashes(built)) == expected
    assert (built / "COMPLETED").exists()
    assert not (built / "state" / "tmp").exists()
    assert (built / "label_map.txt").read_text() == "x\ny\n"


def test_streams_have_equal_lengths_in_sql(built: Path) -> None:
    query = f"""
        SELECT count(*), bool_and(num_frames = len(rgb) AND num_frames = len(pose_overlay)
            AND num_frames = len(flow_x) AND num_frames = len(flow_y)
            AND num_frames = len(keypoints)) FROM '{built}/parquet/*.parquet'"""
    assert duckdb.sql(query).fetchall() == [(4, True)]


def test_both_formats_hold_the_same_frames(built: Path) -> None:
    for number in range(3):
        name = f"csv-all.tfrecord-0000{number}-of-00003"
        with (built / "tfrecord" / name).open("rb") as file:
            records = [decode_sequence_example(data) for data in read_records(file, name=name)]
        rows = pq.read_table(built / f"parquet/all-0000{number}-of-00003.parquet").to_pylist()
        assert [record.clip_id for record in records] == [row["clip_id"] for row in rows]
        for record, row in zip(records, rows, strict=True):
            assert list(record.rgb) == [image["bytes"] for image in row["rgb"]]
            assert list(record.pose_overlay) == [image["bytes"] for image in row["pose_overlay"]]


def test_flow_of_the_moving_square_is_two_pixels_to_the_right(built: Path) -> None:
    table = pq.read_table(built / "parquet", columns=["flow_x", "flow_y"]).to_pylist()
    for row in table:
        for index in (2, 5):
            dx = decode_jpeg(row["flow_x"][index]["bytes"])[20:28, 2 * index + 8 : 2 * index + 16]
            dy = decode_jpeg(row["flow_y"][index]["bytes"])[20:28, 2 * index + 8 : 2 * index + 16]
            assert abs(np.median(dx) * 40 / 255 - 20 - 2) < 0.5
            assert abs(np.median(dy) * 40 / 255 - 20) < 0.5
        assert row["flow_x"][-1] == row["flow_x"][-2]


def test_pose_is_drawn_on_the_overlay_only(built: Path) -> None:
    row = pq.read_table(built / "parquet").to_pylist()[0]
    rgb = decode_jpeg(row["rgb"][0]["bytes"]).astype(int)
    overlay = decode_jpeg(row["pose_overlay"][0]["bytes"]).astype(int)
    change = np.abs(rgb - overlay).max(axis=-1)
    assert change[14, 30:36].min() > 60, "the shoulder bar must be drawn"
    assert change[:, :12].max() < 60, "nothing must be drawn far from the person"
    assert np.allclose(row["keypoints"][0][0][:3], [32, 6, 0.9], atol=1e-3)


def test_two_workers_give_the_same_bytes_as_one(
    built: Path, tmp_path: Path, build_arguments: Arguments
) -> None:
    assert main(build_arguments(tmp_path / "two", "--workers", "2")) == 0
    assert shard_hashes(tmp_path / "two") == shard_hashes(built)


def test_images_reach_the_coordinator_in_files_below_the_output_that_are_gone_after(
    built: Path, tmp_path: Path, build_arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, seen, folders = TFRecordShard.write, [], set()

    def look_and_write(self: TFRecordShard, record: ClipRecord) -> None:
        seen.extend([record.rgb, record.pose_overlay, record.flow, record.flow_x, record.flow_y])
        stored = [images for images in seen if isinstance(images, StoredImages)]
        folders.update(images.path.readlink().parent for images in stored)
        write(self, record)

    monkeypatch.setattr(TFRecordShard, "write", look_and_write)
    assert main(build_arguments(tmp_path / "out")) == 0
    assert len(seen) == 4 * 5
    assert all(isinstance(images, StoredImages) for images in seen)
    assert folders == {tmp_path / "out" / "state" / "tmp"}
    assert not (tmp_path / "out" / "state" / "tmp").exists()
    assert shard_hashes(tmp_path / "out") == shard_hashes(built)


def test_second_run_does_nothing_and_says_so(
    built: Path, build_arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*")}
    assert main(build_arguments(built)) == 0
    assert f"nothing to do: {built} is complete" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in built.rglob("*")} == before


def test_other_settings_in_the_same_folder_are_refused_with_the_difference(
    built: Path, build_arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(build_arguments(built, "--render.colors", "6")) == 2
    message = capsys.readouterr().err
    assert "render.colors: 13 -> 6" in message
    assert "choose another --output" in message


def test_too_many_failures_end_with_status_1(
    tmp_path: Path, build_arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = build_arguments(tmp_path / "out", "--max-failed-fraction", "0.1")
    assert main(arguments) == 1
    assert "failed share of the rows must be <= 0.1" in capsys.readouterr().err


def test_killed_run_resumes_to_the_same_bytes(
    built: Path, tmp_path: Path, build_arguments: Arguments
) -> None:
    output = tmp_path / "killed"
    arguments = build_arguments(output)
    process = subprocess.Popen([sys.executable, "-m", "pipelines", *arguments])
    _wait_for(lambda: bool(list(output.glob("state/*.done.json"))))
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = len(list(output.glob("state/*.done.json")))
    assert 1 <= finished <= 3
    assert not (output / "COMPLETED").exists()
    assert main(arguments) == 0
    assert shard_hashes(output) == shard_hashes(built)
    assert not (output / "state" / "tmp").exists()


def test_lost_shard_is_built_again(built: Path, tmp_path: Path, build_arguments: Arguments) -> None:
    output = tmp_path / "out"
    assert main(build_arguments(output)) == 0
    (output / "parquet" / "all-00001-of-00003.parquet").unlink()
    assert main(build_arguments(output)) == 0
    assert shard_hashes(output) == shard_hashes(built)


def test_found_video_joins_its_shard_in_the_next_run(
    tmp_path: Path, video_set: Path, build_arguments: Arguments
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes((video_set / "videos" / "a.mp4").read_bytes())
    arguments = [*build_arguments(tmp_path / "out"), "--max-failed-fraction", "1"]
    arguments[arguments.index("--videos") + 1] = str(videos)
    assert main(arguments) == 0
    (videos / "b.mp4").write_bytes((video_set / "videos" / "b.mp4").read_bytes())
    assert main(arguments) == 0
    info = json.loads((tmp_path / "out" / "run.json").read_text())
    assert info["counts"] == {"written": 2, "missing": 4}


def test_only_the_asked_streams_and_formats_are_written(
    tmp_path: Path, build_arguments: Arguments
) -> None:
    arguments = build_arguments(
        tmp_path / "out", "--modalities", "flow", "--formats", "parquet", "--limit", "2"
    )
    pose_options = arguments.index("--pose-backend")
    del arguments[pose_options : pose_options + 4]
    assert main(arguments) == 0
    assert not (tmp_path / "out" / "tfrecord").exists()
    rows = pq.read_table(tmp_path / "out" / "parquet").to_pylist()
    assert sorted(row["clip_id"] for row in rows) == ["a", "b"]
    assert {(row["rgb"], row["pose_overlay"], row["keypoints"]) for row in rows} == {(None,) * 3}
    assert all(len(row["flow_x"]) == 12 for row in rows)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("send", [os.killpg, os.kill], ids=["all", "coordinator"])
def test_signal_stops_at_once_and_leaves_no_child(
    tmp_path: Path,
    build_arguments: Arguments,
    number: signal.Signals,
    send: Callable[[int, int], None],
) -> None:
    output = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *build_arguments(output)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _wait_for(lambda: bool(list(output.glob("state/*.done.json"))))
    send(process.pid, number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert printed.endswith("interrupted; the same command goes on where it stopped\n")
    assert "Traceback" not in printed, "an interrupt is no bug"
    _wait_for(lambda: not _processes_of_session(process.pid))


def test_workers_count_beside_beam_options(
    built: Path, tmp_path: Path, build_arguments: Arguments, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    parse = runner.parse_beam_options
    monkeypatch.setattr(
        runner, "parse_beam_options", lambda flags: seen.append(flags) or parse(flags)
    )
    arguments = [*build_arguments(tmp_path / "out", "--workers", "2"), "--", "--job_name=x"]
    assert main(arguments) == 0
    assert seen == [["--direct_num_workers=2", "--job_name=x"]]
    assert shard_hashes(tmp_path / "out") == shard_hashes(built)


def test_second_run_at_the_same_time_is_refused(
    tmp_path: Path, build_arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    with claim_output(str(output)):
        assert main(build_arguments(output)) == 2
    assert "output must be written by one run at a time" in capsys.readouterr().err
    assert not (output / "state" / "plan.jsonl").exists()


def test_damaged_done_file_costs_one_shard(
    built: Path, tmp_path: Path, build_arguments: Arguments
) -> None:
    output = tmp_path / "out"
    shutil.copytree(built, output)
    next(output.glob("state/*.done.json")).write_bytes(b"\x00")
    assert main(build_arguments(output)) == 0
    assert shard_hashes(output) == shard_hashes(built)


def test_changed_annotations_are_not_nothing_to_do(
    built: Path, tmp_path: Path, video_set: Path, build_arguments: Arguments
) -> None:
    output = tmp_path / "out"
    shutil.copytree(built, output)
    rows = (video_set / "rows.csv").read_text().replace("gone.mp4", "lost.mp4")
    (tmp_path / "rows.csv").write_text(rows)
    arguments = build_arguments(output)
    arguments[arguments.index("--annotations") + 1] = str(tmp_path / "rows.csv")
    assert main(arguments) == 0
    with (output / "ledger.parquet").open("rb") as file:
        missing = [row.clip_id for row in read_ledger(file) if row.outcome.value == "missing"]
    assert missing == ["lost"]


def test_shard_with_a_timed_out_clip_is_built_again_when_asked(
    built: Path, tmp_path: Path, build_arguments: Arguments
) -> None:
    output = tmp_path / "out"
    shutil.copytree(built, output)
    for path in output.glob("state/*.done.json"):
        state = read_sealed_json(str(path))
        for row in state["rows"]:
            row["outcome"] = row["outcome"].replace("unreadable", "timeout")
        write_sealed_json(str(path), state, temp_folder=str(tmp_path / "temp"))
    assert main(build_arguments(output)) == 0
    assert json.loads((output / "run.json").read_text())["counts"]["unreadable"] == 1, "complete"
    assert main(build_arguments(output, "--retry-failed")) == 0
    counts = json.loads((output / "run.json").read_text())["counts"]
    assert counts == {"written": 4, "missing": 1, "unreadable": 1}
    assert shard_hashes(output) == shard_hashes(built)


def test_odd_line_separators_in_a_label_do_no_harm(
    tmp_path: Path, build_arguments: Arguments
) -> None:
    (tmp_path / "rows.csv").write_text("video,label\na.mp4,la\u2028bel\x85\n", encoding="utf-8")
    arguments = build_arguments(tmp_path / "out", "--max-failed-fraction", "1")
    arguments[arguments.index("--annotations") + 1] = str(tmp_path / "rows.csv")
    assert main(arguments) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["num_rows"] == 1


def test_clip_left_out_by_strict_counts_as_failed_and_in_no_shard(
    tmp_path: Path, build_arguments: Arguments
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    with av.open(str(videos / "a.avi"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        rng = np.random.default_rng(0)
        for _ in range(12):
            noise = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    data = (videos / "a.avi").read_bytes()
    (videos / "a.avi").write_bytes(data[: len(data) * 6 // 10])
    (tmp_path / "rows.csv").write_text("video,label\na.avi,x\n")
    arguments = build_arguments(tmp_path / "out", "--strict")
    arguments[arguments.index("--annotations") + 1] = str(tmp_path / "rows.csv")
    arguments[arguments.index("--videos") + 1] = str(videos)
    assert main(arguments) == 1
    info = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (info["counts"], info["failed_fraction"]) == ({"truncated": 1}, 1.0)
    tfds = json.loads((tmp_path / "out" / "tfrecord" / "dataset_info.json").read_text())
    assert tfds["splits"][0]["shardLengths"] == ["0", "0", "0"]
    assert main(["verify", str(tmp_path / "out")]) == 0


def _processes_of_session(session: int) -> list[int]:
    found = []
    for each in psutil.process_iter():
        try:
            if os.getsid(each.pid) == session and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def _wait_for(condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
