"""Weights of other codes land where they belong: compared with those codes, written anew."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from perfnet import ViewConfig
from perfnet.models.layers import pad_tf_same
from perfnet.models.r3d import R3D, STAGES, R3DConfig
from perfnet.models.registry import ModelConfig
from perfnet.models.s3d import S3D, S3DConfig
from perfnet.models.weights import load_weights
from perfnet.training.checkpoint import (
    ModelCard,
    load_checkpoint,
    restore_model,
    save_checkpoint,
)
from perfnet.training.fit import fit
from perfnet.training.foreign_weights import load_foreign_weights
from perfnet.training.schedule import ScheduleConfig
from schemas.errors import ConfigError
from tests.perfnet.training_runs import tiny_fit

NUM_CLASSES = 7


def _norm(shape: tuple[int, ...], rng: np.random.Generator, names: tuple[str, ...]) -> Any:
    """Gamma, beta, mean and variance far from those of a new network."""
    values = (rng.uniform(0.7, 1.3, shape), rng.normal(0, 0.2, shape), rng.normal(0, 0.2, shape),
              rng.uniform(0.5, 1.5, shape))  # fmt: skip
    return {name: value.astype(np.float32) for name, value in zip(names, values, strict=True)}


def _he(shape: tuple[int, ...], fan_in: int, rng: np.random.Generator) -> Any:
    return rng.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)


TF_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def _tf_variables(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """R3D50-G as TF Model Garden stores it, built from the table of its code."""
    variables: dict[str, np.ndarray] = {}

    def conv(name: str, kernel: tuple[int, int, int], inputs: int, outputs: int) -> None:
        fan_in = inputs * kernel[0] * kernel[1] * kernel[2]
        variables[f"{name}/kernel"] = _he((*kernel, inputs, outputs), fan_in, rng)

    def norm(name: str, channels: int) -> None:
        values = _norm((channels,), rng, TF_NORM)
        variables.update({f"{name}/{key}": value for key, value in values.items()})

    layer = "layer_with_weights-{}".format
    conv(layer(0), (5, 7, 7), 3, 64)
    norm(layer(1), 64)
    kernels = [(3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)]
    inputs, number = 64, 2
    for filters, sizes in zip((64, 128, 256, 512), kernels, strict=True):
        for place, size in enumerate(sizes):
            block = layer(number)
            conv(f"{block}/_temporal_conv", (size, 1, 1), inputs, filters)
            conv(f"{block}/_spatial_conv", (1, 3, 3), filters, filters)
            conv(f"{block}/_expand_conv", (1, 1, 1), filters, 4 * filters)
            for which, channels in (("1", filters), ("2", filters), ("3", 4 * filters)):
                norm(f"{block}/_norm{which}", channels)
            if place == 0:
                conv(f"{block}/_shortcut_conv", (1, 1, 1), inputs, 4 * filters)
                norm(f"{block}/_norm0", 4 * filters)
            if place == len(sizes) - 1:
                gate = f"{block}/_self_gating/_transformer_w"
                conv(gate, (1, 1, 1), 4 * filters, 4 * filters)
                variables[f"{gate}/bias"] = rng.normal(0, 0.5, 4 * filters).astype(np.float32)
            inputs, number = 4 * filters, number + 1
    result = {f"model/layer_with_weights-0/{name}": value for name, value in variables.items()}
    result["model/layer_with_weights-1/kernel"] = _he((2048, NUM_CLASSES), 2048, rng)
    result["model/layer_with_weights-1/bias"] = rng.normal(0, 1, NUM_CLASSES).astype(np.float32)
    return {f"{name}/.ATTRIBUTES/VARIABLE_VALUE": value for name, value in result.items()}


def _tf_logits(variables: dict[str, np.ndarray], clip_bcthw: torch.Tensor) -> torch.Tensor:
    """The official graph in plain functions of the stored names; `SAME` padding throughout."""

    def value(name: str) -> torch.Tensor:
        key = f"model/layer_with_weights-{name}/.ATTRIBUTES/VARIABLE_VALUE"
        return torch.from_numpy(variables[key])

    def conv(x: torch.Tensor, name: str, stride: tuple[int, int, int]) -> torch.Tensor:
        kernel = value(f"{name}/kernel").permute(4, 3, 0, 1, 2)
        return F.conv3d(pad_tf_same(x, kernel.shape[2:], stride), kernel, stride=stride)

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        gamma, beta, mean, variance = (value(f"{name}/{key}") for key in TF_NORM)
        shape = (1, -1, 1, 1, 1)
        scaled = (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
        return scaled * gamma.view(shape) + beta.view(shape)

    x = torch.relu(
        norm(conv(clip_bcthw, "0/layer_with_weights-0", (1, 2, 2)), "0/layer_with_weights-1")
    )
    x = pad_tf_same(x, (1, 3, 3), (1, 2, 2), value=float("-inf"))
    x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2))
    number = 2
    for stage, cells in enumerate((3, 4, 6, 3)):
        for cell in range(cells):
            block = f"0/layer_with_weights-{number}"
            stride = (1, 2, 2) if cell == 0 and stage > 0 else (1, 1, 1)
            shortcut = x
            if cell == 0:
                shortcut = norm(conv(x, f"{block}/_shortcut_conv", stride), f"{block}/_norm0")
            y = torch.relu(norm(conv(x, f"{block}/_temporal_conv", (1, 1, 1)), f"{block}/_norm1"))
            y = torch.relu(norm(conv(y, f"{block}/_spatial_conv", stride), f"{block}/_norm2"))
            y = norm(conv(y, f"{block}/_expand_conv", (1, 1, 1)), f"{block}/_norm3")
            if cell == cells - 1:
                gate = f"{block}/_self_gating/_transformer_w"
                kernel, bias = value(f"{gate}/kernel")[0, 0, 0], value(f"{gate}/bias")
                y = y * torch.sigmoid(y.mean(dim=(2, 3, 4)) @ kernel + bias)[..., None, None, None]
            x = torch.relu(y + shortcut)
            number += 1
    return x.mean(dim=(2, 3, 4)) @ value("1/kernel") + value("1/bias")


def _error(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def _make(kind: Callable[[Any], nn.Module], config: Any) -> Any:
    """A network without the time that its own random weights take."""
    with torch.device("meta"):
        model = kind(config)
    model.to_empty(device="cpu")
    for value in model.state_dict().values():
        value.zero_()
    return model.eval()


@pytest.fixture(scope="module")
def tf_variables() -> dict[str, np.ndarray]:
    return _tf_variables(np.random.default_rng(0))


@pytest.mark.slow
def test_model_garden_weights_give_the_logits_of_its_graph(
    tf_variables: dict[str, np.ndarray],
) -> None:
    model = _make(R3D, R3DConfig(num_classes=NUM_CLASSES, padding="tf_same"))
    load_weights(model, tf_variables, "model_garden_r3d50")
    clips = torch.rand(2, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        own, theirs = model(clips), _tf_logits(tf_variables, clips)
        assert _error(own, theirs) < 1e-4
        assert _error(own[0], own[1]) > 1e-3  # the trunk is alive
        for wrong in ({"padding": "symmetric"}, {"padding": "tf_same", "gate_position": "output"}):
            other = _make(R3D, R3DConfig(num_classes=NUM_CLASSES, **wrong))
            state = model.state_dict()
            if "gate_position" in wrong:  # the same gates, after the sum
                for stage, row in enumerate(STAGES):
                    last = len(row.temporal_kernels) - 1
                    for leaf in ("weight", "bias"):
                        value = state.pop(f"stages.{stage}.{last}.gate.transform.{leaf}")
                        state[f"stages.{stage}.{last + 1}.transform.{leaf}"] = value
            other.load_state_dict(state)
            assert _error(other(clips), theirs) > 0.05


def test_model_garden_names_may_stand_under_backbone(tf_variables: dict[str, np.ndarray]) -> None:
    renamed = {
        name.replace("model/layer_with_weights-0/", "backbone/"): value
        for name, value in tf_variables.items()
    }
    renamed["optimizer/x/.OPTIMIZER_SLOT/y/.ATTRIBUTES/VARIABLE_VALUE"] = np.zeros(3)
    renamed["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] = np.zeros(())
    one, other = (
        _make(R3D, R3DConfig(num_classes=NUM_CLASSES, padding="tf_same")) for _ in range(2)
    )
    load_weights(one, tf_variables, "model_garden_r3d50")
    load_weights(other, renamed, "model_garden_r3d50")
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


class _Separable(nn.Module):
    """HowTo100M's `STConv3D` by its attribute names."""

    def __init__(self, inputs: int, outputs: int, kernel: Any, stride: int = 1) -> None:
        super().__init__()
        self.is_separable = kernel == "separable"
        size = (1, 3, 3) if self.is_separable else kernel
        pad = tuple(each // 2 for each in size)
        self.conv1 = nn.Conv3d(inputs, outputs, size, stride=stride, padding=pad, bias=False)
        self.bn1 = nn.BatchNorm3d(outputs)
        if self.is_separable:
            self.conv2 = nn.Conv3d(outputs, outputs, (3, 1, 1), padding=(1, 0, 0), bias=False)
            self.bn2 = nn.BatchNorm3d(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x))) if self.is_separable else x


