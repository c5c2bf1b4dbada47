r"""Compare what `perfnet-prep plan` predicts with the build that follows (Linux).

Run from the root of the repository, with the options of `build`:

```
python -m benchmarks.bench_plan --probe-clips 5 -- --dataset ucf101 --split train1 \\
    --annotations CORPUS/annotations/ucf101/ucfTrainTestlist --videos CORPUS/videos/ucf101
```

Prints prediction over truth for frames, bytes, failed share, CPU time of all processes and
wall-clock time. The last is only as good as the machine is equally busy in both.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.process_tree import adopt_left_processes, run_to_the_end


def main(argv: Sequence[str] | None = None) -> int:
    """Run the comparison; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--probe-clips", type=int, default=12)
    parser.add_argument("build_options", nargs="+", help="options of build but --output")
    options = parser.parse_args(argv)
    adopt_left_processes()
    for name, ratio in compare(options.build_options, probe_clips=options.probe_clips).items():
        sys.stdout.write(f"{name:16} {ratio:.3f}\n")
    return 0


def compare(build_options: Sequence[str], *, probe_clips: int) -> dict[str, float]:
    """Plan, then build; return prediction over truth by figure.

    Args:
        build_options: Options of `build` but the output folder.
        probe_clips: Clips that `plan` processes.
    """
    with TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        arguments = [*build_options, "--output", str(output), "--max-failed-fraction", "1"]
        plan = ["pipelines", "plan", *arguments, "--probe-clips", str(probe_clips), "--json"]
        predicted = json.loads(run_to_the_end(plan)[1])
        cost, _ = run_to_the_end(["pipelines", "build", *arguments])
        info = json.loads((output / "run.json").read_text())
        size = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    ratios = {
        "frames": predicted["num_frames"] / info["num_frames"],
        "bytes": predicted["total_bytes"] / size,
        "cpu_time": predicted["core_hours"] * 3600 / cost.total,
        "wall_time": predicted["hours"] * 3600 / cost.wall,
    }
    if info["failed_fraction"]:
        ratios["failed"] = predicted["failed_fraction"] / info["failed_fraction"]
    return ratios


if __name__ == "__main__":
    sys.exit(main())
