"""Whether a view shows a network the frames that it is made for."""

from typing import Literal

from perfnet.data.augment import ViewConfig
from perfnet.models.registry import ModelConfig, check_input, sampling_of
from schemas.errors import ConfigError


def check_view(
    model: ModelConfig, view: ViewConfig, *, name: Literal["view", "eval_view", "input"]
) -> None:
    """Raise ConfigError unless clips of a view have frames and sizes that a network is made for.

    Args:
        model: The network.
        view: What it is to look at.
        name: The option that says so.
    """
    check_input(model.name, (view.num_frames, view.height, view.width), option=name)
    sampling = sampling_of(model)
    if sampling is None:
        return
    segments, num_frames = sampling.num_segments, sampling.least_frames
    if view.num_segments == segments and sampling.fits(view.num_frames):
        return
    parts = "one window" if view.num_segments is None else f"{view.num_segments} segments"
    option = f"--{name.replace('_', '-')}"
    way_out = f"{option}.num-frames {num_frames} {option}.num-segments {segments}"
    if name == "input":
        way_out = f"--input {num_frames} {view.height} {view.width}"
    raise ConfigError(
        f"{name} must take {num_frames} frames from {segments} segments for {model.name}, got "
        f"{view.num_frames} from {parts}; say {way_out}"
    )
