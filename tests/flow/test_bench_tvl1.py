"""The benchmark runs and its synthetic pairs are what they claim."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks import bench_tvl1
from benchmarks.flow_pairs import find_clips, smooth_flow, texture_pairs


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
    summary = json.loads(output.read_text())["summary"]
    assert set(summary) == {"fast", "dis"}
    assert summary["fast"]["speed_min"] <= summary["fast"]["speed_median"]
    assert summary["fast"]["truth_error_smooth"] < 1
    assert "speed_total" in capsys.readouterr().out
