"""Stochastic gradient descent over the weights of a network."""

from typing import Any, cast

import torch
from torch import nn

from perfnet.training.config import OptimizerConfig
from schemas.errors import ConfigError


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.SGD:
    """Return the optimiser; `set_learning_rate` sets its learning rate at every step.

    Args:
        model: Weights of more than one axis decay; biases and batch norms do not.
        config: Momentum, decay and groups.

    Raises:
        ConfigError: If the network has no learning rates of its own for groups of weights, but
            they are asked for.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    named = list(model.named_parameters())
    for is_decayed in (True, False):
        for name, parameter in named:
            if (parameter.ndim > 1) == is_decayed:
                factor = _rate_factor(model, name) if config.per_group else 1.0
                groups.setdefault((is_decayed, factor), []).append(parameter)
    return torch.optim.SGD(
        [
            {
                "params": parameters,
                "weight_decay": config.weight_decay if is_decayed else 0.0,
                "rate_factor": factor,
            }
            for (is_decayed, factor), parameters in groups.items()
        ],
        lr=0.0,
        momentum=config.momentum,
        nesterov=config.nesterov,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Set the learning rate of every group: this one times the factor of the group."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["rate_factor"]


def _rate_factor(model: nn.Module, name: str) -> float:
    if not hasattr(model, "rate_factor"):
        raise ConfigError(
            "optimizer.per_group must be off for a network without learning rates for groups of "
            f"weights, got {type(model).__name__}; say --optimizer.no-per-group"
        )
    return float(cast("Any", model).rate_factor(name))
