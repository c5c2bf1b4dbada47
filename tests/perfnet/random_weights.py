"""Weights with which every layer of a network matters."""

from typing import Any

import torch
from torch import nn


def randomised(model: Any, seed: int = 0) -> Any:
    """Every weight and statistic random and large enough to matter: no part is idle."""
    rng = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.7, 1.3, generator=rng)
            nn.init.normal_(module.bias, std=0.2, generator=rng)
            nn.init.normal_(module.running_mean, std=0.2, generator=rng)
            nn.init.uniform_(module.running_var, 0.5, 1.5, generator=rng)
        elif isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=rng)
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.3, generator=rng)
    return model.eval()
