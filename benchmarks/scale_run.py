"""One run over many rows with the work on each clip left out; started by `bench_scale`.

`python -m benchmarks.scale_run ROWS SHARDS FOLDER` prints seconds and memory as JSON.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import build_shard
from pipelines.build import build
from pipelines.clip_facts import ClipFacts
from pipelines.config import BuildConfig
from pipelines.output_folder import claim_output
from pipelines.plan import ClipTask
from pipelines.prepare import prepare_run
from pipelines.process_clip import ProcessedClip
from pipelines.runner import parse_beam_options
from schemas.clip_record import ClipRecord, Provenance
from video.jpeg import encode_jpeg


class StubProcessor:
    """Gives every clip a record of one small frame.

    Args:
        config: Not needed but for the frame rate.
        provenance: Stored with every record.
    """

    def __init__(self, config: BuildConfig, provenance: Provenance) -> None:
        self._config = config
        self._provenance = provenance
        self._jpeg = encode_jpeg(np.zeros((16, 16, 3), np.uint8), quality=90)

    def process(self, task: ClipTask, *_files: object) -> ProcessedClip:
        """Return the same frame for every clip."""
        stamps = np.zeros(1, np.int64)
        record = ClipRecord(
            clip_id=task.clip.clip_id,
            dataset=task.clip.dataset,
            split=task.clip.split,
            label_index=task.label_index,
            label_text=task.clip.label_text or "",
            media_id=task.clip.media_id,
            video_path=task.path,
            start_us=0,
            end_us=40_000,
            fps=self._config.decode.fps,
            width=16,
            height=16,
            timestamps_us=stamps,
            source_indices=stamps,
            source_timestamps_us=stamps,
            rgb=(self._jpeg,),
            flow_bound_px=self._config.flow.bound_px,
            provenance=self._provenance,
        )
        return ProcessedClip(
            record=record,
            detail="",
            decoded_frames=1,
            declared_frames=1,
            facts=ClipFacts(video_hash="0" * 32),
            seconds={"decode": 0.001},
        )

    def close(self) -> None:
        """Nothing to end."""


def write_rows(folder: Path, num_rows: int) -> None:
    """Write a CSV of as many rows and an empty video for each."""
    (folder / "videos").mkdir(parents=True)
    lines = ["video,label"]
    for number in range(num_rows):
        name = f"video{number:07}.mp4"
        (folder / "videos" / name).touch()
        lines.append(f"{name},label {number % 700}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


def run(folder: Path, num_shards: int) -> dict[str, Any]:
    """Plan and build; return seconds of both and the peak of memory."""
    config = BuildConfig(
        dataset="csv",
        annotations=str(folder / "rows.csv"),
        videos=str(folder / "videos"),
        split="all",
        output=str(folder / "out"),
        modalities=("rgb",),
        num_shards=num_shards,
    )
    build_shard.IsolatedProcessor = StubProcessor  # type: ignore[assignment,misc]
    start = time.perf_counter()
    prepared = prepare_run(config)
    planned = time.perf_counter()
    plan_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with claim_output(config.output):
        info = build(prepared, options=parse_beam_options([])) or {}
    return {
        "num_rows": info["num_rows"],
        "num_shards": num_shards,
        "plan_seconds": planned - start,
        "build_seconds": time.perf_counter() - planned,
        "plan_mib": plan_mib,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    target = Path(sys.argv[3])
    write_rows(target, int(sys.argv[1]))
    sys.stdout.write(json.dumps(run(target, int(sys.argv[2]))) + "\n")
