"""The maps that the stages of a network compute on the way to its logits.

Axes of tensors: b batch, c channels, t frames, h rows, w columns.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn

from schemas.errors import ConfigError

MapHook = Callable[[int, torch.Tensor], torch.Tensor | None]
"""Takes the number of a stage and its maps [b, c, t, h, w]; what it returns replaces them."""


def stages_of(model: nn.Module) -> list[nn.Module]:
    """Return the stages of a network, first to last; they are counted from 1."""
    return list(cast("Any", model).stages)


def check_stages(model: nn.Module, stages: Collection[int]) -> None:
    """Raise ConfigError unless the network has all these stages."""
    number = len(stages_of(model))
    wrong = [stage for stage in stages if not 1 <= stage <= number]
    if wrong:
        raise ConfigError(f"stages must be 1 to {number} of this network, got {wrong[0]}")


@contextmanager
def maps_seen(model: nn.Module, stages: Collection[int], see: MapHook) -> Iterator[None]:
    """Call `see` with the maps of some stages in every pass of the network.

    Args:
        model: A network of the registry, or any other with a list `stages`.
        stages: Numbers from 1.
        see: What to do with them.
    """

    def hook_of(stage: int) -> Callable[..., torch.Tensor | None]:
        def hook(_module: nn.Module, _inputs: Any, maps: torch.Tensor) -> torch.Tensor | None:
            return see(stage, maps)

        return hook

    modules = stages_of(model)
    handles = [modules[stage - 1].register_forward_hook(hook_of(stage)) for stage in stages]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
