"""How hard the generated world is for RGB: `python -m benchmarks.calibrate_toy`.

The study is fair only where RGB alone is neither lost nor done (60 to 80 %). This trains RGB alone,
on seeds that no study uses, and measures it on validation clips.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from perfnet.evaluation.metrics import accuracy_of
from perfnet.toy.study_plan import StudyPlan, plan_of
from perfnet.toy.study_runs import train_seed


def calibration_plan(preset: StudyPlan, *, train_per_class: int, pixel_noise: float) -> StudyPlan:
    """Return the plan of RGB alone in such a world, measured on validation clips.

    Args:
        preset: What else is trained how; the number of steps stays as there.
        train_per_class: Training clips of each class.
        pixel_noise: Standard deviation, in grey levels.
    """
    toy = replace(
        preset.toy,
        train_per_class=train_per_class,
        pixel_noise=pixel_noise,
        val_per_class=25,
        test_per_class=0,
    )
    epochs = round(preset.epochs * preset.toy.train_per_class / train_per_class)
    return replace(
        preset,
        toy=toy,
        epochs=epochs,
        runs=("RGB",),
        weights=preset.weights[:1],
        tuning_seeds=(),
    )


def main(argv: Sequence[str]) -> int:
    """Print validation accuracy by number of training clips and seed."""
    parser = argparse.ArgumentParser(description="Measure RGB alone.")
    parser.add_argument("--preset", choices=("reduced", "full"), default="reduced")
    parser.add_argument("--train-per-class", type=int, nargs="+", default=[20])
    parser.add_argument("--pixel-noise", type=float, default=100.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101])
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    for number in options.train_per_class:
        plan = calibration_plan(
            plan_of(options.preset), train_per_class=number, pixel_noise=options.pixel_noise
        )
        with tempfile.TemporaryDirectory() as folder:
            for seed in options.seeds:
                predictions = train_seed(
                    plan, Path(folder), seed, split="val", weight=plan.weights[0], workers=0
                )
                top1 = 100 * accuracy_of(predictions["RGB"]).top1
                sys.stdout.write(f"{number} clips per class, seed {seed}: RGB {top1:.1f} %\n")
                sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
