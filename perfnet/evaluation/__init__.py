"""Predictions, their fusion and what they are worth."""
