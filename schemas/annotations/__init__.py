"""Readers of official annotation files: one row in, one clip or one rejected row out."""

from schemas.annotations.read import DATASETS, read_annotations
from schemas.annotations.rows import sanitize_clip_id
from schemas.annotations.text_files import LocalTextFiles, TextFiles

__all__ = ["DATASETS", "LocalTextFiles", "TextFiles", "read_annotations", "sanitize_clip_id"]