class _Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.fc(x.mean(dim=(2, 3, 4))))[..., None, None, None] * x


TABLE = {
    "3b": (64, 96, 128, 16, 32, 32), "3c": (128, 128, 192, 32, 96, 64),
    "4b": (192, 96, 208, 16, 48, 64), "4c": (160, 112, 224, 24, 64, 64),
    "4d": (128, 128, 256, 24, 64, 64), "4e": (112, 144, 288, 32, 64, 64),
    "4f": (256, 160, 320, 32, 128, 128), "5b": (256, 160, 320, 32, 128, 128),
    "5c": (384, 192, 384, 48, 128, 128),
}  # fmt: skip


class _Mixed(nn.Module):
    """HowTo100M's `InceptionBlock`; without gates that of kylemin."""

    def __init__(self, inputs: int, row: tuple[int, ...]) -> None:
        super().__init__()
        b0, b1a, b1b, b2a, b2b, b3 = row
        self.conv_b0 = _Separable(inputs, b0, (1, 1, 1))
        self.conv_b1_a = _Separable(inputs, b1a, (1, 1, 1))
        self.conv_b1_b = _Separable(b1a, b1b, "separable")
        self.conv_b2_a = _Separable(inputs, b2a, (1, 1, 1))
        self.conv_b2_b = _Separable(b2a, b2b, "separable")
        self.conv_b3_b = _Separable(inputs, b3, (1, 1, 1))
        self.gating_b0, self.gating_b1 = _Gate(b0), _Gate(b1b)
        self.gating_b2, self.gating_b3 = _Gate(b2b), _Gate(b3)
        self.outputs = b0 + b1b + b2b + b3

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat(
            (
                self.gating_b0(self.conv_b0(x)),
                self.gating_b1(self.conv_b1_b(self.conv_b1_a(x))),
                self.gating_b2(self.conv_b2_b(self.conv_b2_a(x))),
                self.gating_b3(self.conv_b3_b(F.max_pool3d(x, 3, 1, padding=1))),
            ),
            dim=1,
        )


