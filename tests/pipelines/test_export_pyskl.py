"""Skeleton pickles: every person of every frame, in one file for all splits."""

import json
import pickle
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.export_pyskl import make_annotation
from pipelines.finished_output import open_output
from pose.backends.precomputed import PrecomputedBackend, PrecomputedConfig
from pose.estimator import PoseRequest
from pose.restricted_pickle import load_arrays
from schemas.clip_record import ClipRecord
from schemas.pose_sequence import PoseSequence, empty_pose_sequence

WIDTH, HEIGHT = 320, 240


def people(tracks: list[list[int]]) -> PoseSequence:
    """Poses by frame, each person at places of its own that move with time."""
    poses = empty_pose_sequence(len(tracks), max(map(len, tracks)))
    for t, ids in enumerate(tracks):
        for slot, track in enumerate(ids):
            poses.keypoints[t, slot] = np.linspace(10, 200, 34).reshape(17, 2) + 3 * track + t
            poses.scores[t, slot] = 0.25 + 0.125 * (track % 4)
            poses.boxes[t, slot] = (1, 2, 200, 210)
            poses.box_scores[t, slot] = 0.5
            poses.track_ids[t, slot] = track
    return poses


def record(tracks: list[list[int]], sources: list[int] | None = None) -> ClipRecord:
    grid = np.arange(len(tracks), dtype=np.int64)
    return ClipRecord(
        clip_id="a",
        dataset="csv",
        split="all",
        label_index=4,
        label_text="x",
        media_id="a",
        video_path="a.mp4",
        start_us=0,
        end_us=40_000,
        fps=25,
        width=WIDTH,
        height=HEIGHT,
        timestamps_us=grid * 40_000,
        source_indices=grid if sources is None else np.array(sources, np.int64),
        source_timestamps_us=grid * 40_000,
        poses=people(tracks),
    )


def read_back(path: Path, source_indices: list[int]) -> PoseSequence:
    """What `--pose-backend precomputed` gives for the frames of a clip."""
    request = PoseRequest(
        clip_id="a",
        media_id="",
        relative_path="a.mp4",
        frame_width=WIDTH,
        frame_height=HEIGHT,
        source_width=1280,
        source_height=960,
    )
    estimator = PrecomputedBackend(path, PrecomputedConfig()).start_clip(request)
    frames = np.zeros((len(source_indices), HEIGHT, WIDTH, 3), np.uint8)
    return estimator.estimate(frames, np.array(source_indices, np.int64))


def dense(poses: PoseSequence) -> list[set[Any]]:
    """The people of every frame, whatever their order and ids."""
    return [
        {
            (poses.keypoints[t, p].tobytes(), poses.scores[t, p].tobytes())
            for p in np.flatnonzero(poses.track_ids[t] >= 0)
        }
        for t in range(poses.num_frames)
    ]


def test_people_are_tracks_best_first_and_zero_where_not_seen() -> None:
    annotation, dropped = make_annotation(record([[7, 2], [2], [], [2, 7, 9]]))
    assert dropped == 0
    keypoint, score = annotation["keypoint"], annotation["keypoint_score"]
    assert (keypoint.dtype, keypoint.shape) == (np.float16, (3, 4, 17, 2))
    assert (score.dtype, score.shape) == (np.float16, (3, 4, 17))
    seen = score.any(axis=2)
    # Summed scores: track 2 has 3 frames of 0.5, track 7 two of 0.625, track 9 one of 0.375.
    assert seen.tolist() == [
        [True, True, False, True],
        [True, False, False, True],
        [False, False, False, True],
    ]
    assert not keypoint[~seen].any()
    expected = np.linspace(10, 200, 34).reshape(17, 2) + 3 * 7 + 3
    np.testing.assert_allclose(keypoint[1, 3], expected, atol=0.07)
    assert annotation["label"] == 4
    assert annotation["total_frames"] == 4
    assert annotation["img_shape"] == annotation["original_shape"] == (HEIGHT, WIDTH)


