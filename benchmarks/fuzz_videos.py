"""Feed damaged videos to the pipeline: no run may be lost, no file without its ledger row.

Run from the root of the repository:

```
python -m benchmarks.fuzz_videos --files 10000               small synthetic clips, no data needed
python -m benchmarks.fuzz_videos --files 1000 --clips DIR    the videos below DIR
```

Every batch of files is one `perfnet-prep build` in a process of its own, then `verify`. Checked:
the run ends by itself and in time, with status 0; each file has exactly one ledger row, and one
that does not blame us (`failed`); what was written is sound; no process of the run is left
behind. Files are damaged by `benchmarks/mutate_video.py`, file N by the seed "SEED/N": a failure
names its seeds and keeps its files.
"""

import argparse
import csv
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutate_video import mutate
from benchmarks.small_clips import write_clips
from schemas.ledger import LedgerRow, read_ledger
from schemas.outcome import Outcome
from schemas.video_extensions import is_video_path

_COMMAND = (sys.executable, "-m", "pipelines")
_START_SECONDS = 120  # of a run with all its processes, on a busy machine
_END_SECONDS = 5  # for its last processes to go


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some damaged files and what became of them."""

    seeds: dict[str, str]
    """Seed and damage of each file by its name."""
    rows: list[LedgerRow]
    problems: list[str]
    """One line per broken promise."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the fuzzer; return 0 if every promise held, 1 if not."""
    options = _parse(argv)
    outcomes: Counter[str] = Counter()
    num_problems = 0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-videos-") as name:
        folder = Path(name)
        clips = find_clips(options.clips) if options.clips else write_clips(folder / "clips")
        for first in range(0, options.files, options.batch):
            numbers = range(first, min(options.files, first + options.batch))
            batch = run_batch(folder / "batch", clips, numbers, options)
            outcomes.update(row.outcome.value for row in batch.rows)
            num_problems += len(batch.problems)
            _report(batch, options.keep, folder / "batch")
            shutil.rmtree(folder / "batch")
            _say(f"{numbers.stop} files, {_counts(outcomes)}")
    seconds = time.perf_counter() - start
    rate = options.files / seconds
    _say(f"{options.files} files of {len(clips)} clips, {seconds:.0f} s, {rate:.1f} files/s")
    _say(f"{num_problems} problems; {_counts(outcomes)}")
    return 1 if num_problems else 0


def find_clips(folder: Path) -> list[Path]:
    """Return the videos below a folder, sorted.

    Raises:
        ValueError: If there is none.
    """
    clips = sorted(each for each in folder.rglob("*") if each.is_file() and each.stat().st_size)
    clips = [each for each in clips if is_video_path(each.name)]
    if not clips:
        raise ValueError(f"clips must be a folder with videos, got {folder}")
    return clips


def run_batch(
    folder: Path, clips: Sequence[Path], numbers: range, options: argparse.Namespace
) -> Batch:
    """Damage some files, build them in a new folder, and check what came out."""
    (folder / "videos").mkdir(parents=True)
    seeds = {}
    for number in numbers:
        clip = clips[number % len(clips)]
        seed = f"{options.seed}/{number}"
        data, damage = mutate(clip.read_bytes(), seed=seed)
        name = f"{number:06d}{clip.suffix}"
        (folder / "videos" / name).write_bytes(data)
        seeds[name] = f"{seed} of {clip.name}: {', '.join(damage)}"
    with (folder / "rows.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video", "label"])
        writer.writerows([name, "x"] for name in seeds)
    output = folder / "out"
    limit = _START_SECONDS + len(seeds) * options.seconds_per_file
    problems = _run(_build_arguments(folder, options), limit)
    rows: list[LedgerRow] = []
    if (output / "ledger.parquet").is_file():
        with (output / "ledger.parquet").open("rb") as ledger:
            rows = read_ledger(ledger)
        problems += _check_rows(rows, seeds)
        problems += _run(["verify", str(output)], limit)
    return Batch(seeds=seeds, rows=rows, problems=problems)


