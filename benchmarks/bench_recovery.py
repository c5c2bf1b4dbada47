"""Measure what a clip that ends its process costs: the time until the next clip is done.

Run from the root of the repository:

```
python -m benchmarks.bench_recovery
```

Faults are planted in the child: SIGSEGV, a loop that holds the GIL and ignores signals (stopped by
the wall limit), and memory over the limit. The clock starts when the first process is dead (for a
loop: when the wall limit is over). `row` is the time until the ledger row is known, with the second
attempt in a fresh process; `next` until a following clip of one frame, all streams with the
default engines, is back. `warm` is that clip alone in a child that is at work already.
"""

import argparse
import json
import os
import re
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.portrait_clips import write_clips
from pipelines import isolation
from pipelines.config import BuildConfig
from pipelines.isolation import IsolatedProcessor
from pipelines.plan import ClipTask
from pipelines.process_clip import ProcessedClip
from schemas.clip import Clip
from schemas.clip_record import Provenance
from schemas.errors import RecordError

FAULTS = ("crash", "spin", "leak")
_WALL_SECONDS = 20.0
_MEMORY_MIB = 1024

_process_in_child = isolation._process_in_child  # noqa: SLF001 - faults are planted around it


def process_or_fail(task: ClipTask, path: Path, *files: Path | None) -> ProcessedClip:
    """Process a clip in the child, unless its id names a fault."""
    fault = task.clip.clip_id
    died = path.with_name(f"{fault}.died")
    if fault in FAULTS and not died.exists():
        waits = _WALL_SECONDS if fault == "spin" else 0.0
        died.write_text(str(time.monotonic() + waits))
    if fault == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if fault == "spin":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        re.match(r"(a+)+$", "a" * 64 + "b")
    if fault == "leak":
        kept = []
        while True:
            kept.append(b"x" * (64 << 20))
    return _process_in_child(task, path, *files)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--modalities", nargs="+", default=["rgb", "flow", "pose"])
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args(argv)
    seconds: dict[str, dict[str, float]] = {}
    for fault in FAULTS:
        runs = [_measure(fault, options.modalities) for _ in range(options.repeats)]
        seconds[fault] = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        figures = ", ".join(f"{name} {value:.2f} s" for name, value in seconds[fault].items())
        sys.stdout.write(f"{fault:6} {figures}\n")
    if options.output:
        options.output.write_text(json.dumps(seconds, indent=1))
    return 0


def _measure(fault: str, modalities: Sequence[str]) -> dict[str, float]:
    """Seconds from the death to the row and to the end of the next clip, and of a warm clip."""
    config = BuildConfig(
        dataset="csv",
        annotations="-",
        videos="-",
        split="all",
        output="-",
        modalities=tuple(modalities),  # type: ignore[arg-type]
        clip_timeout_seconds=_WALL_SECONDS,
        clip_memory_mib=_MEMORY_MIB,
    )
    isolation._process_in_child = process_or_fail  # noqa: SLF001
    processor = IsolatedProcessor(config, Provenance(config_hash="", software="", pose_model=""))
    try:
        with TemporaryDirectory() as folder:
            (path,) = write_clips(Path(folder), num_clips=1, num_seconds=0.04)
            processor.process(_task("first"), path)
            start = time.monotonic()
            processor.process(_task("warm"), path)
            warm = time.monotonic() - start
            try:
                processor.process(_task(fault), path)
            except RecordError:
                row = time.monotonic()
            else:
                raise RuntimeError(f"the clip must fail by the planted {fault}, got a record")
            processor.process(_task("next"), path)
            end = time.monotonic()
            died = float(path.with_name(f"{fault}.died").read_text())
    finally:
        processor.close()
        isolation._process_in_child = _process_in_child  # noqa: SLF001
    return {"row": row - died, "next": end - died, "warm": warm}


def _task(clip_id: str) -> ClipTask:
    clip = Clip(
        clip_id=clip_id,
        dataset="csv",
        split="all",
        label_text="person",
        media_id=clip_id,
        relative_path="clip.mp4",
        start_seconds=None,
        end_seconds=None,
        source="clips.csv:2",
    )
    return ClipTask(clip=clip, label_index=0, path="clip.mp4", size_bytes=1, is_trimmed=True)


if __name__ == "__main__":
    sys.exit(main())
