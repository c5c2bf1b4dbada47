"""Decode videos to frames at 25 fps, find them on disk, resize, encode JPEG."""
