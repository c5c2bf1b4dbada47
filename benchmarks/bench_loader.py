"""Measure how much of the speed of bare JPEG decoding `ShardDataset` reaches.

Run from the root of the repository:

```
python -m benchmarks.bench_loader                       frames made for the purpose, 340 x 256
python -m benchmarks.bench_loader --shards OUTPUT       shards of `perfnet-prep build`
```

Both sides decode the same JPEGs on one core: the bare loop holds them in memory and throws the
pixels away, the data set reads them from its shard, draws window, crop, mirror flag and colours,
and a batch is collated. Rounds of both alternate; the figure is the ratio of their CPU times, the
median over the rounds. Exit status 1 if it is below 0.85.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import torch

from benchmarks.loader_shards import write_texture_shards
from perfnet import SampleKey, ShardDataset, ViewConfig, collate_clips
from schemas.shard_reader import open_shard

TARGET = 0.85
_BATCH_CLIPS = 2


class LoaderResult(NamedTuple):
    """CPU milliseconds per clip, medians over the rounds."""

    shard_format: str
    bare_ms: float
    loader_ms: float
    ratio: float
    """Bare over loader: 1 = the loader costs nothing beside decoding."""
    jpeg_kib: float
    """Mean size of a frame."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if every format reaches the target."""
    options = _parse(argv)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        shards = options.shards
        if shards is None:
            shards = write_texture_shards(Path(folder) / "shards", num_clips=options.clips)
        results = [measure_loader(shards, name, options) for name in options.formats]
    for result in results:
        sys.stdout.write(
            f"{result.shard_format}: bare {result.bare_ms:.1f} ms/clip, "
            f"loader {result.loader_ms:.1f} ms/clip, ratio {result.ratio:.3f}, "
            f"{result.jpeg_kib:.1f} KiB/frame\n"
        )
    if options.output:
        options.output.write_text(json.dumps([result._asdict() for result in results], indent=1))
    return int(any(result.ratio < TARGET for result in results))


def measure_loader(shards: Path, shard_format: str, options: argparse.Namespace) -> LoaderResult:
    """Compare reading clips through the data set with decoding the same frames bare.

    Args:
        shards: Finished output folder.
        shard_format: tfrecord or parquet.
        options: `num_frames`, `size`, `rounds` and `mirror` of the command line.
    """
    view = ViewConfig(num_frames=options.num_frames, height=options.size[0], width=options.size[1])
    dataset = ShardDataset(shards, view=view, shard_format=shard_format)
    keys = [SampleKey(clip) for clip in range(len(dataset))]
    frames = [_jpegs_of(dataset, key, view) for key in keys]

    def bare() -> None:
        for clip in frames:
            for jpeg in clip:
                cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)

    def load() -> None:
        for start in range(0, len(keys), _BATCH_CLIPS):
            collate_clips(dataset.__getitems__(keys[start : start + _BATCH_CLIPS]))

    pairs = [(_cpu_ms(bare), _cpu_ms(load)) for _ in range(options.rounds + 1)][1:]
    sizes = [len(jpeg) for clip in frames for jpeg in clip]
    return LoaderResult(
        shard_format=shard_format,
        bare_ms=statistics.median(pair[0] for pair in pairs) / len(keys),
        loader_ms=statistics.median(pair[1] for pair in pairs) / len(keys),
        ratio=statistics.median(pair[0] / pair[1] for pair in pairs),
        jpeg_kib=statistics.fmean(sizes) / 1024,
    )


def _jpegs_of(dataset: ShardDataset, key: SampleKey, view: ViewConfig) -> list[bytes]:
    """The JPEGs that the data set decodes for a sample: as many frames of the same clip."""
    path, place = dataset.locate(key.clip)
    record = open_shard(path).read(place, streams=("rgb",))
    first = max(0, (len(record.rgb) - view.num_frames) // 2)
    return list(record.rgb[first : first + view.num_frames])


def _cpu_ms(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1e3


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--shards", type=Path, help="finished output folder; default: made here")
    parser.add_argument("--clips", type=int, default=8, help="clips to make")
    parser.add_argument("--formats", nargs="+", default=["tfrecord", "parquet"])
    parser.add_argument("--num-frames", type=int, default=64)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
