"""Networks have the published sizes, and every option changes what it should."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from perfnet.models.layers import Conv3d, MaxPool3d, SelfGating, pad_tf_same
from perfnet.models.profile import profile_model
from perfnet.models.r3d import R3D, Cell, R3DConfig
from perfnet.models.registry import ModelConfig, make_model
from perfnet.models.s3d import S3D, S3DConfig
from schemas.errors import ConfigError

GIGA = 10**9
SMALL = {"width_multiplier": 0.125, "depth_multiplier": 0.34, "dropout": 0.0}


@pytest.mark.parametrize(
    ("num_classes", "expected"),
    [(400, 33_617_872), (600, 34_027_672), (700, 34_232_572), (101, 33_005_221), (51, 32_902_771)],
)
def test_r3d50g_has_the_published_parameters(num_classes: int, expected: int) -> None:
    found = profile_model(ModelConfig(), num_classes=num_classes, input_thw=(2, 32, 32))
    assert found.num_parameters == expected


@pytest.mark.parametrize(
    ("input_thw", "in_channels", "gflop"),
    [
        ((250, 256, 256), 3, 3665.31),  # the paper says 3666
        ((250, 256, 256), 2, 3536.86),
        ((64, 224, 224), 3, 718.41),
        ((128, 224, 298), 3, 1955.18),
        ((64, 224, 298), 3, 977.60),
    ],
)
def test_r3d50g_has_the_published_flops(
    input_thw: tuple[int, int, int], in_channels: int, gflop: float
) -> None:
    found = profile_model(
        ModelConfig(), num_classes=600, input_thw=input_thw, in_channels=in_channels
    )
    assert found.flops / GIGA == pytest.approx(gflop, abs=0.006)
    assert found.num_parameters == {3: 34_027_672, 2: 34_011_992}[in_channels]


def test_r3d50_without_gates_is_smaller() -> None:
    config = ModelConfig(gate_position="none")
    found = profile_model(config, num_classes=600, input_thw=(2, 32, 32))
    assert found.num_parameters == 28_453_272


@pytest.mark.parametrize(
    ("name", "k400", "k600", "gmac"),
    [
        ("s3dg", 9_518_848, 9_723_848, 64.18),
        ("s3dg_howto100m", 9_535_072, 9_740_072, 64.18),
        ("s3dg_separable", 9_545_056, 9_750_056, 71.92),
        ("s3d", 8_320_048, 8_525_048, 71.92),
    ],
)
def test_s3dg_variants_have_the_published_sizes(
    name: str, k400: int, k600: int, gmac: float
) -> None:
    config = ModelConfig(name=name)  # type: ignore[arg-type]
    found = profile_model(config, num_classes=400, input_thw=(64, 224, 224))
    assert found.num_parameters == k400
    assert found.flops / 2 / GIGA == pytest.approx(gmac, abs=0.006)
    assert profile_model(config, num_classes=600, input_thw=(16, 64, 64)).num_parameters == k600


@pytest.mark.parametrize(
    ("input_thw", "in_channels", "gmac"),
    [
        ((250, 256, 256), 3, 367.34),
        ((128, 224, 298), 3, 193.19),
        ((64, 224, 298), 3, 96.60),
        ((64, 224, 224), 2, 69.40),
    ],
)
def test_s3dg_has_the_published_macs(
    input_thw: tuple[int, int, int], in_channels: int, gmac: float
) -> None:
    config = ModelConfig(name="s3dg_separable")
    found = profile_model(config, num_classes=400, input_thw=input_thw, in_channels=in_channels)
    assert found.flops / 2 / GIGA == pytest.approx(gmac, abs=0.015)


def test_s3dg_has_37_gates() -> None:
    model = S3D(S3DConfig(num_classes=2, width_multiplier=0.125))
    assert sum(isinstance(module, SelfGating) for module in model.modules()) == 37


@pytest.mark.parametrize("name", ["r3d50g", "s3dg", "s3dg_howto100m", "s3dg_separable", "s3d"])
@pytest.mark.parametrize("in_channels", [2, 3])
def test_small_networks_give_different_logits_for_different_clips(
    name: str, in_channels: int
) -> None:
    torch.manual_seed(0)
    config = ModelConfig(name=name, **SMALL)  # type: ignore[arg-type]
    model = make_model(config, num_classes=4, in_channels=in_channels).train()
    logits = model(torch.randn(3, in_channels, 8, 32, 32))
    assert logits.shape == (3, 4)
    assert (logits[0] - logits[1]).abs().max() > 1e-6
    logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def _random_r3d(**options: object) -> R3D:
    """Every weight and statistic random: no part of the network is idle."""
    torch.manual_seed(1)
    config = R3DConfig(num_classes=3, width_multiplier=0.125, **options)  # type: ignore[arg-type]
    model = R3D(config).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.7, 1.3)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        if isinstance(module, SelfGating):
            nn.init.normal_(module.transform.weight, std=0.3)
    return model


def _with_weights_of(model: R3D, other: R3D) -> R3D:
    """Another gate position numbers the gates differently; all else has the same name."""
    gates = [m.state_dict() for m in other.modules() if isinstance(m, SelfGating)]
    rest = {k: v for k, v in other.state_dict().items() if "transform" not in k}
    model.load_state_dict(rest, strict=False)
    own = [m for m in model.modules() if isinstance(m, SelfGating)]
    for module, state in zip(own, gates, strict=len(own) == len(gates)):
        module.load_state_dict(state)
    return model


def test_moved_gate_gives_other_features_with_the_same_weights() -> None:
    official = _random_r3d(gate_position="residual")
    moved = _with_weights_of(_random_r3d(gate_position="output"), official)
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        difference = (official.features(clip) - moved.features(clip)).norm()
        assert difference > 0.05 * official.features(clip).norm()


def test_other_padding_gives_other_features_of_the_same_shape() -> None:
    symmetric, same = _random_r3d(padding="symmetric"), _random_r3d(padding="tf_same")
    same.load_state_dict(symmetric.state_dict())
    clip = torch.randn(1, 3, 4, 32, 32)
    with torch.no_grad():
        one, other = symmetric.features(clip), same.features(clip)
    assert one.shape == other.shape
    assert (one - other).norm() > 0.05 * one.norm()


def test_gate_in_every_cell_is_an_option() -> None:
    model = R3D(R3DConfig(num_classes=2, width_multiplier=0.125, gate_position="cell"))
    gated = [m.gate is not None for m in model.modules() if isinstance(m, Cell)]
    assert gated == [True] * 16


def test_gate_is_the_sigmoid_of_the_mean() -> None:
    gate = SelfGating(3)
    nn.init.normal_(gate.transform.weight)
    nn.init.normal_(gate.transform.bias)
    x = torch.randn(2, 3, 4, 5, 6)
    weight, bias = gate.transform.weight, gate.transform.bias
    expected = torch.sigmoid(torch.einsum("dc,bc->bd", weight, x.mean((2, 3, 4))) + bias)
    torch.testing.assert_close(gate(x), x * expected[:, :, None, None, None])


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(8, 7, 2, 2, 3), (7, 7, 2, 3, 3), (8, 3, 2, 0, 1), (8, 3, 1, 1, 1), (5, 2, 2, 0, 1)],
)
def test_tf_same_puts_the_odd_pixel_behind(
    size: int, kernel: int, stride: int, before: int, after: int
) -> None:
    """TensorFlow's rule: out = ceil(size / stride), the smaller half of the padding before."""
    padded = pad_tf_same(torch.ones(1, 1, 1, 1, size), (1, 1, kernel), (1, 1, stride))
    assert padded.flatten().tolist() == [0] * before + [1] * size + [0] * after


def test_padding_never_wins_a_maximum() -> None:
    for padding in ("symmetric", "tf_same"):
        pool = MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=padding)  # type: ignore[arg-type]
        assert (pool(-torch.ones(1, 1, 2, 6, 6)) == -1).all()


def test_convolution_weights_have_variance_one_over_fan_in() -> None:
    torch.manual_seed(0)
    conv = Conv3d(64, 256, (1, 3, 3))
    assert float(conv.weight.detach().std()) == pytest.approx((64 * 9) ** -0.5, rel=0.02)
    assert float(conv.weight.detach().abs().max()) <= 2 * (64 * 9) ** -0.5 / 0.8796


def test_slim_temporal_convolutions_start_as_identity() -> None:
    model = S3D(S3DConfig(num_classes=2, width_multiplier=0.125))
    temporal = model.conv2c.temporal
    x = torch.randn(1, temporal.in_channels, 5, 2, 2)
    torch.testing.assert_close(temporal(x), x)


def test_head_weighs_end_frames_half() -> None:
    """Window of two frames, stride one, then the mean: 1/6, 1/3, 1/3, 1/6 of four frames."""
    model = S3D(S3DConfig(num_classes=2, width_multiplier=0.125, dropout=0.0)).eval()
    maps = torch.randn(1, model.head.in_channels, 4, 2, 2)
    model.features = lambda _: maps  # type: ignore[method-assign, assignment]
    weights = torch.tensor([1 / 6, 1 / 3, 1 / 3, 1 / 6])
    pooled = (maps.mean((3, 4)) * weights).sum(2)
    weight = model.head.weight[:, :, 0, 0, 0]
    torch.testing.assert_close(model(maps), F.linear(pooled, weight, model.head.bias))


@pytest.mark.parametrize("name", ["r3d50g", "s3dg", "s3dg_howto100m"])
def test_saving_memory_changes_nothing(name: str) -> None:
    """Same loss, same gradients, same batch-norm statistics, bit by bit."""

    def train(*, saves_memory: bool) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        model = make_model(ModelConfig(name=name, **SMALL), num_classes=3)  # type: ignore[arg-type]
        model.saves_memory = saves_memory
        for _ in range(2):
            model(torch.randn(2, 3, 8, 32, 32)).square().sum().backward()
        return [p.grad for p in model.parameters()], model.state_dict()  # type: ignore[misc]

    plain, saving = train(saves_memory=False), train(saves_memory=True)
    assert all(torch.equal(a, b) for a, b in zip(plain[0], saving[0], strict=True))
    assert all(torch.equal(plain[1][key], saving[1][key]) for key in plain[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: R3DConfig(num_classes=0), "num_classes must be >= 1, got 0"),
        (lambda: R3DConfig(num_classes=2, dropout=1.0), "dropout must be >= 0 and < 1, got 1.0"),
        (lambda: S3DConfig(num_classes=2, width_multiplier=0), "width_multiplier must be > 0"),
        (
            lambda: ModelConfig(name="s3dg", padding="tf_same"),
            "model.padding must be left out unless model.name=r3d50g, got tf_same with s3dg",
        ),
    ],
)
def test_impossible_network_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
