"""Small synthetic videos, poses to go with them, and a short way to build them."""

import hashlib
import json
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.plan import ClipTask
from schemas.clip import Clip

WIDTH, HEIGHT, NUM_FRAMES = 64, 48, 12
NAMES = ("a", "b", "c", "d")


def _write_video(path: Path, *, seed: int) -> None:
    """A bright square moving right over noise, 25 fps."""
    rng = np.random.default_rng(seed)
    background = rng.integers(0, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"threads": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(NUM_FRAMES):
            frame = background.copy()
            frame[16:32, 2 * index + 4 : 2 * index + 20] = 220
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _annotation(name: str, *, num_people: int) -> dict[str, Any]:
    """People who glide to the right, each a pixel beside the one before, in PYSKL form."""
    figure = np.array(
        [
            *([32, 6], [34, 5], [30, 5], [36, 6], [28, 6], [38, 14], [26, 14], [42, 20], [22, 20]),
            *([44, 26], [20, 26], [36, 28], [28, 28], [36, 36], [28, 36], [36, 44], [28, 44]),
        ],
        np.float16,
    )
    steps = np.arange(NUM_FRAMES, dtype=np.float16)[None, :, None, None] * np.array([0.5, 0])
    people = [figure + steps + np.float16(person) for person in range(max(1, num_people))]
    scores = np.full((len(people), NUM_FRAMES, 17), 0.9 if num_people else 0, np.float16)
    return {
        "frame_dir": name,
        "total_frames": NUM_FRAMES,
        "img_shape": (HEIGHT, WIDTH),
        "original_shape": (HEIGHT, WIDTH),
        "label": 0,
        "keypoint": np.concatenate(people).astype(np.float16),
        "keypoint_score": scores,
    }


def _write_poses(path: Path) -> None:
    """One person per clip, in PYSKL form."""
    annotations = [_annotation(name, num_people=1) for name in NAMES]
    path.write_bytes(pickle.dumps({"split": {"all": list(NAMES)}, "annotations": annotations}))


@pytest.fixture(scope="session")
def video_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `videos/{a,b,c,d}.mp4`, `poses.pkl` and `rows.csv` of those and two more rows."""
    folder = tmp_path_factory.mktemp("video_set")
    (folder / "videos").mkdir()
    for seed, name in enumerate(NAMES):
        _write_video(folder / "videos" / f"{name}.mp4", seed=seed)
    (folder / "videos" / "broken.mp4").write_text("<html>404</html>")
    _write_poses(folder / "poses.pkl")
    rows = [f"{name}.mp4,{label}" for name, label in zip(NAMES, "xyxy", strict=True)]
    rows += ["broken.mp4,x", "gone.mp4,y"]
    (folder / "rows.csv").write_text("video,label\n" + "\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def build_arguments(video_set: Path) -> Callable[..., list[str]]:
    """Gives the arguments of a quick build of `video_set` into a folder."""

    def arguments(output: Path, *extra: str) -> list[str]:
        return [
            *("build", "--dataset", "csv", "--split", "all", "--output", str(output)),
            *("--annotations", str(video_set / "rows.csv"), "--videos", str(video_set / "videos")),
            *("--pose-backend", "precomputed", "--pose.poses", str(video_set / "poses.pkl")),
            *("--flow-engine", "dis", "--decode.short-side", str(HEIGHT), "--num-shards", "3"),
            *("--max-failed-fraction", "0.5", *extra),
        ]

    return arguments


@pytest.fixture(scope="session")
def two_splits(
    tmp_path_factory: pytest.TempPathFactory, build_arguments: Callable[..., list[str]]
) -> tuple[Path, Path]:
    """Outputs of the splits train and val of clips with odd names; nobody is in `lone`."""
    folder = tmp_path_factory.mktemp("two_splits")
    videos = folder / "videos"
    (videos / "sub").mkdir(parents=True)
    rows = {
        "-dash.mp4": ("x y", "train"),
        "sub/two  blanks.mp4": ("z", "train"),
        "lone.mp4": ("z", "val"),
        "both.mp4": ("x y", "val"),
    }
    annotations = []
    for seed, name in enumerate(rows):
        _write_video(videos / name, seed=seed)
        annotations.append(_annotation(Path(name).stem, num_people=0 if name == "lone.mp4" else 2))
    poses = {"split": {}, "annotations": annotations}
    (folder / "poses.pkl").write_bytes(pickle.dumps(poses))
    lines = [f"{name},{label},{split}" for name, (label, split) in rows.items()]
    (folder / "rows.csv").write_text("\n".join(["video,label,split", *lines, ""]))
    for split in ("train", "val"):
        places = ("--annotations", folder / "rows.csv", "--videos", videos, "--split", split)
        extra = [str(part) for part in (*places, "--pose.poses", folder / "poses.pkl")]
        assert main([*build_arguments(folder / split), *extra]) == 0
    return folder / "train", folder / "val"


@pytest.fixture(scope="session")
def built(
    tmp_path_factory: pytest.TempPathFactory, build_arguments: Callable[..., list[str]]
) -> Path:
    """Output folder of one undisturbed run; read only."""
    output = tmp_path_factory.mktemp("built") / "out"
    assert main(build_arguments(output)) == 0
    return output


@pytest.fixture(scope="session")
def clip_task() -> Callable[[str], ClipTask]:
    """Gives the task of a clip with an id; its file is the whole clip."""

    def task(clip_id: str) -> ClipTask:
        clip = Clip(
            clip_id=clip_id,
            dataset="csv",
            split="all",
            label_text="x",
            media_id=clip_id,
            relative_path="a.mp4",
            start_seconds=None,
            end_seconds=None,
            source="rows.csv:2",
        )
        return ClipTask(clip=clip, label_index=0, path="a.mp4", size_bytes=1, is_trimmed=True)

    return task


def _read_state(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text())
    values.pop("checksum")
    return values


def _content(path: Path, name: str) -> Any:
    """What must be equal in two runs of the same build."""
    if name == "ledger.parquet":
        table = pq.read_table(path)
        return table.select([c for c in table.column_names if "seconds" not in c]).to_pylist()
    if name == "run.json":
        info = json.loads(path.read_text())
        del info["config"]["output"], info["config"]["retry_failed"]
        return info
    if name == "COMPLETED":  # digests: those of ledger and run.json differ by the above
        return sorted(_read_state(path)["files"])
    if name.endswith(".done.json"):
        state = _read_state(path)
        return {**state, "rows": [{**row, "seconds": {}} for row in state["rows"]]}
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, Any]]:
    """Gives all of an output folder that two runs of the same build must have in common.

    That is: the names of all files and folders, and the bytes of every file, except: seconds of
    stages in ledger and done.json, the output folder and retry_failed in run.json, the digests
    of those two files in COMPLETED, and the empty lock file.
    """

    def take(output: Path) -> dict[str, Any]:
        paths = {each.relative_to(output).as_posix(): each for each in sorted(output.rglob("*"))}
        paths.pop("state/lock", None)  # remote folders have none
        return {n: p.is_dir() or _content(p, n) for n, p in paths.items()}

    return take
