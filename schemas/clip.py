"""One annotation row: which clip of which video has which label."""

from dataclasses import dataclass

from schemas.labels import LabelMap
from schemas.outcome import Outcome


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """A clip [start, end) of a video, as an annotation file names it."""

    clip_id: str
    """Unique within the data set; also the order and the shard of the clip."""
    dataset: str
    split: str
    label_text: str | None
    """None where the data set publishes no labels (Kinetics test)."""
    media_id: str
    """YouTube id, or the file stem where there is none."""
    relative_path: str
    """Path of the file below the video folder as annotated; "" if only the id is known."""
    start_seconds: float | None
    """None = from the first frame."""
    end_seconds: float | None
    """None = to the last frame."""
    source: str
    """`file:line` of the annotation row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedRow:
    """An annotation row that cannot become a clip; it still gets its ledger row."""

    clip_id: str
    """As far as the row gives one, else ""."""
    source: str
    """`file:line` of the annotation row."""
    outcome: Outcome
    """BAD_ANNOTATION, UNKNOWN_LABEL or DUPLICATE."""
    detail: str
    """Rule, value and way out, for a person."""
    label_text: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotationTable:
    """All rows of one split, every one either a clip or rejected."""

    clips: tuple[Clip, ...]
    """In the order of the file."""
    rejected: tuple[RejectedRow, ...]
    labels: LabelMap
    """All labels of the data set, not only those of this split's rows."""
