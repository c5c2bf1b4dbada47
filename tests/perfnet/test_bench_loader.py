"""The benchmark of the loader compares what it says it compares."""

import json
from pathlib import Path

import pytest

from benchmarks import bench_loader


@pytest.mark.slow
def test_ratio_of_both_formats_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_loader, "TARGET", 0.0)
    arguments = ["--clips", "2", "--num-frames", "8", "--rounds", "1"]
    assert bench_loader.main([*arguments, "--output", str(tmp_path / "x.json")]) == 0
    results = json.loads((tmp_path / "x.json").read_text())
    assert [result["shard_format"] for result in results] == ["tfrecord", "parquet"]
    for result in results:
        assert 0 < result["ratio"] < 1.2
        assert result["ratio"] == pytest.approx(result["bare_ms"] / result["loader_ms"], rel=1e-6)
        assert 15 < result["jpeg_kib"] < 25


@pytest.mark.slow
def test_slow_loader_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_loader, "TARGET", 10.0)
    arguments = ["--clips", "1", "--num-frames", "4", "--rounds", "1", "--formats", "parquet"]
    assert bench_loader.main(arguments) == 1
