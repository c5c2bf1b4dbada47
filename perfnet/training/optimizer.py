"""Stochastic gradient descent over the weights of a network."""

import torch
from torch import nn

from perfnet.training.config import OptimizerConfig


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.SGD:
    """Return the optimiser; its learning rate is set at every step.

    Args:
        model: Weights of more than one axis decay; biases and batch norms do not.
        config: Momentum and decay.
    """
    decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return torch.optim.SGD(
        [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=0.0,
        momentum=config.momentum,
        nesterov=config.nesterov,
    )
