"""A checkpoint is whole or not there, and gives back what was saved."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from perfnet.errors import TrainingError
from perfnet.models.registry import ModelConfig, make_model
from perfnet.training.checkpoint import (
    ModelCard,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    prune_checkpoints,
    restore_model,
    save_checkpoint,
    start_from,
)
from perfnet.training.fit import fit
from schemas.errors import ConfigError
from tests.perfnet.training_runs import TINY_R3D, tiny_fit

CARD = ModelCard(model=TINY_R3D, modality="rgb", in_channels=3, labels=("jump", "wave"))
REPOSITORY = Path(__file__).parents[2]


def _save(path: Path, card: ModelCard = CARD) -> dict[str, torch.Tensor]:
    model = make_model(card.model, num_classes=len(card.labels), in_channels=card.in_channels)
    weights: dict[str, torch.Tensor] = model.state_dict()
    save_checkpoint(path, card=card, weights=weights, training={"step": 7, "config": {"a": (1,)}})
    return weights


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    weights = _save(checkpoint_path(tmp_path, 7))
    checkpoint = load_checkpoint(tmp_path)
    assert checkpoint.card == CARD
    assert checkpoint.training == {"step": 7, "config": {"a": (1,)}}
    model = restore_model(checkpoint)
    assert not model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_newest_checkpoint_of_a_run_is_taken(tmp_path: Path) -> None:
    for step in (9, 10, 2):
        _save(checkpoint_path(tmp_path / "checkpoints", step))
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == [
        *("step-00000002.pt", "step-00000009.pt", "step-00000010.pt")
    ]
    prune_checkpoints(tmp_path / "checkpoints", keep=2)
    assert [path.name[-5:] for path in list_checkpoints(tmp_path / "checkpoints")] == [
        "09.pt", "10.pt"
    ]  # fmt: skip
    assert load_checkpoint(tmp_path).training["step"] == 7


def test_fingerprint_tells_weights_apart_not_files(tmp_path: Path) -> None:
    weights = _save(tmp_path / "one.pt")
    laid_out = {
        name: value.to(memory_format=torch.channels_last_3d) if value.ndim == 5 else value
        for name, value in weights.items()
    }
    save_checkpoint(tmp_path / "two.pt", card=CARD, weights=laid_out, training={})
    _save(tmp_path / "other.pt")
    one, two, other = (load_checkpoint(tmp_path / f"{name}.pt") for name in ("one", "two", "other"))
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()
    renamed = replace(one, card=replace(CARD, labels=("a", "b")))
    assert renamed.fingerprint() != one.fingerprint()


WRITER = """
import sys, torch
from pathlib import Path
from tests.perfnet.test_checkpoint import CARD, save_checkpoint
path = Path(sys.argv[1])
for number in range(10**6):
    weights = {"w": torch.full((3_000_000,), float(number))}
    save_checkpoint(path, card=CARD, weights=weights, training={"step": number})
"""


@pytest.mark.slow
def test_process_killed_while_writing_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, 1)
    command = [sys.executable, "-c", WRITER, str(path)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment)
    deadline = time.monotonic() + 120
    while not (path.exists() and path.with_suffix(".tmp").exists()):  # it is writing another one
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.kill()
    process.wait()
    assert path.with_suffix(".tmp").exists()
    checkpoint = load_checkpoint(tmp_path)
    assert set(checkpoint.weights["w"].tolist()) == {float(checkpoint.training["step"])}
    _save(checkpoint_path(tmp_path, 2))
    assert sorted(each.suffix for each in tmp_path.iterdir()) == [".pt", ".pt"]


def _truncate(data: bytearray) -> bytearray:
    return data[: len(data) // 2]


def _flip(data: bytearray) -> bytearray:
    data[len(data) // 2] ^= 0x10
    return data


def _foreign(_data: bytearray) -> bytearray:
    return bytearray(b"not a checkpoint at all")


def _empty(_data: bytearray) -> bytearray:
    return bytearray()


@pytest.mark.parametrize("damage", [_truncate, _flip, _foreign, _empty])
def test_damaged_checkpoint_is_named_and_the_one_before_goes_on(
    shards: Path, tmp_path: Path, damage: Any
) -> None:
    newest = fit(tiny_fit(shards, tmp_path))
    wanted = load_checkpoint(newest).weights
    newest.write_bytes(bytes(damage(bytearray(newest.read_bytes()))))
    with pytest.raises(TrainingError, match=r"step-00000004.pt must be .*; delete it") as caught:
        fit(tiny_fit(shards, tmp_path))
    assert "\n" not in str(caught.value)
    newest.unlink()  # the way out that the message names
    again = load_checkpoint(fit(tiny_fit(shards, tmp_path))).weights
    assert all(torch.equal(again[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("content", [{"w": 1}, [1, 2], {"format": 99}])
def test_file_of_another_kind_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(TrainingError, match="must"):
        load_checkpoint(tmp_path / "x.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"format": 1, "card": Evil()}, tmp_path / "x.pt")
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path / "x.pt")
    assert not (tmp_path / "ran").exists()


def test_missing_checkpoint_is_a_wrong_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="checkpoint must exist, got no file"):
        load_checkpoint(tmp_path / "x.pt")
    with pytest.raises(ConfigError, match="a file or a folder with one"):
        load_checkpoint(tmp_path)


def test_start_takes_all_but_a_head_of_another_size(tmp_path: Path) -> None:
    weights = _save(tmp_path / "x.pt")
    model = make_model(TINY_R3D, num_classes=5)
    saved = load_checkpoint(tmp_path / "x.pt")
    left = start_from(model, saved, saved.card)
    assert sorted(left) == ["head.bias", "head.weight"]
    assert torch.equal(model.state_dict()["stem.0.weight"], weights["stem.0.weight"])
    with pytest.raises(ConfigError, match=r"same network, got one that differs in .* more"):
        start_from(make_model(ModelConfig(width_multiplier=0.25), num_classes=2), saved, saved.card)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"padding": "tf_same"}, "differs in model.padding; say --model.padding symmetric"),
        ({"gate_position": "cell"}, "differs in .*; say --model.gate-position residual"),
        ({"width_multiplier": 0.25}, "say --model.width-multiplier 0.125$"),
        ({"gate_position": "residual", "padding": "symmetric", "dropout": 0.5}, None),
    ],
)
def test_start_from_another_network_says_how_to_ask_for_it(
    changes: dict[str, Any], message: str | None, tmp_path: Path
) -> None:
    _save(tmp_path / "x.pt")
    saved = load_checkpoint(tmp_path / "x.pt")
    wanted = replace(saved.card, model=replace(saved.card.model, **changes))
    model = make_model(wanted.model, num_classes=2)
    if message is None:
        assert start_from(model, saved, wanted) == []
        return
    with pytest.raises(ConfigError, match=message):
        start_from(model, saved, wanted)
    flow = replace(saved.card, modality="flow", in_channels=2)
    with pytest.raises(ConfigError, match="the 2 input channels of flow, got one with the 3 of"):
        start_from(model, saved, flow)
