"""Memory for the pixels of a batch."""

import math

import torch


def empty_pixels(shape: tuple[int, ...], *, shared: bool) -> torch.Tensor:
    """Return uint8 without content.

    Args:
        shape: Any.
        shared: In memory that processes hand each other without a copy.
    """
    if not shared:
        return torch.empty(shape, dtype=torch.uint8)
    size = math.prod(shape)
    storage = torch.UntypedStorage._new_shared(size, device="cpu")  # noqa: SLF001 - as torch's own
    return torch.empty(0, dtype=torch.uint8).set_(storage).resize_(shape)
