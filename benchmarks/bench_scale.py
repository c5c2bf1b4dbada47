"""What a run costs besides its clips, from few rows to many, and what a second worker gives.

python -m benchmarks.bench_scale rows --output rows.json         the work on clips left out
python -m benchmarks.bench_scale workers --output workers.json   one worker against two

`rows` fits a line through the seconds and the peak of memory (Linux: of the coordinator, which
does all of it) over the number of rows. `workers` alternates runs of one worker and of two on the
same clips. Every shard has as many clips: local workers share the shards out before they begin. The
time of a run with a third of the clips, in which all processes start, is taken off.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.portrait_clips import write_clips
from benchmarks.process_tree import Cost, adopt_left_processes, run_to_the_end
from schemas.shards import MIN_SHARDS, shard_of

ROWS_PER_SHARD = 100


def measure_rows(sizes: Sequence[int]) -> dict[str, Any]:
    """Run with as many rows each; return the runs and the lines through them.

    Args:
        sizes: Numbers of rows.
    """
    runs = []
    for num_rows in sizes:
        with TemporaryDirectory() as folder:
            arguments = [str(num_rows), str(num_rows // ROWS_PER_SHARD), f"{folder}/run"]
            _, text = run_to_the_end(["benchmarks.scale_run", *arguments])
        runs.append(json.loads(text))
        sys.stderr.write(f"{runs[-1]}\n")
    lines = {name: _line(runs, name) for name in ("plan_seconds", "build_seconds", "peak_mib")}
    return {"runs": runs, "lines": lines}


def _line(runs: list[dict[str, Any]], name: str) -> dict[str, float]:
    """Value at no rows, growth for each 1,000 rows, and the largest distance from the line."""
    rows = np.array([each["num_rows"] for each in runs]) / 1000
    values = np.array([each[name] for each in runs])
    slope, start = np.polyfit(rows, values, 1)
    residual = np.abs(values - (start + slope * rows)) / values
    return {"start": start, "per_1000_rows": slope, "largest_residual": residual.max()}


def measure_workers(num_clips: int, num_seconds: float, rounds: int) -> dict[str, Any]:
    """Return clips per second of two workers over one, and CPU time per clip likewise.

    Args:
        num_clips: Clips of a run, a multiple of 48: 16 shards, and a third of it.
        num_seconds: Length of a clip.
        rounds: Number of runs of each kind.
    """
    costs: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for part, divisor in (("few", 3), ("all", 1)):
            write_even_clips(folder / part, num_clips // divisor, num_seconds)
        for index in range(rounds):
            for workers in (1, 2):
                done = folder / f"{index}-{workers}"
                few = _build(folder / "few", Path(f"{done}-few"), workers)
                every = _build(folder / "all", Path(f"{done}-all"), workers)
                costs[workers].append((every.wall - few.wall, every.total - few.total))
    pairs = list(zip(costs[1], costs[2], strict=True))
    return {
        "num_clips": num_clips,
        "seconds": {str(workers): each for workers, each in costs.items()},
        "throughput_ratio": median(one[0] / two[0] for one, two in pairs),
        "cpu_ratio_per_clip": median(two[1] / one[1] for one, two in pairs),
    }


def write_even_clips(folder: Path, num_clips: int, num_seconds: float) -> None:
    """Write copies of one clip under names by which every shard gets as many of them."""
    (first, *others) = write_clips(folder, num_clips=num_clips, num_seconds=num_seconds)
    paths = iter((*others, first))
    places = dict.fromkeys(range(MIN_SHARDS), num_clips // MIN_SHARDS)
    for number in count():
        shard = shard_of(f"person/even{number}", MIN_SHARDS)
        if places[shard]:
            places[shard] -= 1
            next(paths).rename(folder / "person" / f"even{number}.mp4")
        if not any(places.values()):
            return


def _build(videos: Path, output: Path, workers: int) -> Cost:
    options = ["--dataset", "folder", "--videos", str(videos), "--split", "all"]
    options += [
        "--num-shards",
        str(MIN_SHARDS),
        "--modalities",
        "rgb",
        "flow",
        "--output",
        str(output),
        "--workers",
        str(workers),
    ]
    return run_to_the_end(["pipelines", "build", *options])[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a measurement, write it as JSON; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["rows", "workers"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[25_000, 50_000, 75_000, 100_000])
    parser.add_argument("--num-clips", type=int, default=48)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a clip")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="file for the result")
    options = parser.parse_args(argv)
    adopt_left_processes()
    if options.what == "rows":
        result = measure_rows(options.sizes)
    else:
        result = measure_workers(options.num_clips, options.seconds, options.rounds)
    text = json.dumps(result, indent=1) + "\n"
    sys.stdout.write(text)
    if options.output is not None:
        options.output.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
