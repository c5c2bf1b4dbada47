"""Distillation: a student that looks at one stream learns the logits of frozen teachers.

Axes of tensors: n teachers, b batch, k classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from perfnet.data.collate import ClipBatch, to_model_input
from perfnet.modality import Modality
from perfnet.models.registry import is_signed
from perfnet.training.checkpoint import ModelCard, load_checkpoint, restore_model
from perfnet.training.config import Precision
from perfnet.training.objective import Loss
from perfnet.training.teacher_cache import TeacherCache
from schemas.errors import ConfigError

DistillMode = Literal["separate", "unified"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillConfig:
    """Teachers and how the student follows them.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    teachers: tuple[Path, ...]
    """Checkpoints, or folders of runs whose newest checkpoint is taken."""
    mode: DistillMode = "separate"
    """separate (SL): one squared error for each teacher; unified (UL): one for their sum."""
    weight: float = 1.0
    """Of the squared errors beside the cross-entropy. They are means over the classes: with few
    classes, number of classes / 600 pulls as hard as 1 does for Kinetics-600."""
    cache: Path | None = None
    """Folder that keeps the teachers' logits by clip and epoch, for the next run with the same
    teachers, data, view and seed."""

    def __post_init__(self) -> None:
        if not self.teachers:
            raise ConfigError("distill.teachers must name at least one checkpoint, got none")
        if not self.weight > 0:
            raise ConfigError(f"distill.weight must be > 0, got {self.weight}")


def distillation_loss(
    student_bk: torch.Tensor, teachers_nbk: torch.Tensor, mode: DistillMode
) -> torch.Tensor:
    """Return how far the student's logits are from the teachers', mean over batch and classes.

    Args:
        student_bk: float [b, k].
        teachers_nbk: float [n, b, k], without gradient.
        mode: `separate`: sum over the teachers of the mean squared error to each;
            `unified`: mean squared error to the sum of the teachers.

    References:
        Li et al. 2020 (PERF-Net), section 3.4, equations 1 (SL) and 2 (UL). Stroud et al. 2020
        (D3D) is the case of one teacher.
    """
    if mode == "unified":
        return F.mse_loss(student_bk, teachers_nbk.sum(dim=0))
    errors_n = [F.mse_loss(student_bk, teacher_bk) for teacher_bk in teachers_nbk]
    return torch.stack(errors_n).sum()


class Teachers:
    """Frozen networks that look at the same window, crop and mirror flag as the student.

    Args:
        paths: Their checkpoints.
        labels: Labels of the student; the teachers must have the same.
        device: Where they compute.
        precision: bf16 computes their logits in bfloat16.

    Raises:
        ConfigError: If a checkpoint is missing or has other labels.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        labels: tuple[str, ...],
        device: torch.device,
        precision: Precision = "fp32",
    ) -> None:
        self._device, self._precision = device, precision
        self.models: list[nn.Module] = []
        self.cards: list[ModelCard] = []
        self.fingerprints: list[str] = []
        self.segments: list[int | None] = []
        for path in paths:
            checkpoint = load_checkpoint(path)
            if checkpoint.card.labels != labels:
                raise ConfigError(
                    f"teacher {path} must have the {len(labels)} labels of the shards, "
                    f"got {len(checkpoint.card.labels)} that differ"
                )
            model = restore_model(checkpoint)
            model = model.to(device)
            model.requires_grad_(requires_grad=False)
            self.models.append(model)
            self.cards.append(checkpoint.card)
            self.fingerprints.append(checkpoint.fingerprint())
            trained = checkpoint.training.get("config", {}).get("view", {})
            self.segments.append(trained.get("num_segments"))

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Streams that they look at."""
        return tuple(dict.fromkeys(card.modality for card in self.cards))

    def logits(self, batch: ClipBatch) -> torch.Tensor:
        """Return float32 [n, b, k]: what every teacher says of a batch on their device."""
        outputs = []
        use_bf16 = self._precision == "bf16"
        for model, card in zip(self.models, self.cards, strict=True):
            inputs = to_model_input(batch, card.modality, signed=is_signed(card.model.name))
            autocast = torch.autocast(self._device.type, torch.bfloat16, enabled=use_bf16)
            with torch.no_grad(), autocast:
                outputs.append(model(inputs).float())
        return torch.stack(outputs)


class Distillation:
    """Labels and teachers: cross-entropy + weight x distillation loss.

    Args:
        config: Mode and weight.
        teachers: The networks.
        cache: Where logits are looked up and kept; None = computed for every batch.
        is_cache_full: The cache has all that will be asked for: streams that only teachers look
            at need not be loaded.
    """

    def __init__(
        self,
        config: DistillConfig,
        teachers: Teachers,
        *,
        cache: TeacherCache | None = None,
        is_cache_full: bool = False,
    ) -> None:
        self._config, self._teachers, self._cache = config, teachers, cache
        self._is_cache_full = is_cache_full

    @property
    def extra_modalities(self) -> tuple[Modality, ...]:
        """Streams of the teachers."""
        return () if self._is_cache_full else self._teachers.modalities

    @property
    def settings(self) -> dict[str, Any]:
        """Teachers and how they are followed."""
        config = self._config
        teachers = list(self._teachers.fingerprints)
        return {"mode": config.mode, "weight": config.weight, "teachers": teachers}

    def at_checkpoint(self) -> None:
        """Write new logits to the cache."""
        if self._cache is not None:
            self._cache.save()

    def loss(self, logits_bk: torch.Tensor, batch: ClipBatch, labels_b: torch.Tensor) -> Loss:
        """Return the loss of a batch; its parts say how hard each term pulls at the logits."""
        logits_bk = logits_bk.float()
        teachers_nbk = self._teacher_logits(batch).to(logits_bk.device)
        cross_entropy = F.cross_entropy(logits_bk, labels_b)
        distance = self._config.weight * distillation_loss(
            logits_bk, teachers_nbk, self._config.mode
        )
        ratio = _gradient_ratio(logits_bk, labels_b, teachers_nbk, self._config)
        parts = {
            "cross_entropy": float(cross_entropy.detach()),
            "distillation": float(distance.detach()),
            "distillation_pull": ratio,
        }
        return Loss(cross_entropy + distance, parts)

    def _teacher_logits(self, batch: ClipBatch) -> torch.Tensor:
        if self._cache is None:
            return self._teachers.logits(batch)
        found = self._cache.find(batch["clip_id"], batch["epoch"])
        if found is None:
            found = self._teachers.logits(batch).cpu()
            self._cache.add(batch["clip_id"], batch["epoch"], found)
        return found


def _gradient_ratio(
    logits_bk: torch.Tensor,
    labels_b: torch.Tensor,
    teachers_nbk: torch.Tensor,
    config: DistillConfig,
) -> float:
    """Norm of the distillation term's gradient at the logits over that of the cross-entropy."""
    leaf_bk = logits_bk.detach().requires_grad_()
    with torch.enable_grad():
        cross_entropy = F.cross_entropy(leaf_bk, labels_b)
        distance = config.weight * distillation_loss(leaf_bk, teachers_nbk, config.mode)
        (of_labels,) = torch.autograd.grad(cross_entropy, leaf_bk)
        (of_teachers,) = torch.autograd.grad(distance, leaf_bk)
    return float(of_teachers.norm() / of_labels.norm().clamp_min(1e-12))
