"""Grad-CAM for 3D networks: which frames and places speak for a class.

Axes of tensors: b batch, c channels, t frames, h rows, w columns, k classes.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn

from perfnet.models.stage_maps import maps_seen, stages_of


class ClassHeat(NamedTuple):
    """What a network says of a clip, and why."""

    heat_thw: torch.Tensor
    """float32 [t, h, w] in the size of the clip, 0 to 1; all 0 where nothing speaks for it."""
    logits_k: torch.Tensor
    """float32 [k]."""
    class_index: int
    """The class that the heat is of."""


def class_heat(
    model: nn.Module, clip_bcthw: torch.Tensor, *, class_index: int | None = None
) -> ClassHeat:
    """Return the Grad-CAM of the last stage of a network.

    Args:
        model: A network in evaluation mode. Unchanged.
        clip_bcthw: One clip, as the network takes it: b = 1.
        class_index: Which class; None = the one with the highest logit.

    References:
        Selvaraju et al. 2017 (Grad-CAM), equations 1 (weights) and 2 (heat), with frames as a third
        axis of the maps. Scaled by its maximum over the whole clip, so that frames compare.
    """
    seen: list[torch.Tensor] = []

    def keep(_stage: int, maps: torch.Tensor) -> torch.Tensor:
        leaf = maps.detach().requires_grad_()  # nothing before it needs a gradient
        seen.append(leaf)
        return leaf

    last = len(stages_of(model))
    with torch.enable_grad(), maps_seen(model, [last], keep):
        logits_bk = model(clip_bcthw)
        chosen = int(logits_bk[0].argmax()) if class_index is None else class_index
        (maps_bcthw,) = seen
        (gradient_bcthw,) = torch.autograd.grad(logits_bk[0, chosen], [maps_bcthw])
    weights_bc = gradient_bcthw.mean(dim=(2, 3, 4))  # eq. 1
    heat_bthw = torch.relu(torch.einsum("bc,bcthw->bthw", weights_bc, maps_bcthw.detach()))  # eq. 2
    size = tuple(clip_bcthw.shape[2:])
    heat_thw = F.interpolate(heat_bthw[None].float(), size=size, mode="trilinear")[0, 0]
    peak = heat_thw.max()
    heat_thw = heat_thw / peak if peak > 0 else heat_thw
    return ClassHeat(heat_thw.cpu(), logits_bk[0].detach().float().cpu(), chosen)
