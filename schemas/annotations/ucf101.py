"""UCF101: the lists of the folder `ucfTrainTestlist`."""

import re
from collections.abc import Iterator, Mapping

from schemas.annotations.derived_labels import check_distinct
from schemas.annotations.fields import bad_field, check_relative_path, is_usable_label, show
from schemas.annotations.rows import NamedClip, Row, collect_clips, source_of, whole_file_clip
from schemas.annotations.text_lines import (
    describe_long_line,
    numbered_lines,
    show_names,
)
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap

CLASS_FILE = "classInd.txt"

_LIST_NAME = re.compile(r"(?P<kind>train|test)list0(?P<number>[0-9])\.txt")
_CLASS_LINE = re.compile(r"(?P<number>[0-9]{1,9})\s+(?P<label>\S.*)", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]+", re.ASCII)


def is_ucf101_list(name: str) -> bool:
    """Tell whether a file of the folder is one of those that `parse_ucf101` reads."""
    return name == CLASS_FILE or _LIST_NAME.fullmatch(name) is not None


def parse_ucf101(
    texts: Mapping[str, str], *, split: str, source: str, label_map: LabelMap | None = None
) -> AnnotationTable:
    """Read one split of UCF101.

    Paths are kept as written: the lists say `HandstandPushups/v_HandStandPushups_...`, while some
    archives hold `v_HandstandPushups_...`; finding the file is `video.locate`'s business.

    Args:
        texts: File name to content: `classInd.txt`, `trainlist0N.txt`, `testlist0N.txt`.
        split: `train1`, `test1`, ... `train3`, `test3`.
        source: The folder, for messages.
        label_map: Labels in index order; None takes the order of `classInd.txt`.

    Returns:
        Every line of the list as a clip or a rejected row. The label is the folder of the path.

    Raises:
        ConfigError: If `classInd.txt` is missing or does not number the classes from 1, or the
            split's list is missing or empty.
    """
    if CLASS_FILE not in texts:
        raise ConfigError(
            f"{source} must hold {CLASS_FILE}, got the lists {show_names(texts)}; "
            "name the folder ucfTrainTestlist of the official archive"
        )
    classes = _parse_classes(texts[CLASS_FILE], source=f"{source}/{CLASS_FILE}")
    name = _list_of_split(texts, split=split, source=source)
    numbers = {label: str(number) for number, label in enumerate(classes.texts, start=1)}
    needs_number = name.startswith("train")

    def parse_row(row: Row) -> NamedClip:
        _check_number(row, numbers, needs_number=needs_number)
        return _parse_row(row, split=split)

    rows = list(_read_rows(texts[name], name))
    if not rows:
        raise ConfigError(
            f"{source}/{name} must hold rows, got an empty file; unpack the official archive again"
        )
    return collect_clips(rows, parse_row, classes if label_map is None else label_map)


def _list_of_split(texts: Mapping[str, str], *, split: str, source: str) -> str:
    """Return the name of the split's list."""
    matches = [match for name in texts if (match := _LIST_NAME.fullmatch(name))]
    names = {f"{match['kind']}{match['number']}": match.string for match in matches}
    if split not in names:
        available = ", ".join(sorted(names)) or "none"
        raise ConfigError(
            f"split must be one of those in {source} ({available}), got {split!r}; "
            "name the folder that holds trainlist01.txt and so on"
        )
    return names[split]


def _parse_classes(text: str, *, source: str) -> LabelMap:
    """Return the classes in the order of their numbers 1, 2, 3, ..."""
    first_seen: dict[str, str] = {}
    for line_number, line in numbered_lines(text):
        match = _CLASS_LINE.fullmatch(line)
        if match is None or int(match["number"]) != len(first_seen) + 1:
            rule = (
                f"number the classes from 1 on without gaps, here '{len(first_seen) + 1} <class>'"
            )
            way_out = "renumber it, or unpack the official archive again"
            raise ConfigError(f"{source}:{line_number} must {rule}, got {show(line)}; {way_out}")
        label = match["label"]
        if not is_usable_label(label):
            rule = "name a class without control characters"
            raise ConfigError(f"{source}:{line_number} must {rule}, got {show(line)}")
        if label in first_seen:
            first = first_seen[label]
            raise ConfigError(
                f"{source}:{line_number} must name each class once, got {show(line)} again after "
                f"{first}; remove one of them"
            )
        first_seen[label] = source_of(source, line_number)
    if not first_seen:
        raise ConfigError(
            f"{source} must hold the classes, got an empty file; unpack the official archive again"
        )
    check_distinct(first_seen)
    return LabelMap(tuple(first_seen))


def _read_rows(text: str, name: str) -> Iterator[Row]:
    """Yield the lines of a list, split into path and number."""
    for line_number, line in numbered_lines(text):
        path, *last = line.rsplit(maxsplit=1)
        number = last[0] if last and _NUMBER.fullmatch(last[0]) else ""
        cells = {"path": path if number else line, "number": number}
        folder = cells["path"].rpartition("/")[0].rpartition("/")[2]
        problem = describe_long_line(line)
        yield Row(source_of(name, line_number), cells, folder or None, problem)


def _check_number(row: Row, numbers: Mapping[str, str], *, needs_number: bool) -> None:
    """Raise if the row's class number is missing or is not that of its folder."""
    number = row.cells["number"]
    if not number:
        if needs_number:
            rule = "row must be '<class>/<file> <number>'"
            raise bad_field(f"{rule}, got {show(row.cells['path'])} without a number")
        return
    expected = numbers.get(row.label_text or "", number)
    if number != expected:
        rule = f"number must be {expected} as {CLASS_FILE} has it for {row.label_text!r}"
        raise bad_field(f"{rule}, got {number}")


def _parse_row(row: Row, *, split: str) -> NamedClip:
    """Return the clip of one line."""
    path = check_relative_path("path", row.cells["path"])
    if path.count("/") != 1:
        raise bad_field(f"path must be '<class>/<file>', got {show(path)}")
    return whole_file_clip(row, dataset="ucf101", split=split, path=path)
