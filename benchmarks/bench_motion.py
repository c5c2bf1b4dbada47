"""Measure cues of motion side by side: persistence of appearance (PA), our TV-L1 and OpenCV's.

Run from the root of the repository:

```
python -m benchmarks.bench_motion                        synthetic pairs only, no data needed
python -m benchmarks.bench_motion --clips DIR            4 pairs of each of the first 5 videos
python -m benchmarks.bench_motion --clips DIR --filters  also what the filters of PA respond to
python -m benchmarks.bench_motion --clips DIR --device cuda     also PA and TV-L1 on a GPU
```

All times are CPU times of one thread (OpenCV with one thread), measured in turn in one process.
PA reads RGB, TV-L1 the grey frames made of it before.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.flow_pairs import find_clips, read_rgb, texture_pairs
from benchmarks.pa_filters import judge_filters
from benchmarks.tvl1_measure import describe_machine
from flow.opencv_engines import opencv_tvl1_flow
from flow.pa import default_weights, persistence_of_appearance
from flow.tvl1 import Tvl1Config, Tvl1Mode, tvl1_flow

UInt8 = npt.NDArray[np.uint8]
REFERENCE = "OpenCV"
_NUM_CLIPS = 5
_PAIRS_PER_CLIP = 4
_TEXTURE_SIZE = (340, 256)
_MS = 1e3


class RgbPair(NamedTuple):
    """Two consecutive frames of a clip."""

    clip: str
    rgb: UInt8
    """uint8 [2, H, W, 3]."""
    gray: UInt8
    """uint8 [2, H, W]."""


Engine = Callable[[RgbPair], object]


def _flow_in(mode: Tvl1Mode) -> Engine:
    config = Tvl1Config(mode=mode)
    return lambda pair: tvl1_flow(*pair.gray, config=config)


def _pa(pair: RgbPair, weights: npt.NDArray[np.float32] | None = None) -> object:
    return persistence_of_appearance(pair.rgb, weights=weights)


ENGINES: dict[str, Engine] = {
    REFERENCE: lambda pair: opencv_tvl1_flow(*pair.gray),
    "exact": _flow_in("exact"),
    "quality": _flow_in("quality"),
    "fast": _flow_in("fast"),
    "PA, any filters": partial(_pa, weights=default_weights()),
    "PA": _pa,
}
"""`PA` has the fixed filters, `PA, any filters` takes the way of the weights of a trained PAN."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0."""
    options = _parse(argv)
    cv2.setNumThreads(1)
    pairs = _load_pairs(options.clips)
    machine = describe_machine()
    _write(", ".join(f"{name} {value}" for name, value in machine.items()))
    seconds = measure_engines(pairs, ENGINES, repeats=options.repeats)
    report = summarise(seconds)
    _write_table(report)
    content: dict[str, object] = {"machine": machine, "num_pairs": len(pairs), "cpu": report}
    if options.filters:
        content["filters"] = judge_filters([pair.rgb for pair in pairs])
        _write_table(content["filters"])
    if options.device == "cuda":
        content["gpu"] = _measure_gpu(pairs[0].rgb)
    if options.output:
        options.output.write_text(json.dumps(content, indent=1, allow_nan=False))
    return 0


def measure_engines(
    pairs: Sequence[RgbPair], engines: dict[str, Engine], *, repeats: int
) -> dict[str, list[float]]:
    """Return CPU seconds by engine, for each pair the median of its runs.

    In each of two rounds over a pair the reference runs once, every other engine `repeats` times.
    """
    medians: dict[str, list[float]] = {name: [] for name in engines}
    for number, pair in enumerate(pairs, 1):
        times: dict[str, list[float]] = {name: [] for name in engines}
        for name in engines.keys() - {REFERENCE}:
            engines[name](pair)  # compiles, makes buffers of this size
        for _ in range(2):
            for name, engine in engines.items():
                for _ in range(1 if name == REFERENCE else repeats):
                    start = time.thread_time()
                    engine(pair)
                    times[name].append(time.thread_time() - start)
        for name in engines:
            medians[name].append(statistics.median(times[name]))
        spent = "  ".join(f"{name} {_MS * medians[name][-1]:.2f} ms" for name in engines)
        height, width = pair.gray.shape[1:]
        _write(f"{number}/{len(pairs)} {pair.clip[:24]} {width}x{height}  {spent}")
    return medians


def summarise(seconds: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Return speeds over all pairs by engine, and how many times those of others."""
    totals = {name: sum(each) for name, each in seconds.items()}
    return {
        name: {
            "milliseconds": _MS * statistics.mean(seconds[name]),
            "frames_per_second": len(seconds[name]) / total,
            "times_opencv": totals[REFERENCE] / total,
            "times_fast": totals["fast"] / total,
        }
        for name, total in totals.items()
    }


def _measure_gpu(rgb: UInt8) -> dict[str, float] | None:
    """Frames per second on a CUDA device; None, after a line that says so, without one."""
    try:
        import torch
    except ImportError:
        _write("GPU: left out, as there is no torch")
        return None
    if not torch.cuda.is_available():
        _write("GPU: left out, as there is no CUDA device")
        return None
    from benchmarks.gpu_motion import measure_gpu

    speeds = measure_gpu(rgb)
    _write(f"\n{torch.cuda.get_device_name()}, {rgb.shape[2]}x{rgb.shape[1]}, frames/s")
    for name, speed in speeds.items():
        _write(f"{name:34}{speed:14.0f}")
    return speeds


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--clips", type=Path, help="folder of videos; its first five are used")
    parser.add_argument("--repeats", type=int, default=3, help="runs per engine, pair and round")
    parser.add_argument("--filters", action="store_true", help="compare filters of PA")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def _load_pairs(folder: Path | None) -> list[RgbPair]:
    if folder is None:
        made = texture_pairs("texture", seed=0, noise=1.0, size=_TEXTURE_SIZE)
        pairs = [np.stack((each.frame0, each.frame1)) for each in made]
        return [RgbPair("texture", np.stack([gray] * 3, axis=-1), gray) for gray in pairs]
    loaded = []
    for path in find_clips(folder, num_clips=_NUM_CLIPS):
        frames = read_rgb(path)
        for share in np.linspace(0.1, 0.9, _PAIRS_PER_CLIP):
            index = round(share * (len(frames) - 2))
            rgb = np.stack(frames[index : index + 2])
            gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb])
            loaded.append(RgbPair(path.name, rgb, gray))
    return loaded


def _write_table(rows: dict[str, dict[str, float]]) -> None:
    figures = list(next(iter(rows.values())))
    _write("\n" + f"{'':24}" + "".join(f"{figure:>20}" for figure in figures))
    for name, values in rows.items():
        _write(f"{name:24}" + "".join(f"{values[figure]:20.3f}" for figure in figures))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
