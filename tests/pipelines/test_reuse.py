"""`build --reuse`: the bytes of a full run, and nothing computed that the old shards hold."""

import hashlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import pytest

from pipelines import build_shard, clip_run, process_clip
from pipelines.cli import main
from pipelines.config import BuildConfig
from pipelines.finished_output import open_output
from pipelines.kept_clip import read_kept_clip
from pipelines.output_folder import settings_path
from pipelines.plan import ClipTask
from pipelines.process_clip import ClipProcessor, ProcessedClip
from schemas.clip_record import Provenance
from schemas.errors import RecordError

pytestmark = pytest.mark.slow

Arguments = Callable[..., list[str]]
STAGES = {"decode", "flow", "pa", "pose", "render", "encode"}


def shard_hashes(output: Path) -> dict[str, str]:
    paths = [*output.glob("tfrecord/*"), *output.glob("parquet/*"), output / "label_map.txt"]
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


class InThisProcess:
    """Stands for IsolatedProcessor where the child process is not the point."""

    def __init__(self, config: BuildConfig, provenance: Provenance) -> None:
        self._processor = ClipProcessor(config, provenance)

    def process(
        self,
        task: ClipTask,
        video_path: Path,
        kept_file: Path | None = None,
        spool: Path | None = None,
    ) -> ProcessedClip:
        kept = read_kept_clip(kept_file) if kept_file is not None else None
        try:
            return self._processor.process(task, video_path, kept, spool)
        except RecordError as error:
            raise RecordError(task.clip.clip_id, error.outcome, error.detail) from None

    def close(self) -> None:
        """Nothing to end."""


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_shard, "IsolatedProcessor", InThisProcess)


@pytest.fixture(scope="module")
def full(
    tmp_path_factory: pytest.TempPathFactory, built: Path, build_arguments: Arguments
) -> Callable[[str], Path]:
    """Gives the output of a run without `--reuse`, by its extra options; made once."""
    made = {"": built}

    def run(options: str) -> Path:
        if options not in made:
            made[options] = tmp_path_factory.mktemp("full") / "out"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(build_shard, "IsolatedProcessor", InThisProcess)
                assert main(build_arguments(made[options], *options.split())) == 0
        return made[options]

    return run


def forbid(monkeypatch: pytest.MonkeyPatch, stages: set[str]) -> None:
    """Make every function that begins one of the stages raise."""

    def must_not_run(*_: object, **__: object) -> Any:
        raise AssertionError("computed again what the old output holds")

    entries = {
        "flow": (process_clip, "make_flow_engine"),
        "pa": (process_clip, "make_pa_engine"),
        "pose": (process_clip, "make_backend"),
        "render": (clip_run, "render_pose_clip"),
        "encode": (clip_run, "encode_jpeg"),
    }
    for stage in stages & entries.keys():
        monkeypatch.setattr(*entries[stage], must_not_run)
    if "decode" in stages:
        real_open = process_clip.open_clip

        def open_only_the_broken_one(path: Path, **options: Any) -> Any:
            return real_open(path, **options) if path.name == "broken.mp4" else must_not_run()

        monkeypatch.setattr(process_clip, "open_clip", open_only_the_broken_one)


class Change(NamedTuple):
    old: str
    new: str
    computed: set[str]


