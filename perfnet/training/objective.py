"""What a network is trained for: labels, and teachers beside them."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from perfnet.data.collate import ClipBatch
from perfnet.modality import Modality


class Loss(NamedTuple):
    """A loss and what it is made of."""

    total: torch.Tensor
    """Scalar with a gradient."""
    parts: Mapping[str, float]
    """Figures for the log, by name."""


class Objective(Protocol):
    """Turns logits and a batch into a loss."""

    @property
    def extra_modalities(self) -> tuple[Modality, ...]:
        """Streams that batches must hold beside that of the network."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values that a run must not change when it goes on."""
        ...

    def at_checkpoint(self) -> None:
        """Keep what a run that goes on can use."""
        ...

    def loss(self, logits_bk: torch.Tensor, batch: ClipBatch, labels_b: torch.Tensor) -> Loss:
        """Return the loss of a batch whose streams lie on the device of the logits."""
        ...


class CrossEntropy:
    """Labels alone."""

    extra_modalities: tuple[Modality, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def at_checkpoint(self) -> None:
        """Nothing to keep."""

    def loss(
        self,
        logits_bk: torch.Tensor,
        batch: ClipBatch,  # noqa: ARG002 - labels are all it needs
        labels_b: torch.Tensor,
    ) -> Loss:
        """Return the cross-entropy, mean over the batch."""
        total = F.cross_entropy(logits_bk.float(), labels_b)
        return Loss(total, {"cross_entropy": float(total.detach())})
