"""Measure what Beam and the child processes cost, and the CPU time of every stage.

Run from the root of the repository (Linux):

```
python -m benchmarks.bench_pipeline                  synthetic 10 s clips
python -m benchmarks.bench_pipeline --clips DIR      the videos of a folder instead
```

In turn, on the same clips with the same options: `perfnet-prep build` with one worker, CPU time of
all its processes until the last has ended; and a bare loop over `ClipProcessor` in one process.
Both are run with one clip and with all. `start-up included` compares the totals with all clips;
`per clip` compares what every further clip adds, which is what counts in a run of many. Stages are
timed by the CPU clock of the bare loop.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import tyro

from benchmarks.portrait_clips import copy_clips, write_clips
from benchmarks.process_tree import Cost, adopt_left_processes, run_to_the_end
from pipelines.config import BuildConfig
from pipelines.plan import ClipTask
from schemas.clip import Clip

_SECONDS_PER_DAY = 86_400

DATASETS = {
    "kinetics400": (306_245, 250),
    "kinetics600": (495_547, 250),
    "kinetics700": (650_317, 250),
    "ucf101": (13_320, 180),
    "hmdb51": (6_766, 78),
}
"""Number of clips, and mean number of frames at 25 fps. Kinetics: the numbers of the papers
(arXiv:1705.06950, 1808.01340, 1907.06987), 10 s each; UCF101: 7.21 s (arXiv:1212.0402);
HMDB51: clips of the official splits, 3.1 s."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """Both ways on the same clips: CPU time with one clip and with all."""

    num_clips: int
    build_one: Cost
    build_all: Cost
    bare_one: Cost
    bare_all: Cost


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0."""
    options = _parse(argv)
    if options.bare:
        _write(json.dumps(run_bare(options.bare, options.build_options)))
        os._exit(0)  # MediaPipe's models may hang when the interpreter frees them
    adopt_left_processes()
    rounds, stages = [], []
    with TemporaryDirectory() as folder:
        one, every = _prepare(Path(folder), options)
        for index in range(options.rounds):
            done, milliseconds = _measure_round(one, every, Path(folder, str(index)), options)
            rounds.append(done)
            stages.append(milliseconds)
            _write(_round_line(done))
    report = summarise(rounds, stages)
    for name, value in report.items():
        _write(f"{name:44} {value:.4g}")
    if options.output:
        content = {"summary": report, "rounds": [asdict(each) for each in rounds]}
        options.output.write_text(json.dumps(content, indent=1))
    return 0


def run_bare(videos: Path, build_options: Sequence[str]) -> dict[str, Any]:
    """Process all clips of a folder in this process; return frames and CPU seconds by stage."""
    from pipelines.process_clip import ClipProcessor
    from pose.backends.mediapipe import block_tensorflow_import
    from schemas.clip_record import Provenance

    block_tensorflow_import()
    command = [*_build_arguments(videos, videos.with_name("unused")), *build_options]
    config = tyro.cli(BuildConfig, args=command)
    processor = ClipProcessor(config, Provenance(config_hash="", software="", pose_model=""))
    seconds: dict[str, float] = {}
    num_frames = 0
    with patch("pipelines.clip_run.time", SimpleNamespace(perf_counter=time.process_time)):
        for path in sorted(videos.rglob("*.*")):
            done = processor.process(_task(path), path)
            num_frames += done.record.num_frames
            for stage, value in done.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + value
    return {"num_frames": num_frames, "seconds": seconds}


