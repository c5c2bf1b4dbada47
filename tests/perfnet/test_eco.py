"""ECO-Lite has the published size and gives the logits of the published graph, written anew."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from perfnet.models.eco import Appearance, EcoConfig, EcoLite
from perfnet.models.profile import profile_model
from perfnet.models.registry import ModelConfig, make_model
from perfnet.models.weights import load_weights, num_classes_of, source_of
from schemas.errors import ConfigError

ECO = ModelConfig(name="eco_lite")
NUM_CLASSES = 5
TINY = EcoConfig(num_classes=NUM_CLASSES, width_multiplier=0.125)
"""An eighth of the channels: all of them can be divided by 8."""


@pytest.mark.parametrize(("frames", "gmac"), [(4, 11.62), (8, 23.24), (16, 46.49), (32, 92.97)])
def test_eco_lite_has_the_published_size(frames: int, gmac: float) -> None:
    found = profile_model(ECO, num_classes=400, input_thw=(frames, 224, 224))
    assert found.num_parameters == 37_503_856
    assert found.flops / 2 / 1e9 == pytest.approx(gmac, abs=0.006)


def test_frames_become_96_maps_of_28_by_28() -> None:
    with torch.device("meta"):
        appearance = Appearance()
        assert appearance(torch.empty(2, 3, 4, 224, 224)).shape == (2, 96, 4, 28, 28)
    assert sum(parameter.numel() for parameter in appearance.parameters()) == 681_568


CONVS_2D = {
    "conv1_7x7_s2": (3, 64, 7),
    "conv2_3x3_reduce": (64, 64, 1),
    "conv2_3x3": (64, 192, 3),
    "inception_3a_1x1": (192, 64, 1),
    "inception_3a_3x3_reduce": (192, 64, 1),
    "inception_3a_3x3": (64, 64, 3),
    "inception_3a_double_3x3_reduce": (192, 64, 1),
    "inception_3a_double_3x3_1": (64, 96, 3),
    "inception_3a_double_3x3_2": (96, 96, 3),
    "inception_3a_pool_proj": (192, 32, 1),
    "inception_3b_1x1": (256, 64, 1),
    "inception_3b_3x3_reduce": (256, 64, 1),
    "inception_3b_3x3": (64, 96, 3),
    "inception_3b_double_3x3_reduce": (256, 64, 1),
    "inception_3b_double_3x3_1": (64, 96, 3),
    "inception_3b_double_3x3_2": (96, 96, 3),
    "inception_3b_pool_proj": (256, 64, 1),
    "inception_3c_double_3x3_reduce": (320, 64, 1),
    "inception_3c_double_3x3_1": (64, 96, 3),
}
CONVS_3D = {
    "res3a_2": (96, 128), "res3b_1": (128, 128), "res3b_2": (128, 128),
    "res4a_1": (128, 256), "res4a_2": (256, 256), "res4a_down": (128, 256),
    "res4b_1": (256, 256), "res4b_2": (256, 256),
    "res5a_1": (256, 512), "res5a_2": (512, 512), "res5a_down": (256, 512),
    "res5b_1": (512, 512), "res5b_2": (512, 512),
}  # fmt: skip
NORMS_3D = {
    "res3a_bn": 128, "res3b_1_bn": 128, "res3b_bn": 128,
    "res4a_1_bn": 256, "res4a_bn": 256, "res4b_1_bn": 256, "res4b_bn": 256,
    "res5a_1_bn": 512, "res5a_bn": 512, "res5b_1_bn": 512, "res5b_bn": 512,
}  # fmt: skip
"""Layers of the graph of the official code and their channels."""


def caffe_weights(*, num_classes: int = NUM_CLASSES, shrink: int = 8) -> dict[str, torch.Tensor]:
    """Random weights and statistics by the names of the official code; no layer is idle."""
    rng = np.random.default_rng(0)
    state: dict[str, Any] = {}

    def conv(name: str, inputs: int, outputs: int, kernel: tuple[int, ...]) -> None:
        inputs = 3 if inputs == 3 else inputs // shrink
        shape = (outputs // shrink, inputs, *kernel)
        deviation = (2 / np.prod(shape[1:])) ** 0.5
        state[f"{name}.weight"] = rng.normal(0, deviation, shape)
        state[f"{name}.bias"] = rng.normal(0, 0.2, shape[0])

    def norm(name: str, channels: int) -> None:
        size = channels // shrink
        state[f"{name}.weight"] = rng.uniform(0.7, 1.3, size)
        state[f"{name}.bias"] = rng.normal(0, 0.2, size)
        state[f"{name}.running_mean"] = rng.normal(0, 0.2, size)
        state[f"{name}.running_var"] = rng.uniform(0.5, 1.5, size)

    for name, (inputs, outputs, size) in CONVS_2D.items():
        conv(name, inputs, outputs, (size, size))
        norm(f"{name}_bn", outputs)
    state["conv1_7x7_s2_bn.running_var"] *= 1e4  # of grey levels
    for name, (inputs, outputs) in CONVS_3D.items():
        conv(name, inputs, outputs, (3, 3, 3))
    for name, channels in NORMS_3D.items():
        norm(name, channels)
    state["fc_final.weight"] = rng.normal(0, 0.3, (num_classes, 512 // shrink))
    state["fc_final.bias"] = rng.normal(0, 1, num_classes)
    return {name: torch.from_numpy(np.float32(value)) for name, value in state.items()}


class Caffe:
    """Layers of the official graph in plain functions, by their names.

    Args:
        state: From `caffe_weights`.
    """

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.state = state

    def conv(self, x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        call = F.conv2d if weight.ndim == 4 else F.conv3d
        return call(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        keys = ("running_mean", "running_var", "weight", "bias")
        shape = (1, -1, *(1,) * (x.ndim - 2))
        mean, variance, scale, shift = (self.state[f"{name}.{key}"].view(shape) for key in keys)
        return ((x - mean) / (variance + 1e-5).sqrt() * scale + shift).clamp_min(0)


def caffe_maps(
    state: dict[str, torch.Tensor],
    clip_bcthw: torch.Tensor,
    *,
    rounds_up: bool = True,
    is_bgr: bool = True,
    counts_padding: bool = True,
) -> torch.Tensor:
    """A of every frame, one after the other; the options are wrong variants."""
    caffe = Caffe(state)

    def unit(x: torch.Tensor, name: str, stride: int = 1) -> torch.Tensor:
        return caffe.norm(caffe.conv(x, name, stride), f"{name}_bn")

    def pool(x: torch.Tensor) -> torch.Tensor:
        if rounds_up:  # an even size leaves one row and column for the last window
            x = F.pad(x, (0, 1, 0, 1), value=float("-inf"))
        return F.max_pool2d(x, 3, 2)

    def inception(x: torch.Tensor, name: str) -> torch.Tensor:
        mean = F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=counts_padding)
        three = unit(unit(x, f"{name}_3x3_reduce"), f"{name}_3x3")
        double = unit(unit(x, f"{name}_double_3x3_reduce"), f"{name}_double_3x3_1")
        double = unit(double, f"{name}_double_3x3_2")
        return torch.cat(
            (unit(x, f"{name}_1x1"), three, double, unit(mean, f"{name}_pool_proj")), dim=1
        )

    maps = []
    for frame_bchw in clip_bcthw.unbind(2):
        red, green, blue = (frame_bchw[:, channel] * 255 for channel in range(3))
        first, last = (blue, red) if is_bgr else (red, blue)
        x = torch.stack((first - 104, green - 117, last - 128), dim=1)
        x = pool(unit(x, "conv1_7x7_s2", 2))
        x = pool(unit(unit(x, "conv2_3x3_reduce"), "conv2_3x3"))
        x = inception(inception(x, "inception_3a"), "inception_3b")
        x = unit(x, "inception_3c_double_3x3_reduce")
        maps.append(unit(x, "inception_3c_double_3x3_1"))
    return torch.stack(maps, dim=2)


def caffe_logits(
    state: dict[str, torch.Tensor], maps_bcthw: torch.Tensor, *, sums_before_norm: bool = True
) -> torch.Tensor:
    """The 3D ResNet over the maps of frames; the option is a wrong variant."""
    caffe = Caffe(state)
    conv, norm = caffe.conv, caffe.norm

    def block_b(x: torch.Tensor, name: str) -> torch.Tensor:
        normed = norm(x, f"{name}a_bn")
        residual = conv(norm(conv(normed, f"{name}b_1"), f"{name}b_1_bn"), f"{name}b_2")
        return norm(residual + (x if sums_before_norm else normed), f"{name}b_bn")

    x = block_b(conv(maps_bcthw, "res3a_2"), "res3")
    for name in ("res4", "res5"):
        inner = conv(norm(conv(x, f"{name}a_1", 2), f"{name}a_1_bn"), f"{name}a_2")
        x = block_b(inner + conv(x, f"{name}a_down", 2), name)
    return x.mean(dim=(2, 3, 4)) @ state["fc_final.weight"].T + state["fc_final.bias"]


def _error(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _loaded() -> tuple[EcoLite, dict[str, torch.Tensor]]:
    state = caffe_weights()
    model = EcoLite(TINY).eval()
    load_weights(model, state, "eco_lite")
    return model, state


def _clips() -> torch.Tensor:
    return torch.rand(2, 3, 8, 32, 48, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_public_weights_give_the_logits_of_the_official_graph() -> None:
    model, state = _loaded()
    own, theirs = model(_clips()), caffe_logits(state, caffe_maps(state, _clips()))
    assert _error(own, theirs) < 1e-4
    assert _error(own[0], own[1]) > 1e-2  # the trunk is alive


@torch.no_grad()
@pytest.mark.parametrize(
    "wrong",
    [
        {"rounds_up": False}, {"sums_before_norm": False}, {"is_bgr": False},
        {"counts_padding": False},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_variant_gives_other_logits(wrong: dict[str, bool]) -> None:
    model, state = _loaded()
    of_head = {name: wrong[name] for name in wrong if name == "sums_before_norm"}
    maps = caffe_maps(state, _clips(), **{k: v for k, v in wrong.items() if k not in of_head})
    assert _error(model(_clips()), caffe_logits(state, maps, **of_head)) > 0.02


def _drop(state: dict[str, Any]) -> None:
    del state["res4a_down.bias"]


def _add(state: dict[str, Any]) -> None:
    state["inception_3c_3x3.weight"] = torch.zeros(3)


def _reshape(state: dict[str, Any]) -> None:
    state["res3a_2.weight"] = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop, "weights must be those of eco_lite, got 1 faults: res4a_down.bias is missing"),
        (_add, "got 1 faults: inception_3c_3x3.weight is left over"),
        (_reshape, r"res3a_2.weight has the shape \(2, 3\) instead of \(16, 12, 3, 3, 3\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(spoil: Callable[[Any], None], message: str) -> None:
    state = caffe_weights()
    spoil(state)
    with pytest.raises(ConfigError, match=message):
        load_weights(EcoLite(TINY), state, "eco_lite")


def test_weights_may_stand_in_the_wrappers_of_the_training_code() -> None:
    state = caffe_weights()
    wrapped = {
        f"module.{'' if 'fc_final' in name else 'base_model.'}{name}".replace(
            "fc_final", "new_fc"
        ): v
        for name, v in state.items()
    }
    wrapped["module.base_model.res3a_bn.num_batches_tracked"] = torch.tensor(3)
    assert source_of(wrapped) == "eco_lite"
    assert num_classes_of(wrapped, "eco_lite") == NUM_CLASSES
    one, other = EcoLite(TINY), EcoLite(TINY)
    load_weights(one, state, "eco_lite")
    load_weights(other, wrapped, "eco_lite")
    for name, value in one.state_dict().items():
        if "num_batches" not in name:
            assert torch.equal(value, other.state_dict()[name])


def test_shallow_network_has_one_block_in_each_stage() -> None:
    model = EcoLite(EcoConfig(num_classes=2, width_multiplier=0.125, depth_multiplier=0.34))
    kinds = [[type(layer) for layer in stage][1:] for stage in model.stages]  # type: ignore[union-attr]
    assert kinds == [[nn.BatchNorm3d, nn.ReLU]] * 3


@pytest.mark.parametrize("frames", [2, 6])
def test_number_of_frames_must_be_a_multiple_of_4(frames: int) -> None:
    model = EcoLite(TINY)
    with pytest.raises(ConfigError, match=rf"must be a multiple of 4 .*, got {frames}"):
        model(torch.rand(1, 3, frames, 32, 32))


def test_flow_is_refused() -> None:
    for name in ("eco_lite", "pas_net"):
        with pytest.raises(ConfigError, match="in_channels must be 3 for a network of frames, got"):
            make_model(ModelConfig(name=name), num_classes=2, in_channels=2)  # type: ignore[arg-type]
