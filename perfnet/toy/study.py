"""Does distillation help in the generated world? `python -m perfnet.toy.study`."""

import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from perfnet.toy.study_plan import Backbone, PresetName, StudyPlan, plan_of
from perfnet.toy.study_results import study_results, to_markdown
from perfnet.toy.study_runs import (
    SeedPredictions,
    choose_weight,
    claim,
    evaluation_shards,
    train_seed,
)
from schemas.errors import ConfigError, PrepError

LOGGER = logging.getLogger("perfnet_train")


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyOptions:
    """Train teachers, fusions and students in the generated world and test the differences.

    What is finished is kept: the same command goes on where it stopped. Several processes may run
    it at a time on one folder; each takes seeds that no other works on.
    """

    preset: PresetName
    """smoke: one seed, to see that all works. reduced: five seeds, for two cores. full: ten seeds,
    all controls, for a GPU."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder of clips, checkpoints, predictions, results.json and results.md."""
    backbone: Backbone = "r3d50g"
    """Network, in a small size."""
    workers: int = 0
    """Loader processes; 0 = load in the training process."""


def run_study(plan: StudyPlan, output: Path, *, workers: int = 0) -> dict[str, Any] | None:
    """Make every training of a plan that is not finished yet, then test the differences.

    Args:
        plan: What to train.
        output: Folder of the study.
        workers: Loader processes.

    Returns:
        The content of results.json; None if other processes still train.

    Raises:
        ConfigError: If the folder is of another plan.
        TrainingError: If a loss is not finite.
    """
    with claim(output / "study.lock", wait=True):
        _check_same_plan(plan, output)
        evaluation_shards(plan, output, "test")
        weight = choose_weight(plan, output, workers=workers)
    seeds: dict[int, SeedPredictions] = {}
    for seed in (*plan.seeds, *plan.seeds):  # again, for those that others have finished meanwhile
        if seed in seeds:
            continue
        with claim(output / f"seed-{seed}.lock", wait=False) as is_ours:
            if is_ours:
                seeds[seed] = train_seed(plan, output, seed, weight=weight, workers=workers)
    if len(seeds) < len(plan.seeds):
        return None
    results = study_results(plan, seeds, weight=weight)
    _write(output / "results.json", json.dumps(results, indent=2) + "\n")
    _write(output / "results.md", to_markdown(results))
    return results


def _check_same_plan(plan: StudyPlan, output: Path) -> None:
    """Raise ConfigError if the folder was begun with another plan."""
    path = output / "plan.json"
    text = json.dumps(asdict(plan), indent=2) + "\n"
    if not path.exists():
        _write(path, text)
    elif path.read_text("utf-8") != text:
        raise ConfigError(
            f"output must be new or of the same preset and backbone, got {output} with another "
            "plan.json; choose another --output"
        )


def _write(path: Path, text: str) -> None:
    """A file that appears under its name only when it is complete."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(text, "utf-8")
    unfinished.replace(path)


def main(argv: list[str]) -> int:
    """Run a study.

    Args:
        argv: Arguments without the program's name.

    Returns:
        0 done; 1 training failed; 2 usage or configuration error.
    """
    torch.set_num_threads(1)  # such small networks only lose by more; seeds are the parallelism
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        options = tyro.cli(StudyOptions, prog="perfnet.toy.study", args=argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    try:
        plan = plan_of(options.preset, options.backbone)
        results = run_study(plan, options.output, workers=options.workers)
    except (PrepError, OSError) as error:
        sys.stderr.write(f"perfnet.toy.study: {error}\n")
        return 2 if isinstance(error, ConfigError) else 1
    done = f"{options.output}/results.md"
    if results is None:
        done = f"other processes still train for {options.output}; run the same command after them"
    sys.stdout.write((to_markdown(results) if results else "") + done + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
