"""Parameters and FLOPs of a network, counted without computing anything."""

from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from perfnet.models.registry import ModelConfig, check_input, make_model, sampling_of
from schemas.errors import ConfigError


class ModelProfile(NamedTuple):
    """Size of a network."""

    num_parameters: int
    flops: int
    """Of one clip: 2 for every multiply-add of convolutions and linear layers."""


def profile_model(
    config: ModelConfig, *, num_classes: int, input_thw: tuple[int, int, int], in_channels: int = 3
) -> ModelProfile:
    """Count a network.

    Args:
        config: Which.
        num_classes: Number of logits.
        input_thw: Frames, height and width of the clip.
        in_channels: 3 for frames, 2 for flow, 1 for persistence of appearance.

    Raises:
        ConfigError: If the network cannot take such clips.

    References:
        PERF-Net counts a multiply-add as 2 FLOP; others call a multiply-add one FLOP.
    """
    check_input(config.name, input_thw, option="input")
    _check_frames(config, input_thw)
    with torch.device("meta"):
        model = make_model(config, num_classes=num_classes, in_channels=in_channels).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.empty(1, in_channels, *input_thw))
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    return ModelProfile(num_parameters, counter.get_total_flops())


def _check_frames(config: ModelConfig, input_thw: tuple[int, int, int]) -> None:
    """Raise ConfigError unless a network that sees segments can split the frames into them."""
    sampling = sampling_of(config)
    num_frames, height, width = input_thw
    if sampling is None or sampling.fits(num_frames):
        return
    segments, fitting = sampling.num_segments, sampling.least_frames
    raise ConfigError(
        f"input must have {fitting} frames for {config.name}, {fitting // segments} of each of "
        f"{segments} segments, got {num_frames}; say --input {fitting} {height} {width}"
    )
