"""Grad-CAM is hot where the class is decided, and nowhere else."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from perfnet import ShardDataset
from perfnet.evaluation.gradcam import class_heat
from perfnet.evaluation.gradcam_figure import (
    GradCamConfig,
    draw_gradcam,
    overlay_heat,
    stream_pictures,
)
from perfnet.models.registry import ModelConfig, ModelName, make_model
from perfnet.training.checkpoint import ModelCard, save_checkpoint
from schemas.errors import ConfigError

LABELS = ("jump", "squat", "wave")
SMALL = {"width_multiplier": 0.125, "depth_multiplier": 0.34}


class Quadrants(nn.Module):
    """Class k is the mean of the upper left (0) or lower right (1) quarter, 2 is minus class 0."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([_Split()])

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        maps = self.stages[0](clip_bcthw)
        means = maps.mean(dim=(2, 3, 4))
        return torch.stack([means[:, 0], means[:, 1], -means[:, 0]], dim=1)


class _Split(nn.Module):
    """One map for each of two quarters, half the size of the clip."""

    def forward(self, clip_bcthw: torch.Tensor) -> torch.Tensor:
        grey = nn.functional.avg_pool3d(clip_bcthw.mean(dim=1, keepdim=True), (1, 2, 2))
        height, width = grey.shape[-2:]
        mask = torch.zeros(2, 1, height, width)
        mask[0, :, : height // 2, : width // 2] = 1
        mask[1, :, height // 2 :, width // 2 :] = 1
        return grey * mask


def test_heat_lies_in_the_corner_that_decides() -> None:
    clip = torch.rand(1, 3, 4, 16, 24) + 0.5
    for index, box in ((0, (slice(0, 8), slice(0, 12))), (1, (slice(8, 16), slice(12, 24)))):
        found = class_heat(Quadrants(), clip, class_index=index)
        assert found.heat_thw.shape == (4, 16, 24)
        assert found.heat_thw.max() == pytest.approx(1)
        inside = found.heat_thw[:, box[0], box[1]].sum()
        assert inside / found.heat_thw.sum() > 0.9  # interpolation spills over the border
        assert found.heat_thw[:, box[0], box[1]].mean() > 0.5


def test_what_speaks_against_a_class_is_cold() -> None:
    found = class_heat(Quadrants(), torch.rand(1, 3, 4, 16, 24), class_index=2)
    assert not found.heat_thw.any()


def test_heat_follows_frames() -> None:
    clip = torch.zeros(1, 3, 8, 16, 16)
    clip[:, :, 5, :8, :8] = 1
    found = class_heat(Quadrants(), clip, class_index=0)
    assert found.heat_thw.flatten(1).sum(dim=1).nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize("name", ["r3d50g", "s3dg_howto100m"])
def test_equals_class_activation_maps_behind_a_global_mean(name: ModelName) -> None:
    """Zhou et al. 2016: with a linear layer behind the mean, heat is the weighted sum of maps."""
    torch.manual_seed(0)
    model = make_model(ModelConfig(name=name, **SMALL), num_classes=3).eval()
    with torch.no_grad():  # maps that differ from place to place
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.running_var.fill_(0.1)
        model.head.weight.normal_()
    clip = torch.rand(1, 3, 8, 64, 64)
    with torch.no_grad():
        maps, logits = model.features(clip), model(clip)
    weights = model.head.weight[1].flatten().detach()
    heat = torch.relu(torch.einsum("c,cthw->thw", weights, maps[0]))
    heat = nn.functional.interpolate(heat[None, None], size=(8, 64, 64), mode="trilinear")[0, 0]
    found = class_heat(model, clip, class_index=1)
    assert heat.std() > 0
    torch.testing.assert_close(found.heat_thw, heat / heat.max(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.logits_k, logits[0])
    assert class_heat(model, clip).class_index == int(logits.argmax())


def test_network_is_left_as_it_was() -> None:
    model = make_model(ModelConfig(**SMALL), num_classes=3).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    class_heat(model, torch.rand(1, 3, 4, 32, 32))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_cold_places_show_the_picture_and_hot_ones_turn_red() -> None:
    picture = np.full((2, 2, 3), 100, np.uint8)
    heat = np.float32([[0, 0], [0, 1]])
    shown = overlay_heat(picture, heat)
    assert (shown[0] == 100).all()
    red, green, blue = shown[1, 1].tolist()
    assert red > 100 > green == blue
    assert (picture == 100).all()


def test_flow_is_shown_in_its_colors() -> None:
    codes = np.full((2, 8, 8, 2), 128, np.uint8)
    codes[:, :, 4:, 0] = 255  # rightward: red
    shown = stream_pictures(codes, "flow")
    assert (shown[:, :, :4] > 245).all()
    assert (shown[:, :, 4:, 0] > 250).all()
    assert (shown[:, :, 4:, 1:] < 10).all()


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An untrained network for each stream."""
    folder = tmp_path_factory.mktemp("checkpoints")
    config = ModelConfig(**SMALL)
    view = {"num_frames": 6, "height": 32, "width": 48, "is_random": False}
    paths = {}
    for modality, channels in (("rgb", 3), ("flow", 2), ("pose", 3)):
        model = make_model(config, num_classes=3, in_channels=channels)
        paths[modality] = folder / f"{modality}.pt"
        card = ModelCard(model=config, modality=modality, in_channels=channels, labels=LABELS)
        training = {"config": {"eval_view": view}}
        save_checkpoint(paths[modality], card=card, weights=model.state_dict(), training=training)
    return paths


def test_picture_has_a_row_for_each_stream(
    checkpoints: dict[str, Path], shards: Path, tmp_path: Path
) -> None:
    config = GradCamConfig(
        checkpoint=tuple(checkpoints.values()),
        shards=shards,
        clip="clip-04",
        output=tmp_path / "new" / "heat.png",
        frames=3,
    )
    lines = draw_gradcam(config)
    assert [line.split(" ")[0] for line in lines] == ["clip-04", "rgb", "flow", "pose"]
    assert all("squat" in line for line in lines[1:])  # its own label
    assert config.output.read_bytes().startswith(b"\x89PNG")
    chosen = dataclasses.replace(config, label="wave", checkpoint=(checkpoints["rgb"],))
    assert "wave" in draw_gradcam(chosen)[1]
    any_clip = dataclasses.replace(chosen, clip=None)
    assert draw_gradcam(any_clip)[0] == ShardDataset(shards).clip_ids[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": "clip-99"}, "clip must be one of .*, such as 'clip-00', got 'clip-99'; the ids"),
        ({"label": "jmup"}, "class must be one of the 3 of the checkpoint, such as 'jump'"),
        ({"output": Path("heat.gif")}, "output must end in .png, got heat.gif"),
        ({"checkpoint": ()}, "checkpoint must name at least one, got none"),
        ({"frames": 0}, "frames must be >= 1, got 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    changes: dict[str, object], message: str, checkpoints: dict[str, Path], shards: Path
) -> None:
    values = {"checkpoint": (checkpoints["rgb"],), "clip": "clip-04", "output": Path("heat.png")}
    with pytest.raises(ConfigError, match=message):
        draw_gradcam(GradCamConfig(shards=shards, **{**values, **changes}))
