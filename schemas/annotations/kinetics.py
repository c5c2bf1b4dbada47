"""Kinetics-400, -600 and -700: CSV files of the crawler, of DeepMind and of CVDF."""

from schemas.annotations.fields import check_name, check_range, parse_seconds
from schemas.annotations.rows import NamedClip, Row, collect_clips
from schemas.annotations.text_lines import parse_table
from schemas.clip import AnnotationTable, Clip
from schemas.errors import RecordError
from schemas.labels import LabelMap

_COLUMNS = ("youtube_id", "time_start", "time_end")


def parse_kinetics(
    text: str, *, dataset: str, split: str, source: str, label_map: LabelMap | None = None
) -> AnnotationTable:
    """Read a Kinetics CSV file.

    Columns `youtube_id,time_start,time_end` are required; `label`, `split` (without it all rows
    belong to `split`) and others may be there. Rows are clips by (id, start, end). Two clips
    whose names are alike because only fractions of a second differ keep apart: the first has
    the name that crawlers give, the second has its exact times in its id.

    Args:
        text: The whole file.
        dataset: Name of the data set, for the clips.
        split: Rows of this split are read; `val`, `validate` and `validation` are one.
        source: The file's path, for messages and `Clip.source`.
        label_map: Labels in index order; None takes the sorted labels of the whole file.

    Returns:
        Every row of the split as a clip or a rejected row. An empty label is None.

    Raises:
        ConfigError: If the file is empty, lacks a column, has no row of the split, or two of its
            labels are alike to the case and spaces.
    """
    table = parse_table(text, source=source, required=_COLUMNS, label_strip=' "')
    labels = table.survey_labels(split, label_map)

    def parse_row(row: Row) -> NamedClip:
        return _parse_row(row, dataset=dataset, split=split)

    return collect_clips(table.rows_of_split(split), parse_row, labels)


def format_kinetics_stem(media_id: str, start_seconds: float, end_seconds: float) -> str:
    """Return the file name of a trimmed clip without extension, as crawlers write it.

    Ids hold `_` and `-` anywhere, so such names are built and compared, never split.

    Args:
        media_id: The YouTube id.
        start_seconds: At least 0, below 1,000,000; the fraction is cut off.
        end_seconds: As `start_seconds`.
    """
    return f"{media_id}_{int(start_seconds):06d}_{int(end_seconds):06d}"


def _parse_row(row: Row, *, dataset: str, split: str) -> NamedClip:
    """Return the clip of one row."""
    media_id = check_name("youtube_id", row.cells["youtube_id"])
    try:
        start = parse_seconds("time_start", row.cells["time_start"])
        end = parse_seconds("time_end", row.cells["time_end"])
        check_range(start, end)
    except RecordError as error:
        raise RecordError(media_id, error.outcome, error.detail) from None
    clip = Clip(
        clip_id=format_kinetics_stem(media_id, start, end),
        dataset=dataset,
        split=split,
        label_text=row.label_text,
        media_id=media_id,
        relative_path="",
        start_seconds=start,
        end_seconds=end,
        source=row.source,
    )
    return NamedClip(clip, f"{media_id}_{start:013.6f}_{end:013.6f}")
