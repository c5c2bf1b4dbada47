"""`--pose-storage`: the drawn frames, the poses, or both; everything else stays as it is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.cli import main
from pipelines.config import BuildConfig
from pipelines.finished_output import open_output
from renderers.pose import PoseRenderConfig, render_pose_clip
from schemas.clip_record import ClipRecord
from schemas.shard_reader import read_shard
from video.jpeg import decode_jpeg

pytestmark = pytest.mark.slow

POSE_STREAMS = {
    "overlay": {"pose_overlay"},
    "keypoints": {"poses"},
    "both": {"pose_overlay", "poses"},
}


@pytest.fixture(scope="module")
def outputs(
    tmp_path_factory: pytest.TempPathFactory, built: Path, build_arguments: Callable[..., list[str]]
) -> dict[str, Path]:
    """Output folder by pose storage; `both` is what a build without the option gives."""
    folder = tmp_path_factory.mktemp("pose_storage")
    for storage in ("overlay", "keypoints"):
        assert main(build_arguments(folder / storage, "--pose-storage", storage)) == 0
    return {"overlay": folder / "overlay", "keypoints": folder / "keypoints", "both": built}


def records(output: Path, shard_format: str) -> list[ClipRecord]:
    found: list[ClipRecord] = []
    for path in sorted((output / shard_format).glob("*-of-*")):
        with path.open("rb") as file:
            found += read_shard(file, name=path.name)
    return found


@pytest.mark.parametrize("storage", list(POSE_STREAMS))
@pytest.mark.parametrize("shard_format", ["tfrecord", "parquet"])
def test_only_what_was_asked_for_is_stored_and_nothing_else_changes(
    outputs: dict[str, Path], storage: str, shard_format: str
) -> None:
    whole = records(outputs["both"], shard_format)
    stored = records(outputs[storage], shard_format)
    assert [record.clip_id for record in stored] == [record.clip_id for record in whole]
    for old, new in zip(whole, stored, strict=True):
        streams = new.stream_lengths().keys() & {"pose_overlay", "poses"}
        assert streams == POSE_STREAMS[storage]
        for name in ("rgb", "flow", "flow_x", "flow_y"):
            assert getattr(new, name) == getattr(old, name)
        if "pose_overlay" in streams:
            assert new.pose_overlay == old.pose_overlay
        if new.poses is not None:
            assert old.poses is not None
            assert np.array_equal(new.poses.keypoints, old.poses.keypoints)


@pytest.mark.parametrize("storage", list(POSE_STREAMS))
def test_verify_is_content_with_all_three(
    outputs: dict[str, Path], storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(outputs[storage])]) == 0
    # 4 clips of 12 frames; rgb twice, three flow images, overlay in both formats or in none
    num_images = 240 if storage == "keypoints" else 336
    assert f"sound; 8 records, {num_images} images" in capsys.readouterr().out


def test_verify_finds_a_stream_that_was_not_asked_for(
    outputs: dict[str, Path], tmp_path: Path
) -> None:
    copied = tmp_path / "out"
    copied.mkdir()
    for path in outputs["keypoints"].iterdir():
        source = outputs["both"] / "tfrecord" if path.name == "tfrecord" else path
        (copied / path.name).symlink_to(source)
    assert main(["verify", str(copied)]) == 1


@pytest.mark.parametrize("storage", list(POSE_STREAMS))
def test_ledger_counts_people_whatever_is_stored(outputs: dict[str, Path], storage: str) -> None:
    rows = [row for row in open_output(str(outputs[storage])).ledger if row.is_in_shard]
    assert [row.num_people for row in rows] == [1.0] * 4
    assert all((row.seconds["render"] > 0) == (storage != "keypoints") for row in rows)


def test_stored_keypoints_draw_the_overlay_that_was_not_stored(outputs: dict[str, Path]) -> None:
    """Up to the damage that JPEG did to the frame underneath."""
    for whole, lean in zip(
        records(outputs["both"], "parquet"), records(outputs["keypoints"], "parquet"), strict=True
    ):
        assert lean.poses is not None
        frames = np.stack([decode_jpeg(jpeg) for jpeg in lean.rgb])
        drawn = render_pose_clip(frames, lean.poses, config=PoseRenderConfig())
        stored = np.stack([decode_jpeg(jpeg) for jpeg in whole.pose_overlay])
        undrawn = np.abs(frames.astype(int) - stored).mean()
        assert np.abs(drawn.astype(int) - stored).mean() < 0.6 * undrawn


@pytest.mark.parametrize(
    ("storage", "formats", "streams"),
    [
        ("both", ("tfrecord",), {"rgb", "flow", "pose_overlay", "poses"}),
        ("overlay", ("parquet",), {"rgb", "flow_x", "flow_y", "pose_overlay"}),
        ("keypoints", ("tfrecord", "parquet"), {"rgb", "flow", "flow_x", "flow_y", "poses"}),
    ],
)
def test_streams_follow_formats_and_pose_storage(
    storage: str, formats: tuple[str, ...], streams: set[str]
) -> None:
    config = BuildConfig(
        dataset="folder",
        videos="videos",
        split="all",
        output="out",
        formats=formats,  # type: ignore[arg-type]
        pose_storage=storage,  # type: ignore[arg-type]
    )
    assert config.streams == streams
    assert config.content_settings()["pose_storage"] == storage
