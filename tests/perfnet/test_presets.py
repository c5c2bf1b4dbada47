"""A recipe becomes a configuration: clips of a step split, epochs turned into steps."""

import dataclasses
from pathlib import Path

import pytest

from perfnet.models.registry import ModelConfig, make_model
from perfnet.training.checkpoint import ModelCard, save_checkpoint
from perfnet.training.presets import RECIPES, PresetName, fit_config
from schemas.errors import ConfigError

CARD = ModelCard(
    model=ModelConfig(name="s3dg", width_multiplier=0.125, depth_multiplier=0.34),
    modality="flow",
    in_channels=2,
    labels=("a", "b"),
)


@pytest.fixture
def init(tmp_path: Path) -> Path:
    path = tmp_path / "init.pt"
    weights = make_model(CARD.model, num_classes=2, in_channels=2).state_dict()
    save_checkpoint(path, card=CARD, weights=weights, training={})
    return path


@pytest.mark.parametrize(
    ("batch_size", "num_processes", "accumulate"), [(8, 256, 1), (8, 1, 256), (16, 8, 16)]
)
def test_clips_of_a_step_are_split(
    batch_size: int, num_processes: int, accumulate: int, tmp_path: Path
) -> None:
    config = fit_config(
        "perfnet-r3d50g",
        shards=tmp_path,
        output=tmp_path,
        batch_size=batch_size,
        num_processes=num_processes,
    )
    assert config.accumulate == accumulate
    recipe = RECIPES["perfnet-r3d50g"]
    for name in ("model", "view", "eval_view", "schedule", "optimizer", "precision"):
        assert getattr(config, name) == getattr(recipe, name)


def test_clips_that_cannot_be_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must divide the 306 clips of a step of d3d over 1 proc"):
        fit_config("d3d", shards=tmp_path, output=tmp_path, batch_size=8)


@pytest.mark.parametrize(
    ("preset", "num_processes", "batch_size"),
    [("perfnet-r3d50g", 1, 8), ("d3d", 1, 6), ("d3d", 51, 6), ("perfnet-s3dg", 9, 2)],
)
def test_usual_batch_is_the_most_that_fits(
    preset: PresetName, num_processes: int, batch_size: int, tmp_path: Path
) -> None:
    config = fit_config(preset, shards=tmp_path, output=tmp_path, num_processes=num_processes)
    assert config.batch_size == batch_size
    total = config.batch_size * config.accumulate * num_processes
    assert total == RECIPES[preset].step_clips


def test_processes_that_cannot_share_a_step_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(none does; take another number of processes\)"):
        fit_config("d3d", shards=tmp_path, output=tmp_path, num_processes=4)


def test_fine_tuning_lasts_30_epochs_on_the_network_of_its_checkpoint(
    shards: Path, tmp_path: Path, init: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = dataclasses.replace(RECIPES["finetune-hmdb51"], step_clips=2)
    monkeypatch.setitem(RECIPES, "finetune-hmdb51", small)
    config = fit_config("finetune-hmdb51", shards=shards, output=tmp_path, init=init, batch_size=2)
    assert config.schedule.total_steps == 30 * round(11 / 2)
    assert (config.model, config.modality, config.init) == (CARD.model, "flow", init)


def test_fine_tuning_from_nothing_is_refused(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="init must name a checkpoint for finetune-ucf101"):
        fit_config("finetune-ucf101", shards=shards, output=tmp_path)


def test_pas_net_recipes_have_the_numbers_of_the_paper_and_of_the_code_of_eco() -> None:
    for name in ("eco-lite", "pas-net"):
        recipe = RECIPES[name]  # type: ignore[index]
        assert (recipe.model.name, recipe.model.dropout) == (name.replace("-", "_"), 0.3)
        optimizer = recipe.optimizer
        assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 5e-4)
        assert (optimizer.nesterov, optimizer.clip_norm) == (True, 50.0)
        assert (recipe.schedule.learning_rate, recipe.schedule.decay) == (0.001, "step")
        assert (recipe.epochs, recipe.milestone_epochs) == (40, (15, 30))
        for view, is_random in ((recipe.view, True), (recipe.eval_view, False)):
            assert (view.num_frames, view.num_segments) == (16, 16)
            assert (view.height, view.width, view.is_random) == (224, 224, is_random)
        assert recipe.view.mirror
        assert not recipe.view.may_recolor
        assert recipe.left_open


def test_pas_net_keeps_its_network_when_it_starts_from_eco(shards: Path, tmp_path: Path) -> None:
    eco = ModelConfig(name="eco_lite", width_multiplier=0.125)
    card = dataclasses.replace(CARD, model=eco, modality="rgb", in_channels=3)
    weights = make_model(eco, num_classes=2).state_dict()
    save_checkpoint(tmp_path / "eco.pt", card=card, weights=weights, training={})
    config = fit_config("pas-net", shards=shards, output=tmp_path, init=tmp_path / "eco.pt")
    assert config.model == RECIPES["pas-net"].model
    assert config.schedule.milestones == (15, 30)  # one step makes an epoch of eleven clips
    assert config.schedule.total_steps == 40
    with pytest.raises(ConfigError, match="init must name a checkpoint for pas-net, got none"):
        fit_config("pas-net", shards=shards, output=tmp_path)
