"""Pairs per second of the GPU flow engine, and its difference to the CPU engine.

Run: python benchmarks/bench_tvl1_gpu.py [--batch 64] [--output result.json]
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch

from flow.tvl1 import Tvl1Config, tvl1_clip_flow
from flow.tvl1_gpu import gpu_clip_flow

HEIGHT, WIDTH = 256, 340


def moving_texture(num_frames: int) -> np.ndarray:
    """uint8 [T, 256, 340]: smooth noise that moves 2 px right and 1 px down per frame."""
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (1, 1, 60, 100)).astype(np.float32)
    size = (HEIGHT + num_frames, WIDTH + 2 * num_frames)
    big = torch.nn.functional.interpolate(torch.from_numpy(coarse), size, mode="bicubic")[0, 0]
    image = big.clamp(0, 255).byte().numpy()
    offsets = range(num_frames - 1, -1, -1)
    return np.stack([image[o : o + HEIGHT, 2 * o : 2 * o + WIDTH] for o in offsets])


def main() -> int:
    """Measure and print one JSON object; status 2 without a CUDA device."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64, help="pairs on the device at a time")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stderr.write("a CUDA device is needed, got none\n")
        return 2
    frames = moving_texture(options.batch + 1)
    result: dict[str, object] = {"device": torch.cuda.get_device_name(), "batch": options.batch}
    for mode in ("quality", "fast"):
        config = Tvl1Config(mode=mode)
        flow = gpu_clip_flow(frames, config=config, pairs_per_batch=options.batch)  # compiles
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(options.rounds):
            gpu_clip_flow(frames, config=config, pairs_per_batch=options.batch)
        end.record()
        torch.cuda.synchronize()
        seconds = start.elapsed_time(end) / 1000
        expected = tvl1_clip_flow(frames[:3], config=config)
        result[mode] = {
            "pairs_per_second": options.batch * options.rounds / seconds,
            "mean_difference_to_cpu_px": float(np.abs(flow[:2] - expected[:2]).mean()),
        }
    text = json.dumps(result, indent=2)
    sys.stdout.write(text + "\n")
    if options.output:
        options.output.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
