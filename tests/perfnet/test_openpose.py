"""The body network has the published size and gives the maps of OpenPose's layers, written anew."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

from perfnet.models.openpose import ALL_OUTPUTS, BodyOutput, OpenPoseBody
from perfnet.models.weights import load_weights, source_of
from schemas.errors import ConfigError


@pytest.mark.parametrize(("side", "gmac"), [(224, 50.36), (368, 135.9)])
def test_body_network_has_the_published_size(side: int, gmac: float) -> None:
    with torch.device("meta"):
        body = OpenPoseBody()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            found = body(torch.empty(1, 3, 1, side, side))
    assert sum(parameter.numel() for parameter in body.parameters()) == 52_311_446
    assert counter.get_total_flops() / 2 / 1e9 == pytest.approx(gmac, abs=0.05)
    channels = {name: tuple(maps.shape[1:]) for name, maps in found.items()}
    place = (1, side // 8, side // 8)
    assert channels == {
        "limbs": (38, *place), "heat": (19, *place),
        "limb_features": (128, *place), "heat_features": (128, *place),
    }  # fmt: skip


TRUNK = {
    "conv1_1": (3, 64), "conv1_2": (64, 64), "conv2_1": (64, 128), "conv2_2": (128, 128),
    "conv3_1": (128, 256), "conv3_2": (256, 256), "conv3_3": (256, 256), "conv3_4": (256, 256),
    "conv4_1": (256, 512), "conv4_2": (512, 512), "conv4_3_CPM": (512, 256),
    "conv4_4_CPM": (256, 128),
}  # fmt: skip
SIDES = {"L1": 38, "L2": 19}


def body_weights(*, shrink: int = 8) -> dict[str, torch.Tensor]:
    """Random weights by the names of the public file; channels divided by `shrink`."""
    rng = np.random.default_rng(0)
    state: dict[str, Any] = {}

    def conv(name: str, inputs: int, outputs: int, size: int) -> None:
        shape = (outputs, inputs, size, size)
        state[f"{name}.weight"] = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        state[f"{name}.bias"] = rng.normal(0, 0.05, outputs)

    for name, (inputs, outputs) in TRUNK.items():
        conv(name, 3 if inputs == 3 else inputs // shrink, outputs // shrink, 3)
    few, many = 128 // shrink, 512 // shrink
    for side, maps in SIDES.items():
        for place in (1, 2, 3):
            conv(f"conv5_{place}_CPM_{side}", few, few, 3)
        conv(f"conv5_4_CPM_{side}", few, many, 1)
        conv(f"conv5_5_CPM_{side}", many, maps, 1)
        for stage in range(2, 7):
            name = f"Mconv{{}}_stage{stage}_{side}".format
            conv(name(1), 38 + 19 + few, few, 7)
            for place in (2, 3, 4, 5):
                conv(name(place), few, few, 7)
            conv(name(6), few, few, 1)
            conv(name(7), few, maps, 1)
    return {name: torch.from_numpy(np.float32(value)) for name, value in state.items()}


def body_maps(
    state: dict[str, torch.Tensor],
    clip_bcthw: torch.Tensor,
    *,
    is_bgr: bool = True,
    divisor: float = 256,
    relu_on_heat: bool = False,
    limbs_first: bool = True,
) -> dict[str, torch.Tensor]:
    """OpenPose's layers in plain functions, frame after frame; the options are wrong variants."""

    def conv(x: torch.Tensor, name: str) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def frame_maps(frame_bchw: torch.Tensor) -> dict[str, torch.Tensor]:
        red, green, blue = (frame_bchw[:, channel] * 255 for channel in range(3))
        x = torch.stack((blue, green, red) if is_bgr else (red, green, blue), dim=1)
        x = x / divisor - 0.5
        for name in TRUNK:
            if name in ("conv2_1", "conv3_1", "conv4_1"):
                x = F.max_pool2d(x, 2)
            x = conv(x, name).clamp_min(0)
        trunk, found = x, {}
        for stage in range(1, 7):
            for side in SIDES:
                pattern = "conv5_{}_CPM_{}" if stage == 1 else f"Mconv{{}}_stage{stage}_{{}}"
                last = 5 if stage == 1 else 7
                y = x
                for place in range(1, last):
                    y = conv(y, pattern.format(place, side)).clamp_min(0)
                found[f"{side}_features"] = y
                y = conv(y, pattern.format(last, side))
                found[side] = y.clamp_min(0) if side == "L2" and relu_on_heat else y
            pair = (found["L1"], found["L2"]) if limbs_first else (found["L2"], found["L1"])
            x = torch.cat((*pair, trunk), dim=1)
        return found

    frames = [frame_maps(frame) for frame in clip_bcthw.unbind(2)]
    return {name: torch.stack([maps[name] for maps in frames], dim=2) for name in frames[0]}


