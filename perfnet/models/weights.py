"""Weights of other public codes under our names: a table of names, shapes checked one by one."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from perfnet.models.caffe_names import clean_eco_name, eco_name, openpose_name
from perfnet.models.eco import EcoLite
from perfnet.models.openpose import OpenPoseBody
from perfnet.models.pan import Pan
from perfnet.models.r3d import R3D
from perfnet.models.s3d import S3D
from schemas.errors import ConfigError

WeightSource = Literal[
    "model_garden_r3d50", "howto100m_s3dg", "torchvision_s3d", "kylemin_s3d", "torchvision_resnet",
    "eco_lite", "openpose_body",
]  # fmt: skip

Arrays = Mapping[str, Any]
"""Names to numpy arrays or tensors."""


Weights = Mapping[str, torch.Tensor]
"""Ours, by name."""


class _Name(NamedTuple):
    """One weight."""

    own: str
    other: str
    change: Callable[[torch.Tensor], torch.Tensor]
    """From their layout to ours."""


def load_weights(model: nn.Module, arrays: Arrays, source: WeightSource) -> None:
    """Load all weights of another code into a network of the same kind.

    The last layer of an image network, and what a PAN has beside its trunks, stay as they are.

    Args:
        model: An `R3D` with `padding="tf_same"` and `gate_position="residual"`, an `S3D` of the
            variant of the source or an `EcoLite`, with as many classes as the source has; any `Pan`
            for a ResNet; an `OpenPoseBody`. Modified.
        arrays: model_garden_r3d50: the variables of a checkpoint by the names of
            `tf.train.list_variables`. Others: a state dict.
        source: The other code.

    Raises:
        ConfigError: If the network is of another kind, or if a weight is missing, left over or of
            another shape; nothing is loaded then.

    References:
        TF Model Garden `resnet_3d.py`, `nn_blocks_3d.py`; antoine77340/S3D_HowTo100M `s3dg.py`;
        torchvision `models/video/s3d.py`, `models/resnet.py`; kylemin/S3D `model.py`;
        mzolfaghari/ECO-pytorch `tf_model_zoo/ECO`; Hzzone/pytorch-openpose `src/model.py`.
    """
    _check_kind(model, source)
    stem = arrays.get("conv1.conv1.weight")
    if stem is not None and tuple(stem.shape[1:]) == (24, 2, 4, 4):
        raise ConfigError(
            "weights must have a first convolution of 3x7x7, got one over 2x2x2 blocks of pixels "
            "(space_to_depth=True), which no convolution of this network equals"
        )
    arrays = _cleaned(arrays, source)
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    names = _NAMES[source](own)
    faults = [f"{name.other} is missing" for name in names if name.other not in arrays]
    faults += [f"{name} is left over" for name in sorted(arrays.keys() - {n.other for n in names})]
    loaded = {}
    for name in names:
        if name.other in arrays:
            value = name.change(_to_tensor(arrays[name.other]))
            if value.shape != own[name.own].shape:
                theirs, ours = tuple(value.shape), tuple(own[name.own].shape)
                faults.append(f"{name.other} has the shape {theirs} instead of {ours}")
            loaded[name.own] = value
    if faults:
        listed = "; ".join(faults[:8]) + ("; ..." if len(faults) > 8 else "")
        raise ConfigError(f"weights must be those of {source}, got {len(faults)} faults: {listed}")
    model.load_state_dict({**model.state_dict(), **loaded})


def source_of(arrays: Arrays) -> WeightSource:
    """Return the code whose names the weights have.

    Raises:
        ConfigError: If they have those of none.
    """
    for source, (layer, head) in _MARKS.items():
        names = _cleaned(arrays, source).keys()
        if layer in names and head in names:
            return source
    some = ", ".join(sorted(arrays)[:3]) or "none"
    raise ConfigError(
        f"weights must be those of {', '.join(_MARKS)}, got others, with names such as {some}"
    )


_MARKS: dict[WeightSource, tuple[str, str]] = {
    "model_garden_r3d50": ("layer_with_weights-2/_temporal_conv/kernel", "head/kernel"),
    "howto100m_s3dg": ("conv1.conv1.weight", "fc.weight"),
    "torchvision_s3d": ("features.0.0.0.weight", "classifier.1.weight"),
    "kylemin_s3d": ("base.0.conv_s.weight", "fc.0.weight"),
    "torchvision_resnet": ("layer1.0.conv3.weight", "layer4.2.conv3.weight"),
    "eco_lite": ("conv1_7x7_s2.weight", "res3a_2.weight"),
    "openpose_body": ("conv4_3_CPM.weight", "Mconv1_stage2_L1.weight"),
}
"""A name of the first layers and one of the last by which a code is known."""


def num_classes_of(arrays: Arrays, source: WeightSource) -> int:
    """Return the number of logits of another code's weights.

    Raises:
        ConfigError: If they have no last layer.
    """
    arrays = _cleaned(arrays, source)
    name = _HEADS[source]
    if name not in arrays:
        raise ConfigError(f"weights must be those of {source}, got none named {name}")
    return int(arrays[name].shape[-1 if source == "model_garden_r3d50" else 0])


_HEADS = {
    "model_garden_r3d50": "head/kernel",
    "howto100m_s3dg": "fc.weight",
    "torchvision_s3d": "classifier.1.weight",
    "kylemin_s3d": "fc.0.weight",
    "torchvision_resnet": "fc.weight",
    "eco_lite": "fc_final.weight",
}


def _check_kind(model: nn.Module, source: WeightSource) -> None:
    if source == "model_garden_r3d50":
        is_same = isinstance(model, R3D) and (
            (model.config.padding, model.config.gate_position) == ("tf_same", "residual")
        )
        wanted = "r3d50g with padding tf_same and gate_position residual"
    elif source == "torchvision_resnet":
        is_same, wanted = isinstance(model, Pan), "pan_*"
    elif source == "eco_lite":
        is_same, wanted = isinstance(model, EcoLite), "eco_lite"
    elif source == "openpose_body":
        is_same, wanted = isinstance(model, OpenPoseBody), "the body network of pas_net"
    else:
        variant = "howto100m" if source == "howto100m_s3dg" else "torchvision"
        is_same = isinstance(model, S3D) and model.config.variant == variant
        wanted = "s3dg_howto100m" if variant == "howto100m" else "s3d"
    if not is_same:
        raise ConfigError(f"model must be {wanted} for weights of {source}, got another network")


_CLEANERS: dict[WeightSource, Callable[[str], str]] = {
    "eco_lite": clean_eco_name, "openpose_body": openpose_name,
}  # fmt: skip
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_SECOND = "layer_with_weights-2/_temporal_conv/kernel"


def _cleaned(arrays: Arrays, source: WeightSource) -> dict[str, Any]:
    """The weights alone, without wrappers in their names."""
    if source != "model_garden_r3d50":
        clean = _CLEANERS.get(source, str)
        plain = {clean(name.removeprefix("module.")): value for name, value in arrays.items()}
        dropped = "fc." if source == "torchvision_resnet" else "text_module."
        return {
            name: value
            for name, value in plain.items()
            if not name.endswith("num_batches_tracked") and not name.startswith(dropped)
        }
    names = {name.removesuffix(_SUFFIX): name for name in arrays if ".OPTIMIZER_SLOT" not in name}
    prefix = next((name.removesuffix(_SECOND) for name in names if name.endswith(_SECOND)), "")
    head = "model/layer_with_weights-1/"
    cleaned = {}
    for name, original in names.items():
        if name.startswith(f"{prefix}layer_with_weights-"):
            cleaned[name.removeprefix(prefix)] = arrays[original]
        elif name.startswith((head, "head/")):
            cleaned["head/" + name.removeprefix(head).removeprefix("head/")] = arrays[original]
    return cleaned


def _to_tensor(value: Any) -> torch.Tensor:
    return value.detach() if isinstance(value, torch.Tensor) else torch.from_numpy(np.array(value))


def _same(value: torch.Tensor) -> torch.Tensor:
    return value


def _from_tf_conv(value: torch.Tensor) -> torch.Tensor:
    """(t, h, w, in, out) -> (out, in, t, h, w)."""
    return value.permute(4, 3, 0, 1, 2) if value.ndim == 5 else value


def _from_tf_dense(value: torch.Tensor) -> torch.Tensor:
    """([1, 1, 1,] in, out) -> (out, in)."""
    return value.reshape(value.shape[-2:]).T


_TF_NORM = {
    "weight": "gamma", "bias": "beta", "running_mean": "moving_mean",
    "running_var": "moving_variance",
}  # fmt: skip
_TF_PARTS = {
    "conv_a": "_temporal_conv", "norm_a": "_norm1", "conv_b": "_spatial_conv", "norm_b": "_norm2",
    "conv_c": "_expand_conv", "norm_c": "_norm3", "shortcut.0": "_shortcut_conv",
    "shortcut.1": "_norm0", "gate.transform": "_self_gating/_transformer_w",
}  # fmt: skip


def _r3d_names(own: Iterable[str]) -> list[_Name]:
    """Layers with weights are numbered: stem, its norm, then the cells of all stages."""
    own = list(own)
    cells = list(dict.fromkeys(tuple(n.split(".")[1:3]) for n in own if n.startswith("stages.")))
    names = []
    for name in own:
        module, leaf = name.rsplit(".", 1)
        change = _same
        if module == "head":
            other = f"head/{'kernel' if leaf == 'weight' else 'bias'}"
            change = _from_tf_dense if leaf == "weight" else _same
        else:
            stage = module.split(".", 3)
            is_stem = stage[0] == "stem"
            number = int(stage[1]) if is_stem else 2 + cells.index((stage[1], stage[2]))
            part = "" if is_stem else _TF_PARTS[stage[3]] + "/"
            is_norm = module == "stem.1" or "norm" in part
            kernel = "kernel" if leaf == "weight" else "bias"
            other = f"layer_with_weights-{number}/{part}{_TF_NORM[leaf] if is_norm else kernel}"
            if leaf == "weight" and not is_norm:
                change = _from_tf_dense if "gate" in module else _from_tf_conv
        names.append(_Name(name, other, change))
    return names


_BLOCKS = ("3b", "3c", "4b", "4c", "4d", "4e", "4f", "5b", "5c")
_PLACES = (5, 6, 8, 9, 10, 11, 12, 14, 15)
"""Of the blocks in the sequence of torchvision and kylemin."""


def _block_index(own: str) -> int:
    _, stage, layer = own.split(".")[:3]
    return (0, 2, 7)[int(stage)] + int(layer) - 1


def _unsqueezed(value: torch.Tensor) -> torch.Tensor:
    """(out, in) -> (out, in, 1, 1, 1)."""
    return value.reshape(*value.shape, 1, 1, 1) if value.ndim == 2 else value


_UNITS = ("spatial.conv", "spatial.norm", "temporal_norm", "temporal", "conv", "norm")
"""Ends of the names of our convolutions and norms."""


def _split(module: str) -> tuple[str, str]:
    """(place, unit) of a module: `stages.0.1.branch1.1` and `spatial.conv`."""
    unit = next(unit for unit in _UNITS if module.endswith("." + unit))
    return module.removesuffix("." + unit), unit


def _howto100m_names(own: Iterable[str]) -> list[_Name]:
    places = {"stem": "conv1", "conv2b": "conv_2b", "conv2c": "conv_2c"}
    branches = {
        "branch0.0": "conv_b0", "branch1.0": "conv_b1_a", "branch1.1": "conv_b1_b",
        "branch2.0": "conv_b2_a", "branch2.1": "conv_b2_b", "branch3.1": "conv_b3_b",
    }  # fmt: skip
    units = {
        "conv": "conv1", "norm": "bn1", "spatial.conv": "conv1", "spatial.norm": "bn1",
        "temporal": "conv2", "temporal_norm": "bn2",
    }  # fmt: skip
    names = []
    for name in own:
        module, leaf = name.rsplit(".", 1)
        if module == "head":
            names.append(_Name(name, f"fc.{leaf}", _unsqueezed))
            continue
        block = ""
        if module.startswith("stages."):
            block = f"mixed_{_BLOCKS[_block_index(module)]}."
        if "gate" in module:
            gate = f"{block}gating_b{module.split('.')[4]}" if block else "gating"
            names.append(_Name(name, f"{gate}.fc.{leaf}", _same))
            continue
        place, unit = _split(module)
        there = branches[".".join(place.split(".")[3:])] if block else places[place]
        names.append(_Name(name, f"{block}{there}.{units[unit]}.{leaf}", _same))
    return names


_KYLEMIN_UNITS = {
    "conv": "conv", "norm": "bn", "spatial.conv": "conv_s", "spatial.norm": "bn_s",
    "temporal": "conv_t", "temporal_norm": "bn_t",
}  # fmt: skip
_TORCHVISION_UNITS = {
    "conv": "0", "norm": "1", "spatial.conv": "0.0", "spatial.norm": "0.1", "temporal": "1.0",
    "temporal_norm": "1.1",
}  # fmt: skip


def _sequence_names(
    own: Iterable[str], trunk: str, head: str, units: Mapping[str, str]
) -> list[_Name]:
    places = {"stem": "0", "conv2b": "2", "conv2c": "3"}
    names = []
    for name in own:
        module, leaf = name.rsplit(".", 1)
        if module == "head":
            names.append(_Name(name, f"{head}.{leaf}", _same))
            continue
        place, unit = _split(module)
        there = places.get(place, "")
        if not there:
            branch = ".".join(place.split(".")[3:])
            if units is _TORCHVISION_UNITS:  # its first branch is no sequence
                branch = branch.replace("branch0.0", "branch0")
            there = f"{_PLACES[_block_index(place)]}.{branch}"
        names.append(_Name(name, f"{trunk}.{there}.{units[unit]}.{leaf}", _same))
    return names


def _torchvision_names(own: Iterable[str]) -> list[_Name]:
    return _sequence_names(own, "features", "classifier.1", _TORCHVISION_UNITS)


def _kylemin_names(own: Iterable[str]) -> list[_Name]:
    return _sequence_names(own, "base", "fc.0", _KYLEMIN_UNITS)


_RESNET_UNITS = {
    "conv_a": "conv1", "norm_a": "bn1", "conv_b": "conv2", "norm_b": "bn2", "conv_c": "conv3",
    "norm_c": "bn3", "shortcut": "downsample", "conv": "conv1", "norm": "bn1",
}  # fmt: skip


def _resnet_names(own: Weights) -> list[_Name]:
    """Every branch of a PAN has a trunk of its own, with the same weights."""
    names = []
    for name, value in own.items():
        part, *rest = name.split(".")
        if part == "stem":
            _, unit, leaf = rest
            other = f"{_RESNET_UNITS[unit]}.{leaf}"
            change = partial(_for_channels, value.shape[1]) if unit == "conv" else _same
            names.append(_Name(name, other, change))
        elif part == "stages":
            stage, _, block, unit, *leaves = rest
            there = ".".join((_RESNET_UNITS[unit], *leaves))
            names.append(_Name(name, f"layer{int(stage) + 1}.{block}.{there}", _same))
    return names


def _for_channels(channels: int, value: torch.Tensor) -> torch.Tensor:
    """A convolution over colours; over other channels their mean, for each of them."""
    if value.ndim < 2 or value.shape[1] == channels:
        return value
    mean = value.mean(dim=1, keepdim=True)
    return mean.expand(-1, channels, *mean.shape[2:])


def _caffe_names(own: Weights, rename: Callable[[str], str]) -> list[_Name]:
    return [_Name(name, rename(name), _same) for name in own]


_NAMES: dict[WeightSource, Callable[[Weights], list[_Name]]] = {
    "model_garden_r3d50": _r3d_names,
    "howto100m_s3dg": _howto100m_names,
    "torchvision_s3d": _torchvision_names,
    "kylemin_s3d": _kylemin_names,
    "torchvision_resnet": _resnet_names,
    "eco_lite": partial(_caffe_names, rename=eco_name),
    "openpose_body": partial(_caffe_names, rename=openpose_name),
}