def test_cap_keeps_the_best_tracks_and_counts_the_others() -> None:
    annotation, dropped = make_annotation(record([[7, 2], [2], [2, 7, 9]]), max_people=1)
    assert dropped == 2
    assert annotation["keypoint_score"].any(axis=2).tolist() == [[True, True, True]]


def test_clip_without_people_has_one_who_is_never_seen() -> None:
    annotation, _ = make_annotation(record([[], [], []]))
    assert annotation["keypoint"].shape == (1, 3, 17, 2)
    assert not annotation["keypoint_score"].any()


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30), Fraction(15), Fraction(120)])
def test_precomputed_poses_are_those_of_the_export_at_any_frame_rate(
    tmp_path: Path, rate: Fraction
) -> None:
    sources = [100 + round(t * rate / 25) for t in range(12)]
    tracks = [[3, 5] if t % 4 else [5] for t in range(12)]
    for t in range(1, 12):
        if sources[t] == sources[t - 1]:
            tracks[t] = tracks[t - 1]
    made = record(tracks, sources)
    for t in range(1, 12):  # a repeated source frame has the same people
        if sources[t] == sources[t - 1]:
            for name in ("keypoints", "scores"):
                getattr(made.poses, name)[t] = getattr(made.poses, name)[t - 1]
    annotation, _ = make_annotation(made)
    path = tmp_path / "poses.pkl"
    path.write_bytes(pickle.dumps([annotation]))
    back = read_back(path, sources)
    assert made.poses is not None
    rounded = replace(
        made.poses,
        keypoints=made.poses.keypoints.astype(np.float16).astype(np.float32),
        scores=made.poses.scores.astype(np.float16).astype(np.float32),
    )
    assert dense(back) == dense(rounded)


@pytest.mark.slow
def test_one_pickle_holds_all_splits(
    two_splits: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "skeletons"
    capsys.readouterr()
    assert main(["export", "pyskl", *map(str, two_splits), str(to)]) == 0
    assert sorted(each.name for each in to.iterdir()) == ["label_map.txt", "poses.pkl"]
    data = (to / "poses.pkl").read_bytes()
    said = capsys.readouterr().out
    assert said.startswith(f"pyskl: 4 clips, 48 frames, {len(data):,} bytes; ")
    document = load_arrays(data, source="poses.pkl")
    assert {name: sorted(ids) for name, ids in document["split"].items()} == {
        "train": ["-dash", "sub/two  blanks"],
        "val": ["both", "lone"],
    }
    by_name = {each["frame_dir"]: each for each in document["annotations"]}
    assert {name: each["keypoint"].shape[0] for name, each in by_name.items()} == {
        "-dash": 2,
        "sub/two  blanks": 2,
        "both": 2,
        "lone": 1,
    }
    assert {name: each["label"] for name, each in by_name.items()} == {
        "-dash": 0,
        "sub/two  blanks": 1,
        "both": 0,
        "lone": 1,
    }
    record = open_output(str(two_splits[0])).read_record("-dash")
    expected, _ = make_annotation(record)
    np.testing.assert_array_equal(by_name["-dash"]["keypoint"], expected["keypoint"])
    assert main(["export", "pyskl", *map(str, two_splits), str(to)]) == 2
    assert "destination must be new or empty" in capsys.readouterr().err


@pytest.mark.slow
def test_output_without_keypoints_is_refused(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "out"))
    info = json.loads((folder / "run.json").read_text())
    info["config"]["pose_storage"] = "overlay"
    (folder / "run.json").write_text(json.dumps(info))
    to = tmp_path / "pkl"
    assert main(["export", "pyskl", str(folder), str(to)]) == 2
    assert f"output must hold keypoints, got {folder} without" in capsys.readouterr().err
    assert main(["export", "pyskl", str(built), str(to), "--max-people", "0"]) == 2
    assert not to.exists()
