"""What a probed network looks at, and the flow of the same window and crop.

Axes of tensors: b batch, c channels, t frames, h rows, w columns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from flow.quantize import DEFAULT_BOUND_PX
from perfnet.data.augment import ViewConfig
from perfnet.data.collate import to_model_input
from perfnet.data.loader import load_batches
from perfnet.data.order import OrderConfig, ShuffledBatches, keys_of_rank
from perfnet.data.shard_dataset import SampleKey, ShardDataset
from perfnet.data.shard_folder import open_shard_folder
from perfnet.evaluation.network import LookOptions, Network, choose_view
from perfnet.models.registry import is_signed
from perfnet.probe.config import ProbeConfig
from schemas.errors import ConfigError


class ProbeBatch(NamedTuple):
    """Clips on the device of the network."""

    inputs_bcthw: torch.Tensor
    """As the network takes them."""
    flow_bcthw: torch.Tensor
    """float32 [b, 2, t, h, w]: (dx, dy) in pixels."""


class ProbeClips:
    """Training and test clips in the view of a network.

    Raises:
        ConfigError: If the shards have no flow, no clips, or not the stream of the network.
        ShardError: If a folder is damaged.
    """

    def __init__(self, network: Network, config: ProbeConfig) -> None:
        self._network, self._config = network, config
        view = choose_view(network, LookOptions(input=config.input))
        # Random windows and crops alone: flow has no colours, stored poses no other side.
        varied = replace(view, is_random=True, mirror=False, contrast=0.0, brightness=0.0)
        self._train = self._open(config.shards, varied)
        self._test = self._open(config.test_shards, view)

    def training(self, num_batches: int) -> Iterator[ProbeBatch]:
        """Yield so many batches of the seeded order."""
        batches = ShuffledBatches(
            self._train.shard_sizes,
            batch_size=self._config.batch_size,
            num_batches=num_batches,
            config=OrderConfig(seed=self._config.seed),
        )
        return self._load(self._train, list(batches), self._config.shards)

    def test(self) -> Iterator[ProbeBatch]:
        """Yield every test clip once, in its central view."""
        size, keys = self._config.batch_size, keys_of_rank(len(self._test.clip_ids))
        batches = [keys[start : start + size] for start in range(0, len(keys), size)]
        return self._load(self._test, batches, self._config.test_shards)

    def _open(self, shards: Path, view: ViewConfig) -> ShardDataset:
        streams = tuple(dict.fromkeys((self._network.card.modality, "flow")))
        dataset = ShardDataset(
            shards, modalities=streams, view=view, seed=self._config.seed, on_corrupt="skip"
        )
        if not len(dataset):
            raise ConfigError(f"shards must hold at least one clip, got none in {shards}")
        return dataset

    def _load(
        self, dataset: ShardDataset, batches: Sequence[list[SampleKey]], shards: Path
    ) -> Iterator[ProbeBatch]:
        card = self._network.card
        device = next(self._network.model.parameters()).device
        bound_px = flow_bound(shards)
        for batch in load_batches(dataset, batches, workers=self._config.workers):
            signed = is_signed(card.model.name)
            yield ProbeBatch(
                to_model_input(batch, card.modality, signed=signed, device=device),
                to_model_input(batch, "flow", device=device) * bound_px,
            )


def flow_bound(shards: Path) -> float:
    """Return the displacement in pixels that the largest code of stored flow stands for."""
    flow = open_shard_folder(shards).run.config.get("flow", {})
    return float(flow.get("bound_px", DEFAULT_BOUND_PX))