def _build_arguments(folder: Path, options: argparse.Namespace) -> list[str]:
    modalities = ["rgb", "flow", *(["pose"] if options.pose_backend else [])]
    pose = ["--pose-backend", options.pose_backend] if options.pose_backend else []
    return [
        *("build", "--dataset", "csv", "--split", "all"),
        *("--annotations", str(folder / "rows.csv"), "--videos", str(folder / "videos")),
        *("--output", str(folder / "out"), "--modalities", *modalities, *pose),
        *("--flow-engine", "dis", "--decode.short-side", "32", "--num-shards", "4"),
        *("--workers", str(options.workers), "--max-failed-fraction", "1"),
        *("--clip-timeout-seconds", str(options.clip_timeout)),
    ]


def _run(arguments: list[str], limit_seconds: float) -> list[str]:
    """Run `perfnet-prep`; return what went wrong with the run as a whole."""
    command = [*_COMMAND, *arguments]
    # A session of its own, so that everything that the run leaves behind is known.
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(  # noqa: S603  (our own program)
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = child.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            return [f"{arguments[0]} did not end within {limit_seconds:.0f} s"]
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        output.seek(0)
        last_lines = output.read().decode("utf-8", "replace").splitlines()[-15:]
    problems = []
    if status:
        problems.append(f"{arguments[0]} ended with status {status}: " + "\n    ".join(last_lines))
    if left := _processes_left(child.pid):
        os.killpg(child.pid, signal.SIGKILL)
        problems.append(f"{arguments[0]} left processes behind: {', '.join(left)}")
    return problems


def _processes_left(session: int) -> list[str]:
    """Command names of the processes of a session that are still there after a while."""
    deadline = time.monotonic() + _END_SECONDS
    while (found := _processes_of(session)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _processes_of(session: int) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (name) state ppid pgrp session ...; the name may hold anything
            name, _, rest = entry.read_text(errors="replace").rpartition(")")
        except OSError:
            continue  # it ended meanwhile
        fields = rest.split()
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(name.partition("(")[2])
    return found


def _check_rows(rows: list[LedgerRow], seeds: dict[str, str]) -> list[str]:
    counts = Counter(row.path for row in rows)
    problems = [f"{name} has {counts[name]} rows" for name in seeds if counts[name] != 1]
    problems += [
        f"{row.path} {row.outcome.value}: {row.detail} ({seeds.get(row.path)})"
        for row in rows
        if row.outcome is Outcome.FAILED or (not row.detail and row.outcome is not Outcome.WRITTEN)
    ]
    return problems


def _report(batch: Batch, keep: Path, folder: Path) -> None:
    """Show the problems of a batch and keep its files; name what deserves a look."""
    for row in batch.rows:
        if row.outcome in (Outcome.CRASHED, Outcome.TIMEOUT):
            _say(f"{row.outcome.value}: {row.detail} (seed {batch.seeds.get(row.path)})")
            _keep(folder / "videos" / row.path, keep)
    for problem in batch.problems:
        _say(f"PROBLEM {problem}")
    if batch.problems:
        for name in batch.seeds:
            _keep(folder / "videos" / name, keep)
        _say(f"files kept in {keep}; seeds {next(iter(batch.seeds.values()))} and on")


def _keep(path: Path, keep: Path) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, keep / path.name)


def _counts(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items()))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--clips", type=Path, help="folder of videos; default: synthetic ones")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--batch", type=int, default=500, help="files per run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pose-backend", default="", help="also estimate poses, with this one")
    parser.add_argument("--clip-timeout", type=float, default=20, help="limit of one file, seconds")
    parser.add_argument(
        "--seconds-per-file", type=float, default=2, help="limit of a run, seconds per file"
    )
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"))
    return parser.parse_args(argv)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
