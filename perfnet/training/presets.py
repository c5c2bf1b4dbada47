"""Recipes of the papers by name, and what they leave open.

A recipe counts clips of a step over all processes and forward passes; `fit_config` splits them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from perfnet.data.augment import ViewConfig
from perfnet.data.shard_folder import open_shard_folder
from perfnet.modality import Modality
from perfnet.models.registry import ModelConfig
from perfnet.training.checkpoint import Checkpoint
from perfnet.training.config import FitConfig, OptimizerConfig, Precision
from perfnet.training.foreign_weights import load_start
from perfnet.training.schedule import ScheduleConfig
from schemas.errors import ConfigError

PresetName = Literal[
    "perfnet-r3d50g", "perfnet-s3dg", "d3d", "finetune-ucf101", "finetune-hmdb51",
    "pan-lite", "pan-pa", "pan-rgb", "eco-lite", "pas-net",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One way to train."""

    step_clips: int
    """Clips of one step, of all processes together."""
    model: ModelConfig
    modality: Modality = "rgb"
    schedule: ScheduleConfig
    """Its steps, warm-up and milestones stand for nothing where `epochs` are given."""
    optimizer: OptimizerConfig
    view: ViewConfig
    eval_view: ViewConfig
    precision: Precision = "bf16"
    epochs: int | None = None
    """Length of the training; None = as `schedule` says."""
    warmup_epochs: int = 0
    """Those of the warm-up among them."""
    milestone_epochs: tuple[int, ...] = ()
    """Epochs after the warm-up at which the learning rate falls."""
    needs_init: bool = False
    """Starts from a checkpoint."""
    keeps_model: bool = False
    """Trains its own network, whatever that of the checkpoint is; see `start_from`."""
    left_open: tuple[str, ...] = field(default=())
    """What the paper does not say, and what stands here instead."""


_TRAIN = ViewConfig(num_frames=64, height=224, width=224, contrast=0.2, brightness=0.125)
_TRAIN_WIDE = replace(_TRAIN, width=298)
_TEST = ViewConfig(num_frames=250, height=256, width=256, is_random=False)
_COSINE = ScheduleConfig(steps=20_000, warmup_steps=2_000, learning_rate=1.6)
_AUGMENTATION = "strength of contrast (0.2) and brightness (0.125): ours"

_R3D = Recipe(
    step_clips=2048,
    model=ModelConfig(name="r3d50g", dropout=0.2),
    schedule=_COSINE,
    optimizer=OptimizerConfig(momentum=0.9, nesterov=True, weight_decay=1e-4),
    view=_TRAIN,
    eval_view=_TEST,
    left_open=(
        "Nesterov momentum and dropout 0.2: as TF Model Garden",
        "the cosine takes 20,000 steps after the warm-up, as the text reads; TF Model Garden "
        "counts them from the start (schedule.cosine)",
        "gates before the sum, as the code of TF Model Garden; the text says after the block",
        _AUGMENTATION,
    ),
)
_S3D = Recipe(
    step_clips=306,
    model=ModelConfig(name="s3dg", dropout=0.2),
    schedule=replace(_COSINE, learning_rate=0.24),
    optimizer=OptimizerConfig(momentum=0.9, weight_decay=1e-7),
    view=_TRAIN,
    eval_view=_TEST,
    left_open=(
        "learning rate: that of R3D50-G scaled by the clips of a step (1.6 x 306 / 2048); "
        "steps as R3D50-G",
        "weight decay: default of TF slim; momentum 0.9 as R3D50-G",
        "the paper starts from ImageNet weights inflated to 3D, this recipe from random ones",
        _AUGMENTATION,
    ),
)
_FINETUNE = Recipe(
    step_clips=64,
    model=ModelConfig(name="r3d50g", dropout=0.2),
    schedule=replace(_COSINE, learning_rate=0.05),
    optimizer=OptimizerConfig(momentum=0.9, nesterov=True, weight_decay=1e-4),
    view=_TRAIN_WIDE,
    eval_view=replace(_TEST, num_frames=128, height=224, width=298),
    epochs=30,
    warmup_epochs=1,
    needs_init=True,
    left_open=(
        "learning rate 0.05 at 64 clips with one epoch of warm-up and cosine, weight decay, "
        "momentum: ours (1.6 at 2048 clips scaled)",
        _AUGMENTATION,
    ),
)

