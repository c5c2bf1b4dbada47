"""A frozen network with a flow decoder on each of its stages.

Axes of tensors: b batch, c channels, t frames, h rows, w columns.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from perfnet.evaluation.network import Network
from perfnet.models.layers import BATCH_NORMS
from perfnet.models.registry import make_model
from perfnet.models.stage_maps import maps_seen
from perfnet.probe.clips import ProbeBatch
from perfnet.probe.decoder import FlowDecoder, end_point_error, pool_flow

StageMaps = dict[int, torch.Tensor]
"""Maps [b, c, t, h, w] by the number of their stage."""


class FlowReader:
    """Decodes flow from stages of a network that stays as it is.

    Args:
        trunk: The network; is put into evaluation mode and takes no gradient.
        stages: Which stages, from 1.
        example: Clips to learn the sizes of the maps from.
        channels: Channels inside the decoders.
        seed: Of the decoders' weights: the same for every network of the same sizes.
    """

    def __init__(
        self,
        trunk: nn.Module,
        stages: Sequence[int],
        *,
        example: ProbeBatch,
        channels: int,
        seed: int,
    ) -> None:
        self._trunk = trunk.eval().requires_grad_(requires_grad=False)
        self._stages = stages
        torch.manual_seed(seed)
        self.decoders = nn.ModuleDict()
        for stage, maps in self.maps(example.inputs_bcthw).items():
            self.decoders[str(stage)] = FlowDecoder(maps.shape[1], channels=channels)
        self.decoders.to(example.inputs_bcthw.device)

    def maps(self, inputs_bcthw: torch.Tensor) -> StageMaps:
        """Return the maps of every stage, without a gradient."""
        seen: StageMaps = {}

        def keep(stage: int, maps: torch.Tensor) -> None:
            seen[stage] = maps

        with torch.no_grad(), maps_seen(self._trunk, self._stages, keep):
            self._trunk(inputs_bcthw)
        return seen

    def errors(self, maps: StageMaps, flow_bcthw: torch.Tensor) -> dict[int, torch.Tensor]:
        """Return the end-point errors [b] of the flow decoded from every stage, in pixels.

        Args:
            maps: Of `maps`.
            flow_bcthw: float32 [b, 2, T, H, W], pixels.
        """
        return {
            stage: end_point_error(
                self.decoders[str(stage)](maps_bcthw), pool_flow(flow_bcthw, maps_bcthw)
            )
            for stage, maps_bcthw in maps.items()
        }


def constant_errors(
    constant_c: torch.Tensor, maps: StageMaps, flow_bcthw: torch.Tensor
) -> dict[int, torch.Tensor]:
    """Return the end-point errors [b] of one flow everywhere, in the size of every stage.

    Args:
        constant_c: float32 [2], pixels.
        maps: Of `FlowReader.maps`, for their sizes.
        flow_bcthw: float32 [b, 2, T, H, W], pixels.
    """
    constant_bcthw = constant_c[None, :, None, None, None]
    return {
        stage: end_point_error(constant_bcthw, pool_flow(flow_bcthw, maps_bcthw))
        for stage, maps_bcthw in maps.items()
    }


def make_untrained(network: Network, batches: Iterable[ProbeBatch], *, seed: int) -> nn.Module:
    """Return the same kind of network with random weights.

    Its batch norms take their statistics from some batches: without them its maps would fade from
    stage to stage, which training would not have left so either.

    Args:
        network: What it is like.
        batches: Clips for the statistics.
        seed: Of its weights.
    """
    card = network.card
    torch.manual_seed(seed)
    model = make_model(card.model, num_classes=len(card.labels), in_channels=card.in_channels)
    model = model.to(next(network.model.parameters()).device).train()
    for module in model.modules():
        if isinstance(module, BATCH_NORMS):
            module.momentum = None  # the plain mean over the batches
    with torch.no_grad():
        for batch in batches:
            model(batch.inputs_bcthw)
    return model.eval()
