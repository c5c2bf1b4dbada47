"""Estimate or read 17-keypoint poses and track people."""
