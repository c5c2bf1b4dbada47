"""What `bench_tvl1` measures: CPU time against OpenCV, side by side, and how good the flow is."""

import os
import platform
import statistics
import subprocess  # a new process, to time its first call
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numba
import numpy as np

from benchmarks.flow_pairs import Flow, FramePair, Gray, make_texture
from flow import simd
from flow.flo_file import decode_flo
from flow.metrics import endpoint_error, tvl1_energy
from flow.opencv_engines import opencv_tvl1_flow
from flow.quantize import quantize_flow
from flow.tvl1 import Tvl1Config, tvl1_flow

Engine = Callable[[Gray, Gray], Flow]

_FIRST_CALL = """
import time, numba, numpy as np
frames = np.random.default_rng(0).integers(0, 256, (2, 256, 340), dtype=np.uint8)
start = time.perf_counter()
from flow.tvl1 import Tvl1Config, tvl1_flow
tvl1_flow(frames[0], frames[1], config=Tvl1Config())
print(time.perf_counter() - start)
"""


@dataclass(kw_only=True)
class EngineResult:
    """One engine on one pair."""

    cpu_seconds: float = 0.0
    """Median CPU time of the thread."""
    wall_seconds: float = 0.0
    energy: float = 0.0
    truth_error: float | None = None
    """Mean end-point error to the known flow in pixels."""
    opencv_error: float = 0.0
    """Mean end-point distance to OpenCV's flow in pixels."""
    gray_levels: float = 0.0
    """Mean difference to OpenCV's flow after clipping to +-20 px and rounding to 8 bit."""


@dataclass(kw_only=True)
class PairResult:
    """All engines on one pair."""

    clip: str
    kind: str
    label: str
    size: tuple[int, int]
    opencv: EngineResult
    engines: dict[str, EngineResult] = field(default_factory=dict)
    mirror: EngineResult | None = None
    """OpenCV on the mirrored pair, mirrored back, against OpenCV (real pairs)."""


def measure_pair(pair: FramePair, engines: dict[str, Engine], *, repeats: int) -> PairResult:
    """Run OpenCV, every engine `repeats` times, and all of it once more, in this thread."""
    frames = (pair.frame0, pair.frame1)
    _warm_up_opencv(pair.frame0)
    for engine in engines.values():
        engine(*frames)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in ("reference", *engines)}
    flows: dict[str, Flow] = {}
    for _ in range(2):
        flows["reference"] = _timed(opencv_tvl1_flow, frames, times["reference"])
        for name, engine in engines.items():
            for _ in range(repeats):
                flows[name] = _timed(engine, frames, times[name])
    results = {
        name: _judge(pair, flow, flows["reference"], times[name]) for name, flow in flows.items()
    }
    result = PairResult(
        clip=pair.clip,
        kind=pair.kind,
        label=pair.label,
        size=(pair.frame0.shape[1], pair.frame0.shape[0]),
        opencv=results.pop("reference"),
        engines=results,
    )
    if pair.kind == "real":
        mirrored = opencv_tvl1_flow(*(np.ascontiguousarray(frame[:, ::-1]) for frame in frames))
        back = np.ascontiguousarray(mirrored[:, ::-1] * np.float32([-1, 1]))
        result.mirror = _judge(pair, back, flows["reference"], [])
    return result


def _warm_up_opencv(frame: Gray) -> None:
    """Run OpenCV at this size where it has next to nothing to do."""
    other = frame.copy()
    other[0, 0] ^= 1
    opencv_tvl1_flow(frame, other)


def _timed(engine: Engine, frames: tuple[Gray, Gray], times: list[tuple[float, float]]) -> Flow:
    wall, cpu = time.perf_counter(), time.thread_time()
    flow = engine(*frames)
    times.append((time.thread_time() - cpu, time.perf_counter() - wall))
    return flow


