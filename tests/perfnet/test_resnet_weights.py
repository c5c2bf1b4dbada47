"""Weights of torchvision's ResNets land in every trunk of a PAN: compared with that code, anew."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from perfnet.models import tsm_resnet
from perfnet.models.pan import Pan, PanConfig
from perfnet.models.registry import ModelConfig
from perfnet.models.weights import load_weights, source_of
from perfnet.training.checkpoint import ModelCard, load_checkpoint
from perfnet.training.fit import fit
from perfnet.training.foreign_weights import load_foreign_weights
from perfnet.training.schedule import ScheduleConfig
from schemas.errors import ConfigError
from tests.perfnet.training_runs import VIEW, tiny_fit


class _Block(nn.Module):
    """torchvision's `Bottleneck` by its attribute names."""

    def __init__(self, inputs: int, mid: int, stride: int, *, has_shortcut: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, mid, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid)
        self.conv2 = nn.Conv2d(mid, mid, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(mid)
        self.conv3 = nn.Conv2d(mid, 4 * mid, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * mid)
        self.downsample = None
        if has_shortcut:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * mid, 1, stride, bias=False), nn.BatchNorm2d(4 * mid)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(torch.relu(self.bn2(self.conv2(y)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class _ResNet(nn.Module):
    """torchvision's `ResNet` by its attribute names; gives the maps of its last layer."""

    def __init__(self, numbers: tuple[int, ...] = (3, 4, 6, 3)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for layer, number in enumerate(numbers, start=1):
            mid = 32 * 2**layer
            blocks = []
            for place in range(number):
                stride = 2 if place == 0 and layer > 1 else 1
                blocks.append(_Block(inputs, mid, stride, has_shortcut=place == 0))
                inputs = 4 * mid
            setattr(self, f"layer{layer}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        for layer in range(1, 5):
            x = getattr(self, f"layer{layer}")(x)
        return x


@pytest.fixture(scope="module")
def resnet() -> _ResNet:
    """A ResNet-50 in which every layer matters and none is dead."""
    torch.manual_seed(0)
    model = _ResNet()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    return model.eval()


def _make(variant: Any, **options: Any) -> Pan:
    with torch.device("meta"):
        model = Pan(PanConfig(num_classes=3, variant=variant, **options))
    model.to_empty(device="cpu")
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            value.zero_()
        model.mean.zero_()
        model.std.fill_(1.0)
    return model.eval()


def _error(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.slow
def test_resnet_weights_give_the_maps_of_its_code(
    resnet: _ResNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without shifts every frame is an image; with them it is not."""
    model = _make("rgb")
    load_weights(model, resnet.state_dict(), "torchvision_resnet")
    clip = torch.rand(1, 3, 8, 64, 64)
    with torch.no_grad():
        wanted = resnet(clip[0].transpose(0, 1)).transpose(0, 1)[None]
        assert _error(model.features(clip), wanted) > 0.05
        monkeypatch.setattr(tsm_resnet, "shift_frames", lambda x: x)
        assert _error(model.features(clip), wanted) < 1e-4
        assert _error(wanted[:, :, 0], wanted[:, :, 1]) > 1e-3
        layer: Any = model.stages[2][0][3]
        layer.norm_a.weight.data = layer.norm_b.weight.data.clone()  # one weight in another's place
        assert _error(model.features(clip), wanted) > 1e-3


def test_other_channels_than_colours_have_the_mean_of_the_colours(resnet: _ResNet) -> None:
    state = resnet.state_dict()
    first = state["conv1.weight"]
    mean = first.mean(dim=1)
    model = _make("en")
    load_weights(model, {f"module.{k}": v for k, v in state.items()}, "torchvision_resnet")
    lite, rgb, pa = (model.stem[n].conv.weight for n in range(3))
    assert lite.shape[1] == 6
    for channel in range(6):
        assert torch.equal(lite[:, channel], mean)
    assert torch.equal(rgb, first)
    assert torch.equal(pa, first)
    last = state["layer4.2.conv3.weight"]
    for branch in range(3):
        block: Any = model.stages[3][branch][2]
        assert torch.equal(block.conv_c.weight, last)
    assert not any(value.any() for name, value in model.named_parameters() if ".pa." in name)
    flow = _make("rgb", in_channels=2)
    load_weights(flow, state, "torchvision_resnet")
    for channel in range(2):
        assert torch.equal(flow.stem[0].conv.weight[:, channel], mean)


def test_resnet_101_has_names_of_its_own() -> None:
    with torch.device("meta"):
        state: Any = _ResNet((3, 4, 23, 3)).state_dict()
    state = {name: torch.full(value.shape, 2.0) for name, value in state.items()}
    assert source_of(state) == "torchvision_resnet"
    deep = _make("pa", depth=101)
    load_weights(deep, state, "torchvision_resnet")
    trunk = [v for n, v in deep.named_parameters() if n.startswith(("stem.", "stages."))]
    assert all(bool((value == 2).all()) for value in trunk)
    with pytest.raises(ConfigError, match=r"faults: layer3.10.bn1.bias is left over"):
        load_weights(_make("pa"), state, "torchvision_resnet")


@pytest.fixture(scope="module")
def file(resnet: _ResNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("imagenet") / "resnet50.pth"
    torch.save(resnet.state_dict(), path)
    return path


@pytest.mark.slow
def test_run_starts_from_an_image_network(
    shards: Path, tmp_path: Path, file: Path, resnet: _ResNet
) -> None:
    torch.set_num_threads(1)
    plain = replace(VIEW, num_frames=8, num_segments=2, is_random=False)
    options: dict[str, Any] = {
        "init_weights": file, "view": plain, "eval_view": plain, "checkpoint_every": 1,
        "schedule": ScheduleConfig(steps=1, warmup_steps=1, learning_rate=0.1),  # 0 at first
    }  # fmt: skip
    model = ModelConfig(name="pan_lite_r50", num_segments=2)
    fit(tiny_fit(shards, tmp_path / "run", model=model, **options))
    found = load_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000001.pt").weights
    state = resnet.state_dict()
    assert torch.equal(found["stages.2.0.5.conv_b.weight"], state["layer3.5.conv2.weight"])
    assert found["head.0.linear.weight"].shape == (3, 2048)
    assert 5e-4 < found["inputs.0.pa.conv.weight"].std() < 2e-3  # new
    with pytest.raises(ConfigError, match=r"init_weights: model must be pan_\* for weights of tor"):
        fit(tiny_fit(shards, tmp_path / "other", **options))


def test_image_network_is_no_network_of_its_own(file: Path) -> None:
    with pytest.raises(ConfigError, match="init_weights: weights must be those of a video network"):
        load_foreign_weights(file)
    card = ModelCard(model=ModelConfig(), modality="rgb", in_channels=3, labels=("a",))
    with pytest.raises(
        ConfigError, match=r"model must be pan_\* for weights of torchvision_resnet"
    ):
        load_foreign_weights(file, card)
