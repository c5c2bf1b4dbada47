"""Checks of single fields of an annotation row; a field that fails rejects its row only."""

import math
import unicodedata
from pathlib import PureWindowsPath

from schemas.errors import RecordError
from schemas.outcome import Outcome

MAX_SECONDS = 1_000_000
"""Times stay below this: six digits are what the file names of Kinetics hold."""

MAX_CHARACTERS = 4096
"""Longest name, path or label; it is the longest path of Linux."""

_UNUSABLE_CATEGORIES = ("Cc", "Cs", "Zl", "Zp")
_SHOWN_CHARACTERS = 80


def bad_field(detail: str) -> RecordError:
    """Return the error that rejects a row because it breaks a rule of its format."""
    return RecordError("", Outcome.BAD_ANNOTATION, detail)


def show(value: str) -> str:
    """Return the value as it stands in a message: quoted, escaped, not endless."""
    if len(value) > _SHOWN_CHARACTERS:
        value = f"{value[:_SHOWN_CHARACTERS]}..."
    return repr(value)


def is_one_line(text: str) -> bool:
    """Tell whether a text is free of line breaks, control characters and broken Unicode."""
    if text.isprintable():
        return True
    return all(unicodedata.category(character) not in _UNUSABLE_CATEGORIES for character in text)


def check_label(value: str) -> None:
    """Raise unless a label is one line of text.

    Raises:
        RecordError: If the label is empty, too long or has more than one line.
    """
    _check_text("label", value)


def is_usable_label(value: str) -> bool:
    """Tell whether `check_label` accepts a label."""
    return 0 < len(value) <= MAX_CHARACTERS and is_one_line(value)


def _check_text(name: str, value: str) -> None:
    """Raise unless a value is one line of text, and not an endless one."""
    if not value:
        raise bad_field(f"{name} must not be empty, got {value!r}")
    if len(value) > MAX_CHARACTERS:
        rule = f"{name} must have at most {MAX_CHARACTERS} characters"
        raise bad_field(f"{rule}, got {len(value)}: {show(value)}")
    if not is_one_line(value):
        raise bad_field(f"{name} must be one line without control characters, got {show(value)}")


def check_name(name: str, value: str) -> str:
    """Return a name that can stand in a clip id as it is.

    Args:
        name: What it is, for the message.
        value: A video id or a file name.

    Raises:
        RecordError: If the value is empty, too long, has more than one line, or is a path.
    """
    _check_text(name, value)
    if "/" in value or "\\" in value or value in (".", ".."):
        raise bad_field(f"{name} must be a name and no path, got {show(value)}")
    return value


def check_relative_path(name: str, value: str) -> str:
    """Return a path below the videos folder, without `.` parts and double slashes.

    Args:
        name: What it is, for the message.
        value: The path as annotated, with `/` between folders.

    Raises:
        RecordError: If the value is empty, too long, has more than one line, is absolute or a
            URL, ends in a folder, or leaves the folder with `..`.
    """
    _check_text(name, value)
    if value.startswith(("/", "\\")) or "://" in value or PureWindowsPath(value).is_absolute():
        raise bad_field(f"{name} must be relative to the videos folder, got {show(value)}")
    if ".." in value.replace("\\", "/").split("/"):
        raise bad_field(f"{name} must not leave the videos folder with '..', got {show(value)}")
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if not parts or value.endswith(("/", "/.")):
        raise bad_field(f"{name} must name a file, got {show(value)}")
    return "/".join(parts)


def parse_seconds(name: str, text: str) -> float:
    """Return a time in seconds.

    Args:
        name: The column, for the message.
        text: An integer or a float, as written.

    Raises:
        RecordError: If the text is no number, or not in [0, MAX_SECONDS).
    """
    try:
        seconds = math.nan if "_" in text else float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < MAX_SECONDS:
        rule = f"a number of seconds from 0 to below {MAX_SECONDS}"
        raise bad_field(f"{name} must be {rule}, got {show(text)}")
    return seconds


def check_range(start_seconds: float | None, end_seconds: float | None) -> None:
    """Raise unless [start, end) holds time; None is the start or the end of the video.

    Raises:
        RecordError: If the end is not after the start.
    """
    start = 0.0 if start_seconds is None else start_seconds
    if end_seconds is not None and end_seconds <= start:
        raise bad_field(f"end must be after start, got start {start:g} and end {end_seconds:g}")
