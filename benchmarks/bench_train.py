"""Measure training steps: clips per second, peak memory, share of the device's arithmetic.

Run from the root of the repository:

```
python -m benchmarks.bench_train                          on a CUDA device: 64 x 224 x 224
python -m benchmarks.bench_train --input 8 64 64 --width 0.25     on a CPU
```

A step is forward, backward and SGD on random clips that lie on the device already. FLOP are counted
as 2 per multiply-add, three times the forward pass for a step. `utilisation` is their rate over
that of a large matrix product of the same precision, measured in the same run.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from perfnet.models.layers import to_channels_last
from perfnet.models.profile import profile_model
from perfnet.models.registry import ModelConfig, make_model
from perfnet.training.config import OptimizerConfig
from perfnet.training.optimizer import make_optimizer

_CLASSES = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """One network in one setting."""

    model: str
    precision: str
    is_compiled: bool
    saves_memory: bool
    clips_per_second: float
    peak_mib: float
    """Of the device; of the whole process on a CPU, where it never falls again."""
    utilisation: float
    """Rate of arithmetic over that of a matrix product."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    options = _parse(argv)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    peak = {name: matrix_product_rate(device, name) for name in options.precisions}
    results = []
    for name, precision, is_compiled in product(
        options.models, options.precisions, options.compiled
    ):
        result = measure_training(name, precision, is_compiled, device, peak[precision], options)
        results.append(result)
        sys.stdout.write(
            f"{result.model} {result.precision} {'compiled' if is_compiled else 'eager'}: "
            f"{result.clips_per_second:.2f} clips/s, {result.peak_mib:.0f} MiB, "
            f"{result.utilisation:.1%} of {peak[precision] / 1e12:.2f} TFLOP/s\n"
        )
    if options.output:
        options.output.write_text(json.dumps([asdict(result) for result in results], indent=1))
    return 0


def measure_training(
    name: str,
    precision: str,
    is_compiled: bool,  # noqa: FBT001 - one of the settings in order
    device: torch.device,
    peak: float,
    options: argparse.Namespace,
) -> TrainResult:
    """Time training steps of a network.

    Args:
        name: Network of the registry.
        precision: fp32 or bf16.
        is_compiled: With torch.compile.
        device: Where.
        peak: FLOP per second of a matrix product.
        options: `input`, `batch_size`, `width`, `save_memory` and `steps` of the command line.
    """
    config = ModelConfig(name=name, width_multiplier=options.width)  # type: ignore[arg-type]
    model = make_model(config, num_classes=_CLASSES)
    model.saves_memory = options.save_memory
    model = model.to(device).train()
    to_channels_last(model)
    optimizer = make_optimizer(model, OptimizerConfig())
    if is_compiled:
        model.compile()
    clip_bcthw = torch.rand(options.batch_size, 3, *options.input, device=device)
    clip_bcthw = clip_bcthw.contiguous(memory_format=torch.channels_last_3d)
    labels_b = torch.arange(options.batch_size, device=device) % _CLASSES
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits_bk = model(clip_bcthw)
        F.cross_entropy(logits_bk.float(), labels_b).backward()
        optimizer.step()
        optimizer.zero_grad()

    seconds = _seconds_of(step, device, options.steps)
    input_thw = (options.input[0], options.input[1], options.input[2])
    flops = 3 * profile_model(config, num_classes=_CLASSES, input_thw=input_thw).flops
    rate = options.batch_size / seconds
    return TrainResult(
        model=name,
        precision=precision,
        is_compiled=is_compiled,
        saves_memory=options.save_memory,
        clips_per_second=rate,
        peak_mib=_peak_mib(device),
        utilisation=rate * flops / peak,
    )


def matrix_product_rate(device: torch.device, precision: str) -> float:
    """Return the FLOP per second of a product of two large square matrices."""
    size = 8192 if device.type == "cuda" else 512
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matrix = torch.rand(size, size, device=device, dtype=dtype)
    seconds = _seconds_of(lambda: torch.mm(matrix, matrix), device, 10)
    return 2 * float(size) ** 3 / seconds


def _seconds_of(work: Callable[[], object], device: torch.device, repeats: int) -> float:
    """Median over the repeats, after two that do not count."""
    seconds = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[2:])


def _peak_mib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", nargs="+", default=["r3d50g", "s3dg"])
    parser.add_argument("--precisions", nargs="+", default=["bf16"], choices=["fp32", "bf16"])
    parser.add_argument("--compile", dest="compiled", nargs="+", type=int, default=[0])
    parser.add_argument("--input", type=int, nargs=3, default=[64, 224, 224])
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--width", type=float, default=1.0, help="width multiplier")
    parser.add_argument("--save-memory", action="store_true")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file for the results")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
