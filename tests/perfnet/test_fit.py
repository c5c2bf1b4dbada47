"""A run learns what its settings say, and stops where it must."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from perfnet.data.collate import ClipBatch
from perfnet.errors import TrainingError
from perfnet.evaluation.evaluate import predict
from perfnet.models.registry import make_model
from perfnet.training import fit as fit_module
from perfnet.training.checkpoint import load_checkpoint, restore_model
from perfnet.training.config import OptimizerConfig
from perfnet.training.fit import fit
from perfnet.training.objective import CrossEntropy, Loss
from perfnet.training.optimizer import make_optimizer
from perfnet.training.schedule import ScheduleConfig
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError
from schemas.sealed_json import hash_json
from tests.perfnet.training_runs import (
    REPOSITORY,
    TINY_R3D,
    TINY_S3D,
    VIEW,
    Recorded,
    assert_same_weights,
    changed,
    run,
    run_two_processes,
    tiny_fit,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


def test_loss_falls(shards: Path, tmp_path: Path) -> None:
    still = replace(TINY_R3D, dropout=0.0)
    _, objective = run(tiny_fit(shards, tmp_path, steps=14, model=still, batch_size=4))
    assert np.mean(objective.losses[-4:]) < 0.8 * np.mean(objective.losses[:2])


def test_every_clip_is_seen_once_per_epoch(shards: Path, tmp_path: Path) -> None:
    _, objective = run(tiny_fit(shards, tmp_path, steps=11))
    seen = [key for batch in objective.clips for key in batch]
    assert len(seen) == len(set(seen)) == 22
    assert {epoch for _, epoch in seen} == {0, 1}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"accumulate": 2, "optimizer": OptimizerConfig(clip_norm=0.5, nesterov=True)},
        {"precision": "bf16", "model": TINY_S3D, "modality": "flow"},
    ],
    ids=["plain", "accumulate and clip", "bf16 flow s3d"],
)
def test_resumed_run_is_the_undisturbed_run(
    shards: Path, tmp_path: Path, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Evaluations in between, and dropout, would shift random numbers that are not kept.
    options = {"val_shards": shards, "evaluate_every": 2, "steps": 4, **changes}
    whole, undisturbed = run(tiny_fit(shards, tmp_path / "whole", **options))
    save = fit_module.save_checkpoint

    class Killed(Exception):  # noqa: N818 - stands for a signal
        pass

    def save_and_die(path: Path, **content: Any) -> None:
        save(path, **content)
        raise Killed

    interrupted = tiny_fit(shards, tmp_path / "cut", **options)
    monkeypatch.setattr(fit_module, "save_checkpoint", save_and_die)
    with pytest.raises(Killed):
        fit(interrupted)
    monkeypatch.undo()
    torch.manual_seed(99)
    resumed, rest = run(interrupted)
    assert len(rest.losses) == len(undisturbed.losses) // 2
    assert rest.losses == undisturbed.losses[len(rest.losses) :]
    assert_same_weights(resumed, whole)


def test_dropout_is_part_of_what_is_resumed(shards: Path, tmp_path: Path) -> None:
    # The claim above would be empty if dropout did nothing.
    with_dropout, _ = run(tiny_fit(shards, tmp_path / "with", steps=2))
    without = replace(TINY_R3D, dropout=0.0)
    none, _ = run(tiny_fit(shards, tmp_path / "without", steps=2, model=without))
    assert changed(with_dropout, none)


@pytest.mark.slow
def test_killed_process_goes_on_exactly_with_other_workers(shards: Path, tmp_path: Path) -> None:
    whole, _ = run(tiny_fit(shards, tmp_path / "whole", steps=6))
    output = tmp_path / "cut"
    module = [sys.executable, "-m", "tests.perfnet.training_runs", str(shards), str(output)]
    with subprocess.Popen(
        [*module, '{"steps": 6, "workers": 1}'], cwd=REPOSITORY, stderr=subprocess.DEVNULL
    ) as process:
        while not list((output / "checkpoints").glob("*.pt")):
            assert process.poll() is None
        process.kill()
    step = load_checkpoint(output).training["step"]
    resumed, rest = run(tiny_fit(shards, output, steps=6))
    assert len(rest.losses) == 6 - step
    assert_same_weights(resumed, whole)


def test_finished_run_changes_nothing(shards: Path, tmp_path: Path) -> None:
    first, _ = run(tiny_fit(shards, tmp_path, steps=2))
    again, objective = run(tiny_fit(shards, tmp_path, steps=2))
    assert objective.losses == []
    assert_same_weights(first, again)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"batch_size": 3}, "batch_size: 2 -> 3"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"optimizer": OptimizerConfig(weight_decay=0)}, "optimizer: .*'weight_decay': 0"),
    ],
)
def test_changed_settings_do_not_go_on(
    shards: Path, tmp_path: Path, changes: dict[str, Any], text: str
) -> None:
    fit(tiny_fit(shards, tmp_path, steps=2))
    with pytest.raises(ConfigError, match=f"got .*step-00000002.pt of a run.*{text}.*--output"):
        fit(tiny_fit(shards, tmp_path, steps=2, **changes))


def test_other_clips_do_not_go_on(
    shards: Path, tmp_path: Path, records: list[ClipRecord], write_shards: Callable[..., Path]
) -> None:
    fit(tiny_fit(shards, tmp_path / "run", steps=2))
    with pytest.raises(ConfigError, match="clips: "):
        fit(tiny_fit(write_shards(records[:-1]), tmp_path / "run", steps=2))
    moved = tmp_path / "moved"
    moved.symlink_to(shards)
    fit(tiny_fit(moved, tmp_path / "run", steps=2))


class Poisoned(Recorded):
    """The third batch has no finite loss."""

    def loss(self, logits_bk: torch.Tensor, batch: ClipBatch, labels_b: torch.Tensor) -> Loss:
        loss = super().loss(logits_bk, batch, labels_b)
        return loss if len(self.losses) < 3 else Loss(loss.total * float("nan"), loss.parts)


def test_loss_that_is_not_finite_stops_with_step_and_clips(shards: Path, tmp_path: Path) -> None:
    objective = Poisoned()
    with pytest.raises(TrainingError, match="loss must be finite, got nan at step 3") as caught:
        fit(tiny_fit(shards, tmp_path), objective=objective)
    for clip_id, _ in objective.clips[2]:
        assert clip_id in str(caught.value)
    assert torch.isfinite(load_checkpoint(tmp_path).weights["head.weight"]).all()


class Exploding(CrossEntropy):
    """A finite loss whose gradient is not."""

    def loss(self, logits_bk: torch.Tensor, batch: ClipBatch, labels_b: torch.Tensor) -> Loss:
        total = super().loss(logits_bk, batch, labels_b).total
        return Loss(total + (logits_bk - logits_bk.detach()).sum().clamp(min=0).sqrt(), {})


def test_weights_that_are_not_finite_are_never_saved(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="weights must be finite, got others after step 1"):
        fit(tiny_fit(shards, tmp_path, checkpoint_every=1), objective=Exploding())
    assert not list(tmp_path.glob("checkpoints/*"))


class Plain(nn.Module):
    """A network without batch norm, whose batches are independent."""

    saves_memory = False

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, 3, stride=4)
        self.head = nn.Linear(8, 3)

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.conv(clip_bcthw).relu().mean(dim=(2, 3, 4)))
        return logits


@pytest.mark.parametrize("clip_norm", [None, 0.05])
def test_accumulated_gradients_are_those_of_one_large_batch(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clip_norm: float | None
) -> None:
    monkeypatch.setattr(fit_module, "make_model", lambda *_, **__: Plain())
    optimizer = OptimizerConfig(clip_norm=clip_norm)
    small = tiny_fit(shards, tmp_path / "small", accumulate=3, steps=3, optimizer=optimizer)
    large = tiny_fit(shards, tmp_path / "large", batch_size=6, steps=3, optimizer=optimizer)
    one, few = run(large)
    other, many = run(small)
    flat = [key for batch in many.clips for key in batch]
    assert flat == [key for batch in few.clips for key in batch]
    for name, value in one.weights.items():
        torch.testing.assert_close(other.weights[name], value, atol=1e-6, rtol=1e-5)


def test_gradient_is_clipped_as_a_whole(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_module, "make_model", lambda *_, **__: Plain())
    config = tiny_fit(
        shards,
        tmp_path,
        schedule=ScheduleConfig(steps=1, warmup_steps=0, learning_rate=1.0),
        optimizer=OptimizerConfig(clip_norm=0.01, momentum=0, weight_decay=0),
    )
    torch.manual_seed(config.seed)
    before = Plain().state_dict()
    after = load_checkpoint(fit(config)).weights
    length = sum(float((after[name] - before[name]).square().sum()) for name in before) ** 0.5
    assert length == pytest.approx(0.01, rel=1e-3)


def test_biases_and_norms_do_not_decay() -> None:
    model = make_model(TINY_R3D, num_classes=3)
    optimizer = make_optimizer(model, OptimizerConfig(weight_decay=0.1))
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert len(decay) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        is_plain = "norm" in name or name.endswith(("bias", "stem.1.weight", "shortcut.1.weight"))
        assert decay[id(parameter)] == (0.0 if is_plain else 0.1), name


@pytest.mark.parametrize(
    "changes",
    [{"channels_last": False}, {"save_memory": True}],
    ids=["channels_first", "save_memory"],
)
def test_layout_and_memory_do_not_change_what_is_learned(
    shards: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    usual, _ = run(tiny_fit(shards, tmp_path / "usual", steps=2))
    other, _ = run(tiny_fit(shards, tmp_path / "other", steps=2, **changes))
    for name, value in usual.weights.items():
        torch.testing.assert_close(other.weights[name], value, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("is_last", [True, False])
def test_channels_last_is_an_option(
    shards: Path, tmp_path: Path, is_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Looking(Plain):
        def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
            seen.append(clip_bcthw.is_contiguous(memory_format=torch.channels_last_3d))
            return super().forward(clip_bcthw)

    monkeypatch.setattr(fit_module, "make_model", lambda *_, **__: Looking())
    fit(tiny_fit(shards, tmp_path, steps=1, channels_last=is_last))
    assert seen == [is_last]


def test_bf16_computes_in_bf16_and_keeps_float32_weights(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Looking(Plain):
        def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
            logits_bk = super().forward(clip_bcthw)
            seen.append(logits_bk.dtype)
            return logits_bk

    monkeypatch.setattr(fit_module, "make_model", lambda *_, **__: Looking())
    config = tiny_fit(shards, tmp_path, steps=1, val_shards=shards)
    checkpoint, _ = run(replace(config, precision="bf16"))
    assert set(seen) == {torch.bfloat16}
    assert checkpoint.weights["conv.weight"].dtype == torch.float32
    seen.clear()
    fit(replace(config, output=tmp_path / "fp32"))
    assert set(seen) == {torch.float32}


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "save_memory"), [("eager", False), ("aot_eager", True)])
def test_compiled_network_learns_the_same(
    backend: str,
    save_memory: bool,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Graphs as torch.compile captures them, computed by PyTorch: no C++ compiler needed.
    calls = []

    def compiled(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return torch_compile(*args, **options)

    torch_compile = partial(torch.compile, backend=backend)
    monkeypatch.setattr(torch, "compile", compiled)
    options = {"steps": 2, "val_shards": shards, "model": replace(TINY_R3D, dropout=0.0)}
    usual, _ = run(tiny_fit(shards, tmp_path / "usual", **options))
    options |= {"compile": True, "save_memory": save_memory}
    other, _ = run(tiny_fit(shards, tmp_path / "compiled", **options))
    assert calls
    for name, value in usual.weights.items():
        torch.testing.assert_close(other.weights[name], value, atol=1e-5, rtol=1e-4)


def test_validation_shards_are_checked_before_the_training(
    shards: Path, tmp_path: Path, records: list[ClipRecord], write_shards: Callable[..., Path]
) -> None:
    other = write_shards(records[:3])
    (other / "label_map.txt").write_text("jump\nsquat\nwave\nyawn\n")
    objective = Recorded()
    with pytest.raises(ConfigError, match="shards must have the labels of the checkpoint"):
        fit(tiny_fit(shards, tmp_path, val_shards=other), objective=objective)
    assert objective.losses == []


def test_clips_without_labels_are_refused(
    tmp_path: Path, records: list[ClipRecord], write_shards: Callable[..., Path]
) -> None:
    folder = write_shards([replace(records[0], label_index=-1, label_text=""), records[1]])
    with pytest.raises(ConfigError, match=r"a label for every clip, got .* with 1 of 2 clips"):
        fit(tiny_fit(folder, tmp_path / "run"))


def test_init_gives_all_but_the_head_of_other_labels(
    shards: Path, tmp_path: Path, records: list[ClipRecord], write_shards: Callable[..., Path]
) -> None:
    first = fit(tiny_fit(shards, tmp_path / "first", steps=1))
    other = write_shards(records[:3])
    (other / "label_map.txt").write_text("jump\nsquat\nwave\nyawn\n")
    frozen = ScheduleConfig(steps=1, warmup_steps=1, learning_rate=0.1)  # step 0 has rate 0
    second = fit(
        tiny_fit(other, tmp_path / "second", init=first, schedule=frozen, checkpoint_every=1)
    )
    folder = second.parent
    start, after = load_checkpoint(first).weights, load_checkpoint(folder / "step-00000001.pt")
    for name, value in after.weights.items():
        if "running" in name or "num_batches" in name:
            continue
        if name.startswith("head."):
            assert len(value) == 4
        else:
            assert torch.equal(value, start[name]), name


@pytest.mark.parametrize("momentum", [None, 1.0])
def test_batch_statistics_follow_as_fast_as_asked(
    shards: Path, tmp_path: Path, momentum: float | None
) -> None:
    options = {"steps": 1, "norm_momentum": momentum, "view": replace(VIEW, num_frames=8)}
    checkpoint, _ = run(tiny_fit(shards, tmp_path, model=TINY_S3D, **options))
    name = next(name for name in checkpoint.weights if name.endswith("running_var"))
    variance = checkpoint.weights[name]  # 1 before the first batch
    kept = 0.0 if momentum else 0.999  # what S3D-G's own code leaves of it
    assert (variance >= kept).all()
    assert (variance.min() < 0.9) == (momentum is not None)


@pytest.mark.parametrize("momentum", [0.0, 1.5])
def test_weight_of_a_batch_is_a_share(tmp_path: Path, momentum: float) -> None:
    with pytest.raises(ConfigError, match=f"norm_momentum must be > 0 and <= 1, got {momentum}"):
        tiny_fit(tmp_path, tmp_path, norm_momentum=momentum)


def test_run_file_says_what_the_run_was_told(shards: Path, tmp_path: Path) -> None:
    config = tiny_fit(shards, tmp_path, steps=1)
    checkpoint, _ = run(config)
    values = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert values["config"]["model"]["width_multiplier"] == TINY_R3D.width_multiplier
    assert values["config"]["shards"] == str(shards)
    assert values["config_hash"] == hash_json(values["config"])
    assert values["environment"]["torch"] == torch.__version__
    trained = (v for n, v in checkpoint.weights.items() if "running" not in n)
    assert values["parameters"] == sum(v.numel() for v in trained if v.is_floating_point())


@pytest.mark.slow
def test_two_processes_share_clips_and_weights(shards: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    ranks = run_two_processes(shards, output)
    # The ranks saw every clip of the first epoch once, and different ones.
    seen = [tuple(key) for rank in ranks for key in rank["clips"]]
    assert len(set(seen)) == len(seen) == 12
    assert len({clip for clip, epoch in seen if epoch == 0}) == 11
    # They hold the same weights after every step, though their losses differ.
    assert ranks[0]["losses"] != ranks[1]["losses"]
    for name, value in ranks[0]["weights"].items():
        assert torch.equal(value, ranks[1]["weights"][name]), name
    # All validation clips were gathered once, with the weights of the checkpoint.
    checkpoint = load_checkpoint(output / "run")
    model = restore_model(checkpoint)
    config = fit_module.EvalConfig(view=replace(VIEW, is_random=False), batch_size=2, workers=0)
    alone = predict(model, checkpoint.card, shards, config)
    for rank in ranks:
        assert tuple(rank["evaluated"]) == alone.clip_ids
        np.testing.assert_allclose(rank["logits"].numpy(), alone.logits, atol=1e-5)
