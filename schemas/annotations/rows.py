"""Rows of an annotation file, and how each becomes one clip or one rejected row."""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from schemas.annotations.derived_labels import fold_label
from schemas.annotations.fields import bad_field, check_label, show
from schemas.clip import AnnotationTable, Clip, RejectedRow
from schemas.errors import RecordError
from schemas.labels import LabelMap
from schemas.outcome import Outcome
from schemas.video_extensions import split_extension

_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]")


class Row(NamedTuple):
    """One row as it stands in the file; blank lines are no rows."""

    source: str
    """`file:line`."""
    cells: Mapping[str, str]
    """Stripped values by column name."""
    label_text: str | None = None
    """The label, None where the row has none."""
    problem: str = ""
    """Why the row cannot be read at all; "" if it can."""


class NamedClip(NamedTuple):
    """A clip and the longer id it takes where another clip has the short one already."""

    clip: Clip
    exact_id: str


def whole_file_clip(row: Row, *, dataset: str, split: str, path: str) -> NamedClip:
    """Return the clip of a row that names a whole file; its id is the file's stem.

    Args:
        row: The row.
        dataset: Name of the data set.
        split: Name of the split.
        path: Path of the file below the video folder.
    """
    stem = split_extension(path.rpartition("/")[2])[0]
    clip = Clip(
        clip_id=stem,
        dataset=dataset,
        split=split,
        label_text=row.label_text,
        media_id=stem,
        relative_path=path,
        start_seconds=None,
        end_seconds=None,
        source=row.source,
    )
    return NamedClip(clip, path)


def sanitize_clip_id(clip_id: str) -> str:
    """Return the clip id as one file name: all but letters, digits, `.`, `_`, `-` become `_`.

    Clip ids of one table stay different under this mapping.
    """
    return _NOT_IN_FILE_NAMES.sub("_", clip_id)


def source_of(file: str, line: int) -> str:
    """Return the `file:line` of a row, without the folder so that it is alike everywhere."""
    return f"{file.rpartition('/')[2]}:{line}"


def collect_clips(
    rows: Iterable[Row], parse_row: Callable[[Row], NamedClip], labels: LabelMap
) -> AnnotationTable:
    """Turn every row into exactly one clip or one rejected row.

    A clip whose id is taken by another clip gets its exact id, and if that is taken as well,
    the exact id with a hash of what the clip is. Ids count as taken once sanitised.

    Args:
        rows: The rows of one split, in the order of the file.
        parse_row: Raises RecordError for a row that breaks a rule.
        labels: The label map; a clip with a label that is not in it is rejected.

    Returns:
        Clips and rejected rows, both in the order of `rows`.
    """
    collector = _Collector(labels)
    for row in rows:
        try:
            _check_row(row)
            named = parse_row(row)
        except RecordError as error:
            collector.reject(error.outcome, row, error.clip_id, error.detail)
        else:
            collector.add(row, named)
    return AnnotationTable(
        clips=tuple(collector.clips), rejected=tuple(collector.rejected), labels=labels
    )


def _check_row(row: Row) -> None:
    """Raise for a row that could not be read, or whose label is no line of text."""
    if row.problem:
        raise bad_field(row.problem)
    if row.label_text is not None:
        check_label(row.label_text)


class _Collector:
    """The clips so far, what they are called, and which row named each first."""

    def __init__(self, labels: LabelMap) -> None:
        self.clips: list[Clip] = []
        self.rejected: list[RejectedRow] = []
        self._known_labels = frozenset(labels.texts)
        self._known_by_form = {fold_label(text): text for text in labels.texts}
        self._id_by_key: dict[tuple[object, ...], str] = {}
        self._taken: set[str] = set()
        self._first: dict[tuple[object, ...], Clip] = {}

    def add(self, row: Row, named: NamedClip) -> None:
        """Keep the clip, or reject its row as a duplicate or for its label."""
        clip = named.clip
        key = (clip.media_id, clip.relative_path, clip.start_seconds, clip.end_seconds)
        clip_id = self._id_by_key.get(key)
        if clip_id is None:
            clip_id = self._id_by_key[key] = self._free_id(named, key)
        first = self._first.get(key)
        if first is not None:
            self.reject(Outcome.DUPLICATE, row, clip_id, _describe_duplicate(clip, first))
        elif clip.label_text is not None and clip.label_text not in self._known_labels:
            rule = f"label must be one of the {len(self._known_labels)} labels of the label map"
            alike = self._known_by_form.get(fold_label(clip.label_text))
            has = "" if alike is None else f" (which has {show(alike)})"
            detail = f"{rule}{has}, got {show(clip.label_text)}; correct the row or the label map"
            self.reject(Outcome.UNKNOWN_LABEL, row, clip_id, detail)
        else:
            if clip_id != clip.clip_id:
                clip = dataclasses.replace(clip, clip_id=clip_id)
            self._first[key] = clip
            self.clips.append(clip)

    def reject(self, outcome: Outcome, row: Row, clip_id: str, detail: str) -> None:
        """Keep a row that is no clip."""
        self.rejected.append(
            RejectedRow(
                clip_id=clip_id,
                source=row.source,
                outcome=outcome,
                detail=detail,
                label_text=row.label_text,
            )
        )

    def _free_id(self, named: NamedClip, key: tuple[object, ...]) -> str:
        """Return the first free one of the clip's ids, and take it."""
        for clip_id in (named.clip.clip_id, named.exact_id):
            if self._take(clip_id):
                return clip_id
        digest = hashlib.blake2b(repr(key).encode("utf-8"), digest_size=8).hexdigest()
        clip_id = f"{named.exact_id}-{digest}"
        self._take(clip_id)
        return clip_id

    def _take(self, clip_id: str) -> bool:
        """Take an id unless its sanitised form is taken; tell whether that worked."""
        safe = sanitize_clip_id(clip_id)
        is_free = safe not in self._taken
        self._taken.add(safe)
        return is_free


def _describe_duplicate(clip: Clip, first: Clip) -> str:
    """Say which row came first, and whether it had another label."""
    other = "" if clip.label_text == first.label_text else f" with label {first.label_text!r}"
    return f"clip must be named by one row, got it again; first named in {first.source}{other}"
