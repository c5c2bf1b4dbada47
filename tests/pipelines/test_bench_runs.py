"""The benchmarks of whole runs work, and their sums are right."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench_recovery
from benchmarks.bench_memory import measure_build, summarise
from benchmarks.bench_pipeline import Round, core_days
from benchmarks.bench_pipeline import summarise as summarise_cost
from benchmarks.bench_scale import write_even_clips
from benchmarks.portrait_clips import FPS, write_clips, write_large_clip
from benchmarks.process_tree import Cost
from schemas.shards import MIN_SHARDS, shard_of
from video.decode import DecodeConfig, open_clip

QUICK = ["--flow-engine", "dis", "--modalities", "rgb", "flow", "--decode.short-side", "48"]


def _cost(coordinator: float, workers: float) -> Cost:
    return Cost(coordinator=coordinator, workers=workers)


def test_cost_per_clip_leaves_the_start_out() -> None:
    done = Round(
        num_clips=5,
        build_one=_cost(3.0, 12.0),
        build_all=_cost(3.4, 52.8),
        bare_one=_cost(0.0, 12.0),
        bare_all=_cost(0.0, 52.0),
    )
    report = summarise_cost([done], [{"decode": 2.0, "flow": 8.0}])
    assert report["cpu_ratio_start_up_included"] == pytest.approx(56.2 / 52.0)
    assert report["cpu_ratio_per_clip"] == pytest.approx(41.2 / 40.0)
    assert report["coordinator_share_per_clip"] == pytest.approx(0.4 / 40.0)
    assert report["cpu_milliseconds_per_frame"] == 10.0
    assert report["core_days_ucf101"] == pytest.approx(13_320 * 180 * 0.010 / 86_400)


def test_core_days_grow_with_the_time_of_a_frame() -> None:
    assert core_days("hmdb51", 200.0) == pytest.approx(2 * core_days("hmdb51", 100.0))


def test_memory_growth_is_the_slope_over_the_run() -> None:
    seconds = np.linspace(0, 100, 101)
    total = np.where(seconds < 20, 100, 500 + 0.5 * seconds)
    samples = np.stack([seconds, total, total / 2], axis=1)
    result = summarise(samples.tolist(), num_clips=10, num_frames=250)
    assert result.growth_mib == pytest.approx(50)
    assert result.peak_mib == pytest.approx(550)
    assert result.child_peak_mib == pytest.approx(275)


def test_large_clip_has_the_size_and_length_asked_for(tmp_path: Path) -> None:
    path = write_large_clip(tmp_path, num_seconds=2.2, size=(640, 360))
    config = DecodeConfig()
    with open_clip(
        path, start_seconds=None, end_seconds=None, is_trimmed=True, config=config
    ) as decoder:
        assert len(list(decoder.frames())) == round(2.2 * FPS)
        assert decoder.display_size == (640, 360)


@pytest.mark.slow
def test_memory_of_a_build_is_sampled_while_it_runs(tmp_path: Path) -> None:
    write_clips(tmp_path / "videos", num_clips=2, num_seconds=0.2)
    samples = measure_build(tmp_path / "videos", tmp_path / "out", QUICK)
    peak_total, peak_child = np.max(samples, axis=0)[1:]
    assert peak_total > peak_child > 50


@pytest.mark.slow
def test_pipeline_benchmark_writes_its_figures(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    command = [sys.executable, "-m", "benchmarks.bench_pipeline", "--num-clips", "2"]
    command += ["--seconds", "0.2", "--rounds", "1", "--output", str(output)]
    command += [f"--build-option={option}" for option in QUICK]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    report = json.loads(output.read_text())
    (done,) = report["rounds"]
    assert done["build_all"]["coordinator"] > 0.5, "it imports Beam"
    assert done["build_all"]["workers"] > 0.1, "processes that it leaves behind are counted"
    assert done["bare_all"]["workers"] > 0.1
    stages = {name for name in report["summary"] if name.startswith("cpu_milliseconds_per_frame_")}
    assert {name.rsplit("_", 1)[1] for name in stages} == {"decode", "encode", "flow"}


@pytest.mark.slow
def test_recovery_benchmark_measures_every_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_recovery, "FAULTS", ("crash",))
    output = tmp_path / "result.json"
    arguments = ["--repeats", "1", "--modalities", "rgb", "--output", str(output)]
    assert bench_recovery.main(arguments) == 0
    seconds = json.loads(output.read_text())["crash"]
    assert seconds["next"] >= seconds["row"] > 0


@pytest.mark.slow
def test_plan_benchmark_compares_every_figure(video_set: Path) -> None:
    """In a process of its own: it waits for every child that it has."""
    options = ["--dataset", "csv", "--split", "all", "--modalities", "rgb", "flow"]
    options += ["--annotations", str(video_set / "rows.csv"), "--flow-engine", "dis"]
    options += ["--videos", str(video_set / "videos"), "--decode.short-side", "48"]
    command = [sys.executable, "-m", "benchmarks.bench_plan", "--probe-clips", "2", "--", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ratios = {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}
    assert ratios.keys() == {"frames", "bytes", "cpu_time", "wall_time", "failed"}
    assert ratios["frames"] == ratios["failed"] == 1.0
    assert all(ratio > 0 for ratio in ratios.values())


def test_every_shard_of_the_scale_benchmark_has_as_many_clips(tmp_path: Path) -> None:
    write_even_clips(tmp_path, 2 * MIN_SHARDS, 0.04)
    names = [path.stem for path in (tmp_path / "person").iterdir()]
    shards = Counter(shard_of(f"person/{name}", MIN_SHARDS) for name in names)
    assert shards == dict.fromkeys(range(MIN_SHARDS), 2)
