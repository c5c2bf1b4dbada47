"""Measure the memory of whole runs: `perfnet-prep build` with one worker.

Run from the root of the repository (Linux):

```
python -m benchmarks.bench_memory                    10 s clips, 200 short clips, a long video
python -m benchmarks.bench_memory --parts clips      only the first
```

The figure is the proportional set size (PSS: memory shared by n processes counts 1/n in each) of
all processes of the run together, coordinator, fork server and child, sampled while it runs. With
one worker that is the memory per worker; further workers share the coordinator and fork server.
Growth is the slope of a line through the samples after the first quarter of the run.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil

from benchmarks.portrait_clips import FPS, write_clips, write_large_clip

_SAMPLE_SECONDS = 0.25
_MIB = 1 << 20
_BUDGET_MIB = 1536


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryResult:
    """Memory of one run in MiB."""

    num_clips: int
    num_frames: int
    peak_mib: float
    """Largest sum over all processes."""
    child_peak_mib: float
    """Largest process but the coordinator."""
    growth_mib: float
    """Slope times the length of the run: what it would grow by from start to end."""
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every run stayed within the budget."""
    options = _parse(argv)
    results: dict[str, MemoryResult] = {}
    for part in options.parts:
        with TemporaryDirectory() as folder:
            results[part] = _measure_part(part, Path(folder), options)
        _write(_line(part, results[part]))
    if options.output:
        content = {name: asdict(result) for name, result in results.items()}
        options.output.write_text(json.dumps(content, indent=1))
    return int(any(result.peak_mib > _BUDGET_MIB for result in results.values()))


def measure_build(videos: Path, output: Path, options: Sequence[str] = ()) -> list[list[float]]:
    """Build all videos of a folder; return samples of PSS in MiB.

    Args:
        videos: Folder with a folder per class.
        output: Output folder of the build.
        options: Further options of `build`.

    Returns:
        Per sample: seconds since the start, sum over all processes, largest but the coordinator.
    """
    command = [sys.executable, "-m", "pipelines", "build", "--dataset", "folder", "--split", "all"]
    command += ["--videos", str(videos), "--output", str(output), "--num-shards", "8", *options]
    samples: list[list[float]] = []
    start = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as coordinator:  # noqa: S603
        while coordinator.poll() is None:
            total, child = _sample(psutil.Process(coordinator.pid))
            samples.append([time.monotonic() - start, total, child])
            time.sleep(_SAMPLE_SECONDS)
    if coordinator.returncode != 0:
        raise RuntimeError(f"build must exit with status 0, got {coordinator.returncode}")
    return samples


def summarise(
    samples: Sequence[Sequence[float]], *, num_clips: int, num_frames: int
) -> MemoryResult:
    """Return the figures of a run from its samples (seconds, total, child)."""
    seconds, total, child = np.asarray(samples, float).T
    settled = seconds >= seconds[0] + (seconds[-1] - seconds[0]) / 4
    settled[-4:] = False  # the end, when processes are already gone
    slope = 0.0
    if settled.sum() >= 2:
        slope = float(np.polyfit(seconds[settled], total[settled], 1)[0])
    return MemoryResult(
        num_clips=num_clips,
        num_frames=num_frames,
        peak_mib=float(total.max()),
        child_peak_mib=float(child.max()),
        growth_mib=slope * float(seconds[-1]),
        seconds=float(seconds[-1]),
    )


def _measure_part(part: str, folder: Path, options: argparse.Namespace) -> MemoryResult:
    videos = folder / "videos"
    if part == "clips":
        num_clips, num_seconds = options.num_clips, 10.0
        write_clips(videos, num_clips=num_clips, num_seconds=num_seconds)
    elif part == "many":
        num_clips, num_seconds = options.num_short, options.short_seconds
        write_clips(videos, num_clips=num_clips, num_seconds=num_seconds)
    else:
        num_clips, num_seconds = 1, options.long_seconds
        write_large_clip(videos, num_seconds=num_seconds, size=(1920, 1080))
    samples = measure_build(videos, folder / "out", options.build_options)
    num_frames = num_clips * round(num_seconds * FPS)
    return summarise(samples, num_clips=num_clips, num_frames=num_frames)


def _sample(coordinator: psutil.Process) -> tuple[float, float]:
    """PSS in MiB of the whole tree, and of its largest process but the root."""
    try:
        others = [_pss_mib(process) for process in coordinator.children(recursive=True)]
        return _pss_mib(coordinator) + sum(others), max(others, default=0.0)
    except psutil.NoSuchProcess:  # it has just ended
        return 0.0, 0.0


def _pss_mib(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / _MIB
    except (psutil.Error, FileNotFoundError):  # it has just ended
        return 0.0


def _line(part: str, result: MemoryResult) -> str:
    return (
        f"{part:6} {result.num_clips} clips, {result.num_frames} frames, {result.seconds:.0f} s: "
        f"peak {result.peak_mib:.0f} MiB ({result.peak_mib / _BUDGET_MIB:.2f} of 1.5 GiB), "
        f"child {result.child_peak_mib:.0f} MiB, growth {result.growth_mib:+.0f} MiB "
        f"({result.growth_mib / result.num_clips:+.3f} per clip)"
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parts = ("clips", "many", "long")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--num-clips", type=int, default=6, help="number of 10 s clips")
    parser.add_argument("--num-short", type=int, default=200, help="number of short clips")
    parser.add_argument("--short-seconds", type=float, default=0.4)
    parser.add_argument("--long-seconds", type=float, default=120.0)
    parser.add_argument(
        "--build-option",
        dest="build_options",
        action="append",
        default=[],
        help="option of `build`, such as --build-option=--flow-engine=dis; may be repeated",
    )
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
