"""Weights of other public codes as something that a run can start from."""

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from perfnet.models.caffe_names import openpose_name
from perfnet.models.openpose import OpenPoseBody
from perfnet.models.registry import ModelConfig, make_model
from perfnet.models.weights import WeightSource, load_weights, num_classes_of, source_of
from perfnet.training.checkpoint import DAMAGE, Checkpoint, ModelCard, load_checkpoint
from schemas.errors import ConfigError

_MODELS: dict[WeightSource, ModelConfig] = {
    "model_garden_r3d50": ModelConfig(name="r3d50g", padding="tf_same", gate_position="residual"),
    "howto100m_s3dg": ModelConfig(name="s3dg_howto100m"),
    "torchvision_s3d": ModelConfig(name="s3d"),
    "kylemin_s3d": ModelConfig(name="s3d"),
    "eco_lite": ModelConfig(name="eco_lite"),
}


def load_start(
    init: Path | None, init_weights: Path | None, card: ModelCard | None = None
) -> Checkpoint | None:
    """Return what a run starts from; None = new weights.

    Args:
        init: A checkpoint of ours.
        init_weights: A file with the weights of another code.
        card: As for `load_foreign_weights`.

    Raises:
        ConfigError: If there is no such file, or its weights are of no code that is known.
        TrainingError: If the checkpoint is damaged.
    """
    if init is not None:
        return load_checkpoint(init)
    return None if init_weights is None else load_foreign_weights(init_weights, card)


def load_foreign_weights(path: Path, card: ModelCard | None = None) -> Checkpoint:
    """Read the weights of another code, whose name follows from theirs; their labels are numbers.

    Args:
        path: `.npz` with the variables of a TensorFlow checkpoint by name, or a file of
            `torch.save` with a state dict.
        card: The network that is to start from them. A ResNet of images is no network of its own,
            but the trunk of this one, whose other weights are new.

    Raises:
        ConfigError: If the file cannot be read or its weights are of no code that is known.
    """
    arrays = _read(path, "init_weights")
    try:
        source = source_of(arrays)
        if source == "torchvision_resnet":
            return _with_trunk(card, arrays)
        _check_whole(source, path)
        num_classes = num_classes_of(arrays, source)
        model = make_model(_MODELS[source], num_classes=num_classes)
        load_weights(model, arrays, source)
    except ConfigError as error:
        raise ConfigError(f"init_weights: {error}; in {path}") from error
    card = ModelCard(
        model=_MODELS[source],
        modality="rgb",
        in_channels=3,
        labels=tuple(str(index) for index in range(num_classes)),
    )
    return Checkpoint(card=card, weights=model.state_dict(), training={})


def _with_trunk(card: ModelCard | None, arrays: Mapping[str, Any]) -> Checkpoint:
    if card is None:
        raise ConfigError("weights must be those of a video network, got torchvision_resnet")
    model = make_model(card.model, num_classes=len(card.labels), in_channels=card.in_channels)
    load_weights(model, arrays, "torchvision_resnet")
    return Checkpoint(card=card, weights=model.state_dict(), training={})


def load_body_weights(body: nn.Module, path: Path) -> None:
    """Load the weights of OpenPose's body network.

    Args:
        body: An `OpenPoseBody`, with all or some of its outputs. Modified.
        path: A file of `torch.save` with a state dict of the whole network.

    Raises:
        ConfigError: If the file cannot be read or its weights are others.
    """
    arrays = _read(path, "init_body")
    with torch.device("meta"):
        whole = OpenPoseBody().last.state_dict(prefix="last.")
    unused = {openpose_name(name) for name in whole.keys() - body.state_dict().keys()}
    try:
        _check_body(source_of(arrays))
        needed = {name: arrays[name] for name in arrays if openpose_name(name) not in unused}
        load_weights(body, needed, "openpose_body")
    except ConfigError as error:
        raise ConfigError(f"init_body: {error}; in {path}") from error


def _check_whole(source: WeightSource, path: Path) -> None:
    if source not in _MODELS:
        raise ConfigError(
            f"weights must be those of a whole network, got those of {source}; say "
            f"--model.name pas_net --init-body {path}"
        )


def _check_body(source: WeightSource) -> None:
    if source != "openpose_body":
        raise ConfigError(f"weights must be those of openpose_body, got those of {source}")


def _read(path: Path, option: str) -> Mapping[str, Any]:
    rule = f"{option} must be a .npz file or a state dict"
    if not path.is_file():
        raise ConfigError(f"{rule}, got no file {path}")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (*DAMAGE, struct.error, AssertionError) as error:  # of pickles that are no archives
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(f"{rule}, got {path} that cannot be read ({reason})") from error
    values = values.get("state_dict", values) if isinstance(values, dict) else values
    if not isinstance(values, dict):
        raise ConfigError(f"{rule}, got {type(values).__name__} in {path}")
    if {"card", "weights"} <= values.keys():
        raise ConfigError(f"{rule}, got a checkpoint of perfnet-train, {path}; say --init {path}")
    return values
