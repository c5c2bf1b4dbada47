"""The file of labels that a user brings."""

from schemas.annotations.fields import MAX_CHARACTERS, is_usable_label, show
from schemas.annotations.text_files import TextFiles
from schemas.annotations.text_lines import all_lines
from schemas.errors import ConfigError
from schemas.labels import LabelMap

_RULE = "label_map must have one label per line"


def read_label_map(files: TextFiles, path: str) -> LabelMap:
    """Return the labels of a file in index order; blank lines at its end are ignored.

    Args:
        files: Reads `path`.
        path: Text file; a byte-order mark and any line ends are understood.

    Raises:
        ConfigError: If the file cannot be read, is empty, or a line is blank, holds control
            characters or stands twice.
    """
    try:
        text = files.read_text(path)
    except ConfigError as error:
        raise ConfigError(f"label_map must be a readable UTF-8 file: {error}") from error
    lines = all_lines(text)
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ConfigError(f"{_RULE}, got an empty {path}")
    first_seen: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise ConfigError(f"{_RULE}, got a blank line in {path}:{number}; remove it")
        if not is_usable_label(line):
            rule = f"{MAX_CHARACTERS} characters at most and no control characters"
            raise ConfigError(f"{_RULE}, {rule}, got {show(line)} in {path}:{number}")
        if line in first_seen:
            twice = f"{show(line)} in {path}:{number} again after line {first_seen[line]}"
            raise ConfigError(f"{_RULE}, got {twice}; remove one of them")
        first_seen[line] = number
    return LabelMap(tuple(lines))