def summarise(rounds: Sequence[Round], stages: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the figures: ratios of CPU time, milliseconds per frame, core-days.

    Args:
        rounds: At least one.
        stages: Per round, CPU milliseconds per frame by stage.
    """
    report = {
        "cpu_ratio_start_up_included": statistics.median(
            each.build_all.total / each.bare_all.total for each in rounds
        )
    }
    if rounds[0].num_clips > 1:
        report["cpu_ratio_per_clip"] = statistics.median(map(_ratio_per_clip, rounds))
        report["coordinator_share_per_clip"] = statistics.median(
            (each.build_all.coordinator - each.build_one.coordinator)
            / (each.bare_all.total - each.bare_one.total)
            for each in rounds
        )
    for stage in stages[0]:
        milliseconds = statistics.median(each[stage] for each in stages)
        report[f"cpu_milliseconds_per_frame_{stage}"] = milliseconds
    total = statistics.median(sum(each.values()) for each in stages)
    report["cpu_milliseconds_per_frame"] = total
    for name in DATASETS:
        report[f"core_days_{name}"] = core_days(name, total)
    return report


def core_days(dataset: str, milliseconds_per_frame: float) -> float:
    """Return the days of one core that the clips of a data set take."""
    num_clips, num_frames = DATASETS[dataset]
    return num_clips * num_frames * milliseconds_per_frame / 1000 / _SECONDS_PER_DAY


def _ratio_per_clip(done: Round) -> float:
    build = done.build_all.total - done.build_one.total
    return build / (done.bare_all.total - done.bare_one.total)


def _measure_round(
    one: Path, every: Path, folder: Path, options: argparse.Namespace
) -> tuple[Round, dict[str, float]]:
    folder.mkdir()
    costs = {}
    result: dict[str, Any] = {}
    for name, videos in (("one", one), ("all", every)):
        build = [*_build_arguments(videos, folder / name), *options.build_options]
        costs[f"build_{name}"], _ = run_to_the_end(["pipelines", "build", *build])
        bare = ["benchmarks.bench_pipeline", "--bare", str(videos), *_pass_on(options)]
        cost, text = run_to_the_end(bare)
        costs[f"bare_{name}"] = Cost(coordinator=0.0, workers=cost.total)
        result = json.loads(text)
    num_clips = len(list(every.rglob("*.*")))
    milliseconds = {
        stage: 1000 * seconds / result["num_frames"] for stage, seconds in result["seconds"].items()
    }
    return Round(num_clips=num_clips, **costs), milliseconds


def _prepare(folder: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """Folders with the first clip, and with all."""
    one, every = folder / "one", folder / "all"
    if options.clips:
        copy_clips(options.clips, every, num_clips=options.num_clips)
    else:
        write_clips(every, num_clips=options.num_clips, num_seconds=options.seconds)
    copy_clips(every / "person", one, num_clips=1)
    return one, every


def _build_arguments(videos: Path, output: Path) -> list[str]:
    arguments = ["--dataset", "folder", "--split", "all", "--videos", str(videos)]
    return [*arguments, "--output", str(output), "--num-shards", "1"]


def _task(path: Path) -> ClipTask:
    clip = Clip(
        clip_id=path.stem,
        dataset="folder",
        split="all",
        label_text="person",
        media_id=path.stem,
        relative_path=path.name,
        start_seconds=None,
        end_seconds=None,
        source="folder",
    )
    return ClipTask(clip=clip, label_index=0, path=path.name, size_bytes=1, is_trimmed=True)


def _pass_on(options: argparse.Namespace) -> list[str]:
    return [f"--build-option={option}" for option in options.build_options]


def _round_line(done: Round) -> str:
    build, bare = done.build_all, done.bare_all
    return (
        f"{done.num_clips} clips: build {build.total:.1f} s CPU "
        f"(coordinator {build.coordinator:.1f}), bare loop {bare.total:.1f} s; one clip: "
        f"build {done.build_one.total:.1f} s (coordinator {done.build_one.coordinator:.1f}), "
        f"bare loop {done.bare_one.total:.1f} s"
    )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--clips", type=Path, help="folder of videos to use instead")
    parser.add_argument("--num-clips", type=int, default=5, help="number of clips at most")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of synthetic clips")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--build-option",
        dest="build_options",
        action="append",
        default=[],
        help="option of `build`, such as --build-option=--flow-engine=dis; may be repeated",
    )
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
