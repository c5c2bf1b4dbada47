"""The probe finds motion where maps hold it, and leaves the network alone."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from perfnet.evaluation.network import load_network
from perfnet.models.registry import ModelConfig, make_model
from perfnet.probe.clips import ProbeBatch, ProbeClips, flow_bound
from perfnet.probe.config import ProbeConfig
from perfnet.probe.decoder import FlowDecoder, end_point_error, pool_flow
from perfnet.probe.probe import describe_errors, measure, probe, train_decoders
from perfnet.probe.reader import FlowReader, make_untrained
from perfnet.training.checkpoint import ModelCard, save_checkpoint
from schemas.clip_record import ClipRecord
from schemas.errors import ConfigError

LABELS = ("jump", "squat", "wave")
SMALL = ModelConfig(width_multiplier=0.125, depth_multiplier=0.34)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "rgb.pt"
    torch.manual_seed(1)
    model = make_model(SMALL, num_classes=3)
    card = ModelCard(model=SMALL, modality="rgb", in_channels=3, labels=LABELS)
    view = {"num_frames": 4, "height": 32, "width": 32, "is_random": False}
    training = {"config": {"eval_view": view}}
    save_checkpoint(path, card=card, weights=model.state_dict(), training=training)
    return path


def _config(checkpoint: Path, shards: Path, output: Path, **changes: Any) -> ProbeConfig:
    values: dict[str, Any] = {
        "stages": (1, 3), "steps": 3, "batch_size": 2, "channels": 4, "workers": 0,
        "calibration_batches": 1,
    }  # fmt: skip
    paths = {"checkpoint": checkpoint, "shards": shards, "test_shards": shards, "output": output}
    return ProbeConfig(**{**paths, **values, **changes})


class _Trunk(nn.Module):
    """One stage: passes channels of the clip on."""

    def __init__(self, channels: slice) -> None:
        super().__init__()
        self.stages = nn.ModuleList([_Pick(channels)])

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.stages[0](clip_bcthw)
        return maps.mean(dim=(2, 3, 4))


class _Pick(nn.Module):
    def __init__(self, channels: slice) -> None:
        super().__init__()
        self.channels = channels
        self.norm = nn.BatchNorm3d(2)

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.norm(clip_bcthw[:, self.channels])
        return maps


def _batches(number: int) -> list[ProbeBatch]:
    """Channels 0 and 1 hold the flow of a frame, 2 and 3 noise."""
    rng = torch.Generator().manual_seed(0)
    made = []
    for _ in range(number):
        flow = torch.randn(4, 2, 2, 1, 1, generator=rng).expand(4, 2, 2, 6, 6) * 3 + 1
        noise = torch.randn(4, 2, 2, 6, 6, generator=rng)
        made.append(ProbeBatch(torch.cat((flow, noise), dim=1), flow.contiguous()))
    return made


def test_maps_with_motion_are_decoded_and_maps_without_are_not(tmp_path: Path) -> None:
    batches = _batches(250)
    config = _config(tmp_path, tmp_path, tmp_path, steps=len(batches), learning_rate=0.01)
    seeing, blind = (
        FlowReader(_Trunk(channels), (1,), example=batches[0], channels=8, seed=0)
        for channels in (slice(0, 2), slice(2, 4))
    )
    mean_flow = train_decoders((seeing, blind), batches, config)
    torch.testing.assert_close(mean_flow, torch.ones(2), atol=0.4, rtol=0)
    (row,) = measure(seeing, blind, _batches(4), mean_flow)
    assert row.trained < 0.35 * row.mean_flow  # sees
    assert row.untrained > 0.8 * row.mean_flow  # cannot see
    assert row.mean_flow < row.zero_flow
    assert row.num_clips == 16


def test_baselines_are_those_counted_by_hand() -> None:
    flow = torch.zeros(1, 2, 1, 4, 4)
    flow[:, 0], flow[:, 1] = 3.0, 4.0
    pooled = pool_flow(flow, torch.empty(1, 8, 1, 2, 2))
    assert pooled.shape == (1, 2, 1, 2, 2)
    zero = torch.zeros(1, 2, 1, 1, 1)
    assert end_point_error(zero, pooled).tolist() == pytest.approx([5.0])
    across = torch.cat((flow, -flow), dim=2)  # opposite motion cancels out in a mean over frames
    assert end_point_error(zero, pool_flow(across, torch.empty(1, 8, 1, 2, 2))).item() == 0


def test_new_decoder_says_no_motion() -> None:
    decoder = FlowDecoder(6, channels=4)
    assert not decoder(torch.randn(2, 6, 2, 4, 4)).any()


def test_trunk_is_unchanged_by_the_probe(checkpoint: Path, shards: Path, tmp_path: Path) -> None:
    """Weights, statistics of batch norms and gradients."""
    network = load_network(checkpoint)
    config = _config(checkpoint, shards, tmp_path)
    batches = list(ProbeClips(network, config).training(3))
    before = {name: value.clone() for name, value in network.model.state_dict().items()}
    network.model.train()  # the reader must see to it
    reader = FlowReader(network.model, (1, 3), example=batches[0], channels=4, seed=0)
    first = {name: value.clone() for name, value in reader.decoders.state_dict().items()}
    train_decoders((reader,), batches, config)
    after = network.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in network.model.parameters())
    moved = reader.decoders.state_dict()
    assert any(not torch.equal(first[name], moved[name]) for name in first)


def test_untrained_control_has_other_weights_and_live_maps(
    checkpoint: Path, shards: Path, tmp_path: Path
) -> None:
    network = load_network(checkpoint)
    batches = list(ProbeClips(network, _config(checkpoint, shards, tmp_path)).training(2))
    control = make_untrained(network, batches, seed=0)
    trained = network.model.state_dict()
    same = [
        name
        for name, value in control.state_dict().items()
        if value.ndim > 1 and torch.equal(value, trained[name])
    ]
    assert same == []
    assert not control.training
    maps = FlowReader(control, (4,), example=batches[0], channels=4, seed=0).maps(
        batches[0].inputs_bcthw
    )
    assert maps[4].std() > 0.05
    norms = [module for module in control.modules() if isinstance(module, nn.BatchNorm3d)]
    assert all(norm.running_mean.any() for norm in norms)  # statistics of the clips


def test_probe_writes_every_stage_and_is_the_same_again(
    checkpoint: Path, shards: Path, tmp_path: Path
) -> None:
    found = probe(_config(checkpoint, shards, tmp_path / "a"))
    again = probe(_config(checkpoint, shards, tmp_path / "b"))
    assert found == again
    assert [row.stage for row in found] == [1, 3]
    assert all(row.num_clips == 11 for row in found)
    values = json.loads((tmp_path / "a" / "probe.json").read_text())
    assert values["stages"] == [row._asdict() for row in found]
    lines = (tmp_path / "a" / "probe.csv").read_text().splitlines()
    assert lines[0] == "stage,trained,untrained,mean_flow,zero_flow,num_clips"
    assert len(lines) == 3
    assert len(describe_errors(found).splitlines()) == 3


def test_flow_is_in_pixels_of_the_shards(
    checkpoint: Path, write_shards: Callable[..., Path], records: list[ClipRecord], tmp_path: Path
) -> None:
    folder = write_shards(records[:2])
    network = load_network(checkpoint)
    batch = next(ProbeClips(network, _config(checkpoint, folder, tmp_path)).test())
    assert batch.flow_bcthw[:, 1].mean().item() == pytest.approx(5, abs=0.2)  # as recorded
    info = json.loads((folder / "run.json").read_text())
    info["config"]["flow"] = {"bound_px": 10.0}
    (folder / "run.json").write_text(json.dumps(info))
    assert flow_bound(folder) == 10.0


def test_stage_that_the_network_lacks_is_refused(
    checkpoint: Path, shards: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="stages must be 1 to 4 of this network, got 5"):
        probe(_config(checkpoint, shards, tmp_path, stages=(2, 5)))


def test_shards_without_flow_are_refused(
    checkpoint: Path, write_shards: Callable[..., Path], records: list[ClipRecord], tmp_path: Path
) -> None:
    folder = write_shards(records[:2])
    info = (folder / "run.json").read_text()
    (folder / "run.json").write_text(info.replace('"flow", ', ""))
    with pytest.raises(ConfigError, match=r"flow must be in the shards.*--modalities"):
        probe(_config(checkpoint, folder, tmp_path))


@pytest.mark.parametrize(("name", "value", "rule"), [("steps", 0, ">= 1"), ("workers", -1, ">= 0")])
def test_number_out_of_range_is_refused(name: str, value: int, rule: str) -> None:
    config = _config(Path(), Path(), Path())
    with pytest.raises(ConfigError, match=f"{name} must be {rule}, got {value}"):
        dataclasses.replace(config, **{name: value})
    with pytest.raises(ConfigError, match="learning_rate must be > 0, got 0"):
        dataclasses.replace(config, learning_rate=0.0)