_PAN_VIEW = ViewConfig(
    num_frames=32, num_segments=8, height=224, width=224, crop_scales=(1.0, 0.875, 0.75, 0.66),
    mirror=False, contrast=0.0, brightness=0.0,
)  # fmt: skip
_PAN = Recipe(
    step_clips=64,
    model=ModelConfig(name="pan_lite_r50", dropout=0.5),
    schedule=ScheduleConfig(warmup_steps=0, learning_rate=0.01, decay="step"),
    optimizer=OptimizerConfig(momentum=0.9, weight_decay=1e-4, clip_norm=20.0, per_group=True),
    view=_PAN_VIEW,
    eval_view=replace(_PAN_VIEW, is_random=False, crop_scales=()),
    precision="fp32",
    epochs=80,
    milestone_epochs=(30, 60),
    left_open=(
        "the paper starts from ImageNet: --init-weights with torchvision's ResNet-50; without it "
        "the weights are random ones",
        "no mirroring, as for Something-Something and Jester, whose labels tell left from right; "
        "--view.mirror for others",
        "crops keep their shape and lie anywhere; the code of the authors also draws crops that "
        "are a scale wider or higher, at 13 places",
        "several views of a clip stand at equal distances in each segment; the code of the authors "
        "takes the middle and the start",
    ),
)

_PAS_VIEW = ViewConfig(
    num_frames=16, num_segments=16, height=224, width=224, contrast=0.0, brightness=0.0
)
_PAS = Recipe(
    step_clips=32,
    model=ModelConfig(name="pas_net", dropout=0.3),
    schedule=ScheduleConfig(warmup_steps=0, learning_rate=0.001, decay="step"),
    optimizer=OptimizerConfig(momentum=0.9, nesterov=True, weight_decay=5e-4, clip_norm=50.0),
    view=_PAS_VIEW,
    eval_view=replace(_PAS_VIEW, is_random=False),
    epochs=40,
    milestone_epochs=(15, 30),
    needs_init=True,
    keeps_model=True,
    left_open=(
        "the weights of the body network are those of --init-body; without it random ones",
        "clips of a step: 32, ours; epochs, their milestones, Nesterov momentum and gradient "
        "clipping: as the code of ECO",
        "16 frames; the paper has 8 to 32 (view.num_frames and view.num_segments)",
        "pooling and kernel of the fusion, background and sign of the heat: ours (model.pas_net)",
    ),
)

RECIPES: dict[PresetName, Recipe] = {
    "perfnet-r3d50g": _R3D,
    "perfnet-s3dg": _S3D,
    "d3d": replace(
        _S3D,
        left_open=(
            "weight of the distillation (1.0, one teacher of flow) and the recipe itself: "
            "that of S3D-G in PERF-Net",
            *_S3D.left_open,
        ),
    ),
    "finetune-ucf101": replace(
        _FINETUNE, left_open=("epochs: 30, as for HMDB51", *_FINETUNE.left_open)
    ),
    "finetune-hmdb51": replace(_FINETUNE, eval_view=replace(_FINETUNE.eval_view, num_frames=64)),
    "pan-lite": _PAN,
    "pan-pa": replace(_PAN, model=replace(_PAN.model, name="pan_pa_r50")),
    "pan-rgb": replace(
        _PAN,
        model=replace(_PAN.model, name="pan_rgb_r50"),
        view=replace(_PAN.view, num_frames=8),
        eval_view=replace(_PAN.eval_view, num_frames=8),
        epochs=50,
        milestone_epochs=(20, 40),
    ),
    "eco-lite": replace(
        _PAS, model=replace(_PAS.model, name="eco_lite"), left_open=_PAS.left_open[1:3]
    ),
    "pas-net": _PAS,
}
"""Li et al. 2020 (PERF-Net), section 4; Stroud et al. 2020 (D3D); Zhang et al. 2020 (PAN) and the
scripts of its authors; PAS-Net and the code of ECO."""

