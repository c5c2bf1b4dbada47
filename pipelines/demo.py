"""The demo of the README: shards of a sample video, or of the user's own files."""

import argparse
import csv
import sys
from pathlib import Path

from pipelines.cli import main as run_command
from pipelines.demo_video import make_demo_video
from schemas.video_extensions import is_video_path


def main(argv: list[str]) -> int:
    """Build and verify shards of a folder of videos.

    Args:
        argv: `[--videos DIR] --output DIR`; without videos a sample is made.

    Returns:
        Exit status as of `perfnet-prep`.
    """
    parser = argparse.ArgumentParser(prog="python -m pipelines.demo", description=__doc__)
    parser.add_argument("--videos", default="", help="folder of videos; empty = make a sample")
    parser.add_argument("--output", required=True, help="folder of the result")
    options = parser.parse_args(argv)
    output = Path(options.output)
    videos = Path(options.videos) if options.videos else _make_sample(output / "videos")
    if not videos.is_dir():
        sys.stderr.write(f"videos must be an existing folder, got {videos}\n")
        return 2
    annotations = output / "annotations.csv"
    _write_annotations(annotations, videos)
    shards = output / f"shards-{videos.resolve().name}"
    build = ["build", "--dataset", "csv", "--annotations", str(annotations), "--split", "demo"]
    build += ["--videos", str(videos), "--output", str(shards), "--max-failed-fraction", "1"]
    return run_command(build) or run_command(["verify", str(shards)])


def _make_sample(folder: Path) -> Path:
    sample = folder / "portrait" / "portrait.mp4"
    if not sample.exists():
        sample.parent.mkdir(parents=True, exist_ok=True)
        make_demo_video(sample)
    return folder


def _write_annotations(path: Path, videos: Path) -> None:
    """One row per video; the folder a video lies in is its label."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found = sorted(each.relative_to(videos) for each in videos.rglob("*") if each.is_file())
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "label"])
        rows.writerows(
            [each.as_posix(), each.parent.name] for each in found if is_video_path(each.as_posix())
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
