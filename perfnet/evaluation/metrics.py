"""Accuracy of predictions."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from perfnet.evaluation.predictions import Predictions
from schemas.errors import ConfigError


class Accuracy(NamedTuple):
    """Shares of the labelled clips, 0 to 1."""

    top1: float
    top5: float
    mean_class: float
    """Mean over the classes that have clips of the share of each that is right."""
    num_clips: int

    def describe(self) -> str:
        """Return one line in percent."""
        return (
            f"top-1 {self.top1:.2%}, top-5 {self.top5:.2%}, mean class {self.mean_class:.2%} "
            f"of {self.num_clips} clips"
        )


class ClassAccuracy(NamedTuple):
    """One class; NaN and "" where there is nothing to say."""

    label: str
    num_clips: int
    top1: float
    top5: float
    taken_for: str
    """The class that its clips are wrongly taken for most often."""
    taken_share: float
    """Share of its clips that are."""


def accuracy_of(predictions: Predictions) -> Accuracy:
    """Return the accuracy over the clips that have a label.

    Raises:
        ConfigError: If no clip has one.
    """
    labelled = predictions.label_indices >= 0
    labels, logits = predictions.label_indices[labelled], predictions.logits[labelled]
    if not len(labels):
        raise ConfigError("predictions must have labelled clips, got none; use a labelled split")
    ranks = rank_of_label(logits, labels)
    is_right = ranks == 0
    per_class = [is_right[labels == label].mean() for label in np.unique(labels)]
    return Accuracy(
        top1=float(is_right.mean()),
        top5=float((ranks < 5).mean()),
        mean_class=float(np.mean(per_class)),
        num_clips=len(labels),
    )


def mean_accuracy(splits: Sequence[Accuracy]) -> Accuracy:
    """Return the mean over the splits of a data set, each of the same weight.

    Args:
        splits: At least one.
    """
    return Accuracy(
        top1=float(np.mean([split.top1 for split in splits])),
        top5=float(np.mean([split.top5 for split in splits])),
        mean_class=float(np.mean([split.mean_class for split in splits])),
        num_clips=sum(split.num_clips for split in splits),
    )


def class_accuracies(predictions: Predictions) -> list[ClassAccuracy]:
    """Return one row for each class, in index order; classes without clips included."""
    labels = predictions.label_indices
    labelled = labels >= 0
    ranks = np.full(len(labels), -1)
    ranks[labelled] = rank_of_label(predictions.logits[labelled], labels[labelled])
    wrong = confusion_matrix(predictions)
    np.fill_diagonal(wrong, 0)
    rows = []
    for index, label in enumerate(predictions.labels):
        of_class = ranks[labels == index]
        number, most = len(of_class), int(wrong[index].argmax())
        is_taken = wrong[index, most] > 0
        rows.append(
            ClassAccuracy(
                label=label,
                num_clips=number,
                top1=float((of_class == 0).mean()) if number else float("nan"),
                top5=float((of_class < 5).mean()) if number else float("nan"),
                taken_for=predictions.labels[most] if is_taken else "",
                taken_share=float(wrong[index, most] / number) if number else float("nan"),
            )
        )
    return rows


def rank_of_label(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return int64 [N]: how many classes score higher than the right one, ties by lower index.

    Args:
        logits: float32 [N, K].
        labels: int64 [N], 0 to K - 1.
    """
    own = logits[np.arange(len(labels)), labels][:, None]
    before = np.arange(logits.shape[1])[None] < labels[:, None]
    ranks: npt.NDArray[np.int64] = ((logits > own) | ((logits == own) & before)).sum(axis=1)
    return ranks


def confusion_matrix(predictions: Predictions) -> npt.NDArray[np.int64]:
    """Return int64 [K, K]: clips by right class (row) and predicted class (column)."""
    num_classes = len(predictions.labels)
    labelled = predictions.label_indices >= 0
    labels = predictions.label_indices[labelled]
    predicted = predictions.logits[labelled].argmax(axis=1)
    matrix = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix
