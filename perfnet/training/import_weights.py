"""Weights of other public codes as a checkpoint that a run can start from (`init`)."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from perfnet.models.registry import ModelConfig, make_model
from perfnet.models.weights import WeightSource, load_weights, num_classes_of
from perfnet.training.checkpoint import ModelCard, save_checkpoint
from schemas.errors import ConfigError

_MODELS: dict[WeightSource, ModelConfig] = {
    "model_garden_r3d50": ModelConfig(name="r3d50g", padding="tf_same", gate_position="residual"),
    "howto100m_s3dg": ModelConfig(name="s3dg_howto100m"),
    "torchvision_s3d": ModelConfig(name="s3d"),
    "kylemin_s3d": ModelConfig(name="s3d"),
}


def import_weights(path: Path, source: WeightSource, output: Path) -> Path:
    """Write a checkpoint with the weights of another code; its labels are numbers.

    Args:
        path: `.npz` with the variables of a TensorFlow checkpoint by name, or a file of
            `torch.save` with a state dict.
        source: The other code.
        output: Checkpoint to write.

    Returns:
        `output`.

    Raises:
        ConfigError: If the file cannot be read or its weights do not fit.
    """
    arrays = _read(path)
    num_classes = num_classes_of(arrays, source)
    model = make_model(_MODELS[source], num_classes=num_classes)
    load_weights(model, arrays, source)
    card = ModelCard(
        model=_MODELS[source],
        modality="rgb",
        in_channels=3,
        labels=tuple(str(index) for index in range(num_classes)),
    )
    save_checkpoint(output, card=card, weights=model.state_dict(), training={"step": 0})
    return output


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, ValueError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(f"weights must be .npz or a state dict, got {path}: {error}") from error
    values = values.get("state_dict", values) if isinstance(values, dict) else values
    if not isinstance(values, dict):
        raise ConfigError(f"weights must be a state dict, got {type(values).__name__} in {path}")
    return values
