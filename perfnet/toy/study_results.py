"""What a study found: accuracies by seed, and the tests that were fixed before it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from perfnet.evaluation.metrics import accuracy_of, rank_of_label
from perfnet.evaluation.predictions import Predictions, fuse_predictions
from perfnet.toy.config import flow_ceiling
from perfnet.toy.paired_tests import holm, mcnemar_p, sign_flip_p, spread_of
from perfnet.toy.study_plan import COMPARISONS, FUSIONS, StudyPlan
from perfnet.toy.study_runs import SeedPredictions

SIGNIFICANT = 0.05
"""Two-sided, after Holm's adjustment."""


def study_results(
    plan: StudyPlan, seeds: Mapping[int, SeedPredictions], *, weight: float
) -> dict[str, Any]:
    """Return all figures of a study, JSON-ready.

    Args:
        plan: What was trained.
        seeds: Test predictions of every seed by run.
        weight: Distillation weight.
    """
    methods = {seed: {**runs, **_fusions(runs)} for seed, runs in seeds.items()}
    names = list(next(iter(methods.values())))
    accuracy = {
        name: {str(seed): accuracy_of(each[name]).top1 for seed, each in methods.items()}
        for name in names
    }
    return {
        "plan": asdict(plan),
        "distill_weight": weight,
        "chance": 1 / plan.toy.num_classes,
        "flow_ceiling": flow_ceiling(plan.toy.num_classes),
        "top1": accuracy,
        "summary": {name: spread_of(list(each.values()))._asdict()
                    for name, each in accuracy.items()},
        "comparisons": _compare(methods, accuracy),
        "smallest_p": min(1.0, 2 / 2 ** len(seeds)),
    }  # fmt: skip


def to_markdown(results: Mapping[str, Any]) -> str:
    """Return the figures as tables, with what may and may not be concluded."""
    seeds = list(next(iter(results["top1"].values())))
    lines = [
        f"Top-1 accuracy in %, {len(seeds)} seeds, distillation weight "
        f"{results['distill_weight']:g}. Chance is {100 * results['chance']:.1f}, flow alone can "
        f"reach {100 * results['flow_ceiling']:.1f}.",
        "",
        _row(["method", "mean", "SD", *(f"seed {seed}" for seed in seeds)]),
        _row(["---"] + ["---:"] * (2 + len(seeds))),
    ]
    for name, each in results["top1"].items():
        summary = results["summary"][name]
        values = [summary["mean"], summary["deviation"], *each.values()]
        lines.append(_row([name, *(f"{100 * value:.1f}" for value in values)]))
    lines += ["", *_test_table(results), ""]
    return "\n".join(lines)


def _test_table(results: Mapping[str, Any]) -> list[str]:
    header = ["test", "difference", "mean", "SD", "p", "p (Holm)", "significant"]
    lines = [_row(header), _row(["---", "---"] + ["---:"] * 4 + ["---"])]
    for name, found in results["comparisons"].items():
        lines.append(
            _row(
                [
                    name,
                    f"{found['first']} - {found['second']}",
                    f"{100 * found['mean']:+.1f}",
                    f"{100 * found['deviation']:.1f}",
                    f"{found['p']:.4f}",
                    f"{found['p_holm']:.4f}",
                    "yes" if found["is_significant"] else "no",
                ]
            )
        )
    smallest = results["smallest_p"]
    lines += ["", f"Exact sign-flip test over seeds, two-sided; the smallest p of so many seeds is "
              f"{smallest:.4g}." + (" No difference can be significant at 0.05."
                                    if smallest > SIGNIFICANT else "")]  # fmt: skip
    return lines


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _fusions(runs: SeedPredictions) -> SeedPredictions:
    """Late fusions whose networks were trained."""
    return {
        name: fuse_predictions([runs[each] for each in parts])
        for name, parts in FUSIONS.items()
        if set(parts) <= runs.keys()
    }


def _compare(
    methods: Mapping[int, SeedPredictions], accuracy: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, Any]]:
    """The primary tests whose methods were trained."""
    pairs = {name: pair for name, pair in COMPARISONS.items() if set(pair) <= accuracy.keys()}
    found: dict[str, dict[str, Any]] = {}
    for name, (first, second) in pairs.items():
        differences = [
            one - other
            for one, other in zip(accuracy[first].values(), accuracy[second].values(), strict=True)
        ]
        clip_tests = {
            str(seed): mcnemar_p(_is_right(each[first]), _is_right(each[second]))
            for seed, each in methods.items()
        }
        found[name] = {
            "first": first,
            "second": second,
            "differences": differences,
            **spread_of(differences)._asdict(),
            "p": sign_flip_p(differences),
            "mcnemar_p": clip_tests,
        }
    adjusted = holm([each["p"] for each in found.values()])
    for each, p_holm in zip(found.values(), adjusted, strict=True):
        each |= {"p_holm": p_holm, "is_significant": p_holm < SIGNIFICANT}
    return found


def _is_right(predictions: Predictions) -> npt.NDArray[np.bool_]:
    right: npt.NDArray[np.bool_] = rank_of_label(predictions.logits, predictions.label_indices) == 0
    return right
