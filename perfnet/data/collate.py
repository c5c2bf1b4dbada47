"""Samples to a batch, without the corrupt ones; batches to what a model takes."""

from collections.abc import Sequence
from typing import Any, TypedDict, cast

import torch

from perfnet.data.shard_dataset import ClipSample, ClipSamples
from perfnet.modality import Modality


class ClipBatch(TypedDict, total=False):
    """A batch of B clips; streams as in `ClipSample` with a first axis of B."""

    clip_id: list[str]
    epoch: list[int]
    label: torch.Tensor
    """int64 [B]."""
    rgb: torch.Tensor
    flow: torch.Tensor
    pose: torch.Tensor
    pa: torch.Tensor
    contrast: torch.Tensor
    """float32 [B]."""
    offset: torch.Tensor
    """float32 [B]."""
    corrupt: list[str]
    """What was left out, one text per clip."""


def collate_clips(samples: Sequence[ClipSample]) -> ClipBatch:
    """Return the batch of the samples that could be read; the others are named in `corrupt`.

    Args:
        samples: At least one. If none could be read, the batch holds no stream and B is 0.
    """
    sound: list[Any] = [sample for sample in samples if "corrupt" not in sample]
    names = [name for name in ("rgb", "flow", "pose", "pa") if sound and name in sound[0]]
    batch: dict[str, Any] = {
        "clip_id": [sample["clip_id"] for sample in sound],
        "epoch": [sample["epoch"] for sample in sound],
        "label": torch.tensor([sample["label"] for sample in sound], dtype=torch.int64),
        "corrupt": [sample["corrupt"] for sample in samples if "corrupt" in sample],
    }
    if sound and "contrast" in sound[0]:
        for name in ("contrast", "offset"):
            batch[name] = torch.tensor([sample[name] for sample in sound], dtype=torch.float32)
    if isinstance(samples, ClipSamples) and len(sound) == len(samples):
        batch.update({str(name): rows for name, rows in samples.streams.items()})  # side by side
    else:
        batch.update({name: torch.stack([sample[name] for sample in sound]) for name in names})
    return cast("ClipBatch", batch)


def to_model_input(
    batch: ClipBatch,
    modality: Modality,
    *,
    signed: bool = False,
    device: torch.device | str | None = None,
) -> torch.Tensor:
    """Return a stream as a model takes it, with the contrast and brightness of each clip.

    Args:
        batch: From `collate_clips`.
        modality: Which of its streams.
        signed: Colours from -1 to 1 (S3D) instead of 0 to 1 (R3D). Flow is always signed:
            1 is the bound of the stored flow. Persistence of appearance never is.
        device: Where to compute; None = where the batch lies.

    Returns:
        float32 [B, C, T, H, W], laid out as channels_last_3d.
    """
    codes_bthwc = batch[modality].to(device, non_blocking=True)
    clip_bcthw = codes_bthwc.permute(0, 4, 1, 2, 3).float().div_(255)
    if modality == "rgb" and "contrast" in batch:
        contrast_b = batch["contrast"].to(clip_bcthw.device)
        offset_b = batch["offset"].to(clip_bcthw.device).div(255)
        clip_bcthw.mul_(contrast_b.view(-1, 1, 1, 1, 1)).add_(offset_b.view(-1, 1, 1, 1, 1))
        clip_bcthw.clamp_(0, 1)
    is_signed = modality == "flow" or (signed and modality != "pa")
    return clip_bcthw.mul_(2).sub_(1) if is_signed else clip_bcthw
