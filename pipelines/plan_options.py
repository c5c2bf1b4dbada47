"""Everything that `perfnet-prep plan` can be told: the options of `build` and a few more."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from pipelines.config import BuildConfig
from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanOptions:
    """Predict time, disk and failures of a build from a few of its clips; writes nothing."""

    build: Annotated[BuildConfig, tyro.conf.arg(name="")]
    """What would be built."""
    probe_clips: int = 12
    """Clips to process as the build would, 10 seconds each at most."""
    probe_files: int = 200
    """Files to open for their duration and for damage; all clips if there are no more."""
    json: bool = False
    """Print JSON instead of tables."""

    def __post_init__(self) -> None:
        if self.probe_clips < 1:
            raise ConfigError(f"probe_clips must be >= 1, got {self.probe_clips}")
        if self.probe_files < self.probe_clips:
            rule = f"probe_files must be >= probe_clips ({self.probe_clips})"
            raise ConfigError(f"{rule}, got {self.probe_files}")
