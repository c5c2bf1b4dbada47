"""A plain CSV of one's own: `video,label[,start,end,split]`."""

from collections.abc import Callable

from schemas.annotations.fields import check_range, check_relative_path, parse_seconds
from schemas.annotations.rows import NamedClip, Row, collect_clips
from schemas.annotations.text_lines import parse_table
from schemas.clip import AnnotationTable, Clip
from schemas.errors import RecordError
from schemas.labels import LabelMap
from schemas.video_extensions import split_extension


def parse_plain_csv(
    text: str, *, split: str, source: str, label_map: LabelMap | None = None
) -> AnnotationTable:
    """Read a CSV file with a header that has at least the columns `video` and `label`.

    `video` is a path below the videos folder, `start` and `end` are seconds (empty = start or end
    of the video), an empty `label` is None, other columns are ignored. A clip id is the path
    without extension, then `_<start>_<end>` as six digits each where a range is given. If two
    clips would share an id, the second one's holds the extension and the exact times.

    Args:
        text: The whole file.
        split: Rows of this split are read; without a column `split`, all rows.
        source: The file's path, for messages and `Clip.source`.
        label_map: Labels in index order; None takes the sorted labels of the whole file.

    Returns:
        Every row of the split as a clip or a rejected row.

    Raises:
        ConfigError: If the file is empty, lacks a column, has no row of the split, or two of its
            labels are alike to the case and spaces.
    """
    table = parse_table(text, source=source, required=("video", "label"))
    labels = table.survey_labels(split, label_map)

    def parse_row(row: Row) -> NamedClip:
        return _parse_row(row, split=split)

    return collect_clips(table.rows_of_split(split), parse_row, labels)


def _parse_row(row: Row, *, split: str) -> NamedClip:
    """Return the clip of one row."""
    path = check_relative_path("video", row.cells["video"])
    stem = split_extension(path)[0]
    try:
        start = _optional_seconds(row, "start")
        end = _optional_seconds(row, "end")
        check_range(start, end)
    except RecordError as error:
        raise RecordError(stem, error.outcome, error.detail) from None
    clip = Clip(
        clip_id=stem + _range_suffix(start, end, _whole_seconds),
        dataset="csv",
        split=split,
        label_text=row.label_text,
        media_id=stem.rpartition("/")[2],
        relative_path=path,
        start_seconds=start,
        end_seconds=end,
        source=row.source,
    )
    return NamedClip(clip, path + _range_suffix(start, end, _exact_seconds))


def _optional_seconds(row: Row, column: str) -> float | None:
    """Return the column's time, None where the file or the row has none."""
    text = row.cells.get(column, "")
    return parse_seconds(column, text) if text else None


def _range_suffix(
    start: float | None, end: float | None, write_seconds: Callable[[float], str]
) -> str:
    """Return `_<start>_<end>`, or "" for the whole video; an open side is a word."""
    if start is None and end is None:
        return ""
    left = "start" if start is None else write_seconds(start)
    right = "end" if end is None else write_seconds(end)
    return f"_{left}_{right}"


def _whole_seconds(seconds: float) -> str:
    """Return six digits; the fraction is cut off."""
    return f"{int(seconds):06d}"


def _exact_seconds(seconds: float) -> str:
    """Return six digits and microseconds."""
    return f"{seconds:013.6f}"
