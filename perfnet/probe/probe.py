"""Decoders on a trained network, on an untrained one, and flows that look at nothing."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from perfnet.evaluation.network import load_network
from perfnet.models.stage_maps import check_stages, stages_of
from perfnet.probe.clips import ProbeBatch, ProbeClips
from perfnet.probe.config import ProbeConfig
from perfnet.probe.reader import FlowReader, constant_errors, make_untrained


class StageError(NamedTuple):
    """Mean end-point errors over the test clips, in pixels.

    The flow is averaged over what an entry of the stage's maps stands for, so that the errors of
    different stages do not compare with each other, but with the zero flow of the same stage.
    """

    stage: int
    trained: float
    """Decoded from the maps of the checkpoint."""
    untrained: float
    """The control: decoded from the maps of the same kind of network with random weights."""
    mean_flow: float
    """The mean flow of the training clips everywhere."""
    zero_flow: float
    """No motion anywhere: how much there is."""
    num_clips: int


def probe(config: ProbeConfig) -> list[StageError]:
    """Run the probe and write probe.json and probe.csv.

    Returns:
        The errors of every stage.

    Raises:
        ConfigError: If checkpoint, shards and stages do not fit together.
        ShardError: If a record cannot be read.

    References:
        Stroud et al. 2020 (D3D): optical flow is decoded from the frozen features of a network to
        see whether it represents motion. The decoder and the controls are our own.
    """
    network = load_network(config.checkpoint)
    stages = config.stages or tuple(range(1, len(stages_of(network.model)) + 1))
    check_stages(network.model, stages)
    clips = ProbeClips(network, config)
    calibration = clips.training(config.calibration_batches)
    untrained = make_untrained(network, calibration, seed=config.seed)
    example = next(clips.training(1))
    trained_reader, control_reader = (
        FlowReader(trunk, stages, example=example, channels=config.channels, seed=config.seed)
        for trunk in (network.model, untrained)
    )
    mean_flow_c = train_decoders(
        (trained_reader, control_reader), clips.training(config.steps), config
    )
    errors = measure(trained_reader, control_reader, clips.test(), mean_flow_c)
    _write(errors, config)
    return errors


def train_decoders(
    readers: Sequence[FlowReader], batches: Iterable[ProbeBatch], config: ProbeConfig
) -> torch.Tensor:
    """Train the decoders of all readers on the same clips; their networks stay as they are.

    Args:
        readers: Modified: their decoders.
        batches: `config.steps` of them.
        config: Learning rate and steps.

    Returns:
        float32 [2]: the mean flow of the clips.
    """
    decoders = nn.ModuleList(reader.decoders for reader in readers)
    decoders.train()
    optimizer = torch.optim.Adam(decoders.parameters(), lr=config.learning_rate)
    means = []
    for step, batch in enumerate(batches):
        optimizer.param_groups[0]["lr"] = (
            config.learning_rate * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        )
        losses = []
        for reader in readers:
            errors = reader.errors(reader.maps(batch.inputs_bcthw), batch.flow_bcthw)
            losses += [error_b.mean() for error_b in errors.values()]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()  # each decoder has a part of its own
        optimizer.step()
        means.append(batch.flow_bcthw.mean(dim=(0, 2, 3, 4)))
    decoders.eval()
    return torch.stack(means).mean(dim=0)


def measure(
    trained: FlowReader,
    untrained: FlowReader,
    batches: Iterable[ProbeBatch],
    mean_flow_c: torch.Tensor,
) -> list[StageError]:
    """Return the mean errors of the decoders and of the flows that look at nothing.

    Args:
        trained: Decoders of the checkpoint.
        untrained: Decoders of the control.
        batches: Test clips.
        mean_flow_c: float32 [2].
    """
    rows: dict[int, list[torch.Tensor]] = {}
    for inputs_bcthw, flow_bcthw in batches:
        maps = trained.maps(inputs_bcthw)
        with torch.no_grad():
            columns = (
                trained.errors(maps, flow_bcthw),
                untrained.errors(untrained.maps(inputs_bcthw), flow_bcthw),
                constant_errors(mean_flow_c, maps, flow_bcthw),
                constant_errors(torch.zeros_like(mean_flow_c), maps, flow_bcthw),
            )
        for stage in maps:
            errors_eb = torch.stack([column[stage] for column in columns])
            rows.setdefault(stage, []).append(errors_eb.cpu())
    return [_stage_error(stage, torch.cat(parts, dim=1)) for stage, parts in sorted(rows.items())]


def _stage_error(stage: int, errors_en: torch.Tensor) -> StageError:
    trained, untrained, mean_flow, zero_flow = errors_en.mean(dim=1).tolist()
    return StageError(
        stage=stage,
        trained=trained,
        untrained=untrained,
        mean_flow=mean_flow,
        zero_flow=zero_flow,
        num_clips=errors_en.shape[1],
    )


def describe_errors(errors: Sequence[StageError]) -> str:
    """Return a table in plain text, one line for each stage."""
    lines = ["end-point error (px)  trained  untrained  mean flow  zero flow"]
    lines += [
        f"stage {row.stage:<14}{row.trained:9.3f}{row.untrained:11.3f}"
        f"{row.mean_flow:11.3f}{row.zero_flow:11.3f}"
        for row in errors
    ]
    return "\n".join(lines)


def _write(errors: Sequence[StageError], config: ProbeConfig) -> None:
    config.output.mkdir(parents=True, exist_ok=True)
    plain = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in asdict(config).items()
    }
    values = {"unit": "px", "stages": [row._asdict() for row in errors], "config": plain}
    (config.output / "probe.json").write_text(json.dumps(values, indent=2) + "\n", "utf-8")
    with (config.output / "probe.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(StageError._fields)
        writer.writerows(errors)
