"""The learning rate follows the text of the paper, or the official code, by option."""

import dataclasses
import math
from typing import Any

import pytest

from perfnet.training.presets import RECIPES
from perfnet.training.schedule import ScheduleConfig, learning_rate_at
from schemas.errors import ConfigError

PAPER = ScheduleConfig()
OFFICIAL = ScheduleConfig(cosine="from_start")


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.0), (1000, 0.8), (2000, 1.6), (12_000, 0.8), (22_000, 0.0)],
)
def test_rate_rises_for_2000_steps_and_falls_for_20000(step: int, rate: float) -> None:
    assert learning_rate_at(step, PAPER) == pytest.approx(rate, abs=1e-12)
    assert PAPER.total_steps == 22_000


@pytest.mark.parametrize(
    ("step", "rate"), [(1000, 0.8), (2000, 0.8 * (1 + math.cos(math.pi / 10))), (10_000, 0.8)]
)
def test_official_code_counts_the_cosine_from_the_start(step: int, rate: float) -> None:
    assert learning_rate_at(step, OFFICIAL) == pytest.approx(rate)
    assert OFFICIAL.total_steps == 20_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "schedule.steps must be >= 1, got 0"),
        ({"warmup_steps": -1}, "schedule.warmup_steps must be >= 0, got -1"),
        ({"learning_rate": 0}, "schedule.learning_rate must be > 0, got 0"),
        ({"cosine": "from_start", "steps": 5, "warmup_steps": 5}, r"must be < steps \(5\), got 5"),
    ],
)
def test_impossible_schedule_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(PAPER, **changes)


def test_recipe_of_r3d50g_has_the_numbers_of_the_paper() -> None:
    recipe = RECIPES["perfnet-r3d50g"]
    assert recipe.step_clips == 2048
    assert recipe.schedule == ScheduleConfig(steps=20_000, warmup_steps=2_000, learning_rate=1.6)
    assert (recipe.optimizer.momentum, recipe.optimizer.weight_decay) == (0.9, 1e-4)
    assert recipe.optimizer.clip_norm is None
    assert recipe.precision == "bf16"
    assert (recipe.model.name, recipe.model.dropout) == ("r3d50g", 0.2)
    assert not recipe.needs_init


def test_recipes_of_s3dg_and_d3d_have_the_numbers_of_the_papers() -> None:
    for name in ("perfnet-s3dg", "d3d"):
        recipe = RECIPES[name]  # type: ignore[index]
        assert recipe.step_clips == 306
        assert (recipe.optimizer.momentum, recipe.optimizer.weight_decay) == (0.9, 1e-7)
        assert (recipe.model.name, recipe.model.dropout) == ("s3dg", 0.2)
        assert recipe.schedule.learning_rate == pytest.approx(1.6 * 306 / 2048, rel=0.01)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        ("perfnet-r3d50g", (64, 224, 224), (250, 256, 256)),
        ("perfnet-s3dg", (64, 224, 224), (250, 256, 256)),
        ("d3d", (64, 224, 224), (250, 256, 256)),
        ("finetune-ucf101", (64, 224, 298), (128, 224, 298)),
        ("finetune-hmdb51", (64, 224, 298), (64, 224, 298)),
    ],
)
def test_clips_of_training_and_test_are_those_of_the_paper(
    name: Any, train: tuple[int, int, int], test: tuple[int, int, int]
) -> None:
    recipe = RECIPES[name]
    for view, sizes, is_random in ((recipe.view, train, True), (recipe.eval_view, test, False)):
        assert (view.num_frames, view.height, view.width) == sizes
        assert view.is_random is is_random
        assert view.num_views == 1
    assert recipe.view.mirror
    assert recipe.view.padding == "last"
    assert recipe.left_open
    assert (recipe.epochs, recipe.needs_init) == ((30, True) if "fine" in name else (None, False))
