"""The storage benchmark measures what it says: known answers, and a whole run on a tiny clip."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import storage_clips
from benchmarks.bench_storage import flow_costs, image_costs, main, psnr_db


def test_psnr_of_a_constant_difference() -> None:
    image = np.full((8, 8, 3), 100, np.uint8)
    assert psnr_db(image, image) == 100.0
    assert psnr_db(image, image + 5) == pytest.approx(10 * np.log10(255**2 / 25))


def test_flat_grey_image_costs_no_error() -> None:
    frames = np.full((2, 16, 16, 3), 128, np.uint8)
    (cost,) = image_costs("a", "rgb", frames, [75])
    assert (cost.mean_error, cost.max_error, cost.psnr_db) == (0.0, 0.0, 100.0)


def test_flow_without_jpeg_is_off_by_its_rounding_alone() -> None:
    """Code 153 is 153 * 40 / 255 - 20 = 4 px exactly; what lies beyond the bound counts as 20."""
    flow = np.full((1, 16, 16, 2), 4.0, np.float32)
    flow[..., 1] = 35.0
    floor = flow_costs("a", flow, [95])[0]
    assert (floor.stream, floor.quality, floor.bytes_per_frame) == ("flow_xy", None, 0)
    assert floor.mean_error == pytest.approx(0.0, abs=1e-5)
    flow[..., 0] = 4.0 + 20 / 255 * 0.9
    assert flow_costs("a", flow, [95])[0].max_error == pytest.approx(20 / 255 * 0.9, abs=1e-5)


def test_two_grey_images_keep_flow_better_than_one_image_in_colour() -> None:
    rng = np.random.default_rng(0)
    flow = rng.normal(0, 3, (1, 6, 6, 2)).repeat(5, axis=1).repeat(5, axis=2).astype(np.float32)
    costs = {(cost.stream, cost.quality): cost for cost in flow_costs("a", flow, [75, 95])}
    for quality in (75, 95):
        grey, colour = costs["flow_xy", quality], costs["flow", quality]
        assert grey.mean_error < colour.mean_error
    for stream in ("flow", "flow_xy"):
        assert costs[stream, 95].mean_error < costs[stream, 75].mean_error
        assert costs[stream, 95].bytes_per_frame > costs[stream, 75].bytes_per_frame


@pytest.mark.slow
def test_run_prints_both_tables_and_writes_what_it_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(storage_clips, "_SIZE", (64, 48))
    output = tmp_path / "storage.json"
    options = ["--num-clips", "1", "--frames", "3", "--engine", "dis", "--qualities", "75", "90"]
    assert main([*options, "--output", str(output)]) == 0
    printed = capsys.readouterr().out
    assert "texture0" in printed
    assert "| `flow_xy` | 8 bit, no JPEG |  |" in printed
    assert "| MB per 10 s | `overlay` | `keypoints` | `both` |" in printed
    measured = json.loads(output.read_text())
    assert len(measured["streams"]) == 2 + 2 + 2 + 5
    size = {(row["shard_format"], row["pose_storage"]): row for row in measured["shards"]}
    for shard_format in ("tfrecord", "parquet"):
        lean = size[shard_format, "keypoints"]["bytes_per_frame"]
        drawn = size[shard_format, "overlay"]["bytes_per_frame"]
        both = size[shard_format, "both"]["bytes_per_frame"]
        assert lean < drawn < both


@pytest.mark.slow
def test_videos_of_a_folder_are_measured(video_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "storage.json"
    clips = tmp_path / "clips"
    clips.mkdir()
    (clips / "a.mp4").symlink_to(video_set / "videos" / "a.mp4")
    options = ["--frames", "3", "--engine", "dis", "--qualities", "90", "--output", str(output)]
    assert main(["--clips", str(clips), *options]) == 0
    assert {row["clip"] for row in json.loads(output.read_text())["streams"]} == {"a"}


def test_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder must hold a video \(\.avi, .*\), got "):
        main(["--clips", str(tmp_path)])
