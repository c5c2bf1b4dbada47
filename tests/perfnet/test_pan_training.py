"""PAN trains, evaluates, fuses, teaches and learns in the loop of all networks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from perfnet import ViewConfig
from perfnet.cli import main
from perfnet.evaluation.evaluate_run import EvaluateConfig, evaluate
from perfnet.evaluation.fuse_run import FuseConfig, fuse
from perfnet.evaluation.gradcam import class_heat
from perfnet.evaluation.gradcam_figure import GradCamConfig, draw_gradcam
from perfnet.evaluation.network import load_network
from perfnet.evaluation.predictions import load_predictions
from perfnet.models.registry import ModelConfig, make_model
from perfnet.probe.config import ProbeConfig
from perfnet.probe.probe import probe
from perfnet.training.checkpoint import load_checkpoint
from perfnet.training.config import FitConfig, OptimizerConfig
from perfnet.training.distill import DistillConfig
from perfnet.training.distill_run import DistillRunConfig, distill
from perfnet.training.fit import fit
from perfnet.training.optimizer import make_optimizer, set_learning_rate
from perfnet.training.presets import RECIPES, fit_config
from perfnet.training.schedule import ScheduleConfig, learning_rate_at
from schemas.errors import ConfigError
from tests.perfnet.training_runs import TINY_R3D, Recorded, assert_same_weights, run, tiny_fit

VIEW = ViewConfig(num_frames=8, num_segments=2, height=32, width=32, crop_scales=(1.0, 0.75))
PER_GROUP = OptimizerConfig(clip_norm=20.0, per_group=True)
STEPS = ScheduleConfig(steps=3, warmup_steps=0, learning_rate=0.01, decay="step", milestones=(1, 2))


def _tiny(name: Any = "pan_lite_r50") -> ModelConfig:
    return ModelConfig(name=name, width_multiplier=0.125, depth_multiplier=0.34, num_segments=2)


def _pan_fit(shards: Path, output: Path, name: Any = "pan_lite_r50", **changes: Any) -> FitConfig:
    options = {
        "model": _tiny(name),
        "view": VIEW,
        "eval_view": replace(VIEW, is_random=False),
        "schedule": STEPS,
        "optimizer": PER_GROUP,
        **changes,
    }
    return tiny_fit(shards, output, **options)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


@pytest.fixture(scope="module")
def runs(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A trained network of each kind."""
    folder = tmp_path_factory.mktemp("runs")
    torch.set_num_threads(1)
    return {
        name: fit(_pan_fit(shards, folder / name, f"pan_{name}_r50", modality=modality))
        for name, modality in (("lite", "pose"), ("rgb", "flow"), ("pa", "rgb"), ("full", "rgb"))
    }


