"""HMDB51: the lists of the folder `testTrainMulti_7030_splits`, one per class and split."""

import re
from collections.abc import Iterator, Mapping

from schemas.annotations.derived_labels import derive_label_map
from schemas.annotations.fields import bad_field, check_name, is_usable_label, show
from schemas.annotations.rows import NamedClip, Row, collect_clips, source_of, whole_file_clip
from schemas.annotations.text_lines import describe_long_line, numbered_lines
from schemas.clip import AnnotationTable
from schemas.errors import ConfigError
from schemas.labels import LabelMap

_LIST_NAME = re.compile(r"(?P<label>[^.\s].*)_test_split(?P<number>[0-9])\.txt", re.DOTALL)
_SPLIT = re.compile(r"(?P<kind>train|test)(?P<number>[0-9])")
_FLAGS = {"0": "unused", "1": "train", "2": "test"}


def is_hmdb51_list(name: str) -> bool:
    """Tell whether a file of the folder is one of those that `parse_hmdb51` reads."""
    return _LIST_NAME.fullmatch(name) is not None


def parse_hmdb51(
    texts: Mapping[str, str], *, split: str, source: str, label_map: LabelMap | None = None
) -> AnnotationTable:
    """Read one split of HMDB51.

    A line is `<file> <flag>` with flag 0 = unused, 1 = train, 2 = test; lines with the flag of
    another split are no rows of this one, lines whose flag cannot be read are rejected rows.

    Args:
        texts: File name to content: `<class>_test_split<N>.txt`; other files are ignored.
        split: `train1`, `test1`, ... `train3`, `test3`.
        source: The folder, for messages.
        label_map: Labels in index order; None takes the sorted class names of the list files.

    Returns:
        Every row as a clip or a rejected row, by class, then in the order of the class's list.

    Raises:
        ConfigError: If the folder has no lists of the split, a class lacks its list, no row
            has the split's flag, or two classes are alike to the case and spaces.
    """
    wanted = _SPLIT.fullmatch(split)
    matches = [match for name in sorted(texts) if (match := _LIST_NAME.fullmatch(name))]
    numbers = sorted({match["number"] for match in matches})
    if wanted is None or wanted["number"] not in numbers:
        available = ", ".join(f"{kind}{n}" for n in numbers for kind in ("train", "test")) or "none"
        raise ConfigError(
            f"split must be one of those in {source} ({available}), got {split!r}; "
            "name the folder that holds <class>_test_split1.txt and so on"
        )
    for match in matches:
        if not is_usable_label(match["label"]):
            rule = "list must be named by its class in UTF-8 without control characters"
            raise ConfigError(f"{rule}, got {show(match.string)} in {source}; rename the file")
    classes = derive_label_map({match["label"]: f"{source}/{match.string}" for match in matches})
    rows = list(_read_rows(texts, classes, wanted, source))
    if not any(row.cells["flag"] in _FLAGS for row in rows):
        raise ConfigError(
            f"{source} must hold rows of the split {split!r}, got none; "
            "unpack the official archive again"
        )

    def parse_row(row: Row) -> NamedClip:
        return _parse_row(row, split=split)

    return collect_clips(rows, parse_row, classes if label_map is None else label_map)


def _read_rows(
    texts: Mapping[str, str], classes: LabelMap, wanted: re.Match[str], source: str
) -> Iterator[Row]:
    """Yield the lines that have the split's flag, or no flag that says otherwise."""
    for label in classes.texts:
        name = f"{label}_test_split{wanted['number']}.txt"
        if name not in texts:
            raise ConfigError(
                f"{source} must hold a list of every class, got none named {name}; "
                "unpack the official archive again"
            )
        for line_number, line in numbered_lines(texts[name]):
            file, *flags = line.rsplit(maxsplit=1)
            flag = flags[0] if flags else ""
            if _FLAGS.get(flag, wanted["kind"]) == wanted["kind"]:
                cells = {"file": file, "flag": flag}
                problem = describe_long_line(line)
                yield Row(source_of(name, line_number), cells, label, problem)


def _parse_row(row: Row, *, split: str) -> NamedClip:
    """Return the clip of one line."""
    file, flag = row.cells["file"], row.cells["flag"]
    if flag not in _FLAGS:
        rule = "row must be '<file> <flag>' with flag 0, 1 or 2"
        raise bad_field(f"{rule}, got {show(f'{file} {flag}'.strip())}")
    check_name("file", file)
    path = f"{row.label_text}/{file}"
    return whole_file_clip(row, dataset="hmdb51", split=split, path=path)
