"""The study: tests with known answers, and its mechanics on a handful of clips."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.calibrate_toy import calibration_plan
from perfnet.evaluation.evaluate import predict
from perfnet.evaluation.predictions import load_predictions
from perfnet.models.registry import ModelConfig
from perfnet.toy import study, study_runs
from perfnet.toy.config import ToyConfig
from perfnet.toy.paired_tests import holm, mcnemar_p, sign_flip_p, spread_of
from perfnet.toy.study import main, run_study
from perfnet.toy.study_plan import FUSIONS, RUNS, StudyPlan, folder_of, plan_of, view_of
from perfnet.toy.study_results import to_markdown
from perfnet.toy.study_runs import choose_weight, shuffle_classes
from perfnet.training.checkpoint import load_checkpoint
from perfnet.training.distill import Teachers
from schemas.errors import ConfigError


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([3.0, 1, 2, 5, 4], 2 / 32),  # all of one sign: the smallest p of five
        ([-3.0, -1, -2, -5, -4], 2 / 32),
        ([1.0] * 10, 2 / 1024),
        ([1.0, 2, 3, -1], 6 / 16),  # |sum| >= 5: 7, 5, 5 and their negatives
        ([1.0, -1], 1.0),
        ([0.0, 0, 0], 1.0),
        ([0.1, 0.2, -0.3], 1.0),  # a sum of 0 but for rounding
    ],
)
def test_sign_flip_p_counts_the_sign_patterns(differences: list[float], p: float) -> None:
    assert sign_flip_p(differences) == pytest.approx(p)


@pytest.mark.parametrize("number", [0, 21])
def test_sign_flip_p_refuses_too_few_and_too_many(number: int) -> None:
    with pytest.raises(ValueError, match=f"differences must be 1 to 20, got {number}"):
        sign_flip_p([1.0] * number)


def test_holm_multiplies_the_smallest_most_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_mcnemar_p_is_the_binomial_tail_of_the_clips_that_differ() -> None:
    first = np.array([True] * 8 + [False] * 2 + [True] * 50)
    second = np.array([False] * 8 + [True] * 2 + [True] * 50)
    assert mcnemar_p(first, second) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar_p(second, first) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar_p(first, first) == 1.0


def test_spread_is_that_of_a_sample() -> None:
    assert spread_of([1.0, 2, 3]) == pytest.approx((2, 1))
    assert spread_of([4.0]) == (4, 0)


def test_calibration_trains_rgb_alone_for_as_many_steps_as_the_study() -> None:
    preset = plan_of("reduced")
    plan = calibration_plan(preset, train_per_class=40, pixel_noise=50.0)
    assert plan.runs == ("RGB",)
    assert plan.steps == preset.steps
    assert (plan.toy.train_per_class, plan.toy.pixel_noise) == (40, 50.0)
    assert (plan.toy.val_per_class, plan.toy.test_per_class) == (25, 0), "test clips stay unseen"


@pytest.mark.parametrize("preset", ["smoke", "reduced", "full"])
def test_no_preset_mirrors_labels_that_tell_left_from_right(preset: str) -> None:
    plan = plan_of(preset)  # type: ignore[arg-type]
    assert not any(view_of(plan, run, is_random=True).may_mirror for run in RUNS.values())
    assert not set(plan.seeds) & {*plan.tuning_seeds, plan.toy.seed}


def test_presets_have_the_size_they_state() -> None:
    assert plan_of("reduced").steps == 450
    assert plan_of("full").steps == 3000
    assert plan_of("full").runs == tuple(RUNS)
    assert len({folder_of(name) for name in RUNS}) == len(RUNS)


TINY = StudyPlan(
    toy=ToyConfig(
        seed=99, num_classes=3, train_per_class=24, val_per_class=4, test_per_class=8,
        num_frames=6, size_px=24, formats=("parquet",),
    ),
    seeds=(0,),
    runs=("RGB", "Flow", "Pose", "SL", "UL"),
    weights=(0.005,),
    num_frames=6,
    crop_px=24,
    epochs=7,
    batch_size=8,
    model=ModelConfig(width_multiplier=0.125, depth_multiplier=0.34),
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    patch = pytest.MonkeyPatch()
    patch.setattr(study_runs, "Teachers", _RememberedTeachers)
    with patch.context():
        assert run_study(TINY, folder) is not None
    patch.undo()
    return folder


class _RememberedTeachers(Teachers):
    """Teachers whose state is kept as it was before training."""

    made: list[tuple[list[nn.Module], list[dict[str, torch.Tensor]]]] = []  # noqa: RUF012

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        before = [{k: v.clone() for k, v in m.state_dict().items()} for m in self.models]
        self.made.append((self.models, before))


@pytest.mark.slow
def test_teachers_are_bit_identical_after_training(output: Path) -> None:
    assert (output / "results.json").exists()
    assert len(_RememberedTeachers.made) == 2  # of SL and UL
    for models, before in _RememberedTeachers.made:
        assert len(models) == 2
        for model, state in zip(models, before, strict=True):
            assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())


@pytest.mark.slow
def test_loss_of_flow_and_pose_falls_within_the_smoke_run(output: Path) -> None:
    """RGB needs more steps than these to leave its plateau."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for name in ("Flow", "Pose"):
        (log,) = (output / "seed-0" / folder_of(name)).rglob("events.out.tfevents*")
        events = EventAccumulator(str(log)).Reload().Scalars("train/cross_entropy")
        losses = [event.value for event in events]
        assert len(losses) >= 6
        first, last = np.mean(losses[:3]), np.mean(losses[-3:])  # single batches go up and down
        assert last < 0.8 * first, name


