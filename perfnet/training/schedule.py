"""The learning rate of each step."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from schemas.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleConfig:
    """Linear warm-up, then a half cosine to zero, or steps down.

    Raises:
        ConfigError: If a field breaks its rule.
    """

    steps: int = 20_000
    """Steps after the warm-up: of the cosine."""
    warmup_steps: int = 2_000
    """Steps of the linear rise from zero."""
    learning_rate: float = 1.6
    """At the end of the warm-up."""
    cosine: Literal["after_warmup", "from_start"] = "after_warmup"
    """The cosine follows the warm-up (text of PERF-Net), or runs from step 0 with the warm-up
    in place of its beginning (TF Model Garden), so that the run has `steps` steps in all."""

    decay: Literal["cosine", "step"] = "cosine"
    """cosine; step: a tenth of the learning rate from each of the milestones on."""
    milestones: tuple[int, ...] = ()
    """Steps after the warm-up at which the learning rate falls, in rising order."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ConfigError(f"schedule.steps must be >= 1, got {self.steps}")
        if self.warmup_steps < 0:
            raise ConfigError(f"schedule.warmup_steps must be >= 0, got {self.warmup_steps}")
        if not self.learning_rate > 0:
            raise ConfigError(f"schedule.learning_rate must be > 0, got {self.learning_rate}")
        if self.cosine == "from_start" and self.warmup_steps >= self.steps:
            raise ConfigError(
                f"schedule.warmup_steps must be < steps ({self.steps}), got {self.warmup_steps}"
            )
        self._check_milestones()

    def _check_milestones(self) -> None:
        if self.decay == "cosine":
            if self.milestones:
                raise ConfigError(
                    f"schedule.milestones must be left out unless schedule.decay=step, got "
                    f"{self.milestones}"
                )
            return
        if self.cosine != "after_warmup":
            raise ConfigError(
                f"schedule.cosine must be left out with schedule.decay=step, got {self.cosine}"
            )
        if any(a >= b for a, b in pairwise((0, *self.milestones, self.steps))):
            raise ConfigError(
                f"schedule.milestones must rise between 0 and steps ({self.steps}), got "
                f"{self.milestones}"
            )

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps + (self.warmup_steps if self.cosine == "after_warmup" else 0)


def learning_rate_at(step: int, config: ScheduleConfig) -> float:
    """Return the learning rate of a step.

    Args:
        step: 0 for the first one.
        config: The schedule.

    References:
        Li et al. 2020 (PERF-Net), section 4.1: linear from 0 to 1.6 over 2k steps, cosine over 20k.
        The steps down are those of Zhang et al. 2020 (PAN).
    """
    if step < config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    if config.decay == "step":
        passed = sum(step - config.warmup_steps >= milestone for milestone in config.milestones)
        return config.learning_rate * 0.1**passed
    offset = config.warmup_steps if config.cosine == "after_warmup" else 0
    progress = min(1.0, (step - offset) / config.steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
