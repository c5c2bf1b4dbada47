"""The GPU engine: kernels against the plain specification, on a GPU or in Triton's interpreter."""

import importlib
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from flow import tvl1_plain
from flow.engine import FlowConfig, make_flow_engine
from flow.tvl1 import Tvl1Config, tvl1_clip_flow
from flow.tvl1_pyramid import PAD, halve, pad_repeat
from schemas.errors import ConfigError

torch = pytest.importorskip("torch", reason="torch is not installed (extra train or dev)")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
pytest.importorskip("triton", reason="triton is not installed (extra dev)")
pytestmark = pytest.mark.slow

HEIGHT, WIDTH = 9, 13
Plane = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    """The module; only here imported, so that the file can be collected without Triton."""
    return importlib.import_module("flow.tvl1_gpu")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _tensor(array: npt.NDArray[Any]) -> Any:
    """A copy on the device with a leading batch axis of two different images."""
    return torch.from_numpy(np.stack((array, array[..., ::-1].copy()))).to(DEVICE)


def _first(tensor: Any) -> Plane:
    array: Plane = tensor[0].cpu().numpy()
    return array


def _planes(rng: np.random.Generator, *shape: int) -> Plane:
    return rng.normal(0, 2, (*shape, HEIGHT, WIDTH)).astype(np.float32)


def test_iteration_equals_the_specification(gpu: ModuleType, rng: np.random.Generator) -> None:
    flow, gradient, constant = _planes(rng, 2), _planes(rng, 2), _planes(rng)
    dual = _planes(rng, 4) / 4
    on_device = [_tensor(each) for each in (flow, dual, gradient, constant)]
    config = Tvl1Config()
    schedule = gpu.make_schedule(config)
    gpu._iterate(*on_device, schedule, 0.3)
    settings = (np.float32(0.25), np.float32(0.15), np.float32(0.3))
    pairs = dual.reshape(2, 2, HEIGHT, WIDTH)
    tvl1_plain.primal_sweep(flow, pairs, gradient, constant, settings)
    tvl1_plain.dual_sweep(flow, pairs, settings)
    assert np.abs(_first(on_device[0]) - flow).max() < 1e-5
    assert np.abs(_first(on_device[1]) - pairs.reshape(dual.shape)).max() < 1e-5


