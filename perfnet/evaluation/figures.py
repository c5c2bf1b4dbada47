"""Confusion matrix and accuracy of the classes as pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from perfnet.evaluation.metrics import ClassAccuracy

_MOST_NAMES = 60
"""More classes than this are not named at the sides of the matrix."""


def draw_confusion(
    matrix: npt.NDArray[np.int64], labels: Sequence[str], path: Path, *, title: str
) -> None:
    """Write a PNG of a confusion matrix, each row as shares of its class.

    Args:
        matrix: int64 [K, K]: clips by right class (row) and predicted class (column).
        labels: K texts.
        path: The file.
        title: Stands above.
    """
    totals = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    is_named = len(labels) <= _MOST_NAMES
    side = 3.5 + (0.22 * len(labels) if is_named else 6.5)
    figure = _new_figure(side + 1.8, side)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, fraction=0.046, label="share of the class")
    axes.set_title(title, parse_math=False, fontsize=10)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("class")
    if is_named:
        places = range(len(labels))
        axes.set_xticks(places, labels, rotation=90, fontsize=7, parse_math=False)
        axes.set_yticks(places, labels, fontsize=7, parse_math=False)
    _save(figure, path)


def draw_classes(rows: Sequence[ClassAccuracy], path: Path, *, title: str) -> None:
    """Write a PNG of the classes with clips, best first: a bar of the top-1 accuracy of each.

    Args:
        rows: The classes.
        path: The file.
        title: Stands above.
    """
    ranked = sorted((row for row in rows if row.num_clips), key=lambda row: -row.top1)
    figure = _new_figure(8, 1.2 + 0.2 * len(ranked))
    axes = figure.add_subplot()
    places = list(range(len(ranked)))
    axes.barh(places, [row.top1 for row in ranked], height=0.7, color="#4878a8")
    names = [f"{row.label} ({row.num_clips})" for row in ranked]
    axes.set_yticks(places, names, fontsize=7, parse_math=False)
    for place, row in enumerate(ranked):
        note = f" {row.top1:.0%}"
        if row.taken_for:
            note += f", {row.taken_share:.0%} taken for {row.taken_for}"
        axes.text(row.top1, place, note, va="center", fontsize=6.5, parse_math=False)
    axes.set_ylim(len(ranked) - 0.4, -0.6)
    axes.set_xlim(0, 1.6)  # room for the notes
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"], fontsize=7)
    axes.set_xlabel("top-1 accuracy (number of clips beside the names)", fontsize=8)
    axes.set_title(title, parse_math=False, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _new_figure(width_inches: float, height_inches: float) -> Figure:
    figure = Figure(figsize=(width_inches, height_inches), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Software": None})
