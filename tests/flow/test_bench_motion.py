"""The benchmark of motion cues runs, and its figures are what they claim."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchmarks import bench_motion
from benchmarks.bench_motion import REFERENCE, RgbPair, measure_engines, summarise
from benchmarks.pa_filters import filter_banks, judge_filters
from flow.pa import persistence_of_appearance

torch = pytest.importorskip("torch", reason="torch is not installed (extra train or dev)")


@pytest.fixture
def gpu_motion() -> ModuleType:
    """Only here imported: the tests of the GPU engine set up Triton before it is."""
    pytest.importorskip("triton", reason="triton is not installed (extra dev)")
    return importlib.import_module("benchmarks.gpu_motion")


@pytest.mark.slow
def test_benchmark_writes_its_figures_and_says_that_it_has_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_motion, "_TEXTURE_SIZE", (64, 48))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    output = tmp_path / "result.json"
    options = ["--repeats", "1", "--filters", "--device", "cuda", "--output", str(output)]
    assert bench_motion.main(options) == 0
    content = json.loads(output.read_text())
    assert set(content["cpu"]) == {"OpenCV", "exact", "quality", "fast", "PA, any filters", "PA"}
    assert content["num_pairs"] == 4
    assert content["cpu"]["OpenCV"]["times_opencv"] == 1
    assert content["cpu"]["PA"]["frames_per_second"] > 0
    assert set(content["filters"]) == set(filter_banks())
    assert content["gpu"] is None
    printed = capsys.readouterr().out
    assert "GPU: left out, as there is no CUDA device\n" in printed


def test_ratios_are_those_of_the_times_of_all_pairs() -> None:
    report = summarise({REFERENCE: [3.0, 5.0], "fast": [1.0, 1.0], "PA": [0.125, 0.375]})
    assert report["PA"] == {
        "milliseconds": 250.0,
        "frames_per_second": 4.0,
        "times_opencv": 16.0,
        "times_fast": 4.0,
    }


def test_engines_take_turns_and_the_reference_runs_once_in_each() -> None:
    calls: list[str] = []
    pair = RgbPair("c", np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8), np.uint8))
    engines = {REFERENCE: lambda _: calls.append("r"), "PA": lambda _: calls.append("p")}
    seconds = measure_engines([pair], engines, repeats=2)
    assert "".join(calls) == "p" + "rpp" + "rpp", "first a run that is not counted"
    assert {name: len(each) for name, each in seconds.items()} == {REFERENCE: 1, "PA": 1}


def test_layer_of_a_network_is_our_pa(gpu_motion: ModuleType) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8)
    frames_tchw = torch.from_numpy(frames).permute(0, 3, 1, 2) / 255
    for weights in filter_banks().values():
        layer = gpu_motion.pa_layer(frames_tchw, torch.from_numpy(weights)).numpy()
        ours = persistence_of_appearance(frames, weights=weights)[:2]
        np.testing.assert_allclose(layer, ours, atol=2e-6, rtol=1e-4)


def test_every_method_on_a_gpu_is_timed(
    gpu_motion: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, with TV-L1's module replaced: what is measured there is not the point."""
    flows: list[tuple[int, ...]] = []
    monkeypatch.setattr(gpu_motion, "gpu_clip_flow", lambda gray, **_: flows.append(gray.shape))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    monkeypatch.setattr(gpu_motion, "BATCH", 4)
    monkeypatch.setattr(gpu_motion, "_ROUNDS", 2)
    speeds = gpu_motion.measure_gpu(np.zeros((2, 16, 20, 3), np.uint8), device="cpu")
    assert list(speeds) == [
        "PA, frames on the device",
        "PA, from host to host",
        "TV-L1 quality, from host to host",
        "TV-L1 fast, from host to host",
    ]
    assert all(speed > 0 for speed in speeds.values())
    assert flows == [(5, 16, 20)] * (2 + 2 * 2), "once to compile, then in every round"


def test_every_bank_of_filters_gives_a_gray_level_for_a_gray_level() -> None:
    frames = np.full((2, 15, 15, 3), 90, np.uint8)
    frames[1] += 20
    for name, weights in filter_banks().items():
        pa = persistence_of_appearance(frames, weights=weights)[0, 7, 7]
        assert pa == pytest.approx(20 / 255, rel=1e-3), name


def test_fixed_filters_tell_a_moving_patch_from_still_texture() -> None:
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 256, (2, 20, 24)), np.ones((6, 6))).astype(np.uint8)
    frames = np.stack([texture[0]] * 2)
    frames[0, 30:90, 30:90] = texture[1, 30:90, 30:90]
    frames[1, 30:90, 32:92] = texture[1, 30:90, 30:90]
    figures = judge_filters([np.stack([frames] * 3, axis=-1)])["fixed"]
    assert figures["auc_moving"] > 0.9
    assert figures["edge_to_noise"] > 10