def test_linearisation_equals_the_specification(gpu: ModuleType, rng: np.random.Generator) -> None:
    flow = 3 * _planes(rng, 2)
    images = rng.uniform(0, 255, (2, HEIGHT, WIDTH)).astype(np.float32)
    gradient, constant = gpu._linearise(*(_tensor(each) for each in (flow, *images)))
    expected = np.zeros((2, HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
    padded = np.zeros((HEIGHT + 2 * PAD, WIDTH + 2 * PAD + 1), np.float32)
    pad_repeat(images[1], padded)
    tvl1_plain.linearise(flow, images[0], padded, *expected)
    assert np.abs(_first(gradient) - expected[0]).max() < 1e-3
    assert np.abs(_first(constant) - expected[1]).max() < 5e-2, "of sums of about 1000"


def test_median_equals_the_specification_bit_for_bit(
    gpu: ModuleType, rng: np.random.Generator
) -> None:
    flow = _planes(rng, 2)
    flow[0, 2, 3], flow[1, 0, 0] = 1e6, -0.0
    filtered = _first(gpu._median(_tensor(flow)))
    for component in range(2):
        expected = np.empty((HEIGHT, WIDTH), np.float32)
        tvl1_plain.median(flow[component], expected)
        assert np.array_equal(filtered[component], expected)


def test_pyramid_equals_the_one_of_the_cpu(gpu: ModuleType, rng: np.random.Generator) -> None:
    image = rng.uniform(0, 255, (23, 37)).astype(np.float32)
    levels = gpu._pyramid(_tensor(image), gpu.make_schedule(Tvl1Config()))
    assert [tuple(level.shape[1:]) for level in levels] == [(23, 37), (12, 19)]
    half = np.empty((12, 19), np.float32)
    halve(image, half, np.empty(37, np.float32))
    assert np.abs(_first(levels[1]) - half).max() < 1e-4


def _clip() -> npt.NDArray[np.uint8]:
    """Four frames of a pattern that moves one pixel to the right; the last stands still."""
    rows, columns = np.mgrid[0:12, 0:20].astype(np.float32)
    frames = [
        127 + 60 * np.sin((columns - step) / 2.5) + 50 * np.sin(rows / 2 + 0.3 * (columns - step))
        for step in (0, 1, 2, 2)
    ]
    return np.stack(frames).astype(np.uint8)


@pytest.mark.parametrize("mode", ["quality", "fast"])
def test_clip_equals_the_cpu_engine(gpu: ModuleType, mode: Any) -> None:
    config = Tvl1Config(mode=mode, num_inner=3)
    flow = gpu.gpu_clip_flow(_clip(), config=config, device=DEVICE)
    expected = tvl1_clip_flow(_clip(), config=config)
    assert flow.shape == expected.shape == (4, 12, 20, 2)
    assert np.abs(flow - expected).mean() < 1e-3
    assert np.abs(flow - expected).max() < 2e-2, "the CPU rounds inside the median"
    assert not flow[2:].any(), "frames that are equal have no motion"


def test_batch_size_changes_nothing(gpu: ModuleType) -> None:
    config = Tvl1Config(mode="fast", num_inner=1, num_warps=1)
    one = gpu.gpu_clip_flow(_clip(), config=config, device=DEVICE, pairs_per_batch=1)
    all_at_once = gpu.gpu_clip_flow(_clip(), config=config, device=DEVICE)
    assert np.array_equal(one, all_at_once)


def test_without_a_gpu_the_cpu_does_it_and_says_so(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = Tvl1Config()
    flow = gpu.gpu_clip_flow(_clip(), config=config)
    assert np.array_equal(flow, tvl1_clip_flow(_clip(), config=config))
    assert "no CUDA device: flow is computed on the CPU" in caplog.text


def test_selectable_engine_gives_the_flow_of_consecutive_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    flow = make_flow_engine("tvl1-gpu", FlowConfig())(_clip())
    assert np.array_equal(flow, make_flow_engine("tvl1", FlowConfig())(_clip()))


def test_selectable_engine_refuses_exact() -> None:
    config = FlowConfig(tvl1=Tvl1Config(mode="exact"))
    with pytest.raises(ConfigError, match="must be quality or fast for tvl1-gpu, got exact"):
        make_flow_engine("tvl1-gpu", config)


def test_exact_stays_on_the_cpu(gpu: ModuleType) -> None:
    with pytest.raises(ConfigError, match="mode must be quality or fast on a GPU, got exact"):
        gpu.gpu_clip_flow(_clip(), config=Tvl1Config(mode="exact"))


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 8, 8), np.float32), r"frames_gray must be uint8 \[T, H, W\]"),
        (np.zeros((0, 8, 8), np.uint8), "frames_gray must have at least one frame, got 0"),
        (np.zeros((2, 8, 7), np.uint8), "frames_gray must be at least 8x8 pixels, got 7x8"),
    ],
)
def test_unfit_frames_are_refused(gpu: ModuleType, frames: npt.NDArray[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gpu.gpu_clip_flow(frames, config=Tvl1Config())


def test_unfit_batch_size_is_refused(gpu: ModuleType) -> None:
    with pytest.raises(ValueError, match="pairs_per_batch must be >= 1, got 0"):
        gpu.gpu_clip_flow(_clip(), config=Tvl1Config(), pairs_per_batch=0)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
import flow.tvl1_gpu as gpu

KINDS = {"height": "i32", "width": "i32", "limit": "fp32", "theta": "fp32", "step": "fp32"}
for name in ("primal", "dual", "linearise", "median"):
    kernel = getattr(gpu, f"_{name}_kernel")
    signature = {each: KINDS.get(each, "*fp32") for each in kernel.arg_names}
    signature["block"] = "constexpr"
    source = ASTSource(kernel, signature=signature, constexprs={"block": 128})
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert len(compiled.asm["cubin"]) > 1000, name
"""


def test_kernels_compile_for_a_gpu_that_is_not_here() -> None:
    environment = {name: each for name, each in os.environ.items() if name != "TRITON_INTERPRET"}
    environment["TRITON_DEFAULT_FP_FUSION"] = "1"
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
