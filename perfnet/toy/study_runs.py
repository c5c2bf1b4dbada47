"""The trainings of a study, each of which leaves its predictions and is never made twice."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import cast

import numpy as np
import torch

from perfnet.evaluation.evaluate import EvalConfig, predict
from perfnet.evaluation.metrics import accuracy_of
from perfnet.evaluation.predictions import Predictions, load_predictions, save_predictions
from perfnet.toy.config import Split
from perfnet.toy.shards import write_toy
from perfnet.toy.study_plan import RUNS, Run, StudyPlan, folder_of, view_of
from perfnet.training.checkpoint import load_checkpoint, restore_model, save_checkpoint
from perfnet.training.config import FitConfig, OptimizerConfig
from perfnet.training.distill import Distillation, DistillConfig, Teachers
from perfnet.training.fit import fit
from perfnet.training.schedule import ScheduleConfig

LOGGER = logging.getLogger("perfnet_train")

SeedPredictions = dict[str, Predictions]
"""What the networks of one seed say of the test clips, by run."""


def evaluation_shards(plan: StudyPlan, output: Path, split: Split) -> Path:
    """Return the clips that all seeds are measured on; they are generated if need be."""
    folder = output / "data" / "evaluation" / split
    if not folder.exists():
        toy = replace(
            plan.toy,
            train_per_class=0,
            val_per_class=plan.toy.val_per_class if split == "val" else 0,
            test_per_class=plan.toy.test_per_class if split == "test" else 0,
        )
        write_toy(toy, folder.parent)
    return folder


def train_seed(
    plan: StudyPlan,
    output: Path,
    seed: int,
    *,
    split: Split = "test",
    weight: float,
    workers: int,
) -> SeedPredictions:
    """Make every training of a seed that is not finished yet.

    Args:
        plan: What to train.
        output: Folder of the study.
        seed: Draws the training clips, the initial weights and the order.
        split: What it is measured on.
        weight: Distillation weight.
        workers: Loader processes.
    """
    trainings = _Trainings(plan, output, seed, split=split, workers=workers)
    return {name: trainings.predictions(name, weight) for name in plan.runs}


def choose_weight(plan: StudyPlan, output: Path, *, workers: int) -> float:
    """Return the weight with the best mean validation accuracy of SL over the tuning seeds.

    Args:
        plan: Weights to choose from; of equally good ones the smallest is taken.
        output: Folder of the study.
        workers: Loader processes.
    """
    if len(plan.weights) == 1:
        return plan.weights[0]
    accuracy: dict[float, list[float]] = {weight: [] for weight in plan.weights}
    for seed in plan.tuning_seeds:
        trainings = _Trainings(plan, output, seed, split="val", workers=workers)
        for weight in plan.weights:
            predictions = trainings.predictions("SL", weight, tag=f"-{weight:g}")
            accuracy[weight].append(accuracy_of(predictions).top1)
    means = {weight: float(np.mean(each)) for weight, each in accuracy.items()}
    LOGGER.info("validation accuracy of SL by weight: %s", means)
    return min(means, key=lambda weight: (-means[weight], weight))


@contextmanager
def claim(path: Path, *, wait: bool) -> Iterator[bool]:
    """Keep other processes of the same study out, until the claim or the process ends.

    Args:
        path: Lock file.
        wait: Wait until the other process is done.

    Yields:
        Whether the claim was granted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


class _Trainings:
    """The trainings of one seed."""

    def __init__(
        self, plan: StudyPlan, output: Path, seed: int, *, split: Split, workers: int
    ) -> None:
        self._plan, self._seed, self._split, self._workers = plan, seed, split, workers
        self._evaluation = evaluation_shards(plan, output, split)
        self._folder = output / f"seed-{seed}"
        self._shards = output / "data" / f"seed-{seed}" / "train"
        if not self._shards.exists():
            toy = replace(plan.toy, seed=seed, val_per_class=0, test_per_class=0)
            write_toy(toy, self._shards.parent)

    def predictions(self, name: str, weight: float, *, tag: str = "") -> Predictions:
        """Predictions of a run; it is trained first, and its teachers, unless they were."""
        run, folder = RUNS[name], self._folder / (folder_of(name) + tag)
        path = folder / f"{self._split}.parquet"
        if path.exists():
            return load_predictions(path)
        for teacher in run.teachers:
            self.predictions(teacher, weight)
        started = perf_counter()
        config = self._fit_config(run, folder)
        checkpoint = load_checkpoint(fit(config, objective=self._objective(run, folder, weight)))
        model = restore_model(checkpoint).to(_device())
        options = EvalConfig(
            view=config.eval_view, batch_size=config.batch_size, workers=self._workers
        )
        predictions = predict(model, checkpoint.card, self._evaluation, options)
        unfinished = path.with_suffix(".unfinished")
        save_predictions(predictions, unfinished)
        unfinished.replace(path)
        LOGGER.info(
            "seed %d: %s in %.0f s, %s top-1 %.1f %%",
            *(self._seed, name, perf_counter() - started, self._split),
            100 * accuracy_of(predictions).top1,
        )
        return predictions

    def _fit_config(self, run: Run, folder: Path) -> FitConfig:
        plan = self._plan
        return FitConfig(
            shards=self._shards,
            output=folder,
            modality=run.modality,
            batch_size=plan.batch_size,
            workers=self._workers,
            seed=self._seed + run.seed_offset,
            log_every=10,
            model=plan.model,
            view=view_of(plan, run, is_random=True),
            eval_view=view_of(plan, run, is_random=False),
            schedule=ScheduleConfig(
                steps=plan.steps,
                warmup_steps=plan.steps // 10,
                learning_rate=plan.learning_rate,
                cosine="from_start",
            ),
            optimizer=OptimizerConfig(nesterov=True),
        )

    def _objective(self, run: Run, folder: Path, weight: float) -> Distillation | None:
        """The loss of a student; None for labels alone."""
        if not run.teachers:
            return None
        teachers = tuple(self._folder / folder_of(name) for name in run.teachers)
        if run.shuffles_labels:
            teachers = tuple(
                shuffle_classes(path, folder / f"teacher-{n}.pt", seed=self._seed)
                for n, path in enumerate(teachers)
            )
        config = DistillConfig(teachers=teachers, mode=run.mode, weight=weight * run.pull)
        labels = load_checkpoint(teachers[0]).card.labels
        return Distillation(config, Teachers(teachers, labels=labels, device=_device()))


def shuffle_classes(teacher: Path, path: Path, *, seed: int) -> Path:
    """Write a checkpoint whose logit of every class is the teacher's of another one.

    Args:
        teacher: A checkpoint, or the folder of a run.
        path: The file to write.
        seed: Draws the exchange: one cycle through all classes, so that none keeps its place.

    Returns:
        The path.
    """
    checkpoint = load_checkpoint(teacher)
    num_classes = len(checkpoint.card.labels)
    cycle = np.random.default_rng(seed).permutation(num_classes)
    source = np.empty(num_classes, np.int64)
    source[cycle] = np.roll(cycle, 1)
    weights = {
        name: value[torch.from_numpy(source)] if name.startswith("head.") else value
        for name, value in checkpoint.weights.items()
    }
    save_checkpoint(path, card=checkpoint.card, weights=weights, training=dict(checkpoint.training))
    return path


def _device() -> torch.device:
    return cast("torch.device", torch.device("cuda" if torch.cuda.is_available() else "cpu"))