def _judge(
    pair: FramePair, flow: Flow, reference: Flow, times: Sequence[tuple[float, float]]
) -> EngineResult:
    distance = np.hypot(*(flow - reference).transpose(2, 0, 1))
    codes = quantize_flow(flow).astype(np.int16) - quantize_flow(reference)
    truth_error = None
    if pair.truth is not None:
        truth_error = endpoint_error(flow, pair.truth, mask=pair.mask)
    return EngineResult(
        cpu_seconds=statistics.median(cpu for cpu, _ in times) if times else 0.0,
        wall_seconds=statistics.median(wall for _, wall in times) if times else 0.0,
        energy=tvl1_energy(pair.frame0, pair.frame1, flow),
        truth_error=truth_error,
        opencv_error=float(distance.mean()),
        gray_levels=float(np.abs(codes).mean()),
    )


def measure_kernel(*, repeats: int = 5) -> dict[str, float]:
    """Pixel-iterations per second: the slope between 10 and 110 iterations at 340x256."""
    cv2.setNumThreads(1)
    frames = tuple(make_texture(np.random.default_rng(seed), size=(340, 256)) for seed in (1, 2))

    def opencv(count: int) -> None:
        cv2.optflow.DualTVL1OpticalFlow_create(
            nscales=1, warps=1, epsilon=0.0, innnerIterations=count, outerIterations=1
        ).calc(*frames, None)

    def ours(count: int) -> None:
        config = Tvl1Config(num_scales=1, num_warps=1, num_inner=count)
        tvl1_flow(*frames, config=config)

    seconds: dict[str, list[float]] = {"opencv": [], "tvl1": []}
    for _ in range(repeats):
        for name, run in (("opencv", opencv), ("tvl1", ours)):
            long, short = _cpu_seconds(run, 110), _cpu_seconds(run, 10)
            seconds[name].append(long - short)
    pixels = 100 * 340 * 256
    speeds = {name: pixels / statistics.median(values) for name, values in seconds.items()}
    return {**speeds, "ratio": speeds["tvl1"] / speeds["opencv"]}


def _cpu_seconds(run: Callable[[int], None], count: int) -> float:
    run(count)
    start = time.thread_time()
    run(count)
    return time.thread_time() - start


def measure_two_threads(pair: FramePair, *, rounds: int = 7, calls: int = 8) -> float:
    """How much more CPU time a pair costs while a second thread does the same; 0.1 = 10 %."""

    def work(into: list[float]) -> None:
        tvl1_flow(pair.frame0, pair.frame1, config=Tvl1Config())
        start = time.thread_time()
        for _ in range(calls):
            tvl1_flow(pair.frame0, pair.frame1, config=Tvl1Config())
        into.append(time.thread_time() - start)

    ratios = []
    for _ in range(rounds):
        alone: list[float] = []
        together: list[float] = []
        work(alone)
        threads = [threading.Thread(target=work, args=(together,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ratios.append(statistics.mean(together) / alone[0])
    return statistics.median(ratios) - 1


def measure_first_call(*, repeats: int = 3) -> float:
    """Wall seconds of import and first call after `import numba`, code on disk; the least."""
    seconds = []
    for _ in range(repeats + 1):
        command = [sys.executable, "-c", _FIRST_CALL]
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        seconds.append(float(done.stdout))
    return min(seconds[1:])


def describe_machine() -> dict[str, object]:
    """What the figures were measured on and with."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor_name(),
        "num_cpus": os.cpu_count(),
        "simd_lanes": simd.LANES if simd.HAS_SIMD else 1,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "opencv": cv2.__version__,
    }


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def measure_middlebury(folder: Path, engines: dict[str, Engine]) -> dict[str, float]:
    """Average end-point error on RubberWhale of OpenCV and every engine.

    folder holds middlebury_gray/RubberWhale/frame10.png, frame11.png and middlebury_gt/flow_gt.flo.
    """
    images = folder / "middlebury_gray" / "RubberWhale"
    frames = [
        cv2.imread(str(images / name), cv2.IMREAD_GRAYSCALE)
        for name in ("frame10.png", "frame11.png")
    ]
    truth = decode_flo((folder / "middlebury_gt" / "flow_gt.flo").read_bytes())
    return {
        name: endpoint_error(engine(*frames), truth)
        for name, engine in {"opencv": opencv_tvl1_flow, **engines}.items()
    }
