"""One training loop: schedule, objective, checkpoints, presets."""
