"""A clip's record in this process: windows, alignment, strictness, determinism."""

import json
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipelines import clip_run
from pipelines.clip_facts import measure_clip
from pipelines.config import BuildConfig
from pipelines.image_spool import ImageSpool
from pipelines.plan import ClipTask
from pipelines.process_clip import ClipProcessor, ProcessedClip
from pose.backends import PoseConfig
from schemas.clip import Clip
from schemas.clip_record import Provenance
from schemas.errors import RecordError
from schemas.outcome import Outcome
from schemas.pose_sequence import empty_pose_sequence
from schemas.stored_images import StoredImages
from video.decode import DecodeConfig
from video.jpeg import decode_jpeg

NUM_FRAMES = 12


def _task(*, start: float | None = None, end: float | None = None) -> ClipTask:
    clip = Clip(
        clip_id="a",
        dataset="csv",
        split="all",
        label_text="x",
        media_id="a",
        relative_path="a.mp4",
        start_seconds=start,
        end_seconds=end,
        source="rows.csv:2",
    )
    return ClipTask(clip=clip, label_index=3, path="a.mp4", size_bytes=1, is_trimmed=start is None)


def _process(
    video: Path,
    task: ClipTask,
    poses: Path,
    *,
    strict: bool = False,
    spool: Path | None = None,
    fill_gaps: int = 0,
) -> ProcessedClip:
    config = BuildConfig(
        dataset="csv",
        annotations="rows.csv",
        videos="videos",
        split="all",
        output="out",
        modalities=("rgb", "flow", "pose", "pa"),
        flow_engine="dis",
        pose_backend="precomputed",
        strict=strict,
        decode=DecodeConfig(short_side=48),
        pose=PoseConfig(poses=poses, fill_gaps=fill_gaps),
    )
    provenance = Provenance(config_hash="c", software="s", pose_model="p")
    return ClipProcessor(config, provenance).process(task, video, None, spool)


