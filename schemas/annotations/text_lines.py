"""Lines and tables of text files as people save them: BOM or not, any line end."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.annotations.fields import is_one_line, show
from schemas.annotations.rows import Row, source_of
from schemas.errors import ConfigError
from schemas.labels import LabelMap, sorted_label_map

_LINE_END = re.compile(r"\r\n|\r|\n")
_SAME_SPLIT = {"validate": "val", "validation": "val"}


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line stripped of white space) of all lines that are not blank."""
    for number, line in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), start=1):
        stripped = line.strip()
        if stripped:
            yield number, stripped


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
            fields = _split_fields(line)
            source = source_of(self.source, number)
            if len(fields) != len(self.columns):
                rule = f"row must have {len(self.columns)} fields as the header"
                problem = f"{rule}, got {len(fields)}: {show(line)}"
                yield Row(source, {}, problem=problem)
                continue
            cells = dict(zip(self.columns, fields, strict=True))
            label = cells.get("label", "").strip(self.label_strip)
            yield Row(source, cells, label or None)

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

    def survey_labels(self, split: str) -> LabelMap:
        """Return the map of the labels of all rows, whatever their split.

        Raises:
            ConfigError: If no row is of the split; the message lists the splits there are.
        """
        splits: set[str] = set()
        texts: set[str | None] = set()
        for row in self.rows():
            splits.add(row.cells.get("split", ""))
            texts.add(row.label_text)
        self._check_split(split, splits)
        return sorted_label_map(
            text for text in texts if text and text.strip() and is_one_line(text)
        )

    def _check_split(self, split: str, splits: set[str]) -> None:
        """Raise unless one of the file's splits is the one asked for."""
        if not splits:
            raise ConfigError(f"{self.source} must hold rows after the header, got none")
        if "split" not in self.columns:
            return
        if _canonical_split(split) not in {_canonical_split(name) for name in splits if name}:
            available = ", ".join(sorted(splits - {""})) or "none"
            raise ConfigError(
                f"split must be one of those in {self.source} ({available}), got {split!r}; "
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
        raise ConfigError(f"{source} must hold a header and rows, got an empty file")
    columns = tuple(name.lower() for name in _split_fields(header[1]))
    missing = [name for name in required if name not in columns]
    if missing:
        raise ConfigError(
            f"{source} must have the columns {', '.join(required)}, got the header "
            f"{show(header[1])} without {', '.join(missing)}; "
            "correct the header or choose another dataset format"
        )
    if len(set(columns)) != len(columns):
        raise ConfigError(f"{source} must name each column once, got {show(header[1])}")
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