class _HowTo100M(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _Separable(3, 64, (3, 7, 7), stride=2)
        self.conv_2b, self.conv_2c = _Separable(64, 64, (1, 1, 1)), _Separable(64, 192, "separable")
        self.gating = _Gate(192)
        channels = 192
        for name, row in TABLE.items():
            setattr(self, f"mixed_{name}", _Mixed(channels, row))
            channels = getattr(self, f"mixed_{name}").outputs
        self.fc = nn.Linear(channels, NUM_CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def pool(
            x: torch.Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]
        ) -> Any:
            pads: list[int] = []  # zeros after a ReLU, and one more behind than before
            for k, s in zip(reversed(kernel), reversed(stride), strict=True):
                pads += [(k - s) // 2, k - s - (k - s) // 2]
            return F.max_pool3d(F.pad(x, pads), kernel, stride, ceil_mode=True)

        x = pool(self.conv1(x), (1, 3, 3), (1, 2, 2))
        x = self.gating(self.conv_2c(self.conv_2b(x)))
        pools = {
            "3b": ((1, 3, 3), (1, 2, 2)),
            "4b": ((3, 3, 3), (2, 2, 2)),
            "5b": ((2, 2, 2), (2, 2, 2)),
        }
        for name in TABLE:
            if name in pools:
                x = pool(x, *pools[name])
            x = getattr(self, f"mixed_{name}")(x)
        return self.fc(x.mean(dim=(2, 3, 4)))


def _randomised(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights with which every layer matters and none is dead."""
    rng = np.random.default_rng(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            values = _norm(
                (module.num_features,), rng, ("weight", "bias", "running_mean", "running_var")
            )
            module.load_state_dict(
                {k: torch.from_numpy(v) for k, v in values.items()}, strict=False
            )
        elif isinstance(module, (nn.Conv3d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.3)
    return model.eval()


@pytest.mark.slow
def test_howto100m_weights_give_the_logits_of_its_code() -> None:
    torch.manual_seed(0)
    theirs = _randomised(_HowTo100M())
    model = _make(S3D, S3DConfig(num_classes=NUM_CLASSES, variant="howto100m"))
    state = theirs.state_dict()
    state["text_module.fc1.weight"] = torch.zeros(3, 3)
    load_weights(model, state, "howto100m_s3dg")
    clips = torch.rand(2, 3, 16, 32, 32) * torch.tensor([0.2, 1.0])[:, None, None, None, None]
    with torch.inference_mode():
        wanted, own = theirs(clips), model(clips)
        assert _error(own, wanted) < 1e-5
        assert _error(own[0], own[1]) > 1e-3
        gates = model.stages[1][2].gates  # two gates of a block exchanged: the same shapes
        gates[2], gates[3] = gates[3], gates[2]
        assert _error(model(clips), wanted) > 1e-4


def _sequence_state(own: S3D, *, is_torchvision: bool) -> dict[str, torch.Tensor]:
    """A state dict by the module tree of torchvision or kylemin, every weight another number."""
    units = (
        {"s": (".0.0", ".0.1"), "t": (".1.0", ".1.1"), "": (".0", ".1")}
        if is_torchvision
        else {"s": (".conv_s", ".bn_s"), "t": (".conv_t", ".bn_t"), "": (".conv", ".bn")}
    )
    trunk, state = "features" if is_torchvision else "base", {}
    counter = iter(range(10_000))

    def add(name: str, shape: tuple[int, ...]) -> None:
        state[name] = torch.full(shape, float(next(counter)))

    def unit(name: str, kind: str, shape: tuple[int, ...]) -> None:
        conv, norm = units[kind]
        add(f"{name}{conv}.weight", shape)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            add(f"{name}{norm}.{leaf}", shape[:1])

    def separable(name: str, inputs: int, outputs: int, size: int) -> None:
        unit(name, "s", (outputs, inputs, 1, size, size))
        unit(name, "t", (outputs, outputs, size, 1, 1))

    separable(f"{trunk}.0", 3, 64, 7)
    unit(f"{trunk}.2", "", (64, 64, 1, 1, 1))
    separable(f"{trunk}.3", 64, 192, 3)
    channels = 192
    for place, row in zip((5, 6, 8, 9, 10, 11, 12, 14, 15), TABLE.values(), strict=True):
        b0, b1a, b1b, b2a, b2b, b3 = row
        name = f"{trunk}.{place}"
        unit(f"{name}.branch0" + ("" if is_torchvision else ".0"), "", (b0, channels, 1, 1, 1))
        unit(f"{name}.branch1.0", "", (b1a, channels, 1, 1, 1))
        separable(f"{name}.branch1.1", b1a, b1b, 3)
        unit(f"{name}.branch2.0", "", (b2a, channels, 1, 1, 1))
        separable(f"{name}.branch2.1", b2a, b2b, 3)
        unit(f"{name}.branch3.1", "", (b3, channels, 1, 1, 1))
        channels = b0 + b1b + b2b + b3
    head = "classifier.1" if is_torchvision else "fc.0"
    add(f"{head}.weight", (NUM_CLASSES, channels, 1, 1, 1))
    add(f"{head}.bias", (NUM_CLASSES,))
    assert sum(v.numel() for k, v in state.items() if "running" not in k) == sum(
        parameter.numel() for parameter in own.parameters()
    )
    return state


@pytest.mark.parametrize("is_torchvision", [True, False])
def test_s3d_weights_keep_their_order(*, is_torchvision: bool) -> None:
    # Both codes list their modules in the order of computation, as we do.
    model = _make(S3D, S3DConfig(num_classes=NUM_CLASSES, variant="torchvision"))
    state = _sequence_state(model, is_torchvision=is_torchvision)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    wrapped["module.x.num_batches_tracked"] = torch.tensor(3)
    load_weights(model, wrapped, "torchvision_s3d" if is_torchvision else "kylemin_s3d")
    numbers = [
        float(value.flatten()[0])
        for name, value in model.state_dict().items()
        if not name.endswith("num_batches_tracked")
    ]
    assert numbers == [float(number) for number in range(len(state))]


def _drop(state: dict[str, Any]) -> None:
    del state["mixed_4d.conv_b1_b.bn2.running_var"]


def _add(state: dict[str, Any]) -> None:
    state["mixed_9z.conv_b0.conv1.weight"] = torch.zeros(1)


def _reshape(state: dict[str, Any]) -> None:
    state["mixed_3b.conv_b0.conv1.weight"] = torch.zeros(64, 191, 1, 1, 1)


def _blocks(state: dict[str, Any]) -> None:
    state["conv1.conv1.weight"] = torch.zeros(64, 24, 2, 4, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_drop, "1 faults: mixed_4d.conv_b1_b.bn2.running_var is missing"),
        (_add, "1 faults: mixed_9z.conv_b0.conv1.weight is left over"),
        (_reshape, r"conv1.weight has the shape \(64, 191, 1, 1, 1\) instead of \(64, 192, 1, 1"),
        (_blocks, r"first convolution of 3x7x7, got one over 2x2x2 blocks"),
    ],
)
def test_weights_that_do_not_fit_are_listed_and_nothing_is_loaded(
    change: Callable[[dict[str, Any]], None], message: str
) -> None:
    with torch.device("meta"):
        state: dict[str, Any] = _HowTo100M().state_dict()
    state = {name: torch.zeros(value.shape) for name, value in state.items()}
    change(state)
    model = _make(S3D, S3DConfig(num_classes=NUM_CLASSES, variant="howto100m"))
    before = model.stem.conv.weight.clone()
    with pytest.raises(ConfigError, match=message):
        load_weights(model, state, "howto100m_s3dg")
    assert torch.equal(model.stem.conv.weight, before)


@pytest.mark.parametrize(
    ("config", "source"),
    [
        ({"padding": "symmetric"}, "model_garden_r3d50"),
        ({"padding": "tf_same", "gate_position": "output"}, "model_garden_r3d50"),
        ({"padding": "tf_same"}, "torchvision_s3d"),
    ],
)
def test_wrong_variant_is_refused(config: Any, source: Any) -> None:
    with torch.device("meta"):
        model = R3D(R3DConfig(num_classes=2, **config))
    with pytest.raises(ConfigError, match=r"model must be .* for weights of"):
        load_weights(model, {}, source)


@pytest.fixture(scope="module")
def foreign_files(tmp_path_factory: pytest.TempPathFactory, tf_variables: Any) -> dict[str, Path]:
    """The weights of each code in a file as people have it."""
    folder = tmp_path_factory.mktemp("foreign")
    paths = {name: folder / f"{name}.pth" for name in ("howto100m", "torchvision", "kylemin")}
    torch.save(_HowTo100M().state_dict(), paths["howto100m"])
    model = _make(S3D, S3DConfig(num_classes=NUM_CLASSES, variant="torchvision"))
    state = _sequence_state(model, is_torchvision=True)
    torch.save({"state_dict": state}, paths["torchvision"])
    state = _sequence_state(model, is_torchvision=False)
    wrapped = {f"module.{name}": value for name, value in state.items()}
    torch.save(wrapped, paths["kylemin"], _use_new_zipfile_serialization=False)
    np.savez(folder / "r3d50.npz", **tf_variables)
    return {**paths, "model_garden": folder / "r3d50.npz"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "name", "head", "own"),
    [
        ("howto100m", "s3dg_howto100m", "fc.bias", "head.bias"),
        ("torchvision", "s3d", "classifier.1.bias", "head.bias"),
        ("kylemin", "s3d", "module.fc.0.bias", "head.bias"),
        ("model_garden", "r3d50g", "", "head.bias"),
    ],
)
def test_code_of_weights_is_known_by_their_names(
    code: str, name: str, head: str, own: str, foreign_files: dict[str, Path]
) -> None:
    checkpoint = load_foreign_weights(foreign_files[code])
    assert checkpoint.card.model.name == name
    assert checkpoint.card.labels == tuple(str(index) for index in range(NUM_CLASSES))
    restored = restore_model(checkpoint).state_dict()
    if head:
        theirs = torch.load(foreign_files[code], weights_only=True)
        theirs = theirs.get("state_dict", theirs)
        assert torch.equal(restored[own], theirs[head])
    assert (checkpoint.card.model.padding == "tf_same") == (code == "model_garden")


def test_file_without_such_weights_is_refused(tmp_path: Path) -> None:
    def refused(path: Path, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            load_foreign_weights(path)

    refused(tmp_path / "none.pth", r"init_weights must be a .npz file .*, got no file .*none.pth")
    for name in ("x.npz", "x.pth"):
        (tmp_path / name).write_bytes(b"no")
        refused(tmp_path / name, rf"state dict, got .*{name} that cannot be read \(")
    rng = np.random.default_rng(0)
    for start in (b"hi", b"\x80\x02", b"PK\x03\x04", b"J", b"("):  # text, pickles, archives
        for number in (0, 3, 40):
            (tmp_path / "x.pth").write_bytes(start + rng.bytes(number))
            refused(tmp_path / "x.pth", "init_weights must be")
    np.savez(tmp_path / "z.npz", a=np.zeros(2))
    refused(tmp_path / "z.npz", "those of model_garden_r3d50, .*, with names such as a; in .*z.npz")
    torch.save([1], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "got list in .*list.pt")
    names = ("features.0.0.0.weight", "classifier.1.weight")
    torch.save({name: torch.zeros(2, 3) for name in names}, tmp_path / "cut.pt")
    refused(tmp_path / "cut.pt", "must be those of torchvision_s3d, got .* is missing")
    card = ModelCard(model=ModelConfig(), modality="rgb", in_channels=3, labels=("a",))
    save_checkpoint(tmp_path / "own.pt", card=card, weights={}, training={})
    refused(tmp_path / "own.pt", "got a checkpoint of perfnet-train, .*; say --init .*own.pt")


@pytest.mark.slow
def test_run_starts_from_the_weights_of_another_code(shards: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model = _make(S3D, S3DConfig(num_classes=NUM_CLASSES, variant="torchvision"))
    state = {
        name: torch.ones_like(value) if "running_var" in name else 0.05 * torch.randn_like(value)
        for name, value in _sequence_state(model, is_torchvision=True).items()
    }
    torch.save(state, tmp_path / "s3d.pth")
    view = ViewConfig(num_frames=8, height=32, width=32)
    options = {
        "init_weights": tmp_path / "s3d.pth",
        "view": view,
        "eval_view": replace(view, is_random=False),
        "schedule": ScheduleConfig(steps=1, warmup_steps=1, learning_rate=0.1),  # 0 at first
        "checkpoint_every": 1,
    }
    output = tmp_path / "run"
    with pytest.raises(ConfigError, match=r"differs in model.name; say --model.name s3d$"):
        fit(tiny_fit(shards, output, model=ModelConfig(name="s3dg"), **options))
    fit(tiny_fit(shards, output, model=ModelConfig(name="s3d"), **options))
    wanted = load_foreign_weights(tmp_path / "s3d.pth").weights
    found = load_checkpoint(output / "checkpoints" / "step-00000001.pt").weights
    for name, value in wanted.items():
        if "running" not in name and "batches" not in name and not name.startswith("head."):
            assert torch.equal(found[name], value), name
    with pytest.raises(ConfigError, match="init_weights must be left out beside init"):
        tiny_fit(shards, output, init=output, **options)
