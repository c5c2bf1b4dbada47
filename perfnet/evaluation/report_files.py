"""What an evaluation leaves behind: predictions, accuracy, confusion matrix, table of classes."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from perfnet.evaluation.figures import draw_classes, draw_confusion
from perfnet.evaluation.metrics import (
    Accuracy,
    ClassAccuracy,
    accuracy_of,
    class_accuracies,
    confusion_matrix,
    mean_accuracy,
)
from perfnet.evaluation.predictions import Predictions, save_predictions

PREDICTIONS = "predictions.parquet"


def split_folder(output: Path, split: int, num_splits: int) -> Path:
    """Return the folder of a split (0 is the first): the output itself if it is the only one."""
    return output if num_splits == 1 else output / f"split-{split + 1}"


def write_report(
    splits: Sequence[Predictions], output: Path, *, sources: Sequence[Any]
) -> Accuracy:
    """Write the files of an evaluation; older ones of the same names are replaced.

    Each split gets predictions.parquet, confusion.csv, confusion.png, classes.csv and classes.png;
    accuracy.json holds the accuracy of every split and their mean.

    Args:
        splits: Predictions of each split; at least one.
        output: Folder; made if need be.
        sources: What made the predictions of each split, JSON-ready, for accuracy.json.

    Returns:
        The mean over the splits.

    Raises:
        ConfigError: If a split has no labelled clip.
    """
    accuracies = [accuracy_of(split) for split in splits]
    for index, (split, accuracy) in enumerate(zip(splits, accuracies, strict=True)):
        _write_split(split, accuracy, split_folder(output, index, len(splits)))
    mean = mean_accuracy(accuracies)
    parts = [
        {**accuracy._asdict(), "sources": source}
        for accuracy, source in zip(accuracies, sources, strict=True)
    ]
    text = json.dumps({**mean._asdict(), "splits": parts}, indent=2, ensure_ascii=False)
    (output / "accuracy.json").write_text(text + "\n", "utf-8")
    return mean


def _write_split(predictions: Predictions, accuracy: Accuracy, folder: Path) -> None:
    save_predictions(predictions, folder / PREDICTIONS)
    labels, matrix = predictions.labels, confusion_matrix(predictions)
    rows = class_accuracies(predictions)
    counts = ([label, *row.tolist()] for label, row in zip(labels, matrix, strict=True))
    _write_csv(folder / "confusion.csv", ["class", *labels], counts)
    _write_csv(folder / "classes.csv", ClassAccuracy._fields, rows)
    title = accuracy.describe()
    draw_confusion(matrix, labels, folder / "confusion.png", title=title)
    draw_classes(rows, folder / "classes.png", title=title)


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
