"""Optical flow between consecutive frames."""
