"""UCF101: the lists of the folder `ucfTrainTestlist`."""

import re
from collections.abc import Iterator, Mapping

from schemas.annotations.fields import bad_field, check_relative_path, show
from schemas.annotations.rows import NamedClip, Row, collect_clips, source_of, whole_file_clip
from schemas.annotations.text_lines import numbered_lines
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap

CLASS_FILE = "classInd.txt"

_LIST_NAME = re.compile(r"(?P<kind>train|test)list0(?P<number>[0-9])\.txt")
_CLASS_LINE = re.compile(r"(?P<number>[0-9]{1,9})\s+(?P<label>\S.*)", re.ASCII)
_LIST_LINE = re.compile(r"(?P<path>\S.*?)(?:\s+(?P<number>-?[0-9]+))?", re.ASCII)


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
        raise ConfigError(f"{source} must hold {CLASS_FILE}, got {sorted(texts)}")
    classes = _parse_classes(texts[CLASS_FILE], source=f"{source}/{CLASS_FILE}")
    name = _list_of_split(texts, split=split, source=source)
    numbers = {label: str(number) for number, label in enumerate(classes.texts, start=1)}
    needs_number = name.startswith("train")

    def parse_row(row: Row) -> NamedClip:
        _check_number(row, numbers, needs_number=needs_number)
        return _parse_row(row, split=split)

    rows = list(_read_rows(texts[name], name))
    if not rows:
        raise ConfigError(f"{source}/{name} must hold rows, got an empty file")
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
    labels: list[str] = []
    for line_number, line in numbered_lines(text):
        match = _CLASS_LINE.fullmatch(line)
        if match is None or int(match["number"]) != len(labels) + 1:
            rule = f"number the classes from 1 on, here '{len(labels) + 1} <class>'"
            raise ConfigError(f"{source}:{line_number} must {rule}, got {show(line)}")
        if match["label"] in labels:
            raise ConfigError(f"{source}:{line_number} must name each class once, got {show(line)}")
        labels.append(match["label"])
    if not labels:
        raise ConfigError(f"{source} must hold the classes, got an empty file")
    return LabelMap(tuple(labels))


def _read_rows(text: str, name: str) -> Iterator[Row]:
    """Yield the lines of a list, split into path and number."""
    for line_number, line in numbered_lines(text):
        match = _LIST_LINE.fullmatch(line)
        path, number = (match["path"], match["number"] or "") if match else (line, "")
        folder = path.rpartition("/")[0].rpartition("/")[2]
        yield Row(source_of(name, line_number), {"path": path, "number": number}, folder or None)


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
