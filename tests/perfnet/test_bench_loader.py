"""The benchmark of the loader compares what it says it compares."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import bench_loader
from perfnet import SampleKey, ShardDataset, ViewConfig

SMALL = ["--num-frames", "4", "--rounds", "1", "--workers", "1", "--batch-size", "1"]


@pytest.mark.slow
def test_ratio_of_both_formats_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_loader, "TARGET", 0.0)
    arguments = [*SMALL, "--clips", "2", "--output", str(tmp_path / "x.json")]
    assert bench_loader.main(arguments) == 0
    results = json.loads((tmp_path / "x.json").read_text())
    assert [(each["shard_format"], each["loaded"]) for each in results] == [
        ("tfrecord", "rgb"),
        ("parquet", "rgb"),
    ]
    for result in results:
        assert 0 < result["lowest_ratio"] <= result["ratio"] <= result["highest_ratio"] < 1.2
        assert 15 < result["jpeg_kib"] < 25


@pytest.mark.slow
def test_slow_loader_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_loader, "TARGET", 10.0)
    assert bench_loader.main([*SMALL, "--clips", "1", "--formats", "parquet"]) == 1


@pytest.mark.parametrize("shard_format", ["tfrecord", "parquet"])
@pytest.mark.parametrize("loaded", ["rgb", "all"])
def test_bare_side_decodes_the_images_of_the_window(
    shards: Path, shard_format: str, loaded: str
) -> None:
    view = ViewConfig(
        num_frames=4, height=40, width=56, mirror=False, pose_source="stored", pose_mirror="pixels"
    )
    names = ("rgb",) if loaded == "rgb" else ("rgb", "flow", "pose")
    dataset = ShardDataset(shards, modalities=names, view=view, shard_format=shard_format)
    key = SampleKey(8, epoch=3)
    jpegs = bench_loader._jpegs_of(dataset, key, view, bench_loader.STREAMS[loaded])
    flows = {"rgb": 0, "all": 1 if shard_format == "tfrecord" else 2}[loaded]
    assert len(jpegs) == 4 * (len(bench_loader.STREAMS[loaded]) - (flows > 0) + flows)
    decoded = [
        cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB) for jpeg in jpegs[:4]
    ]
    np.testing.assert_array_equal(dataset[key]["rgb"].numpy(), np.stack(decoded))


def test_what_shards_lack_is_not_measured(shards: Path) -> None:
    assert bench_loader._loadable(shards) == ["rgb", "all", "drawn"]