CHANGES = {
    "add flow": Change("--modalities rgb", "--modalities rgb flow", {"decode", "flow", "encode"}),
    "add pose": Change("--modalities rgb flow", "", {"decode", "pose", "render", "encode"}),
    "drop flow and pose": Change("", "--modalities rgb", set()),
    "drop rgb and pose": Change("--modalities rgb flow", "--modalities flow", set()),
    "add parquet": Change("--formats tfrecord", "", {"decode", "flow", "encode"}),
    "add tfrecord": Change("--formats parquet", "", {"decode", "flow", "encode"}),
    "other format without flow": Change(
        "--formats tfrecord", "--formats parquet --modalities rgb pose", set()
    ),
    "drop parquet": Change("", "--formats tfrecord", set()),
    "drop tfrecord": Change("", "--formats parquet", set()),
    "render": Change("", "--render.colors 6", {"decode", "render", "encode"}),
    "rgb quality": Change("", "--jpeg.rgb-quality 80", {"decode", "encode"}),
    "pose quality": Change("", "--jpeg.pose-quality 80", {"decode", "render", "encode"}),
    "flow quality": Change("", "--jpeg.flow-quality 80", {"decode", "flow", "encode"}),
    "flow bound": Change("", "--flow.bound-px 10", {"decode", "flow", "encode"}),
    "flow engine": Change("", "--flow-engine farneback", {"decode", "flow", "encode"}),
    "only overlay": Change("", "--pose-storage overlay", set()),
    "only keypoints": Change("", "--pose-storage keypoints", set()),
    "draw stored poses": Change("--pose-storage keypoints", "", {"decode", "render", "encode"}),
    "overlay of stored poses": Change(
        "--pose-storage keypoints", "--pose-storage overlay", {"decode", "render", "encode"}
    ),
    "poses beside overlay": Change("--pose-storage overlay", "", {"decode", "pose"}),
    "add pa": Change("--modalities rgb", "--modalities rgb pa", {"decode", "pa", "encode"}),
    "drop pa": Change("--modalities rgb pa", "--modalities rgb", set()),
    "pa bound": Change(
        "--modalities rgb pa", "--modalities rgb pa --pa.bound 2", {"decode", "pa", "encode"}
    ),
    "other format with pa": Change(
        "--modalities rgb pa --formats tfrecord", "--modalities rgb pa --formats parquet", set()
    ),
    "raised limit": Change("", "--decode.max-frames 20000", set()),
}


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("name", list(CHANGES))
def test_reuse_gives_the_bytes_of_a_full_run_and_computes_only_what_is_new(
    name: str,
    full: Callable[[str], Path],
    tmp_path: Path,
    build_arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = CHANGES[name]
    wanted, old = full(change.new), full(change.old)
    before = shard_hashes(old)
    forbid(monkeypatch, STAGES - change.computed)
    monkeypatch.setattr(clip_run, "WINDOW_FRAMES", 5)  # the full run has the clip in one window
    output = tmp_path / "out"
    assert main(build_arguments(output, *change.new.split(), "--reuse", str(old))) == 0
    assert shard_hashes(output) == shard_hashes(wanted)
    assert shard_hashes(old) == before, "the old output must not change"
    assert (
        Path(settings_path(str(output))).read_bytes()
        == Path(settings_path(str(wanted))).read_bytes()
    )
    assert main(["verify", str(output)]) == 0
    for row, expected in zip(
        open_output(str(output)).ledger, open_output(str(wanted)).ledger, strict=True
    ):
        assert replace(row, seconds={}) == replace(expected, seconds={})
        if row.is_in_shard:
            assert {stage for stage, spent in row.seconds.items() if spent} == change.computed


@pytest.mark.usefixtures("in_process")
def test_videos_may_be_gone_where_nothing_is_computed(
    built: Path, full: Callable[[str], Path], tmp_path: Path, video_set: Path, build_arguments: Any
) -> None:
    """Only their names and sizes count: here they hold zeros."""
    wanted = full("--formats tfrecord")
    videos = tmp_path / "videos"
    videos.mkdir()
    for path in (video_set / "videos").iterdir():
        is_good = path.suffix == ".mp4" and path.stem != "broken"
        data = bytes(path.stat().st_size) if is_good else path.read_bytes()
        (videos / path.name).write_bytes(data)
    arguments = build_arguments(tmp_path / "out", "--formats", "tfrecord", "--reuse", str(built))
    arguments[arguments.index("--videos") + 1] = str(videos)
    assert main(arguments) == 0
    assert shard_hashes(tmp_path / "out") == shard_hashes(wanted)


def test_child_processes_take_over_with_any_number_of_workers(
    built: Path,
    full: Callable[[str], Path],
    tmp_path: Path,
    build_arguments: Arguments,
    caplog: pytest.LogCaptureFixture,
) -> None:
    output = tmp_path / "out"
    arguments = build_arguments(output, "--render.colors", "6", "--reuse", str(built))
    assert main([*arguments, "--workers", "2"]) == 0
    assert shard_hashes(output) == shard_hashes(full("--render.colors 6"))
    assert (
        f"reuse: flow, flow_x, flow_y, poses, rgb of 4 of 5 clips from {built}; "
        "computed for them: pose_overlay (changed: render.colors: 13 -> 6)"
    ) in caplog.text
    for row in open_output(str(output)).ledger:
        assert row.seconds["flow"] == row.seconds["pose"] == 0
    assert not (output / "state" / "tmp").exists()


def test_killed_run_goes_on_with_or_without_reuse(
    built: Path, full: Callable[[str], Path], tmp_path: Path, build_arguments: Arguments
) -> None:
    output = tmp_path / "out"
    plain = build_arguments(output, "--render.colors", "6")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", *plain, "--reuse", str(built)],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(output.glob("state/*.done.json")):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (output / "COMPLETED").exists()
    shutil.copytree(output, tmp_path / "other")
    assert main(plain) == 0
    assert shard_hashes(output) == shard_hashes(full("--render.colors 6"))
    again = build_arguments(tmp_path / "other", "--render.colors", "6", "--reuse", str(built))
    assert main(again) == 0
    assert shard_hashes(tmp_path / "other") == shard_hashes(output)
    assert not (tmp_path / "other" / "state" / "tmp").exists()


def _flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 0x10
    path.write_bytes(data)


def _damage_everywhere(old: Path, what: str) -> None:
    if what == "done.json":
        for path in old.glob("state/*.done.json"):
            path.write_bytes(b"\x00")
    elif what == "lost":
        for path in old.glob("tfrecord/*-of-00003"):
            path.unlink()
    else:
        for path in (old / what).glob("*-of-00003*"):
            if path.stat().st_size > 10_000:
                _flip(path, 0.6)


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("what", ["tfrecord", "parquet", "lost", "done.json"])
def test_damage_in_the_old_output_costs_time_and_a_warning(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    what: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    old = Path(shutil.copytree(built, tmp_path / "old"))
    _damage_everywhere(old, what)
    output = tmp_path / "out"
    assert main(build_arguments(output, "--reuse", str(old))) == 0
    assert shard_hashes(output) == shard_hashes(built)
    assert "got damaged or missing data" in caplog.text
    assert 1 <= caplog.text.count("computed again") <= 3, "one warning for a shard, not a clip"


@pytest.mark.usefixtures("in_process")
def test_clip_made_with_other_software_is_computed_again(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An old run that was interrupted, upgraded and finished: run.json tells of one half."""
    old = tmp_path / "old"
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.prepare.software_text", lambda: "numpy=0")
        assert main(build_arguments(old)) == 0
    shutil.copyfile(built / "run.json", old / "run.json")
    assert main(build_arguments(tmp_path / "out", "--reuse", str(old))) == 0
    assert shard_hashes(tmp_path / "out") == shard_hashes(built)
    assert "got a clip made with other software" in caplog.text


@pytest.mark.usefixtures("in_process")
def test_changed_video_and_label_count_and_new_clips_join(
    tmp_path: Path, video_set: Path, build_arguments: Arguments
) -> None:
    videos = tmp_path / "videos"
    shutil.copytree(video_set / "videos", videos)
    rows = tmp_path / "rows.csv"
    rows.write_text("video,label\na.mp4,x\nb.mp4,y\nc.mp4,x\n")

    def arguments(name: str, *extra: str) -> list[str]:
        values = build_arguments(tmp_path / name, *extra)
        values[values.index("--videos") + 1] = str(videos)
        values[values.index("--annotations") + 1] = str(rows)
        return values

    assert main(arguments("old")) == 0
    (videos / "a.mp4").write_bytes((videos / "d.mp4").read_bytes() + bytes(8))
    rows.write_text("video,label\na.mp4,x\nb.mp4,z\nd.mp4,x\n")
    assert main(arguments("full")) == 0
    assert main(arguments("new", "--reuse", str(tmp_path / "old"))) == 0
    assert shard_hashes(tmp_path / "new") == shard_hashes(tmp_path / "full")
    spent = {
        row.clip_id: sum(row.seconds.values()) > 0
        for row in open_output(str(tmp_path / "new")).ledger
    }
    assert spent == {"a": True, "b": False, "d": True}


@pytest.mark.usefixtures("in_process")
def test_strictness_of_the_new_run_counts(
    tmp_path: Path, video_set: Path, build_arguments: Arguments
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(video_set / "videos" / "b.mp4", videos / "b.mp4")
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
    (tmp_path / "rows.csv").write_text("video,label\na.avi,x\nb.mp4,x\n")

    def outcomes(name: str, *extra: str) -> dict[str, tuple[str, bool, bool]]:
        values = build_arguments(tmp_path / name, "--modalities", "rgb", *extra)
        values[values.index("--videos") + 1] = str(videos)
        values[values.index("--annotations") + 1] = str(tmp_path / "rows.csv")
        assert main(values) == 0
        rows = open_output(str(tmp_path / name)).ledger
        return {
            row.clip_id: (row.outcome.value, row.is_in_shard, row.seconds["decode"] > 0)
            for row in rows
        }

    flagged, left_out = ("truncated", True), ("truncated", False)
    assert outcomes("lax")["a"] == (*flagged, True)
    assert outcomes("lax_again", "--reuse", str(tmp_path / "lax")) == {
        "a": (*flagged, False),
        "b": ("written", True, False),
    }
    assert shard_hashes(tmp_path / "lax_again") == shard_hashes(tmp_path / "lax")
    strict = outcomes("strict", "--strict", "--reuse", str(tmp_path / "lax"))
    assert strict["a"][:2] == left_out
    assert strict["b"] == ("written", True, False)
    back = outcomes("back", "--reuse", str(tmp_path / "strict"))
    assert back == {"a": (*flagged, True), "b": ("written", True, False)}
    assert shard_hashes(tmp_path / "back") == shard_hashes(tmp_path / "lax")


@pytest.mark.usefixtures("in_process")
def test_poses_of_another_model_are_not_taken_over(
    built: Path,
    tmp_path: Path,
    video_set: Path,
    build_arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = pickle.loads((video_set / "poses.pkl").read_bytes())  # noqa: S301, our own
    for annotation in document["annotations"]:
        annotation["keypoint"] = annotation["keypoint"] + np.float16(1)
    (tmp_path / "poses.pkl").write_bytes(pickle.dumps(document))

    def arguments(name: str, *extra: str) -> list[str]:
        values = build_arguments(tmp_path / name, *extra)
        values[values.index("--pose.poses") + 1] = str(tmp_path / "poses.pkl")
        return values

    assert main(arguments("full")) == 0
    forbid(monkeypatch, {"flow"})
    assert main(arguments("new", "--reuse", str(built))) == 0
    assert shard_hashes(tmp_path / "new") == shard_hashes(tmp_path / "full")


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("has_same_hash", [False, True])
def test_frames_that_are_not_the_stored_ones_are_noticed(
    built: Path,
    tmp_path: Path,
    video_set: Path,
    build_arguments: Arguments,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    has_same_hash: bool,
) -> None:
    """Another video of the same name and size: other pixels, or one frame more."""
    videos = tmp_path / "videos"
    shutil.copytree(video_set / "videos", videos)
    size = (videos / "a.mp4").stat().st_size
    with av.open(str(video_set / "videos" / "a.mp4")) as given:
        frames = [frame.to_ndarray(format="rgb24") for frame in given.decode(video=0)]
    frames = [*frames, frames[0]] if has_same_hash else [255 - frame for frame in frames]
    with av.open(str(videos / "a.mp4"), "w") as made:
        stream = made.add_stream("libx264", rate=25, options={"crf": "40"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in frames:
            made.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        made.mux(stream.encode())
    data = (videos / "a.mp4").read_bytes()
    assert len(data) <= size
    (videos / "a.mp4").write_bytes(data + bytes(size - len(data)))
    options = ("--render.colors", "6")

    def arguments(name: str, *extra: str) -> list[str]:
        values = build_arguments(tmp_path / name, *options, *extra)
        values[values.index("--videos") + 1] = str(videos)
        return values

    assert main(arguments("full")) == 0
    if has_same_hash:  # large files are hashed by samples
        rows = {row.path: row for row in open_output(str(built)).ledger}
        monkeypatch.setattr(process_clip, "hash_video", lambda path: rows[path.name].video_hash)
    assert main(arguments("new", "--reuse", str(built))) == 0
    assert shard_hashes(tmp_path / "new") == shard_hashes(tmp_path / "full")
    assert "reuse: a must have the frames that the earlier run stored" in caplog.text
    assert caplog.text.count("must have the frames") == 1


def _edit_run(old: Path, **changes: object) -> None:
    info = json.loads((old / "run.json").read_text())
    (old / "run.json").write_text(json.dumps({**info, **changes}))


def _use_other_split(old: Path) -> None:
    info = json.loads((old / "run.json").read_text())
    _edit_run(old, config={**info["config"], "split": "val"})


REFUSALS: dict[str, tuple[Callable[[Path], object], list[str], str]] = {
    "incomplete": (lambda old: (old / "COMPLETED").unlink(), [], "must be the finished output of"),
    "damaged": (
        lambda old: (old / "ledger.parquet").write_bytes(b"x"),
        [],
        "must be the finished output of an earlier build",
    ),
    "split": (_use_other_split, [], "must have the same split, got {old} with split val"),
    "version": (
        lambda old: _edit_run(old, schema_version=0),
        [],
        "must have the same schema_version, got {old} with schema_version 0",
    ),
    "shards": (
        lambda _: None,
        ["--num-shards", "4"],
        "with num_shards 3 for a run with 4; leave --num-shards out",
    ),
    "software": (
        lambda old: _edit_run(old, software="numpy=1"),
        [],
        "(software: numpy=1 -> ",
    ),
    "decode": (lambda _: None, ["--decode.short-side", "32"], "(decode.short_side: 48 -> 32)"),
    "lowered limit": (
        lambda _: None,
        ["--decode.max-frames", "100"],
        "(decode.max_frames: 15000 -> 100)",
    ),
    "no state": (
        lambda old: shutil.rmtree(old / "state"),
        [],
        "must be an output with its folder `state`, got {old}/state/settings.json",
    ),
    "no plan": (
        lambda old: (old / "state" / "plan.jsonl").write_text("{}\n"),
        [],
        "state/plan.jsonl: 0 shards",
    ),
    "bad plan": (
        lambda old: (old / "state" / "plan.jsonl").write_bytes(b"\x00\n"),
        [],
        "state/plan.jsonl: ",
    ),
}


@pytest.mark.parametrize("name", list(REFUSALS))
def test_useless_old_output_is_refused_before_work_starts(
    built: Path,
    tmp_path: Path,
    build_arguments: Arguments,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil, extra, message = REFUSALS[name]
    old = Path(shutil.copytree(built, tmp_path / "old"))
    spoil(old)
    assert main(build_arguments(tmp_path / "out", "--reuse", str(old), *extra)) == 2
    printed = capsys.readouterr().err
    assert "reuse must" in printed
    assert message.format(old=old) in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "out").exists()


def test_output_itself_is_refused(
    built: Path, build_arguments: Arguments, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(build_arguments(built, "--reuse", f"{built}/")) == 2
    assert "reuse must be another folder than output" in capsys.readouterr().err


def test_output_without_a_needed_stream_or_clip_is_refused(
    full: Callable[[str], Path],
    built: Path,
    tmp_path: Path,
    video_set: Path,
    build_arguments: Arguments,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = str(full("--modalities rgb"))
    wanted = ["--modalities", "flow", "--reuse", old]
    assert main(build_arguments(tmp_path / "out", *wanted)) == 2
    assert f"got {old} with rgb (no setting differs)" in capsys.readouterr().err
    arguments = build_arguments(tmp_path / "out", "--reuse", str(built))
    shutil.copytree(video_set / "videos", tmp_path / "videos" / "moved")
    arguments[arguments.index("--videos") + 1] = str(tmp_path / "videos")
    assert main(arguments) == 2
    assert "must hold a clip of this run, made from the same file" in capsys.readouterr().err


def test_number_of_shards_comes_from_the_old_output(
    built: Path, tmp_path: Path, build_arguments: Arguments
) -> None:
    arguments = build_arguments(tmp_path / "out", "--reuse", str(built))
    place = arguments.index("--num-shards")
    del arguments[place : place + 2]
    assert main(arguments) == 0
    assert shard_hashes(tmp_path / "out") == shard_hashes(built)
