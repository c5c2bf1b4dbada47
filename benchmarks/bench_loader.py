"""Measure how much of the speed of bare JPEG decoding the loader reaches.

Run from the root of the repository:

```
python -m benchmarks.bench_loader                       clips made for the purpose, 340 x 256
python -m benchmarks.bench_loader --shards OUTPUT       shards of `perfnet-prep build`
```

Both sides decode the same JPEGs in as many processes on the same cores. The bare ones hold them in
memory and throw the pixels away, one image after the other: with `cv2.imdecode`, which makes the
ratio, and with the decoder of the loader, which is quicker, for comparison. The others are the
loader processes of `perfnet.load_batches`: they find the clips in shuffled order in their shards,
check and read the records, draw window, crop and mirror flag, decode, cut, mirror, and hand batches
over to this process, whose time is counted too. Rounds of both alternate; the figures are the
medians of the ratios of CPU times of a round, and their range. Each process counts its own time,
batch by batch: a wait for a core costs nothing. Start-up of the processes is left out. Exit status
1 if a ratio is below 0.85 anywhere but where poses are drawn, which bare decoding has no like of.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from benchmarks.bare_decoding import BareDecoders
from benchmarks.clocked_dataset import ClockedDataset
from benchmarks.loader_shards import write_texture_shards
from perfnet import ClipBatch, SampleKey, ShardDataset, ShuffledBatches, ViewConfig, load_batches
from perfnet.data.augment import clip_rng, random_view
from perfnet.data.shard_folder import open_shard_folder
from schemas.clip_record import Stream
from schemas.shard_reader import open_shard

TARGET = 0.85
_WARM_UP_ROUNDS = 1
_AHEAD = 8  # batches that a process may begin beyond those that are taken
STREAMS: dict[str, tuple[Stream, ...]] = {
    "rgb": ("rgb",),
    "all": ("rgb", "flow", "pose_overlay"),
    "drawn": ("rgb", "flow"),
}
"""Streams that are decoded, by what is loaded: rgb alone; rgb, flow and pose as stored; rgb, flow
and pose drawn from keypoints."""


class LoaderResult(NamedTuple):
    """Medians over the rounds."""

    shard_format: str
    loaded: str
    workers: int
    ratio: float
    """CPU time of a bare loop of `cv2.imdecode` over that of the loader."""
    lowest_ratio: float
    """Of the rounds."""
    highest_ratio: float
    same_decoder_ratio: float
    """With the loader's own decoder in the bare loop: 1 = only decoding costs anything."""
    bare_ms: float
    """CPU milliseconds per clip."""
    loader_ms: float
    jpeg_kib: float
    """Mean size of an image."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return 0 if everything reaches the target."""
    options = _parse(argv)
    results = []
    with TemporaryDirectory() as folder:
        shards = options.shards
        if shards is None:
            shards = write_texture_shards(Path(folder) / "shards", num_clips=options.clips)
        for name in options.formats:
            for loaded in options.loaded or _loadable(shards):
                result = measure_loader(shards, name, loaded, options)
                results.append(result)
                sys.stdout.write(
                    f"{name} {loaded}: ratio {result.ratio:.3f} ({result.lowest_ratio:.3f} to "
                    f"{result.highest_ratio:.3f}), with the same decoder "
                    f"{result.same_decoder_ratio:.3f}, bare {result.bare_ms:.1f} ms/clip, loader "
                    f"{result.loader_ms:.1f} ms/clip, {result.jpeg_kib:.1f} KiB/image\n"
                )
                sys.stdout.flush()
    if options.output:
        options.output.write_text(json.dumps([result._asdict() for result in results], indent=1))
    return int(any(result.ratio < TARGET for result in results if result.loaded != "drawn"))


