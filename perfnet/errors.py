"""Errors of training; the rest of the tree is in `schemas.errors`."""

from schemas.errors import PrepError


class TrainingError(PrepError):
    """Training cannot go on: a loss that is not finite, a checkpoint that does not fit."""
