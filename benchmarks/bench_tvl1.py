"""Measure TV-L1 against OpenCV's DualTVL1: speed, energy, errors.

Run from the root of the repository:

```
python -m benchmarks.bench_tvl1                          synthetic pairs only, no data needed
python -m benchmarks.bench_tvl1 --clips DIR              4 real + 4 synthetic pairs of each video
```

All times are CPU times of one thread (OpenCV with one thread), measured in turn in one process;
ratios compare those of one pair, totals the sums over all pairs.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import cv2

from benchmarks import tvl1_measure
from benchmarks.flow_pairs import FramePair, clip_pairs, find_clips, texture_pairs
from benchmarks.tvl1_measure import Engine, EngineResult, PairResult
from benchmarks.tvl1_summary import energy_ratio, find_warnings, summarise, summarise_clips
from flow.opencv_engines import dis_flow, farneback_flow
from flow.tvl1 import Tvl1Config, tvl1_flow

_ENGINES: dict[str, Engine] = {
    "exact": partial(tvl1_flow, config=Tvl1Config(mode="exact")),
    "quality": partial(tvl1_flow, config=Tvl1Config(mode="quality")),
    "fast": partial(tvl1_flow, config=Tvl1Config(mode="fast")),
    "dis": dis_flow,
    "farneback": farneback_flow,
}
_NUM_CLIPS = 5
_SPEEDS = ("min", "median", "max", "total")
_TEXTURE_SIZE = (340, 256)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0."""
    options = _parse(argv)
    cv2.setNumThreads(1)
    engines = {name: _ENGINES[name] for name in options.modes}
    pairs = _load_pairs(options)
    machine = tvl1_measure.describe_machine()
    _write(", ".join(f"{name} {value}" for name, value in machine.items()))
    results = []
    for pair in pairs:
        results.append(tvl1_measure.measure_pair(pair, engines, repeats=options.repeats))
        _write(_pair_line(results[-1]))
    report = {name: summarise(results, name) for name in engines}
    clips = summarise_clips(results, list(engines))
    _write_summary(report, results)
    _write_clips(clips)
    warnings = find_warnings(report)
    for warning in warnings:
        _write(f"WARNING: {warning}")
    extras = {} if options.no_extras else _measure_extras(pairs, engines, options.middlebury)
    if options.output:
        content = {
            "machine": machine,
            "warnings": warnings,
            "summary": report,
            "clips": clips,
            "extras": extras,
            "pairs": [asdict(r) for r in results],
        }
        options.output.write_text(json.dumps(content, indent=1, allow_nan=False))
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--clips", type=Path, help="folder of videos; its first five are used")
    parser.add_argument(
        "--pairs", type=_positive, help="measure only this many pairs, evenly chosen"
    )
    parser.add_argument("--modes", nargs="+", choices=_ENGINES, default=list(_ENGINES)[:3])
    parser.add_argument(
        "--repeats", type=_positive, default=3, help="runs per engine, pair and round"
    )
    parser.add_argument("--noise", type=float, default=1.0, help="sigma of the added noise")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--middlebury",
        type=Path,
        help="folder that holds middlebury_gray/RubberWhale/frame10.png and frame11.png, and "
        "middlebury_gt/flow_gt.flo",
    )
    parser.add_argument("--no-extras", action="store_true", help="pairs only")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {value}")
    return value


def _load_pairs(options: argparse.Namespace) -> list[FramePair]:
    pairs: list[FramePair] = []
    seeds = range(options.seed, options.seed + _NUM_CLIPS)
    if options.clips:
        clips = find_clips(options.clips, num_clips=_NUM_CLIPS)
        for seed, path in zip(seeds, clips, strict=False):
            pairs += clip_pairs(path, seed=seed, noise=options.noise)
    else:
        for seed in seeds:
            name = f"texture{seed}"
            pairs += texture_pairs(name, seed=seed, noise=options.noise, size=_TEXTURE_SIZE)
    if options.pairs and options.pairs < len(pairs):
        step = len(pairs) / options.pairs
        pairs = [pairs[int(index * step)] for index in range(options.pairs)]
    return pairs


def _measure_extras(
    pairs: Sequence[FramePair], engines: dict[str, Engine], middlebury: Path | None
) -> dict[str, object]:
    kernel = tvl1_measure.measure_kernel()
    extras: dict[str, object] = {
        "kernel": kernel,
        "two_threads_inflation": tvl1_measure.measure_two_threads(pairs[0]),
        "first_call_seconds": tvl1_measure.measure_first_call(),
    }
    _write(
        f"iteration kernel, Mpixel-iterations/s: OpenCV {kernel['opencv'] / 1e6:.1f}, "
        f"tvl1 {kernel['tvl1'] / 1e6:.0f}, ratio {kernel['ratio']:.1f}"
    )
    _write(f"two threads: {extras['two_threads_inflation']:+.1%} CPU time per pair")
    _write(f"first call in a new process, after import numba: {extras['first_call_seconds']:.2f} s")
    if middlebury:
        extras["rubberwhale"] = tvl1_measure.measure_middlebury(middlebury, engines)
        _write(f"RubberWhale, average end-point error: {_figures(extras['rubberwhale'])}")
    return extras


def _figures(values: object) -> str:
    pairs = values.items() if isinstance(values, dict) else ()
    return ", ".join(f"{name} {value:.3f}" for name, value in pairs)


def _pair_line(result: PairResult) -> str:
    width, height = result.size
    cells = [f"{result.clip[:24]:24} {result.label:9} {width}x{height}"]
    cells.append(f"OpenCV {result.opencv.cpu_seconds:.2f} s")
    for name, engine in result.engines.items():
        speed = result.opencv.cpu_seconds / engine.cpu_seconds
        cells.append(f"{name} x{speed:.1f} E {energy_ratio(result, name):.3f}{_error(engine)}")
    return "  ".join(cells)


def _error(engine: EngineResult) -> str:
    return "" if engine.truth_error is None else f" EPE {engine.truth_error:.3f}"


def _write_summary(report: dict[str, dict[str, float]], results: Sequence[PairResult]) -> None:
    names = list(report)
    _write("\n" + f"{'':34}" + "".join(f"{name:>11}" for name in names))
    for figure in report[names[0]]:
        cells = "".join(f"{report[name][figure]:11.3f}" for name in names)
        _write(f"{figure:34}{cells}")
    mirrors = [result.mirror for result in results if result.mirror]
    if mirrors:
        distance = statistics.mean(mirror.opencv_error for mirror in mirrors)
        levels = statistics.mean(mirror.gray_levels for mirror in mirrors)
        _write(f"OpenCV mirrored against itself: {distance:.3f} px, {levels:.2f} grey levels")


def _write_clips(clips: dict[str, dict[str, dict[str, float]]]) -> None:
    for clip, engines in clips.items():
        _write(f"\n{clip}")
        for name, figures in engines.items():
            speeds = "/".join(f"{figures[f'speed_{kind}']:.1f}" for kind in _SPEEDS)
            cells = [f"{name:10} speed min/median/max/total {speeds}"]
            cells.append(f"energy {figures['energy_median']:.3f}")
            for kind in ("smooth", "layer"):
                if f"truth_error_{kind}" in figures:
                    ours, cv = (figures[f"truth_error_{kind}{end}"] for end in ("", "_opencv"))
                    cells.append(f"EPE {kind} {ours:.3f} (OpenCV {cv:.3f})")
            cells.append(
                f"to OpenCV {figures['opencv_error_mean']:.3f} px, "
                f"{figures['gray_levels_mean']:.2f} grey levels"
            )
            _write("  ".join(cells))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
