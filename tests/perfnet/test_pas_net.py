"""Each fusion of PAS-Net is its equation, written out in numpy; the rest is ECO-Lite."""

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from perfnet.models.eco import EcoConfig, EcoLite
from perfnet.models.fusion import FUSIONS, Fusion, FusionName, PasNetOptions, pool_channels
from perfnet.models.pas_net import PasNet, PasNetConfig
from perfnet.models.profile import profile_model
from perfnet.models.registry import ModelConfig, make_model, model_config_from_plain
from perfnet.models.weights import load_weights
from schemas.errors import ConfigError
from tests.perfnet.random_weights import randomised
from tests.perfnet.test_eco import caffe_logits, caffe_maps, caffe_weights
from tests.perfnet.test_openpose import body_maps, body_weights

Array = npt.NDArray[np.float64]

CHANNELS, FEATURES = 6, 8
"""Of A and of I and F in tests: 4 to 3 as in the paper's 128 to 96."""
EQUATIONS: dict[int, FusionName] = {
    3: "a", 4: "i", 5: "ea", 6: "a_plus_ea", 7: "conv_a_ea", 8: "a_plus_i", 9: "conv_a_i",
    10: "a_plus_i_f", 11: "conv_a_i_f",
}  # fmt: skip


class Maps:
    """Random maps of two clips of three frames, float32 as a network has them."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)

        def maps(channels: int) -> Array:
            return rng.normal(0, 1, (2, channels, 3, 4, 5)).astype(np.float32).astype(np.float64)

        self.a, self.i, self.f, self.heat = maps(CHANNELS), maps(FEATURES), maps(FEATURES), maps(19)
        self.heat[:, 18] += 2  # nearly everywhere is background
        self.heat[:, :18] -= 1.5  # no joint in many places

    def fused(self, fusion: Fusion, **changes: Array) -> Array:
        values = {"a": self.a, "i": self.i, "f": self.f, "heat": self.heat, **changes}
        tensors = {name: torch.from_numpy(np.float32(value)) for name, value in values.items()}
        body = {"heat": tensors["heat"], "heat_features": tensors["i"],
                "limb_features": tensors["f"]}  # fmt: skip
        with torch.no_grad():
            return fusion(tensors["a"], body).double().numpy()  # type: ignore[arg-type]


def _fusion(name: FusionName, **options: Any) -> Fusion:
    torch.manual_seed(0)
    options_of = PasNetOptions(fusion=name, **options)
    return Fusion(options_of, channels=CHANNELS, feature_channels=FEATURES)


def _pooled(x: Array, reduce: Callable[..., Array] = np.mean) -> Array:
    """Four channels to three, again and again: of 0 and 1, 1 and 2, 2 and 3."""
    windows = [
        (4 * group + place, 4 * group + place + 2)
        for group in range(x.shape[1] // 4)
        for place in range(3)
    ]
    return np.stack([reduce(x[:, start:stop], axis=1) for start, stop in windows], axis=1)


def _convolved(fusion: Fusion, *maps: Array) -> Array:
    """A sum over pixels of the neighbourhood and channels of maps one behind the other."""
    assert fusion.conv is not None
    assert fusion.conv.bias is not None
    weight = fusion.conv.weight.detach().double().numpy()[:, :, 0]
    x = np.concatenate(maps, axis=1)
    half, (height, width) = weight.shape[-1] // 2, x.shape[-2:]
    padded = np.pad(x, ((0, 0), (0, 0), (0, 0), (half, half), (half, half)))
    out = np.zeros((len(x), CHANNELS, *x.shape[2:]))
    for down in range(weight.shape[-2]):
        for right in range(weight.shape[-1]):
            window = padded[..., down : down + height, right : right + width]
            out += np.einsum("oc,bcthw->bothw", weight[:, :, down, right], window)
    return out + fusion.conv.bias.detach().double().numpy()[:, None, None, None]


def _expected(equation: int, fusion: Fusion, maps: Maps) -> Array:
    """Equations 3 to 11 as they stand, with the weights of the paper."""
    a, i, f = maps.a, maps.i, maps.f
    e = maps.heat[:, :18].max(axis=1, keepdims=True)
    written: dict[int, Callable[[], Array]] = {
        3: lambda: a,
        4: lambda: _pooled(i),
        5: lambda: e * a,
        6: lambda: a + 1.5 * e * a,
        7: lambda: _convolved(fusion, a, e * a),
        8: lambda: a + 1.5 * _pooled(i),
        9: lambda: _convolved(fusion, a, i),
        10: lambda: a + 0.5 * _pooled(i) + 1.0 * _pooled(f),
        11: lambda: _convolved(fusion, a, i, f),
    }
    return written[equation]()


def _error(one: Array, other: Array) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


@pytest.mark.parametrize("equation", EQUATIONS)
def test_fusion_is_its_equation(equation: int) -> None:
    maps, fusion = Maps(), _fusion(EQUATIONS[equation])
    assert FUSIONS[EQUATIONS[equation]].equation == equation
    assert _error(maps.fused(fusion), _expected(equation, fusion, maps)) < 1e-5


@pytest.mark.parametrize("equation", EQUATIONS)
def test_fusion_is_no_other_equation(equation: int) -> None:
    maps, fusion = Maps(), _fusion(EQUATIONS[equation])
    others = set(EQUATIONS) - {7, 9, 11, equation}  # whose convolutions have other weights
    for other in others:
        assert _error(maps.fused(fusion), _expected(other, fusion, maps)) > 0.05, other


@pytest.mark.parametrize(
    ("equation", "options"),
    [
        (6, {"lambda1": 1.0}), (8, {"lambda2": 1.0}), (10, {"lambda3": 1.0}),
        (10, {"lambda4": 0.5}), (4, {"channel_pool": "max"}), (10, {"channel_pool": "max"}),
        (5, {"background": True}), (7, {"background": True}), (5, {"heat_relu": True}),
    ],
    ids=str,
)  # fmt: skip
def test_option_changes_the_fusion(equation: int, options: dict[str, Any]) -> None:
    maps, fusion = Maps(), _fusion(EQUATIONS[equation], **options)
    assert _error(maps.fused(fusion), _expected(equation, fusion, maps)) > 0.05


def test_options_do_what_they_say() -> None:
    maps = Maps()
    e = maps.heat[:, :18].max(axis=1, keepdims=True)
    relu = maps.fused(_fusion("ea", heat_relu=True))
    np.testing.assert_allclose(relu, np.maximum(e, 0) * maps.a, rtol=1e-5)
    everywhere = maps.fused(_fusion("ea", background=True))
    np.testing.assert_allclose(everywhere, maps.heat.max(axis=1, keepdims=True) * maps.a, rtol=1e-5)
    own = maps.fused(_fusion("a_plus_i_f", lambda3=-2.0, lambda4=0.25, channel_pool="max"))
    pooled = -2 * _pooled(maps.i, np.max) + 0.25 * _pooled(maps.f, np.max)
    np.testing.assert_allclose(own, maps.a + pooled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("equation", [7, 9, 11])
def test_convolution_may_look_at_neighbours(equation: int) -> None:
    maps, fusion = Maps(), _fusion(EQUATIONS[equation], conv_kernel=3)
    assert fusion.conv is not None
    assert fusion.conv.kernel_size == (1, 3, 3)
    assert _error(maps.fused(fusion), _expected(equation, fusion, maps)) < 1e-5


def test_background_counts_for_nothing_unless_asked_for() -> None:
    maps = Maps()
    other = maps.heat.copy()
    other[:, 18] = 100
    for name in ("ea", "a_plus_ea", "conv_a_ea"):
        plain, asked = _fusion(name), _fusion(name, background=True)  # type: ignore[arg-type]
        np.testing.assert_array_equal(maps.fused(plain), maps.fused(plain, heat=other))
        assert _error(maps.fused(asked), maps.fused(asked, heat=other)) > 0.5


def test_128_channels_become_96_means_of_two_neighbours() -> None:
    """Windows of adaptive pooling, written out: some channels count twice."""
    x = torch.randn(1, 128, 1, 1, 1)
    found = pool_channels(x, 96, "mean").flatten()
    for place in range(96):
        start, stop = math.floor(place * 128 / 96), math.ceil((place + 1) * 128 / 96)
        assert stop - start == 2
        assert float(found[place]) == pytest.approx(float(x[0, start:stop].mean()), abs=1e-6)


SMALL: dict[str, Any] = {"width_multiplier": 0.125, "depth_multiplier": 0.34, "dropout": 0.0}


def _config(name: FusionName, **options: Any) -> ModelConfig:
    return ModelConfig(name="pas_net", pas_net=PasNetOptions(fusion=name, **options), **SMALL)


@pytest.mark.parametrize("name", FUSIONS)
def test_every_weight_of_every_fusion_is_trained(name: FusionName) -> None:
    """Nothing is built that the fusion has no use for, and clips give different logits."""
    torch.manual_seed(0)
    model = make_model(_config(name), num_classes=3).train()
    logits = model(torch.rand(2, 3, 4, 32, 40))
    assert (logits[0] - logits[1]).abs().max() > 1e-4
    logits.square().sum().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert idle == []


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [
        ("a", 37_503_856, 23.24), ("i", 84_737_645, 391.31), ("ea", 85_421_664, 398.61),
        ("a_plus_ea", 85_421_664, 398.61), ("conv_a_ea", 85_440_192, 398.73),
        ("a_plus_i", 85_419_213, 398.60), ("conv_a_i", 85_440_813, 398.73),
        ("a_plus_i_f", 89_807_949, 426.12), ("conv_a_i_f", 89_841_837, 426.33),
    ],
)  # fmt: skip
def test_sizes_are_those_of_the_parts(name: FusionName, parameters: int, gmac: float) -> None:
    """ECO-Lite and the body network (8 x 50.36 GMAC), without what the fusion leaves out."""
    config = ModelConfig(name="pas_net", pas_net=PasNetOptions(fusion=name))
    found = profile_model(config, num_classes=400, input_thw=(8, 224, 224))
    assert found.num_parameters == parameters
    assert found.flops / 2 / 1e9 == pytest.approx(gmac, abs=0.006)
    traits = FUSIONS[name]
    eco, appearance, body = 37_503_856, 681_568, 52_311_446
    maps = {"heat": 128 * 19 + 19, "limbs": 128 * 38 + 38}
    limbs = 185 * 128 * 49 + 128 + 4 * (128 * 128 * 49 + 128) + 128 * 128 + 128
    conv = {"conv_a_ea": 192, "conv_a_i": 224, "conv_a_i_f": 352}.get(name)
    whole = eco - (0 if traits.has_appearance else appearance)
    whole += 0 if conv is None else conv * 96 + 96
    if traits.body_outputs:
        whole += body - maps["limbs"]
        whole -= 0 if "heat" in traits.body_outputs else maps["heat"]
        whole -= 0 if "limb_features" in traits.body_outputs else limbs
    assert whole == parameters


@pytest.mark.parametrize(("frames", "gmac"), [(16, 852), (32, 1704)])
def test_pas_net_has_the_published_macs(frames: int, gmac: float) -> None:
    config = ModelConfig(name="pas_net")
    found = profile_model(config, num_classes=400, input_thw=(frames, 224, 224))
    assert found.flops / 2 / 1e9 == pytest.approx(gmac, abs=0.6)


@torch.no_grad()
def test_appearance_alone_is_eco_lite() -> None:
    torch.manual_seed(0)
    eco = randomised(make_model(ModelConfig(name="eco_lite", **SMALL), num_classes=3))
    pas = make_model(_config("a"), num_classes=3).eval()
    pas.load_state_dict(eco.state_dict())
    clips = torch.rand(2, 3, 8, 32, 40)
    assert torch.equal(pas(clips), eco(clips))
    assert (pas(clips)[0] - pas(clips)[1]).abs().max() > 1e-3
    loud = _config("a_plus_i_f", lambda3=50.0, lambda4=50.0)
    with_pose = make_model(loud, num_classes=3).eval()
    with_pose.load_state_dict(eco.state_dict(), strict=False)
    assert (with_pose(clips) - eco(clips)).abs().max() > 1e-3
    silent = make_model(_config("a_plus_i_f", lambda3=0.0, lambda4=0.0), num_classes=3).eval()
    silent.load_state_dict(eco.state_dict(), strict=False)
    assert torch.equal(silent(clips), eco(clips))


def test_frozen_body_has_no_gradients_and_the_rest_has() -> None:
    model = make_model(_config("a_plus_i_f", freeze_body=True), num_classes=3)
    assert isinstance(model, PasNet)
    model(torch.rand(2, 3, 4, 32, 32)).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == name.startswith("body."), name
        assert parameter.requires_grad != name.startswith("body."), name


def test_saving_memory_changes_nothing() -> None:
    def train(*, saves_memory: bool) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        model: Any = make_model(_config("conv_a_i_f"), num_classes=3)
        model.saves_memory = saves_memory
        for _ in range(2):
            model(torch.rand(2, 3, 4, 32, 32)).square().sum().backward()
        return [p.grad for p in model.parameters()], model.state_dict()

    plain, saving = train(saves_memory=False), train(saves_memory=True)
    assert all(torch.equal(a, b) for a, b in zip(plain[0], saving[0], strict=True))
    assert all(torch.equal(plain[1][key], saving[1][key]) for key in plain[1])


def test_options_come_back_from_plain_values() -> None:
    config = _config("conv_a_i", conv_kernel=3, freeze_body=True)
    assert model_config_from_plain(asdict(config)) == config
    older = {name: value for name, value in asdict(ModelConfig()).items() if name != "pas_net"}
    assert model_config_from_plain(older) == ModelConfig()
    with pytest.raises(ConfigError, match=r"pas_net must have fields of .*, got \['mix'\]"):
        model_config_from_plain({**older, "pas_net": {"mix": 1}})


def test_other_fusion_is_another_network() -> None:
    one = _config("a_plus_i_f")
    assert one.differences(_config("a_plus_i_f", freeze_body=True)) == {}
    assert one.differences(_config("conv_a_i")) == {"pas_net.fusion": "a_plus_i_f"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PasNetOptions(fusion="conv_a_i", conv_kernel=2), "conv_kernel must be odd and >="),
        (
            lambda: PasNetOptions(lambda1=2.0),
            r"pas_net.lambda1 must be left out unless the fusion uses it, got 2.0 with a_plus_i_f "
            r"\(equation 10\)",
        ),
        (
            lambda: PasNetOptions(fusion="a", freeze_body=True),
            "freeze_body must be left out unless",
        ),
        (
            lambda: ModelConfig(name="eco_lite", pas_net=PasNetOptions(fusion="i")),
            "model.pas_net must be left out unless model.name=pas_net, got eco_lite",
        ),
    ],
)
def test_impossible_options_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


@torch.no_grad()
def test_whole_network_with_public_weights_is_its_parts_written_anew() -> None:
    """ECO's graph and OpenPose's layers by their names, joined by equation 10."""
    eco, body = caffe_weights(), body_weights()
    config = EcoConfig(num_classes=5, width_multiplier=0.125)
    whole = PasNetConfig(num_classes=5, width_multiplier=0.125)
    model, loaded = PasNet(whole).eval(), EcoLite(config)
    load_weights(loaded, eco, "eco_lite")
    of_body = {
        f"body.{name}": body[".".join(name.split(".")[-2:])]
        for name in cast("nn.Module", model.body).state_dict()
    }
    left = model.load_state_dict({**loaded.state_dict(), **of_body})
    assert not left.missing_keys
    clips = torch.rand(2, 3, 8, 32, 48, generator=torch.Generator().manual_seed(2))
    maps = body_maps(body, clips)

    def logits(i_weight: float, f_weight: float) -> torch.Tensor:
        pooled = {
            name: torch.from_numpy(_pooled(maps[name].numpy()))
            for name in ("L1_features", "L2_features")
        }
        fused = caffe_maps(eco, clips) + i_weight * pooled["L2_features"]
        return caffe_logits(eco, fused + f_weight * pooled["L1_features"])

    own = model(clips)
    assert (own - logits(0.5, 1.0)).norm() < 1e-4 * own.norm()
    assert (own[0] - own[1]).norm() > 1e-2 * own.norm()
    for wrong in ((1.0, 0.5), (0.5, 0.0), (0.0, 1.0)):
        assert (own - logits(*wrong)).norm() > 1e-3 * own.norm(), wrong