NAMES = {
    "limbs": "L1",
    "limb_features": "L1_features",
    "heat": "L2",
    "heat_features": "L2_features",
}


def _error(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _clips() -> torch.Tensor:
    return torch.rand(2, 3, 2, 32, 40, generator=torch.Generator().manual_seed(1))


def _loaded() -> tuple[OpenPoseBody, dict[str, torch.Tensor]]:
    body, state = OpenPoseBody(width=0.125), body_weights()
    load_weights(body, state, "openpose_body")
    return body, state


@torch.no_grad()
def test_public_weights_give_the_maps_of_the_layers_they_are_named_after() -> None:
    body, state = _loaded()
    own, theirs = body(_clips()), body_maps(state, _clips())
    for name, side in NAMES.items():
        assert _error(own[name], theirs[side]) < 1e-5  # type: ignore[index]
    assert _error(own["heat"][0], own["heat"][1]) > 1e-2  # alive
    assert (own["heat"] < 0).any()  # no ReLU


@torch.no_grad()
@pytest.mark.parametrize(
    ("wrong", "output"),
    [
        ({"relu_on_heat": True}, "heat"), ({"is_bgr": False}, "limbs"), ({"divisor": 255}, "heat"),
        ({"limbs_first": False}, "heat_features"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_variant_gives_other_maps(wrong: dict[str, Any], output: BodyOutput) -> None:
    body, state = _loaded()
    assert _error(body(_clips())[output], body_maps(state, _clips(), **wrong)[NAMES[output]]) > 3e-4


@torch.no_grad()
@pytest.mark.parametrize(
    "outputs",
    [("heat",), ("heat_features",), ("heat_features", "limb_features"), ("limbs", "heat")],
    ids="-".join,
)
def test_part_of_the_outputs_is_as_of_the_whole_network(outputs: tuple[BodyOutput, ...]) -> None:
    whole, _ = _loaded()
    part = OpenPoseBody(outputs, width=0.125)
    own = part.state_dict()
    part.load_state_dict({k: v for k, v in whole.state_dict().items() if k in own})
    assert len(own) < len(whole.state_dict()) or set(outputs) >= {"limbs", "heat"}
    found = part(_clips())
    assert tuple(found) == outputs
    assert all(torch.equal(found[name], whole(_clips())[name]) for name in outputs)


def test_names_may_have_the_parts_of_the_other_code_before_them() -> None:
    state = body_weights()
    prefixed = {f"module.model{place % 7}_1.{k}": v for place, (k, v) in enumerate(state.items())}
    assert source_of(prefixed) == source_of(state) == "openpose_body"
    one, _ = _loaded()
    other = OpenPoseBody(width=0.125)
    load_weights(other, prefixed, "openpose_body")
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def _drop(state: dict[str, Any]) -> None:
    del state["Mconv7_stage6_L2.weight"]


def _add(state: dict[str, Any]) -> None:
    state["Mconv1_stage7_L1.bias"] = torch.zeros(16)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_drop, "weights must be those of openpose_body, got 1 faults: Mconv7_stage6_L2.weight is"),
        (_add, "Mconv1_stage7_L1.bias is left over"),
    ],
)
def test_weights_that_do_not_fit_are_named(spoil: Callable[[Any], None], message: str) -> None:
    state = body_weights()
    spoil(state)
    with pytest.raises(ConfigError, match=message):
        load_weights(OpenPoseBody(width=0.125), state, "openpose_body")


def test_shallow_network_has_two_stages_and_all_outputs() -> None:
    body = OpenPoseBody(width=0.125, depth=0.1)
    assert set(body(_clips())) == set(ALL_OUTPUTS)
    names = " ".join(body.state_dict())
    assert "Mconv7_stage2_L2" in names
    assert "stage3" not in names
