"""Names of the layers of ECO and OpenPose in their public torch codes: those of Caffe's models."""

_STEM = {
    "conv1": "conv1_7x7_s2", "conv2_reduce": "conv2_3x3_reduce", "conv2": "conv2_3x3",
    "inception3c.0": "inception_3c_double_3x3_reduce", "inception3c.1": "inception_3c_double_3x3_1",
}  # fmt: skip
_BRANCHES = {
    "branch0.0": "1x1", "branch1.0": "3x3_reduce", "branch1.1": "3x3",
    "branch2.0": "double_3x3_reduce", "branch2.1": "double_3x3_1", "branch2.2": "double_3x3_2",
    "branch3.1": "pool_proj",
}  # fmt: skip
_ECO_HEADS = ("fc_final", "new_fc", "fc8")
"""Of the graph alone, of the wrapper that has a dropout before it, and of the Caffe model."""


def eco_name(own: str) -> str:
    """Return what the code of ECO calls a weight of `EcoLite`."""
    module, leaf = own.rsplit(".", 1)
    part, _, place = module.partition(".")
    if part == "head":
        return f"{_ECO_HEADS[0]}.{leaf}"
    layer = _appearance_layer(place) if part == "appearance" else _residual_layer(place)
    return f"{layer}.{leaf}"


def clean_eco_name(name: str) -> str:
    """Return the name of a weight without the wrappers of the training code."""
    name = name.removeprefix("base_model.")
    layer, _, leaf = name.rpartition(".")
    return f"{_ECO_HEADS[0]}.{leaf}" if layer in _ECO_HEADS else name


def openpose_name(name: str) -> str:
    """Return layer and leaf of a weight of `OpenPoseBody`, or of the network in the other code.

    Its files hold no more than that.
    """
    return ".".join(name.split(".")[-2:])


def _appearance_layer(place: str) -> str:
    """`inception3a.branch1.0.norm` -> `inception_3a_3x3_reduce_bn`."""
    unit, _, kind = place.rpartition(".")
    if unit in _STEM:
        layer = _STEM[unit]
    else:
        block, _, branch = unit.partition(".")
        layer = f"{block.replace('inception', 'inception_')}_{_BRANCHES[branch]}"
    return f"{layer}_bn" if kind == "norm" else layer


def _residual_layer(place: str) -> str:
    """`1.0.shortcut` -> `res4a_down`: stage, block, layer."""
    stage, block, layer = (*place.split("."), "")[:3]
    name = f"res{int(stage) + 3}"
    if not layer:  # a convolution in place of a block, or the norm behind both blocks
        return f"{name}a_2" if block == "0" else f"{name}b_bn"
    if layer == "norm":  # stands behind the block before
        return f"{name}a_bn"
    letter = "ab"[int(block)]
    suffix = {"conv1": "1", "norm1": "1_bn", "conv2": "2", "shortcut": "down"}[layer]
    return f"{name}{letter}_{suffix}"
