"""Distil teachers into a student: the ordinary training loop with another objective."""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from accelerate import PartialState

from perfnet.data.order import OrderConfig, ShuffledBatches
from perfnet.data.shard_dataset import ShardDataset
from perfnet.model_view import check_view
from perfnet.training.config import FitConfig
from perfnet.training.distill import Distillation, DistillConfig, Teachers
from perfnet.training.fit import fit
from perfnet.training.teacher_cache import TeacherCache

LOGGER = logging.getLogger("perfnet_train")


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillRunConfig:
    """Train a student on labels and on the logits of frozen teachers.

    PERF-Net has teachers of flow and pose and a student of rgb; D3D one teacher of flow.
    """

    fit: FitConfig
    """The student and its data. The shards must hold the streams of the teachers as well."""
    distill: DistillConfig
    """The teachers."""


def distill(config: DistillRunConfig) -> Path:
    """Train a student; go on from the newest checkpoint of the output folder if there is one.

    Args:
        config: Student, data and teachers.

    Returns:
        The last checkpoint of the student.

    Raises:
        ConfigError: If a teacher is missing or does not fit the shards, or the cache is of other
            teachers or data.
        TrainingError: As `fit`.
    """
    return fit(config.fit, objective=make_distillation(config))


def make_distillation(config: DistillRunConfig) -> Distillation:
    """Return the objective of a distillation, with its teachers on the device of this process.

    Raises:
        ConfigError: As `distill`.
    """
    dataset = ShardDataset(
        config.fit.shards, modalities=(config.fit.modality,), view=config.fit.view
    )
    state = PartialState()
    teachers = Teachers(
        config.distill.teachers,
        labels=dataset.labels.texts,
        device=state.device,
        precision=config.fit.precision,
    )
    for card in teachers.cards:
        check_view(card.model, config.fit.view, name="view")
    if state.is_main_process:
        _warn_of_other_segments(config, teachers)
    if config.distill.cache is None:
        return Distillation(config.distill, teachers)
    key = {
        "teachers": teachers.fingerprints,
        "clips": dataset.fingerprint,
        "view": asdict(config.fit.view),
        "seed": config.fit.seed,
        "precision": config.fit.precision,
    }
    cache = TeacherCache(config.distill.cache, key)
    is_full = cache.has(_clips_and_epochs(config.fit, dataset, state.num_processes))
    return Distillation(config.distill, teachers, cache=cache, is_cache_full=is_full)


def _warn_of_other_segments(config: DistillRunConfig, teachers: Teachers) -> None:
    """Say which teachers see other frames than those that they have learned from."""
    own = config.fit.view.num_segments
    for path, segments in zip(config.distill.teachers, teachers.segments, strict=True):
        if segments != own:
            text = "teacher %s was trained on %s and looks at %s here; see --view.num-segments"
            LOGGER.warning(text, path, _describe_segments(segments), _describe_segments(own))


def _describe_segments(segments: int | None) -> str:
    return "consecutive frames" if segments is None else f"{segments} segments"


def _clips_and_epochs(
    config: FitConfig, dataset: ShardDataset, num_processes: int
) -> Iterator[tuple[str, int]]:
    """All that the processes of a run will see."""
    clip_ids = dataset.clip_ids
    batches = ShuffledBatches(
        dataset.shard_sizes,
        batch_size=config.batch_size * num_processes,
        num_batches=config.schedule.total_steps * config.accumulate,
        config=OrderConfig(seed=config.seed),
    )
    for batch in batches:
        for key in batch:
            yield clip_ids[key.clip], key.epoch