@pytest.mark.slow
def test_flow_beats_chance(output: Path) -> None:
    results = json.loads((output / "results.json").read_text())
    assert results["top1"]["Flow"]["0"] > results["chance"]


@pytest.mark.slow
def test_one_seed_is_never_significant(output: Path) -> None:
    results = json.loads((output / "results.json").read_text())
    assert sorted(results["comparisons"]) == ["D1", "D2", "D4"]
    assert not any(each["is_significant"] for each in results["comparisons"].values())
    text = (output / "results.md").read_text()
    assert text == to_markdown(results)
    assert "No difference can be significant at 0.05." in text
    assert "| RGB+Flow+Pose |" in text


@pytest.mark.slow
def test_who_ends_last_takes_in_what_others_have_finished_meanwhile(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = []

    @contextmanager
    def claim_once_refused(path: Path, *, wait: bool) -> Iterator[bool]:
        is_first = path.name == "seed-0.lock" and not refused
        if is_first:
            refused.append(path)
            yield False
            return
        with study_runs.claim(path, wait=wait) as granted:
            yield granted

    monkeypatch.setattr(study, "claim", claim_once_refused)
    assert run_study(TINY, output) is not None
    assert refused


@pytest.mark.slow
def test_a_restart_trains_only_what_lacks_its_predictions(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[Path] = []
    fit = study_runs.fit
    monkeypatch.setattr(study_runs, "fit", lambda c, **o: trained.append(c.output) or fit(c, **o))
    before = (output / "results.json").read_bytes()
    path = output / "seed-0" / folder_of("UL") / "test.parquet"
    old = load_predictions(path)
    path.unlink()
    run_study(TINY, output)
    assert trained == [path.parent]  # and that from its last checkpoint
    assert np.array_equal(load_predictions(path).logits, old.logits)
    assert (output / "results.json").read_bytes() == before


@pytest.mark.slow
def test_the_folder_of_another_plan_is_refused(output: Path) -> None:
    with pytest.raises(ConfigError, match="output must be new or of the same preset"):
        run_study(replace(TINY, epochs=8), output)


@pytest.mark.slow
def test_shuffled_classes_are_the_teachers_logits_in_other_places(
    output: Path, tmp_path: Path
) -> None:
    teacher = output / "seed-0" / "flow"
    path = shuffle_classes(teacher, tmp_path / "shuffled.pt", seed=0)
    batch = torch.randn(2, 2, 6, 24, 24)
    own, shuffled = (_logits(each, batch) for each in (teacher, path))
    order = [int((own[0] == value).nonzero()) for value in shuffled[0]]
    assert sorted(order) == [0, 1, 2]
    assert all(place != source for place, source in enumerate(order))
    assert torch.equal(shuffled, own[:, order])


def _logits(path: Path, batch: torch.Tensor) -> torch.Tensor:
    from perfnet.training.checkpoint import restore_model

    with torch.inference_mode():
        logits: torch.Tensor = restore_model(load_checkpoint(path))(batch)
    return logits


@pytest.mark.slow
def test_the_weight_is_chosen_on_validation_clips_of_other_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []

    def watched(*args: object, **options: object) -> object:
        seen.append(args[2])  # type: ignore[arg-type]
        return predict(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(study_runs, "predict", watched)
    plan = replace(TINY, weights=(0.1, 0.01), tuning_seeds=(100,), epochs=1)
    weight = choose_weight(plan, tmp_path, workers=0)
    folders = sorted(path.name for path in (tmp_path / "seed-100").iterdir())
    assert folders == ["flow", "pose", "student-separate-0.01", "student-separate-0.1"]
    assert weight in plan.weights
    assert {path.name for path in seen} == {"val"}
    assert not (tmp_path / "seed-0").exists()


@pytest.mark.slow
def test_every_run_and_test_of_the_full_preset_is_made(tmp_path: Path) -> None:
    toy = replace(TINY.toy, train_per_class=6, test_per_class=2)
    results = run_study(replace(TINY, toy=toy, runs=tuple(RUNS), epochs=1), tmp_path)
    assert results is not None
    assert set(results["top1"]) == {*RUNS, *FUSIONS}
    assert list(results["comparisons"]) == ["D1", "D2", "D3", "D4"]
    again = load_checkpoint(tmp_path / "seed-0" / folder_of("RGB'"))
    assert again.training["config"]["seed"] == 1000
    on_black = load_checkpoint(tmp_path / "seed-0" / folder_of("Pose(BB)"))
    assert on_black.training["config"]["view"]["render"]["background"] == "black"


def test_a_plan_that_lacks_teachers_is_refused() -> None:
    with pytest.raises(ConfigError, match="runs must hold the teachers of SL first"):
        replace(TINY, runs=("RGB", "Flow", "SL"))
    with pytest.raises(ConfigError, match="tuning_seeds must be given with several weights"):
        replace(TINY, weights=(0.1, 0.2))
    with pytest.raises(ConfigError, match="tuning_seeds must not be seeds"):
        replace(TINY, weights=(0.1, 0.2), tuning_seeds=(0,))


def test_a_wrong_preset_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "huge", "-o", "x"]) == 2
    assert "huge" in capsys.readouterr().err
