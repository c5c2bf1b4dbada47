"""Students follow frozen teachers as the equations of the paper say."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from perfnet import to_model_input
from perfnet.modality import channels_of
from perfnet.models.registry import make_model
from perfnet.training import distill_run
from perfnet.training.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from perfnet.training.distill import DistillConfig, Teachers, distillation_loss
from perfnet.training.distill_run import DistillRunConfig, distill, make_distillation
from perfnet.training.fit import fit
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError
from tests.perfnet.training_runs import TINY_R3D, TINY_S3D, VIEW, tiny_fit

LABELS = ("jump", "squat", "wave")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


def make_teacher(path: Path, modality: Any, *, seed: int, model: Any = TINY_R3D) -> Path:
    """A checkpoint with random weights whose logits differ from clip to clip."""
    torch.manual_seed(seed)
    card = ModelCard(
        model=model, modality=modality, in_channels=channels_of(modality), labels=LABELS
    )
    network = make_model(model, num_classes=3, in_channels=card.in_channels)
    torch.nn.init.normal_(network.head.weight, std=2.0)
    save_checkpoint(path, card=card, weights=network.state_dict(), training={})
    return path


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("teachers")
    flow = make_teacher(folder / "flow.pt", "flow", seed=1, model=TINY_S3D)
    return flow, make_teacher(folder / "pose.pt", "pose", seed=2)


def config_of(shards: Path, output: Path, teachers: Any, **changes: Any) -> DistillRunConfig:
    options = {name: changes.pop(name) for name in ("mode", "weight", "cache") if name in changes}
    return DistillRunConfig(
        fit=tiny_fit(shards, output, **changes),
        distill=DistillConfig(teachers=tuple(teachers), **options),
    )


def _random_logits() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    student_bk = torch.randn(4, 5, generator=generator, requires_grad=True)
    return student_bk, 3 * torch.randn(3, 4, 5, generator=generator)


def test_separate_loss_is_the_sum_of_mean_squares_and_unified_that_to_the_sum() -> None:
    student_bk, teachers_nbk = torch.zeros(1, 2), torch.tensor([[[1.0, 3.0]], [[2.0, -1.0]]])
    assert (
        float(distillation_loss(student_bk, teachers_nbk, "separate")) == (1 + 9) / 2 + (4 + 1) / 2
    )
    assert float(distillation_loss(student_bk, teachers_nbk, "unified")) == (9 + 4) / 2
    one = teachers_nbk[:1]  # D3D: with one teacher they are the same
    assert torch.equal(
        *(distillation_loss(student_bk, one, mode) for mode in ("separate", "unified"))
    )


def test_separate_pulls_to_the_mean_of_the_teachers_and_unified_to_their_sum() -> None:
    student_bk, teachers_nbk = _random_logits()
    number, batch, classes = teachers_nbk.shape
    scale = 2 / (batch * classes)
    (separate,) = torch.autograd.grad(
        distillation_loss(student_bk, teachers_nbk, "separate"), student_bk
    )
    toward_mean = number * scale * (student_bk - teachers_nbk.mean(dim=0))
    torch.testing.assert_close(separate, toward_mean)
    (unified,) = torch.autograd.grad(
        distillation_loss(student_bk, teachers_nbk, "unified"), student_bk
    )
    torch.testing.assert_close(unified, scale * (student_bk - teachers_nbk.sum(dim=0)))
    assert not torch.allclose(separate, unified)


@pytest.mark.parametrize("mode", ["separate", "unified"])
def test_loss_is_cross_entropy_plus_weighted_distance_and_tells_their_pulls(
    shards: Path, tmp_path: Path, teachers: tuple[Path, Path], mode: Any
) -> None:
    config = config_of(shards, tmp_path, teachers, mode=mode, weight=0.3)
    objective = make_distillation(config)
    student_bk, teachers_nbk = _random_logits()
    labels_b = torch.tensor([0, 1, 2, 3])
    objective._teacher_logits = lambda _batch: teachers_nbk  # type: ignore[method-assign]
    loss = objective.loss(student_bk, {}, labels_b)
    entropy = torch.nn.functional.cross_entropy(student_bk, labels_b)
    distance = 0.3 * distillation_loss(student_bk, teachers_nbk, mode)
    torch.testing.assert_close(loss.total, entropy + distance)
    of_labels, of_teachers = (
        torch.autograd.grad(part, student_bk, retain_graph=True)[0].norm()
        for part in (entropy, distance)
    )
    assert loss.parts == pytest.approx(
        {
            "cross_entropy": entropy.item(),
            "distillation": distance.item(),
            "distillation_pull": float(of_teachers / of_labels),
        },
        rel=1e-5,
    )


def test_teachers_stay_bit_for_bit_while_the_student_learns(
    shards: Path, tmp_path: Path, teachers: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Teachers] = []

    class Kept(Teachers):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(self)

    monkeypatch.setattr(distill_run, "Teachers", Kept)
    before = [load_checkpoint(path).weights for path in teachers]
    config = config_of(shards, tmp_path / "run", teachers, weight=1.0)
    student = load_checkpoint(distill(config))
    for model, weights, path in zip(made[0].models, before, teachers, strict=True):
        assert not model.training
        state = model.state_dict()
        assert state.keys() == weights.keys()  # running means, variances and counts among them
        for name, value in weights.items():
            assert torch.equal(state[name], value), name
            assert torch.equal(load_checkpoint(path).weights[name], value)
        assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    alone = load_checkpoint(fit(tiny_fit(shards, tmp_path / "alone")))
    assert not torch.equal(alone.weights["head.weight"], student.weights["head.weight"])
    assert student.card.modality == "rgb"


def test_teachers_see_window_crop_and_mirror_flag_of_the_student(
    shards: Path, tmp_path: Path
) -> None:
    # A teacher on the student's own stream, with the same weights, has the same logits.
    still = dataclasses.replace(TINY_R3D, dropout=0.0)
    path = make_teacher(tmp_path / "rgb.pt", "rgb", seed=5, model=still)
    config = config_of(shards, tmp_path / "run", [path], model=still, steps=1, init=path)
    objective = make_distillation(config)
    distances = []

    def loss(logits_bk: torch.Tensor, batch: Any, labels_b: torch.Tensor) -> Any:
        network = objective._teachers.models[0]
        network.train()  # the student is in training mode at its first step
        with torch.no_grad():
            inputs = to_model_input(batch, "rgb")
            distances.append(float((network(inputs) - logits_bk).abs().max()))
        return original(logits_bk, batch, labels_b)

    original = objective.loss
    objective.loss = loss  # type: ignore[method-assign]
    fit(config.fit, objective=objective)
    assert distances[0] < 1e-4


def test_resumed_distillation_is_the_undisturbed_one_and_needs_the_same_teachers(
    shards: Path, tmp_path: Path, teachers: tuple[Path, Path]
) -> None:
    whole = load_checkpoint(distill(config_of(shards, tmp_path / "whole", teachers)))
    cut = tmp_path / "cut"
    last = distill(config_of(shards, cut, teachers))
    last.unlink()  # as if it had been stopped after the checkpoint before
    again = load_checkpoint(distill(config_of(shards, cut, teachers)))
    assert all(torch.equal(again.weights[name], whole.weights[name]) for name in whole.weights)
    with pytest.raises(ConfigError, match="objective: "):
        distill(config_of(shards, cut, teachers[:1]))
    with pytest.raises(ConfigError, match="objective: "):
        distill(config_of(shards, cut, teachers, weight=0.5))
    with pytest.raises(ConfigError, match="objective: "):
        fit(tiny_fit(shards, cut))


def test_d3d_is_one_teacher_of_flow(
    shards: Path, tmp_path: Path, teachers: tuple[Path, Path]
) -> None:
    objective = make_distillation(config_of(shards, tmp_path, teachers[:1], model=TINY_S3D))
    assert objective.extra_modalities == ("flow",)
    assert load_checkpoint(distill(config_of(shards, tmp_path, teachers[:1], steps=1)))


def test_shards_without_the_stream_of_a_teacher_are_refused(
    tmp_path: Path,
    records: list[ClipRecord],
    write_shards: Callable[..., Path],
    teachers: tuple[Path, Path],
) -> None:
    folder = write_shards(records[:3])
    info = (folder / "run.json").read_text()
    (folder / "run.json").write_text(info.replace('"flow", ', ""))
    with pytest.raises(ConfigError, match=r"modality flow must be in the shards.*--modalities"):
        distill(config_of(folder, tmp_path / "run", teachers))


def test_teacher_of_other_labels_is_refused(
    tmp_path: Path,
    records: list[ClipRecord],
    write_shards: Callable[..., Path],
    teachers: tuple[Path, Path],
) -> None:
    folder = write_shards(records[:3])
    (folder / "label_map.txt").write_text("jump\nsquat\nwave\nyawn\n")
    with pytest.raises(ConfigError, match=r"flow.pt must have the 4 labels of the shards"):
        distill(config_of(folder, tmp_path / "run", teachers))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teachers": ()}, "distill.teachers must name at least one checkpoint, got none"),
        ({"teachers": (Path("x"),), "weight": 0.0}, "distill.weight must be > 0, got 0"),
    ],
)
def test_impossible_distillation_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistillConfig(**options)


def test_view_of_the_tests_is_random() -> None:
    assert VIEW.is_random  # else the claims about windows and crops would be empty