def measure_loader(
    shards: Path, shard_format: str, loaded: str, options: argparse.Namespace
) -> LoaderResult:
    """Compare the loader with decoding the same images bare.

    Args:
        shards: Finished output folder.
        shard_format: tfrecord or parquet.
        loaded: A key of `STREAMS`.
        options: `num_frames`, `size`, `batch_size`, `workers` and `rounds` of the command line.
    """
    height, width = options.size
    view = ViewConfig(
        num_frames=options.num_frames,
        height=height,
        width=width,
        pose_source="render" if loaded == "drawn" else "stored",
        pose_mirror="swap" if loaded == "drawn" else "pixels",
    )
    size, workers, rounds = options.batch_size, options.workers, options.rounds + _WARM_UP_ROUNDS
    most = rounds * (len(open_shard_folder(shards)) // size + workers) + _AHEAD
    dataset = ClockedDataset(
        shards,
        modalities=("rgb",) if loaded == "rgb" else ("rgb", "flow", "pose"),
        view=view,
        shard_format=shard_format,
        workers=workers,
        num_batches=most,
    )
    each = max(1, len(dataset) // size // workers)  # batches of a process in a round
    order = ShuffledBatches(dataset.shard_sizes, batch_size=size, num_batches=each * workers)
    batches = list(order)
    keys = list(chain.from_iterable(batches))
    images = [jpeg for key in keys for jpeg in _jpegs_of(dataset, key, view, STREAMS[loaded])]
    endless = load_batches(dataset, chain.from_iterable(repeat(batches)), workers=workers)
    bare_s, same_s, main_s = [], [], []
    with BareDecoders([images[worker::workers] for worker in range(workers)]) as bare:
        for _ in range(rounds):
            bare_s.append(bare.decode_all("opencv"))
            same_s.append(bare.decode_all("simplejpeg"))
            main_s.append(_load(endless, each * workers))
        _load(endless, workers)  # batches that come after those that count have begun
    loader_s = [
        dataset.cpu_seconds(n * each, (n + 1) * each) + main for n, main in enumerate(main_s)
    ]
    endless.close()
    rounds_s = list(zip(bare_s, same_s, loader_s, strict=True))[_WARM_UP_ROUNDS:]
    return LoaderResult(
        shard_format=shard_format,
        loaded=loaded,
        workers=workers,
        ratio=statistics.median(a / c for a, _, c in rounds_s),
        lowest_ratio=min(a / c for a, _, c in rounds_s),
        highest_ratio=max(a / c for a, _, c in rounds_s),
        same_decoder_ratio=statistics.median(b / c for _, b, c in rounds_s),
        bare_ms=statistics.median(a for a, _, _ in rounds_s) / len(keys) * 1e3,
        loader_ms=statistics.median(c for _, _, c in rounds_s) / len(keys) * 1e3,
        jpeg_kib=statistics.fmean(map(len, images)) / 1024,
    )


def _loadable(shards: Path) -> list[str]:
    """What can be loaded from the shards."""
    config = open_shard_folder(shards).run.config
    if not {"rgb", "flow", "pose"} <= set(config["modalities"]):
        return ["rgb"]
    storage = config.get("pose_storage", "both")
    lacking = {"overlay": "drawn", "keypoints": "all"}.get(storage)
    return [name for name in STREAMS if name != lacking]


def _jpegs_of(
    dataset: ShardDataset, key: SampleKey, view: ViewConfig, streams: Sequence[Stream]
) -> list[bytes]:
    """The JPEGs that the data set decodes for a sample."""
    path, place = dataset.locate(key.clip)
    record = open_shard(path).read(place, streams=streams)
    rng = clip_rng(0, key.epoch, record.clip_id)
    window = random_view(view, num_frames=record.num_frames, rng=rng).frames
    frames = np.unique(window).tolist()
    stored = (record.rgb, record.flow, record.flow_x, record.flow_y, record.pose_overlay)
    return [stream[t] for stream in stored if stream for t in frames]


def _load(batches: Iterator[ClipBatch], number: int) -> float:
    """Take batches; return the CPU seconds of this process."""
    start = time.process_time()
    for _ in range(number):
        next(batches)
    return time.process_time() - start


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--shards", type=Path, help="finished output folder; default: made here")
    parser.add_argument("--clips", type=int, default=8, help="clips to make")
    parser.add_argument("--formats", nargs="+", default=["tfrecord", "parquet"])
    parser.add_argument("--loaded", nargs="+", choices=STREAMS, help="default: all that can be")
    parser.add_argument("--workers", type=int, default=2, help="processes of each side")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--num-frames", type=int, default=64)
    parser.add_argument("--size", type=int, nargs=2, default=(224, 224), metavar=("H", "W"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
