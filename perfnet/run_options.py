"""Options of `perfnet-train fit` and `distill`: recipes by name under the options given."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import tyro

from perfnet.training.config import FitConfig
from perfnet.training.distill import DistillConfig
from perfnet.training.presets import PresetName, fit_config

PRESET_HELP = (
    f"--preset {{{','.join(get_args(PresetName))}}} starts from a recipe of the papers, which the "
    "other options change."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillOptions:
    """Train a student on the labels and on the logits of frozen teachers.

    PERF-Net has teachers of flow and pose and a student of rgb; D3D one teacher of flow.
    """

    fit: Annotated[FitConfig, tyro.conf.arg(name="")]
    """The student and its data."""
    distill: DistillConfig
    """The teachers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PresetOptions:
    """What a recipe must know of a run."""

    preset: PresetName
    """Recipe to start from."""
    shards: Path
    """Training shards."""
    output: Path
    """Folder of the run."""
    init: Path | None = None
    """Checkpoint to start from; fine-tuning needs one, or `init_weights`."""
    init_weights: Path | None = None
    """Weights of another code to start from."""
    val_shards: Path | None = None
    """Shards to evaluate on."""
    batch_size: int | None = None
    """Clips per process of one forward pass; the recipe says how many make a step."""


def take_preset(command: str, arguments: Sequence[str]) -> tuple[FitConfig | None, list[str]]:
    """Return the configuration of the recipe that is asked for, and the arguments that change it.

    Args:
        command: Name of the command.
        arguments: Those behind it.

    Raises:
        SystemExit: If the recipe lacks an option.
        ConfigError: If the options do not fit the recipe.
    """
    asks = any(each == "--preset" or each.startswith("--preset=") for each in arguments)
    if not asks or {"-h", "--help"} & set(arguments):
        return None, list(arguments)
    options, others = tyro.cli(
        PresetOptions,
        prog=f"perfnet-train {command}",
        args=arguments,
        return_unknown_args=True,
        add_help=False,
    )
    config = fit_config(
        options.preset,
        shards=options.shards,
        output=options.output,
        init=options.init,
        init_weights=options.init_weights,
        val_shards=options.val_shards,
        batch_size=options.batch_size,
        num_processes=int(os.environ.get("WORLD_SIZE", "1")),  # set by `accelerate launch`
    )
    return config, others