def test_resumed_pan_is_the_undisturbed_one(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, seen = run(_pan_fit(shards, tmp_path / "whole", workers=0))
    kept = _pan_fit(shards, tmp_path / "cut")
    real = Recorded.loss

    def stop(self: Recorded, *given: Any) -> Any:
        if len(self.losses) == 2:
            raise KeyboardInterrupt
        return real(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Recorded, "loss", stop)
        with pytest.raises(KeyboardInterrupt):
            run(kept)
    again, rest = run(kept)
    assert_same_weights(whole, again)
    assert rest.losses == seen.losses[2:]


def test_loss_of_a_pan_falls(shards: Path, tmp_path: Path) -> None:
    still = replace(_tiny(), dropout=0.0)
    view = replace(VIEW, is_random=False, crop_scales=())  # the clips are noise: learnt by heart
    schedule = ScheduleConfig(steps=20, warmup_steps=0, learning_rate=0.0005)
    options = {"model": still, "view": view, "schedule": schedule, "batch_size": 4}
    _, seen = run(_pan_fit(shards, tmp_path, checkpoint_every=100, **options))
    assert np.mean(seen.losses[-6:]) < 0.8 * np.mean(seen.losses[:4])


def test_first_step_moves_every_weight_by_its_own_rate() -> None:
    """One step of plain gradient descent, by hand: rate x factor x gradient, decay beside it."""
    torch.manual_seed(0)
    model: Any = make_model(_tiny(), num_classes=3)
    config = OptimizerConfig(momentum=0.0, weight_decay=0.1, per_group=True)
    optimizer = make_optimizer(model, config)
    set_learning_rate(optimizer, 0.02)
    model(torch.rand(2, 3, 8, 32, 32)).square().sum().backward()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer.step()
    for name, value in model.named_parameters():
        decay = 0.1 * before[name] if before[name].ndim > 1 else 0.0
        factor = model.rate_factor(name)
        wanted = before[name] - 0.02 * factor * (value.grad + decay)
        torch.testing.assert_close(value.detach(), wanted)
    groups = {(g["weight_decay"], g["rate_factor"]) for g in optimizer.param_groups}
    assert groups == {(0.1, 1.0), (0.1, 5.0), (0.0, 1.0), (0.0, 10.0)}


def test_without_groups_all_weights_have_one_rate() -> None:
    model = make_model(_tiny(), num_classes=3)
    optimizer = make_optimizer(model, OptimizerConfig(weight_decay=0.1))
    set_learning_rate(optimizer, 0.02)
    assert [(g["lr"], g["weight_decay"]) for g in optimizer.param_groups] == [
        (0.02, 0.1),
        (0.02, 0.0),
    ]


def test_network_without_groups_is_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"optimizer.per_group must be off .* got R3D; say --optimizer.no-per-group$",
    ):
        fit(tiny_fit(shards, tmp_path, optimizer=PER_GROUP))


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.0), (1, 0.005), (2, 0.01), (31, 0.01), (32, 0.001), (61, 0.001), (62, 1e-4)],
)
def test_rate_falls_to_a_tenth_at_the_milestones(step: int, rate: float) -> None:
    schedule = ScheduleConfig(
        steps=80, warmup_steps=2, learning_rate=0.01, decay="step", milestones=(30, 60)
    )
    assert learning_rate_at(step, schedule) == pytest.approx(rate)
    assert schedule.total_steps == 82


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"milestones": (3,)}, r"milestones must be left out unless schedule.decay=step, got \(3,"),
        ({"decay": "step", "milestones": (4, 4)}, r"must rise between 0 and steps \(9\), got \(4,"),
        ({"decay": "step", "milestones": (9,)}, r"must rise between 0 and steps \(9\), got \(9,"),
        (
            {"decay": "step", "cosine": "from_start"},
            "schedule.cosine must be left out with schedule.decay=step, got from_start",
        ),
    ],
)
def test_impossible_steps_down_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScheduleConfig(steps=9, warmup_steps=0, **changes)


