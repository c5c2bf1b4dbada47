"""What a training run can be told."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from perfnet.data.augment import ViewConfig
from perfnet.data.shard_dataset import OnCorrupt
from perfnet.modality import Modality
from perfnet.model_view import check_view
from perfnet.models.registry import ModelConfig, check_stream, has_body
from perfnet.training.schedule import ScheduleConfig
from schemas.errors import ConfigError

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """Stochastic gradient descent with momentum.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    """On weights of more than one axis; not on biases and batch norms."""
    clip_norm: float | None = None
    """Longest gradient of all weights together; None = any."""
    per_group: bool = False
    """Multiply the learning rate of some weights as the network's own recipe does (pan_*)."""

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise ConfigError(f"optimizer.momentum must be >= 0 and < 1, got {self.momentum}")
        if self.nesterov and not self.momentum:
            raise ConfigError("optimizer.momentum must be > 0 with nesterov, got 0")
        if self.weight_decay < 0:
            raise ConfigError(f"optimizer.weight_decay must be >= 0, got {self.weight_decay}")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ConfigError(f"optimizer.clip_norm must be > 0, got {self.clip_norm}")


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """Train one network on one stream of the shards.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    shards: Path
    """Finished output folder of `perfnet-prep build` to train on."""
    output: Path
    """Folder of checkpoints and logs; a run that was interrupted goes on from its newest one."""
    modality: Modality = "rgb"
    """Stream that the network looks at."""
    val_shards: Path | None = None
    """Shards to evaluate on every `evaluate_every` steps and at the end; None = not."""
    init: Path | None = None
    """Checkpoint to start from; a head for other classes is left out."""
    init_weights: Path | None = None
    """Weights of another code to start from, instead of `init`: variables of TF Model Garden's
    R3D50 (.npz), a state dict of HowTo100M's, torchvision's or kylemin's S3D or of ECO-Lite, or for
    pan_* one of torchvision's ResNet-50 or -101."""
    init_body: Path | None = None
    """Weights of OpenPose's body network for pas_net: a state dict of Hzzone's code."""
    batch_size: int = 8
    """Clips per process of one forward pass."""
    accumulate: int = 1
    """Forward passes whose gradients make one step."""
    precision: Precision = "fp32"
    """bf16: matrix products and convolutions in bfloat16, weights in float32."""
    compile: bool = False
    """Compile the network with torch.compile."""
    channels_last: bool = True
    """Lay weights and clips out as channels_last or channels_last_3d."""
    save_memory: bool = False
    """Compute the stages again in the backward pass instead of keeping their maps."""
    norm_momentum: float | None = None
    """Weight of a batch in the running statistics of batch norms; None = as the network's own code
    has it: 0.1 for r3d50g, 0.001 for s3dg, with which evaluations mean little before some thousand
    steps."""
    workers: int = 2
    """Loader processes; 0 = load in the training process."""
    seed: int = 0
    on_corrupt: OnCorrupt = "error"
    """A record that cannot be read stops the run, or is left out and named in the log."""
    log_every: int = 10
    """Steps between two lines of the log."""
    checkpoint_every: int = 500
    """Steps between two checkpoints."""
    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""
    evaluate_every: int = 0
    """Steps between two evaluations; 0 = at the end only."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Network."""
    view: ViewConfig = field(default_factory=ViewConfig)
    """Training clips."""
    eval_view: ViewConfig = field(default_factory=lambda: ViewConfig(is_random=False))
    """Clips of evaluations during the run."""
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """Learning rate."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimiser."""

    def __post_init__(self) -> None:
        rules = {
            "batch_size": 1, "accumulate": 1, "workers": 0, "log_every": 1,
            "checkpoint_every": 1, "keep_checkpoints": 1, "evaluate_every": 0,
        }  # fmt: skip
        for name, least in rules.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be >= {least}, got {getattr(self, name)}")
        if self.norm_momentum is not None and not 0 < self.norm_momentum <= 1:
            raise ConfigError(f"norm_momentum must be > 0 and <= 1, got {self.norm_momentum}")
        if self.init is not None and self.init_weights is not None:
            way_out = "; say --init-body for weights of OpenPose" if has_body(self.model) else ""
            raise ConfigError(
                f"init_weights must be left out beside init, got {self.init_weights}{way_out}"
            )
        if self.init_body is not None and not has_body(self.model):
            raise ConfigError(
                "init_body must be left out unless model.name=pas_net with a fusion that looks at "
                f"the body, got {self.init_body}"
            )
        if self.eval_view.is_random:
            raise ConfigError("eval_view.is_random must be off, got a random view")
        check_stream(self.model.name, self.modality)
        check_view(self.model, self.view, name="view")
        check_view(self.model, self.eval_view, name="eval_view")