_USUAL_BATCH = 8


def fit_config(
    preset: PresetName,
    *,
    shards: Path,
    output: Path,
    init: Path | None = None,
    init_weights: Path | None = None,
    val_shards: Path | None = None,
    batch_size: int | None = None,
    num_processes: int = 1,
) -> FitConfig:
    """Return the configuration of a recipe; change what differs with `dataclasses.replace`.

    Args:
        preset: Name of the recipe.
        shards: Training shards.
        output: Folder of the run.
        init: Checkpoint to start from; its network replaces that of a fine-tuning but of PAS-Net.
        init_weights: Weights of another code to start from, instead of `init`.
        val_shards: Shards to evaluate on.
        batch_size: Clips of a forward pass of one process; None = as many as fit, up to 8.
        num_processes: Processes that train together.

    Raises:
        ConfigError: If the clips of a step cannot be split like this, or a fine-tuning has nothing
            to start from.
    """
    recipe = RECIPES[preset]
    batch_size = _clips_of_a_pass(preset, batch_size, num_processes)
    model, modality, schedule = recipe.model, recipe.modality, recipe.schedule
    view, eval_view = recipe.view, recipe.eval_view
    if recipe.needs_init:
        start = _start_of(preset, init, init_weights)
        modality = start.card.modality
        if not recipe.keeps_model:
            model = start.card.model
            view, eval_view = (
                _sampled_as(each, start.training.get("config", {}).get(name, {}))
                for name, each in (("view", view), ("eval_view", eval_view))
            )
    if recipe.epochs is not None:
        schedule = _in_steps(recipe, recipe.epochs, num_clips=len(open_shard_folder(shards)))
    return FitConfig(
        shards=shards,
        output=output,
        init=init,
        init_weights=init_weights,
        val_shards=val_shards,
        batch_size=batch_size,
        accumulate=recipe.step_clips // (batch_size * num_processes),
        precision=recipe.precision,
        modality=modality,
        model=model,
        view=view,
        eval_view=eval_view,
        schedule=schedule,
        optimizer=recipe.optimizer,
    )


def _start_of(preset: PresetName, init: Path | None, init_weights: Path | None) -> Checkpoint:
    start = load_start(init, init_weights)
    if start is None:
        raise ConfigError(
            f"init must name a checkpoint for {preset}, got none; say --init or --init-weights"
        )
    return start


def _sampled_as(view: ViewConfig, given: Mapping[str, Any]) -> ViewConfig:
    """The view with the segments of another one, as checkpoints keep it, if it has any."""
    if given.get("num_segments") is None:
        return view
    return replace(view, num_frames=given["num_frames"], num_segments=given["num_segments"])


def _in_steps(recipe: Recipe, epochs: int, *, num_clips: int) -> ScheduleConfig:
    """The schedule of a recipe that counts in epochs."""
    epoch_steps = max(1, round(num_clips / recipe.step_clips))
    return replace(
        recipe.schedule,
        steps=(epochs - recipe.warmup_epochs) * epoch_steps,
        warmup_steps=recipe.warmup_epochs * epoch_steps,
        milestones=tuple(epoch * epoch_steps for epoch in recipe.milestone_epochs),
    )


def _clips_of_a_pass(preset: PresetName, batch_size: int | None, num_processes: int) -> int:
    clips = RECIPES[preset].step_clips
    fitting = [n for n in range(1, clips + 1) if clips % (n * num_processes) == 0]
    if batch_size is None:
        batch_size = max((n for n in fitting if n <= _USUAL_BATCH), default=_USUAL_BATCH)
    if batch_size not in fitting:
        ways = ", ".join(map(str, fitting)) or "none does; take another number of processes"
        raise ConfigError(
            f"batch_size must divide the {clips} clips of a step of {preset} over "
            f"{num_processes} processes ({ways}), got {batch_size}"
        )
    return batch_size