@pytest.mark.parametrize(
    ("preset", "model", "epochs", "milestones", "frames"),
    [
        ("pan-lite", "pan_lite_r50", 80, (30, 60), 32),
        ("pan-pa", "pan_pa_r50", 80, (30, 60), 32),
        ("pan-rgb", "pan_rgb_r50", 50, (20, 40), 8),
    ],
)
def test_recipes_have_the_numbers_of_the_authors(
    preset: Any,
    model: str,
    epochs: int,
    milestones: tuple[int, int],
    frames: int,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = RECIPES[preset]
    assert recipe.step_clips == 64
    assert (recipe.model.name, recipe.model.dropout) == (model, 0.5)
    assert recipe.optimizer == OptimizerConfig(
        momentum=0.9, weight_decay=1e-4, clip_norm=20.0, per_group=True
    )
    for view in (recipe.view, recipe.eval_view):
        assert (view.num_frames, view.num_segments, view.height, view.width) == (
            frames,
            8,
            224,
            224,
        )
    assert recipe.view.crop_scales == (1.0, 0.875, 0.75, 0.66)
    assert not recipe.view.may_mirror
    assert not recipe.view.may_recolor
    assert recipe.left_open
    monkeypatch.setitem(RECIPES, preset, replace(recipe, step_clips=2))
    config = fit_config(preset, shards=shards, output=tmp_path)
    each = round(11 / 2)  # steps of an epoch
    schedule = config.schedule
    assert (schedule.total_steps, schedule.warmup_steps) == (epochs * each, 0)
    assert schedule.milestones == tuple(each * epoch for epoch in milestones)
    rates = [learning_rate_at(each * epoch, schedule) for epoch in (0, *milestones)]
    assert rates == pytest.approx([0.01, 0.001, 1e-4])


def test_pan_learns_from_a_pan_that_looks_at_another_stream(
    shards: Path, tmp_path: Path, runs: dict[str, Path]
) -> None:
    before = load_checkpoint(runs["rgb"]).weights
    config = DistillRunConfig(
        fit=_pan_fit(shards, tmp_path / "student", val_shards=shards),
        distill=DistillConfig(teachers=(runs["rgb"], runs["lite"]), weight=0.5),
    )
    student = load_checkpoint(distill(config))
    assert (student.card.model.name, student.card.modality) == ("pan_lite_r50", "rgb")
    after = load_checkpoint(runs["rgb"]).weights
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_pan_teaches_another_network_that_sees_the_same_segments(
    shards: Path, tmp_path: Path, runs: dict[str, Path]
) -> None:
    teach = DistillConfig(teachers=(runs["lite"],), weight=0.5)
    config = tiny_fit(shards, tmp_path / "student", steps=2, model=TINY_R3D, view=VIEW)
    assert load_checkpoint(distill(DistillRunConfig(fit=config, distill=teach)))
    blind = replace(config, view=replace(VIEW, num_segments=None))
    with pytest.raises(
        ConfigError,
        match=r"view must take 8 frames from 2 segments for pan_lite_r50, got 8 from one window; "
        r"say --view.num-frames 8 --view.num-segments 2",
    ):
        distill(DistillRunConfig(fit=blind, distill=teach))


def test_pans_are_evaluated_and_their_logits_added(
    shards: Path, tmp_path: Path, runs: dict[str, Path]
) -> None:
    looks: dict[str, Any] = {"num_views": 2, "workers": 0}
    sums = []
    for name in ("lite", "rgb", "pa"):
        output = tmp_path / name
        evaluate(EvaluateConfig(checkpoint=(runs[name],), shards=(shards,), output=output, **looks))
        sums.append(load_predictions(output / "predictions.parquet").logits)
    sources = (tmp_path / "lite", tmp_path / "rgb", runs["pa"])
    fuse(FuseConfig(sources=sources, shards=shards, output=tmp_path / "en", **looks))
    found = load_predictions(tmp_path / "en" / "predictions.parquet").logits
    np.testing.assert_allclose(found, sum(sums), rtol=1e-4, atol=1e-5)
    assert json.loads((tmp_path / "en" / "accuracy.json").read_text())["num_clips"] == 11


def test_evaluation_keeps_the_segments_of_a_network(
    shards: Path, tmp_path: Path, runs: dict[str, Path]
) -> None:
    looks: dict[str, Any] = {"shards": (shards,), "workers": 0, "output": tmp_path}
    evaluate(EvaluateConfig(checkpoint=(runs["lite"],), input=(8, 40, 40), **looks))
    with pytest.raises(
        ConfigError,
        match=r"input must take 8 frames from 2 segments for pan_lite_r50, got 16 from 2 segments;"
        r" say --input 8 40 40",
    ):
        evaluate(EvaluateConfig(checkpoint=(runs["lite"],), input=(16, 40, 40), **looks))
    with pytest.raises(ConfigError, match="multiple of the 2 segments of the training run, got 5"):
        evaluate(EvaluateConfig(checkpoint=(runs["lite"],), input=(5, 40, 40), **looks))
    evaluate(EvaluateConfig(checkpoint=(runs["rgb"],), input=(16, 40, 40), **looks))


@pytest.mark.parametrize("name", ["lite", "full"])
def test_heat_of_a_pan_is_that_of_all_its_frames(name: str, runs: dict[str, Path]) -> None:
    model = load_network(runs[name]).model
    clip = torch.rand(1, 3, 8, 64, 64)
    found = class_heat(model, clip, class_index=1)
    assert found.heat_thw.shape == (8, 64, 64)
    with torch.no_grad():
        maps = model.features(clip)
    leaf = maps.detach().requires_grad_()
    parts = leaf.mean(dim=(3, 4)).chunk(len(model.head), dim=1)
    logit = sum(h(p) for h, p in zip(model.head, parts, strict=True))[0, 1]
    (gradient,) = torch.autograd.grad(logit, leaf)
    heat = torch.relu((gradient.mean(dim=(2, 3, 4), keepdim=True) * maps).sum(dim=1))
    heat = nn.functional.interpolate(heat[None], size=(8, 64, 64), mode="trilinear")[0, 0]
    peak = heat.max() if heat.max() > 0 else 1.0
    torch.testing.assert_close(found.heat_thw, heat / peak, atol=1e-4, rtol=1e-4)


def test_pans_are_drawn_and_probed(shards: Path, tmp_path: Path, runs: dict[str, Path]) -> None:
    drawn = draw_gradcam(
        GradCamConfig(
            checkpoint=(runs["lite"], runs["rgb"], runs["full"]),
            shards=shards,
            clip="clip-04",
            output=tmp_path / "heat.png",
            frames=2,
        )
    )
    assert [line.split(" ")[0] for line in drawn] == ["clip-04", "pose", "flow", "rgb"]
    rows = probe(
        ProbeConfig(
            checkpoint=runs["pa"], shards=shards, test_shards=shards, output=tmp_path / "probe",
            stages=(2, 4), steps=2, batch_size=2, channels=4, workers=0, calibration_batches=1,
        )
    )  # fmt: skip
    assert [row.stage for row in rows] == [2, 4]
    assert all(np.isfinite((row.trained, row.untrained)).all() for row in rows)


def test_statistics_of_a_pan_follow_as_fast_as_asked(shards: Path, tmp_path: Path) -> None:
    """With the weight 1 the running mean is that of the batch, not a tenth of it."""
    usual, _ = run(_pan_fit(shards, tmp_path / "a", schedule=replace(STEPS, milestones=())))
    config = _pan_fit(
        shards, tmp_path / "b", norm_momentum=1.0, schedule=replace(STEPS, milestones=())
    )
    fast, _ = run(config)
    name = "stages.3.0.0.norm_a.running_var"
    moved = [(each.weights[name] - 1).abs().mean() for each in (usual, fast)]
    assert moved[1] > 2 * moved[0] > 0


@pytest.mark.parametrize("name", ["view", "eval_view"])
def test_view_that_a_pan_is_not_made_for_is_refused(tmp_path: Path, name: str) -> None:
    option = f"--{name.replace('_', '-')}"
    plain = ViewConfig(is_random=name == "view")
    with pytest.raises(
        ConfigError,
        match=rf"^{name} must take 8 frames from 2 segments for pan_lite_r50, got 64 from one "
        rf"window; say {option}.num-frames 8 {option}.num-segments 2$",
    ):
        _pan_fit(tmp_path, tmp_path, **{name: plain})
    with pytest.raises(ConfigError, match="must take 2 frames from 2 segments for pan_rgb_r50"):
        _pan_fit(tmp_path, tmp_path, "pan_rgb_r50", **{name: plain})


def test_flow_is_refused_where_motion_is_of_colours(shards: Path, tmp_path: Path) -> None:
    message = "^modality must be rgb or pose for pan_pa_r50, got flow$"
    with pytest.raises(ConfigError, match=message):
        _pan_fit(shards, tmp_path, "pan_pa_r50", modality="flow")


def test_profile_of_pan_needs_no_more_than_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "pan_lite_r50", "--num-classes", "174"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "parameters 23875542",
        "gflop 71.06 (2 per multiply-add)",
        "gmac 35.53",
    ]
    assert main(["profile", "pan_lite_r50", "--in-channels", "2"]) == 2
    assert "only pan_rgb takes others" in capsys.readouterr().err
