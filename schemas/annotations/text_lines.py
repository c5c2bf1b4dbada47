"""Lines and tables of text files as people save them: BOM or not, any line end."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from schemas.annotations.derived_labels import derive_label_map
from schemas.annotations.fields import show
from schemas.annotations.rows import Row, source_of
from schemas.errors import ConfigError
from schemas.labels import LabelMap

MAX_LINE_CHARACTERS = 65_536
"""A longer line is no row; paths end at 4096 bytes."""

_LINE_END = re.compile(r"\r\n|\r|\n")
_SHOWN_NAMES = 12
_SAME_SPLIT = {"validate": "val", "validation": "val"}


def all_lines(text: str) -> list[str]:
    """Return all lines of a text without its byte-order mark and line ends."""
    return _LINE_END.split(text.removeprefix("\ufeff"))


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line stripped of white space) of all lines that are not blank."""
    for number, line in enumerate(all_lines(text), start=1):
        stripped = line.strip()
        if stripped:
            yield number, stripped


def describe_long_line(line: str) -> str:
    """Say that a line is too long for a row; "" if it is not."""
    if len(line) <= MAX_LINE_CHARACTERS:
        return ""
    rule = f"row must have at most {MAX_LINE_CHARACTERS} characters"
    return f"{rule}, got {len(line)}: {show(line)}"


def show_names(names: Iterable[str]) -> str:
    """Return names sorted and with commas for a message; of many the first ones."""
    ordered = sorted(names)
    shown = ", ".join(show(name)[1:-1] for name in ordered[:_SHOWN_NAMES])
    more = len(ordered) - _SHOWN_NAMES
    return (f"{shown} and {more} more" if more > 0 else shown) or "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A CSV file with a header; one line is one row, so a stray quote spoils one row only."""

    source: str
    columns: tuple[str, ...]
    text: str
    label_strip: str
    """Characters stripped from both ends of a label."""

    def rows(self) -> Iterator[Row]:
        """Yield all rows; one with a wrong number of fields has a `problem` and no cells."""
        lines = numbered_lines(self.text)
        next(lines)
        for number, line in lines:
            source = source_of(self.source, number)
            problem = describe_long_line(line)
            fields = [] if problem else _split_fields(line)
            if len(fields) != len(self.columns):
                yield Row(source, {}, problem=problem or self._describe_fields(line, fields))
                continue
            cells = dict(zip(self.columns, fields, strict=True))
            label = cells.get("label", "").strip(self.label_strip)
            yield Row(source, cells, label or None)

    def _describe_fields(self, line: str, fields: list[str]) -> str:
        """Say that a line has not one field for each column."""
        rule = f"row must have {len(self.columns)} fields as the header"
        way_out = "; a field with a comma in it must be in quotes"
        if line.count('"') % 2:
            way_out = "; a quoted field must end on its line"
        return f"{rule}, got {len(fields)}: {show(line)}{way_out}"

    def rows_of_split(self, split: str) -> Iterator[Row]:
        """Yield the rows of a split; without a column `split`, all rows are its rows.

        Rows which do not say their split are yielded too, with a `problem`: they must not
        disappear. `val`, `validate` and `validation` are the same split.
        """
        wanted = _canonical_split(split)
        for row in self.rows():
            if row.problem or "split" not in self.columns:
                yield row
            elif not row.cells["split"]:
                yield row._replace(problem="split must not be empty, got ''")
            elif _canonical_split(row.cells["split"]) == wanted:
                yield row

    def survey_labels(self, split: str, given: LabelMap | None) -> LabelMap:
        """Return the given map, or that of the labels of all rows, whatever their split.

        Raises:
            ConfigError: If no row is of the split; the message lists the splits there are. If
                no map is given and two labels are alike to the case and spaces.
        """
        splits: set[str] = set()
        first_seen: dict[str, str] = {}
        for row in self.rows():
            splits.add(row.cells.get("split", ""))
            first_seen.setdefault(row.label_text or "", row.source)
        self._check_split(split, splits)
        return derive_label_map(first_seen) if given is None else given

    def _check_split(self, split: str, splits: set[str]) -> None:
        """Raise unless one of the file's splits is the one asked for."""
        if not splits:
            raise ConfigError(
                f"{self.source} must hold rows after the header, got none; "
                "check that the file is complete"
            )
        if "split" not in self.columns:
            return
        if _canonical_split(split) not in {_canonical_split(name) for name in splits if name}:
            raise ConfigError(
                f"split must be one of those in {self.source} ({show_names(splits - {''})}), "
                f"got {split!r}; "
                "choose one of them or another annotation file"
            )


def parse_table(
    text: str, *, source: str, required: tuple[str, ...], label_strip: str = " "
) -> Table:
    """Read the header of a CSV file.

    Args:
        text: The whole file.
        source: Its path, for messages.
        required: Column names that the header must hold, in lower case.
        label_strip: Characters stripped from both ends of a label.

    Raises:
        ConfigError: If the file is empty, or a column is missing or stands twice.
    """
    header = next(numbered_lines(text), None)
    if header is None:
        raise ConfigError(
            f"{source} must hold a header and rows, got an empty file; begin it with the line "
            f"{','.join(required)}"
        )
    columns = tuple(name.lower() for name in _split_fields(header[1]))
    missing = [name for name in required if name not in columns]
    if missing:
        raise ConfigError(
            f"{source}:{header[0]} must have the columns {', '.join(required)}, got the header "
            f"{show(header[1])} without {', '.join(missing)}; "
            "correct the header (commas between names) or choose another dataset format"
        )
    if len(set(columns)) != len(columns):
        raise ConfigError(
            f"{source}:{header[0]} must name each column once, got the header {show(header[1])}; "
            "rename or remove the second one"
        )
    return Table(source=source, columns=columns, text=text, label_strip=label_strip)


def _split_fields(line: str) -> list[str]:
    """Return the stripped fields of a line; a field over the limit of `csv` is no field."""
    if '"' not in line:
        return [field.strip() for field in line.split(",")]
    try:
        return [field.strip() for field in next(csv.reader([line], skipinitialspace=True))]
    except csv.Error:
        return []


def _canonical_split(name: str) -> str:
    """Return the split's name in the form that is compared."""
    lower = name.strip().lower()
    return _SAME_SPLIT.get(lower, lower)
