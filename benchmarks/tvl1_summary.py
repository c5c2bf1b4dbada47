"""The figures of `bench_tvl1` over many pairs."""

import statistics
from collections.abc import Callable, Sequence

from benchmarks.tvl1_measure import PairResult

_STILL_ENERGY = 0.05
_MAX_WALL_SHARE = 0.2


def summarise(results: Sequence[PairResult], name: str) -> dict[str, float]:
    """Return the figures of one engine over all pairs; ratios are OpenCV's time over its time."""
    ratios = [r.opencv.cpu_seconds / r.engines[name].cpu_seconds for r in results]
    walls = [r.opencv.wall_seconds / r.engines[name].wall_seconds for r in results]
    energies = [energy_ratio(r, name) for r in results]
    moving = [energy_ratio(r, name) for r in results if r.opencv.energy > _STILL_ENERGY]
    summary = {
        "speed_total": _total(results, lambda r: r.opencv.cpu_seconds)
        / _total(results, lambda r: r.engines[name].cpu_seconds),
        "speed_min": min(ratios),
        "speed_median": statistics.median(ratios),
        "speed_max": max(ratios),
        "wall_median": statistics.median(walls),
        "milliseconds_mean": 1e3 * statistics.mean(r.engines[name].cpu_seconds for r in results),
        "energy_median": statistics.median(energies),
        "opencv_error_mean": statistics.mean(r.engines[name].opencv_error for r in results),
        "gray_levels_mean": statistics.mean(r.engines[name].gray_levels for r in results),
    }
    if moving:
        summary["energy_max_moving"] = max(moving)
    for kind in ("real", "smooth", "layer"):
        chosen = [r for r in results if r.kind == kind]
        if chosen:
            values = [energy_ratio(r, name) for r in chosen]
            summary[f"energy_median_{kind}"] = statistics.median(values)
            summary[f"energy_max_{kind}"] = max(values)
    return summary | _truth_errors(results, name)


def _truth_errors(results: Sequence[PairResult], name: str) -> dict[str, float]:
    summary = {}
    for kind in ("smooth", "layer"):
        errors = [
            (r.engines[name].truth_error, r.opencv.truth_error) for r in results if r.kind == kind
        ]
        if errors:
            summary[f"truth_error_{kind}"] = statistics.mean(ours for ours, _ in errors)
            summary[f"truth_error_{kind}_opencv"] = statistics.mean(cv for _, cv in errors)
            summary[f"truth_error_{kind}_worst_ratio"] = max(ours / cv for ours, cv in errors)
    return summary


def summarise_clips(
    results: Sequence[PairResult], names: Sequence[str]
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures of each clip, by clip and engine."""
    clips = dict.fromkeys(result.clip for result in results)
    return {
        clip: {name: summarise([r for r in results if r.clip == clip], name) for name in names}
        for clip in clips
    }


def find_warnings(report: dict[str, dict[str, float]]) -> list[str]:
    """Return what makes the figures doubtful: ratios of CPU and wall times that differ."""
    return [
        f"{name}: the median ratio of CPU times is {figures['speed_median']:.1f}, of wall times "
        f"{figures['wall_median']:.1f}; the machine is too busy to measure"
        for name, figures in report.items()
        if abs(figures["wall_median"] / figures["speed_median"] - 1) > _MAX_WALL_SHARE
    ]


def energy_ratio(result: PairResult, name: str) -> float:
    """Return the energy of an engine's flow over that of OpenCV's."""
    return result.engines[name].energy / max(result.opencv.energy, 1e-12)


def _total(results: Sequence[PairResult], seconds: Callable[[PairResult], float]) -> float:
    return sum(seconds(result) for result in results)
