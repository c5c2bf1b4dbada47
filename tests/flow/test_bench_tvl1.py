"""The benchmark runs and its synthetic pairs are what they claim."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import bench_tvl1
from benchmarks.flow_pairs import find_clips, smooth_flow, texture_pairs
from benchmarks.tvl1_measure import EngineResult, PairResult
from benchmarks.tvl1_summary import find_warnings, summarise


def test_synthetic_pairs_are_seeded_and_their_truth_explains_them() -> None:
    pairs = texture_pairs("t", seed=4, noise=0.0, size=(96, 80))
    again = texture_pairs("t", seed=4, noise=0.0, size=(96, 80))
    assert [pair.label for pair in pairs] == ["smooth3", "smooth10", "layer6", "layer10"]
    y, x = np.mgrid[0:80, 0:96].astype(np.float32)
    for pair, same in zip(pairs, again, strict=True):
        np.testing.assert_array_equal(pair.frame0, same.frame0)
        assert pair.truth is not None
        assert pair.mask is not None
        warped = cv2.remap(
            pair.frame1, x + pair.truth[..., 0], y + pair.truth[..., 1], cv2.INTER_CUBIC
        )
        residual = np.abs(warped.astype(float) - pair.frame0)[pair.mask]
        assert np.median(residual) <= 2


def test_smooth_flow_keeps_its_bound() -> None:
    flow = smooth_flow(np.random.default_rng(0), shape=(40, 50), max_px=3.0)
    assert np.hypot(flow[..., 0], flow[..., 1]).max() == pytest.approx(3, rel=1e-5)


def test_a_folder_without_videos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder must hold a video"):
        find_clips(tmp_path, num_clips=5)


def test_videos_are_taken_in_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.mp4", "a.avi", "c.txt", "d.MKV"):
        (tmp_path / name).touch()
    names = [path.name for path in find_clips(tmp_path, num_clips=2)]
    assert names == ["a.avi", "b.mp4"]


@pytest.mark.slow
def test_benchmark_writes_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_tvl1, "_TEXTURE_SIZE", (48, 40))
    output = tmp_path / "result.json"
    arguments = ["--pairs", "2", "--no-extras", "--modes", "fast", "dis", "--output", str(output)]
    assert bench_tvl1.main(arguments) == 0
    content = json.loads(output.read_text())
    summary = content["summary"]
    assert {"processor", "simd_lanes", "python", "numpy", "numba", "opencv"} <= set(
        content["machine"]
    )
    assert list(content["clips"]) == ["texture0", "texture2"]
    assert content["clips"]["texture0"]["dis"]["truth_error_smooth"] < 2
    assert set(summary) == {"fast", "dis"}
    assert summary["fast"]["speed_min"] <= summary["fast"]["speed_median"]
    assert summary["fast"]["truth_error_smooth"] < 1
    printed = capsys.readouterr().out
    assert "speed_total" in printed
    assert "speed min/median/max/total" in printed


@pytest.mark.parametrize("option", ["--pairs", "--repeats"])
def test_counts_below_one_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        bench_tvl1.main([option, "0"])
    assert f"argument {option}: must be >= 1, got 0" in capsys.readouterr().err


def make_result(label: str, *, energy: float, wall_seconds: float) -> PairResult:
    return PairResult(
        clip="c",
        kind="real",
        label=label,
        size=(8, 8),
        opencv=EngineResult(cpu_seconds=10, wall_seconds=10, energy=energy),
        engines={"fast": EngineResult(cpu_seconds=1, wall_seconds=wall_seconds, energy=energy)},
    )


def test_pairs_of_equal_names_all_count_and_still_ones_have_no_largest_energy() -> None:
    results = [make_result("#1", energy=e, wall_seconds=1) for e in (0.01, 0.02, 0.03)]
    results[1].engines["fast"].energy *= 2
    results[2].engines["fast"].energy *= 3
    summary = summarise(results, "fast")
    assert summary["energy_median"] == pytest.approx(2)
    assert "energy_max_moving" not in summary


@pytest.mark.parametrize(("wall_seconds", "count"), [(1.0, 0), (1.15, 0), (1.3, 1), (0.7, 1)])
def test_times_that_disagree_are_warned_of(wall_seconds: float, count: int) -> None:
    results = [make_result("#1", energy=1, wall_seconds=wall_seconds)]
    warnings = find_warnings({"fast": summarise(results, "fast")})
    assert len(warnings) == count
    assert all("the machine is too busy to measure" in warning for warning in warnings)