@pytest.mark.parametrize("num_frames", [5, 1])
def test_windows_leave_no_trace(
    num_frames: int, video_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, poses = video_set / "videos" / "a.mp4", video_set / "poses.pkl"
    whole = _process(video, _task(), poses).record
    monkeypatch.setattr(clip_run, "WINDOW_FRAMES", num_frames)
    cut = _process(video, _task(), poses).record
    for name in ("rgb", "pose_overlay", "flow", "flow_x", "flow_y", "pa"):
        assert getattr(whole, name) == getattr(cut, name), name
    assert whole.poses is not None
    assert cut.poses is not None
    assert np.array_equal(whole.poses.keypoints, cut.poses.keypoints)


@pytest.mark.parametrize("window_frames", [1, 3, 64])
def test_filled_people_are_stored_with_a_flag_and_drawn(
    video_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_frames: int
) -> None:
    monkeypatch.setattr(clip_run, "WINDOW_FRAMES", window_frames)
    video = video_set / "videos" / "a.mp4"
    whole, gap = tmp_path / "whole" / "a.json", tmp_path / "gap" / "a.json"
    for path, lost in ((whole, ()), (gap, (4, 5))):
        path.parent.mkdir()
        path.write_text(_shown_pose(30.0, lost=lost))
    record = _process(video, _task(), gap, fill_gaps=2).record
    assert record.poses is not None
    assert np.flatnonzero(record.poses.is_filled[:, 0]).tolist() == [4, 5]
    assert record.pose_overlay == _process(video, _task(), whole).record.pose_overlay
    assert record.rgb == _process(video, _task(), gap).record.rgb
    for other in (_process(video, _task(), gap), _process(video, _task(), gap, fill_gaps=1)):
        assert other.record.pose_overlay != record.pose_overlay
        assert other.record.poses is not None
        assert not other.record.poses.is_filled.any()


def test_frames_that_nothing_is_drawn_on_do_not_wait(tmp_path: Path) -> None:
    config = BuildConfig(
        dataset="folder", videos="v", split="s", output="o", pose_storage="keypoints",
        pose=PoseConfig(fill_gaps=9),
    )  # fmt: skip
    frames = [np.zeros((4, 4, 3), np.uint8)] * 5
    for storage, waiting in (("keypoints", 0), ("both", 3)):
        with closing(ImageSpool(tmp_path / storage)) as images:
            run = clip_run.ClipRun(replace(config, pose_storage=storage), None, images)
            run._hold_back(frames, 2)
            assert len(run._waiting) == waiting


def test_filled_people_count_but_not_in_the_mean_score() -> None:
    poses = empty_pose_sequence(2, 1)
    poses.track_ids[:], poses.scores[0], poses.scores[1] = 0, 0.8, 0.4
    poses.box_scores[0] = 0.5
    facts = measure_clip(video_hash="", flow_saturation=None, windows=[poses])
    assert (facts.num_people, facts.pose_coverage, facts.num_tracks) == (1.0, 1.0, 1)
    assert facts.pose_score == pytest.approx(0.8)


def test_images_that_wait_in_a_file_are_those_in_memory(video_set: Path, tmp_path: Path) -> None:
    video, poses = video_set / "videos" / "a.mp4", video_set / "poses.pkl"
    held = _process(video, _task(), poses).record
    waiting = _process(video, _task(), poses, spool=tmp_path / "images").record
    for name in ("rgb", "pose_overlay", "flow", "flow_x", "flow_y", "pa"):
        assert isinstance(getattr(waiting, name), StoredImages)
        assert tuple(getattr(waiting, name)) == getattr(held, name), name
    assert waiting.stream_bytes() == held.stream_bytes()


def test_record_carries_identity_and_provenance(video_set: Path) -> None:
    done = _process(video_set / "videos" / "a.mp4", _task(), video_set / "poses.pkl")
    record = done.record
    assert (record.clip_id, record.label_index, record.label_text) == ("a", 3, "x")
    assert (record.width, record.height, record.fps, record.num_frames) == (64, 48, 25, 12)
    assert (record.start_us, record.end_us) == (0, 480_000)
    assert record.timestamps_us.tolist() == [40_000 * index for index in range(12)]
    assert record.source_indices.tolist() == list(range(12))
    assert record.provenance.pose_model == "p"
    assert set(done.seconds) == {"decode", "flow", "pa", "pose", "render", "encode"}


def test_range_of_an_untrimmed_file_is_cut(video_set: Path) -> None:
    task = _task(start=0.12, end=0.32)
    record = _process(video_set / "videos" / "a.mp4", task, video_set / "poses.pkl").record
    assert record.source_indices.tolist() == [3, 4, 5, 6, 7]
    assert (record.start_us, record.end_us) == (120_000, 320_000)


def test_one_frame_has_zero_flow_and_zero_pa(video_set: Path) -> None:
    task = _task(start=0.0, end=0.04)
    record = _process(video_set / "videos" / "a.mp4", task, video_set / "poses.pkl").record
    assert record.num_frames == 1
    assert np.all(decode_jpeg(record.flow_x[0]) == 128)
    assert np.all(decode_jpeg(record.pa[0]) == 0)


def test_precomputed_poses_are_placed_on_the_frame_as_shown(
    tmp_path: Path, video_set: Path
) -> None:
    """A pixel twice as wide as high: the video is shown 128x48, its poses are given for 64x48."""
    source, wide = video_set / "videos" / "a.mp4", tmp_path / "a.mp4"
    with av.open(str(source)) as given, av.open(str(wide), "w") as made:
        stream = made.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        for frame in given.decode(video=0):
            frame.pts = None
            made.mux(stream.encode(frame))
        made.mux(stream.encode())
    (tmp_path / "a.json").write_text(_shown_pose(100.0))
    record = _process(wide, _task(), tmp_path / "a.json").record
    assert (record.width, record.height) == (128, 48)
    assert record.poses is not None
    assert np.allclose(record.poses.keypoints[0, 0], [100.0, 20.0], atol=0.01)


def _shown_pose(x: float, *, lost: tuple[int, ...] = ()) -> str:
    """JSON of a person at (x, 20) in twelve frames but for those where it is lost."""
    person = {
        "keypoints": [[x, 20.0]] * 17,
        "keypoint_scores": [0.9] * 17,
        "bbox": [[x - 10, 10.0, x + 10, 30.0]],
        "bbox_score": 0.9,
    }
    frames = [
        {"frame_id": t + 1, "instances": [] if t in lost else [person]} for t in range(NUM_FRAMES)
    ]
    return json.dumps({"meta_info": {}, "instance_info": frames})


def _write_lying_avi(path: Path, *, num_frames: int, num_kept: float) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        rng = np.random.default_rng(0)
        for _ in range(num_frames):
            noise = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * num_kept)])


def test_short_file_is_flagged_and_left_out_if_strict(tmp_path: Path, video_set: Path) -> None:
    video = tmp_path / "a.avi"
    _write_lying_avi(video, num_frames=12, num_kept=0.6)
    done = _process(video, _task(), video_set / "poses.pkl")
    assert done.record.is_truncated
    assert 0 < done.record.num_frames < 12
    assert "12 declared" in done.detail
    with pytest.raises(RecordError, match=r"left out \(strict\)") as caught:
        _process(video, _task(), video_set / "poses.pkl", strict=True)
    assert caught.value.outcome is Outcome.TRUNCATED
