"""Accuracy of predictions."""

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
